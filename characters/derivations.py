"""What was made from a reference: said before it is erased, since not all of it can be unmade."""

from __future__ import annotations

from dataclasses import dataclass

from characters.models import Reference, Variation
from collaboration.wired import entries
from gpu_worker.models import Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    title: str
    note: str
    """What becomes of it when the reference is erased."""
    url: str = ""
    goes: bool = False
    """Whether it is erased together with the reference."""
    erase_url: str = ""
    """Where a POST erases it by itself; it leads back to the address in its field `next`. Empty for what cannot be."""
    erase_label: str = "Erase it too"


def of(reference: Reference) -> list[Derived]:
    """Return everything known to have been made from the reference, what goes with it first.

    The apps above add theirs through the slot `reference.derived`: callables (Reference) -> list[Derived].
    """
    found = []
    if count := Reading.objects.filter(asset_id=reference.asset_id).count():
        found.append(
            Derived(
                title="What was seen in it" if count == 1 else f"What was seen in it, by {count} models",
                note="Face position and face embeddings are erased.",
                goes=True,
            )
        )
    profile = getattr(reference.character, "profile", None)
    if profile is not None and str(reference.pk) in profile.learnt_from:
        found.append(
            Derived(title="The identity profile", note="It is learnt anew from the other references.", goes=True)
        )
    for callback in entries("SLOTS", "reference.derived"):
        found += callback(reference)
    if made := _pictures(reference):
        found.append(
            Derived(
                title="One generated picture" if made == 1 else f"{made} generated pictures",
                note="Made with an identity profile that it was part of, or measured against it. They stay.",
            )
        )
    same = Reference.objects.filter(asset__sha256=reference.asset.sha256, asset__erased_at=None)
    for other in (
        same.exclude(asset_id=reference.asset_id)
        .exclude(asset__sha256="")
        .select_related("character__project", "asset")
    ):
        if other.asset.project_id == reference.asset.project_id:
            found.append(
                Derived(
                    title=f"Another upload of the same picture, in {other.character.name}",
                    note="It stays. Erase it there.",
                    url=other.character.get_absolute_url(),
                )
            )
    return found


def _pictures(reference: Reference) -> int:
    pk = str(reference.pk)
    rows = Variation.objects.present().filter(character_id=reference.character_id)
    return sum(
        1
        for provenance, against in rows.values_list("provenance", "measured_against").iterator()
        if pk in ((provenance.get("image_prompt") or {}).get("references") or ())
        or pk in against.get("reference_ids", ())
    )
