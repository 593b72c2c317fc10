"""Characters by name, for the palette."""

from __future__ import annotations

from characters.models import Character
from collaboration.finding import Found
from collaboration.models import Project


def find(project: Project, name: str, most: int) -> list[Found]:
    rows = Character.objects.present().filter(project=project, name__icontains=name).select_related("picture")
    found = []
    for character in rows.order_by("-importance", "name")[:most]:
        character.project = project
        asset = character.picture
        picture = asset.url(160) if asset is not None and asset.erased_at is None else ""
        found.append(Found(character.name, "Character", character.get_absolute_url(), picture))
    return found
