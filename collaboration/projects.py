"""Projects, scenes and shots as subjects of events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import QuerySet
from django.urls import reverse

from collaboration.models import Project, Scene, Shot
from collaboration.subjects import Subject


def _by_id(rows: QuerySet[Any], ids: Sequence[str]) -> Mapping[str, Any]:
    return {str(row.pk): row for row in rows.filter(pk__in=ids)}


def _scenes() -> QuerySet[Any]:
    return Scene.objects.present().select_related("project")


def _shots() -> QuerySet[Any]:
    return Shot.objects.present().filter(scene__trashed_at=None).select_related("scene__project")


def _url_of_scene(scene: Scene) -> str:
    return reverse("collaboration:settings", args=[scene.project.slug]) + f"#scene-{scene.pk}"


SUBJECT = Subject(
    find=lambda id: Project.objects.filter(pk=id).first(),
    find_many=lambda ids: _by_id(Project.objects.all(), ids),
    url=lambda project: project.get_absolute_url(),
    title=lambda project: project.name,
)

SCENE = Subject(
    find=lambda id: _scenes().filter(pk=id).first(),
    find_many=lambda ids: _by_id(_scenes(), ids),
    url=_url_of_scene,
    title=str,
)

SHOT = Subject(
    find=lambda id: _shots().filter(pk=id).first(),
    find_many=lambda ids: _by_id(_shots(), ids),
    url=lambda shot: _url_of_scene(shot.scene),
    title=str,
)
