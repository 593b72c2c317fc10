"""What was made from a reference: said before it is erased, since not all of it can be unmade."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from django.urls import reverse

from characters.models import Reference, Variation
from characters.scoring import trained_with
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
    if derived := generated_from(reference):
        found.append(_generated(reference, len(derived)))
    if made := _pictures(reference, but={r.made_from_id for r in derived if r.made_from_id}):
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


def generated_from(reference: Reference) -> list[Reference]:
    """The generated references of the character whose pictures were conditioned on this one, or made with an adapter
    that was trained with it; removed ones too, none that is erased."""
    pk = str(reference.pk)
    rows = (
        Reference.objects.generated()
        .filter(character_id=reference.character_id, asset__erased_at=None)
        .exclude(pk=reference.pk)
        .select_related("made_from__batch", "asset", "character__project")
    )
    found, by_adapter = [], dict[object, bool]()
    for row in rows:
        if row.made_from is None:
            continue
        adapter = row.made_from.batch.adapter_id
        if adapter is not None and adapter not in by_adapter:
            by_adapter[adapter] = pk in trained_with([adapter])
        conditioned_on = (row.made_from.provenance.get("image_prompt") or {}).get("references") or ()
        if pk in conditioned_on or by_adapter.get(adapter, False):
            found.append(row)
    return found


def _generated(reference: Reference, count: int) -> Derived:
    args = [reference.character.project.slug, reference.character_id]
    one = count == 1
    return Derived(
        title="One generated reference" if one else f"{count} generated references",
        note=("It stays and is" if one else "They stay and are")
        + f" learnt from, unless you erase {'it' if one else 'them'} too. Pictures made from it stay.",
        url=reverse("characters:references", args=args),
        erase_url=reverse("characters:reference_erase_generated", args=[*args, reference.pk]),
        erase_label="Erase it too" if one else f"Erase all {count}",
    )


def _pictures(reference: Reference, *, but: Collection[UUID]) -> int:
    pk = str(reference.pk)
    rows = Variation.objects.present().filter(character_id=reference.character_id).exclude(pk__in=but)
    return sum(
        1
        for provenance, against in rows.values_list("provenance", "measured_against").iterator()
        if pk in ((provenance.get("image_prompt") or {}).get("references") or ())
        or pk in against.get("reference_ids", ())
    )
