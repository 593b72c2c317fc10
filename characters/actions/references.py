"""Adding references, having them looked at, removing and erasing them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from assets import actions as assets
from assets.models import Asset
from characters import checks, derivations, events, profiles, scoring
from characters.actions.look_alikes import compare_with_cast
from characters.actions.profiles import learn
from characters.actions.recording import lock, named, record, touch
from characters.actions.status import write_status
from characters.models import Character, Reference, SheetTake, Variation
from collaboration import events as log
from collaboration.models import User
from collaboration.wired import entries
from gpu_worker import actions as jobs
from gpu_worker import catalog, contracts, prompts, routing
from gpu_worker.contracts import Looked
from gpu_worker.models import Adapter, Job, Reading
from gpu_worker.packs import Pack

LOOK_TOGETHER = 24
"""References one job looks at; more make another job."""
ENCODERS = ("conditioning", "scoring")
"""What a reading of the studio holds of each face, as far as the pack has them."""


def add_references(*, character: Character, assets: Sequence[Asset], actor: User) -> list[Reference]:
    """Add pictures that are stored already, and have them looked at."""
    if not assets:
        return []
    with transaction.atomic():
        row = lock(character)
        references = [Reference(character=row, asset=asset, added_by=actor) for asset in assets]
        Reference.objects.bulk_create(references)
        if row.picture_id is None:
            row.picture = assets[0]
        touch(row, "picture")
        ids = [r.pk for r in references]
        _order_look(row, ids, actor)
        record(row, events.ReferencesAdded(**named(row), reference_ids=ids), actor=actor)
    return references


def take_in_generated(*, character: Character, variations: Sequence[Variation], origin: str, actor: User) -> list[Any]:
    """Make generated pictures references, in the caller's transaction, with the character locked. Returns their ids.

    One that was a reference before becomes the same one again. A picture that was seen by all encoders when it was made
    is judged at once; the others are looked at first.
    """
    ids = []
    for variation in variations:
        reference, is_new = Reference.objects.get_or_create(
            made_from=variation,
            defaults={
                "character": character,
                "asset": variation.asset,
                "origin": origin,
                "caption": ", ".join(prompts.phrases(variation.axes, catalog.default_pack()))[:400],
                "added_by": actor,
            },
        )
        if not is_new and reference.trashed_at is not None:
            reference.trashed_at = None
            reference.save(update_fields=["trashed_at"])
        ids.append(reference.pk)
    refresh_references(character)
    if unseen := list(Reference.objects.filter(pk__in=ids, verdict=Reference.CHECKING).values_list("pk", flat=True)):
        _order_look(character, unseen, actor)
    return ids


def _order_look(character: Character, ids: Sequence[Any], actor: User | None) -> None:
    """Have references looked at: by a job that waits already if there is one, so that thirty uploads are few jobs."""
    wanted = [str(pk) for pk in ids]
    waiting = (
        Job.objects.select_for_update()
        .filter(kind="reference.look", subject_id=str(character.pk), state=Job.WAITING, token=0)
        .first()
    )
    if waiting:
        wanted = [pk for pk in wanted if pk not in waiting.arguments["references"]]
        if len(waiting.arguments["references"]) + len(wanted) <= LOOK_TOGETHER:
            waiting.arguments["references"] += wanted
            waiting.units = waiting.total = len(waiting.arguments["references"])
            waiting.save(update_fields=["arguments", "units", "total"])
            return
    for start in range(0, len(wanted), LOOK_TOGETHER):
        part = wanted[start : start + LOOK_TOGETHER]
        jobs.enqueue(
            kind="reference.look",
            title=f"Check references of {character.name}",
            project=character.project,
            actor=actor,
            subject=("character", character.pk),
            arguments={"references": part},
            queue=Job.CPU,
            units=len(part),
        )


def check_again(*, character: Character, actor: User | None) -> int:
    """Have looked at again what was never answered, and judge the others anew. Returns how many are looked at."""
    with transaction.atomic():
        row = lock(character)
        pack = catalog.default_pack()
        present = list(row.references.present().filter(asset__erased_at=None))
        seen = _seen([r.asset_id for r in present], pack)
        ids = [r.pk for r in present if r.asset_id not in seen]
        Reference.objects.filter(pk__in=ids).update(verdict=Reference.CHECKING, checks=[])
        refresh_references(row)
        if ids:
            _order_look(row, ids, actor)
    return len(ids)


# ---------------------------------------------------------------------------------------- removing and erasing
def trash_reference(*, reference: Reference, actor: User) -> Reference:
    with transaction.atomic():
        character = lock(reference.character)
        if Reference.objects.present().filter(pk=reference.pk).update(trashed_at=timezone.now(), is_held_out=False):
            refresh_references(character)
            record(character, events.ReferenceTrashed(**named(character), reference_id=reference.pk), actor=actor)
    reference.refresh_from_db()
    return reference


def restore_reference(*, reference: Reference, actor: User) -> Reference:
    """What was erased, or is not approved any more, cannot come back; then nothing happens: see `why_not_back`."""
    with transaction.atomic():
        character = lock(reference.character)
        rows = Reference.objects.exclude(trashed_at=None).filter(pk=reference.pk)
        if not why_not_back(reference) and rows.update(trashed_at=None):
            refresh_references(character)
            record(character, events.ReferenceRestored(**named(character), reference_id=reference.pk), actor=actor)
    reference.refresh_from_db()
    return reference


def why_not_back(reference: Reference) -> str:
    """Why a removed reference cannot be taken back, in a sentence; empty when it can."""
    if Asset.objects.filter(pk=reference.asset_id).exclude(erased_at=None).exists():
        return "This picture was erased for good and cannot come back."
    take = SheetTake.objects.filter(variation=reference.made_from_id).first() if reference.made_from_id else None
    if reference.origin == Reference.SHEET and (take is None or take.verdict != SheetTake.APPROVED):
        return "The approval of this picture was taken back. Approve it on its character sheet."
    return ""


def erase_reference(*, reference: Reference, actor: User) -> None:
    """Erase a reference for good: its file, what was seen in it, and its part in the profile.

    A tombstone without content stays. Adapters trained with it and pictures made from it are not touched: see
    `derivations.of`, which names them. The apps above do their part through the slot `reference.erased`: callables
    (reference, actor). Repeating it is harmless.
    """
    with transaction.atomic():
        for do in entries("SLOTS", "reference.erased"):
            do(reference=reference, actor=actor)
        # In one order, so that two erasures never wait for each other.
        showing = Character.objects.filter(references__asset_id=reference.asset_id).distinct().order_by("pk")
        characters = [lock(c) for c in showing]
        Reference.objects.filter(asset_id=reference.asset_id).update(
            trashed_at=timezone.now(), is_held_out=False, verdict=Reference.REJECT, checks=[], caption=""
        )
        assets.erase(asset=reference.asset, actor=actor)
        for one in characters:
            if one.picture_id == reference.asset_id:
                one.picture = None
            refresh_references(one)
            record(one, events.ReferenceErased(**named(one), reference_id=reference.pk), actor=actor)
    reference.refresh_from_db()


def erase_generated_from(*, reference: Reference, actor: User) -> int:
    """Erase for good the generated references that were made from this one: see `derivations.generated_from`. Returns
    how many."""
    with transaction.atomic():
        derived = derivations.generated_from(reference)
        for one in derived:
            erase_reference(reference=one, actor=actor)
    return len(derived)


# ---------------------------------------------------------------------------------------------------- answers
def accept_reading(*, reference_id: Any, seen: dict[str, Any]) -> None:
    """Keep what was seen in a reference, and judge all of the character's references anew. Raises ContractError."""
    contracts.looked_from_json(seen)
    owner = Character.objects.filter(references=reference_id).first()
    if owner is None:
        return
    pack = catalog.default_pack()
    character = lock(owner)
    # Read under the lock: an erasure that is under way must not be followed by what it erases.
    reference = Reference.objects.select_related("asset").get(pk=reference_id)
    if reference.asset.erased_at is not None:
        return
    Reading.objects.update_or_create(
        asset=reference.asset, pack=pack.name, pack_version=pack.version, defaults={"seen": seen}
    )
    refresh_references(character)
    reference.refresh_from_db()
    if reference.verdict == Reference.CHECKING:  # in the trash meanwhile: judged when it comes back
        return
    happening = events.ReferenceChecked(**named(character), reference_id=reference.pk, verdict=reference.verdict)
    log.record(character.project, happening, actor=None)


def reject_unreadable(*, reference_ids: Iterable[Any], sentence: str) -> None:
    """The looking itself failed: say so on each reference instead of leaving it "checking" for ever."""
    answer = {"name": "look", "verdict": checks.REJECT, "word": "Not checked", "sentence": sentence}
    wanted = Reference.objects.filter(pk__in=list(reference_ids), verdict=Reference.CHECKING)
    with transaction.atomic():
        for owner in Character.objects.filter(references__in=wanted).distinct().order_by("pk"):
            character = lock(owner)
            mine = list(wanted.filter(character=character).values_list("pk", flat=True))
            Reference.objects.filter(pk__in=mine).update(verdict=Reference.REJECT, checks=[answer])
            told = [
                events.ReferenceChecked(**named(character), reference_id=pk, verdict=Reference.REJECT) for pk in mine
            ]
            log.record_all(character.project, told, actor=None)


def refresh_references(character: Character) -> None:
    """Judge every reference against the others, choose those held out, count, and learn the profile anew.

    In the caller's transaction, with the character locked.
    """
    pack = catalog.default_pack()
    present = list(character.references.present().select_related("asset"))
    seen = _seen([r.asset_id for r in present], pack)
    telling = {r.pk for r in profiles.telling(present)}
    pictures = [
        checks.Picture(
            sha256=r.asset.sha256,
            seen=seen.get(r.asset_id),
            is_generated=r.is_generated,
            is_telling=r.pk in telling,
        )
        for r in present
    ]
    judged = checks.judge(pictures, pack, has_human_face=character.has_human_face)
    for reference, judgement in zip(present, judged, strict=True):
        if judgement is not None and judgement != (reference.verdict, reference.checks):
            reference.verdict, reference.checks = judgement
            reference.save(update_fields=["verdict", "checks"])
    usable = [r for r in present if r.verdict in (Reference.PASS, Reference.WARN)]
    adapters = Adapter.objects.of("character", character.pk).values_list("pk", flat=True)
    held_out = profiles.choose_held_out(
        [(r, seen.get(r.asset_id)) for r in usable],
        trained_with=scoring.trained_with(list(adapters)),
        has_human_face=character.has_human_face,
    )
    for reference in present:
        if reference.is_held_out != (reference.pk in held_out):
            reference.is_held_out = reference.pk in held_out
            reference.save(update_fields=["is_held_out"])
    character.reference_count = len(usable)
    character.generated_count = sum(r.is_generated for r in usable)
    truth = [r for r in usable if not r.is_generated] or usable
    character.domain = routing.domain_of([s.photographic for r in truth if (s := seen.get(r.asset_id))])
    choose_picture(character, usable)
    touch(character, "reference_count", "generated_count", "domain", "picture")
    # What conditions a picture is the embedding of a human face.
    faces = [r for r in usable if not r.is_held_out and character.has_human_face]
    learn(character, profiles.telling(faces), seen, pack)
    compare_with_cast(character, profiles.telling(usable), seen, pack)
    write_status(character)


def _seen(asset_ids: Sequence[Any], pack: Pack) -> dict[Any, Looked]:
    """Readings by every encoder that a reference needs: a generated picture may have been seen by one only."""
    needed = {name for name in ENCODERS if name in pack.encoders}
    found = scoring.readings(asset_ids, pack)
    return {asset: seen for asset, seen in found.items() if all(needed <= f.embeddings.keys() for f in seen.faces)}


def choose_picture(character: Character, usable: Sequence[Reference]) -> None:
    """The card shows the last picked variation if there is one, else the first usable reference, uploaded ones
    first."""
    picked = character.variations.present().exclude(picked_at=None).order_by("-picked_at").first()
    if picked is not None:
        character.picture_id = picked.asset_id
    elif usable:
        if character.picture_id not in {r.asset_id for r in usable}:
            character.picture_id = min(usable, key=lambda r: r.is_generated).asset_id
    else:
        first = character.references.present().first()
        character.picture_id = first.asset_id if first else None


# ------------------------------------------------------------------------------------------------ another person
def separate_references(
    *, character: Character, references: Sequence[Reference], actor: User, into_character: bool
) -> Character | None:
    """Take references that show another person out of a character: to the trash, or into a new character.

    Returns the new character. Raises ValidationError where none of them is there.
    """
    with transaction.atomic():
        row = lock(character)
        wanted = row.references.present().filter(pk__in=[r.pk for r in references], asset__erased_at=None)
        ids = list(wanted.order_by("added_at", "id").values_list("pk", flat=True))
        if not ids:
            raise ValidationError("These pictures are not among the references any more.")
        other = None
        if into_character:
            other = _beside(row, actor)
            Reference.objects.filter(pk__in=ids).update(character=other, is_held_out=False)
            refresh_references(other)
        else:
            Reference.objects.filter(pk__in=ids).update(trashed_at=timezone.now(), is_held_out=False)
        refresh_references(row)
        happening = events.ReferencesSeparated(
            **named(row),
            reference_ids=ids,
            to_character=other.pk if other else None,
            to_name=other.name if other else "",
        )
        record(row, happening, actor=actor)
    return other


def _beside(character: Character, actor: User) -> Character:
    """A new character for those who were taken for this one."""
    base, n = f"Beside {character.name}"[:110], 2
    name = base
    while Character.objects.present().filter(project=character.project, name__iexact=name).exists():
        name, n = f"{base} {n}", n + 1
    other = Character.objects.create(
        project=character.project, name=name, noun=character.noun, tier=character.tier, created_by=actor
    )
    record(other, events.CharacterCreated(**named(other)), actor=actor)
    return lock(other)


def rejoin_references(*, character: Character, references: Sequence[Reference], actor: User) -> int:
    """Undo `separate_references`: take its pictures back, from the trash or from the character they went into, which
    goes to the trash when nothing else is in it. Returns how many came back; what was erased cannot."""
    with transaction.atomic():
        row = lock(character)
        rows = Reference.objects.filter(
            pk__in=[r.pk for r in references], asset__erased_at=None, character__project=row.project
        )
        there = {r.character_id for r in rows} - {row.pk}
        back = rows.exclude(character=row, trashed_at=None)
        count = back.update(character=row, trashed_at=None, is_held_out=False)
        if count:
            refresh_references(row)
            record(row, events.ReferencesRejoined(**named(row), count=count), actor=actor)
        for pk in sorted(there, key=str):
            other = lock(Character.objects.get(pk=pk))
            if not other.references.exists() and not other.batches.exists() and other.trashed_at is None:
                other.trashed_at = timezone.now()
                other.save(update_fields=["trashed_at"])
                record(other, events.CharacterTrashed(**named(other)), actor=actor)
            else:
                refresh_references(other)
    return count
