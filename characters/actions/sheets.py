"""The character sheet: casting a face from words, ordering the sheet, and approving its pictures one by one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from characters import events, orders, sheets
from characters.actions.characters import change_character
from characters.actions.recording import lock, named, record
from characters.actions.references import refresh_references, take_in_generated
from characters.models import Character, CharacterSheet, Reference, SheetCell, SheetTake, Variation, VariationBatch
from characters.variations import Settings
from collaboration.models import User


# --------------------------------------------------------------------------------------------- casting a face
def order_faces(
    *, character: Character, actor: User, count: int = sheets.FACES, priority: int = 1, **words: str
) -> VariationBatch:
    """Order `count` faces (1-24) made from words alone, one of which will be chosen. `words`: `noun`, `age`, `traits`;
    they are kept with the character. Raises ValidationError, keyed by field, with sentences."""
    with transaction.atomic():
        _refuse_known(lock(character))
        if words:
            change_character(character=character, actor=actor, **words)
        settings = sheets.casting_settings(character, count)
        return orders.order_variations(
            character=character, settings=settings, actor=actor, priority=priority, is_casting=True
        )


def _refuse_known(character: Character) -> None:
    known = character.references.present().exclude(verdict=Reference.REJECT)
    if known.exists():
        raise ValidationError(
            f"{character.name} has references, which say who this is. Remove them first to cast another face."
        )


def choose_face(*, variation: Variation, actor: User) -> Reference:
    """Make a face that was cast the character's: its first reference, from which its identity is learnt.

    Raises ValidationError where somebody else is shown already, or where no face can be learnt from the picture.
    """
    with transaction.atomic():
        character = lock(variation.character)
        variation = Variation.objects.select_related("asset", "batch").get(pk=variation.pk)
        chosen = Reference.objects.present().filter(made_from=variation).first()
        if chosen is not None:
            return chosen
        if not variation.batch.is_casting:
            raise ValidationError("Only a face that was cast can be chosen. Cast faces first.")
        _refuse_gone(variation)
        _refuse_known(character)
        (pk,) = take_in_generated(character=character, variations=[variation], origin=Reference.CAST, actor=actor)
        reference = Reference.objects.get(pk=pk)
        if reference.verdict == Reference.REJECT:
            why = next((c["sentence"] for c in reference.checks if c["verdict"] == Reference.REJECT), "")
            raise ValidationError(f"This face cannot be chosen. {why}")
        happening = events.FaceChosen(**named(character), variation_id=variation.pk, reference_id=pk)
        record(character, happening, actor=actor)
    return reference


def _refuse_gone(variation: Variation) -> None:
    if variation.asset.erased_at is not None:
        raise ValidationError("This picture was erased for good. Choose another one.")
    if variation.trashed_at is not None:
        raise ValidationError("This picture is in the trash. Take it back first.")


# ----------------------------------------------------------------------------------------------------- ordering
def order_sheet(*, character: Character, settings: Settings, actor: User, priority: int = 1) -> CharacterSheet:
    """Order every angle with every expression of `settings`, at most 24 pictures. Raises ValidationError, keyed by
    field, with sentences."""
    proposal = sheets.propose(character=character, settings=settings)
    axes = proposal.settings.axes
    with transaction.atomic():
        sheet = CharacterSheet.objects.create(character=character, created_by=actor)
        grid = [(angle, expression) for angle in axes[sheets.ANGLE] for expression in axes[sheets.EXPRESSION]]
        SheetCell.objects.bulk_create(
            SheetCell(sheet=sheet, place=place, angle=angle, expression=expression)
            for place, (angle, expression) in enumerate(grid)
        )
        orders.order_variations(
            character=character, settings=proposal.settings, actor=actor, priority=priority, sheet=sheet
        )
    return sheet


def order_takes(*, cell: SheetCell, actor: User, count: int = 1) -> VariationBatch:
    """Order `count` (1-8) further takes of one cell, with the settings of its sheet and new seeds. Raises as
    `order_sheet`."""
    if not 1 <= count <= sheets.MOST_TAKES:
        raise ValidationError({"count": f"Ask for 1 to {sheets.MOST_TAKES} takes."})
    sheet = cell.sheet
    settings = sheets.settings_of_cell(cell, count)
    sheets.propose(character=sheet.character, settings=settings)
    return orders.order_variations(character=sheet.character, settings=settings, actor=actor, sheet=sheet)


def note_take(*, variation: Variation) -> None:
    """A picture of a sheet is made: put it into its cell, in the transaction that accepts it."""
    cell = SheetCell.objects.get(
        sheet=variation.batch.sheet_id,
        angle=variation.axes[sheets.ANGLE],
        expression=variation.axes[sheets.EXPRESSION],
    )
    SheetTake.objects.create(cell=cell, variation=variation)


# ------------------------------------------------------------------------------------------------------ deciding
def approve_takes(*, sheet: CharacterSheet, takes: Iterable[SheetTake], actor: User) -> list[SheetTake]:
    """Approve pictures: they become references. One approved for the same cell before is open again, and no reference.

    Returns those that were not approved yet. Raises ValidationError for two pictures of one cell, and for one that is
    erased or in the trash.
    """
    with transaction.atomic():
        character = lock(sheet.character)
        chosen = [t for t in _anew(sheet, takes) if t.verdict != SheetTake.APPROVED or _is_removed(t)]
        if not chosen:
            return []
        for take in chosen:
            _refuse_gone(take.variation)
        cells = [t.cell_id for t in chosen]
        if len(set(cells)) < len(cells):
            raise ValidationError("A cell of the sheet holds one picture. Choose one of its takes.")
        replaced = list(
            SheetTake.objects.filter(cell__in=cells, verdict=SheetTake.APPROVED).exclude(pk__in=[t.pk for t in chosen])
        )
        _decide(replaced, SheetTake.UNDECIDED, None)
        _trash_references(replaced)
        _decide(chosen, SheetTake.APPROVED, actor)
        references = take_in_generated(
            character=character, variations=[t.variation for t in chosen], origin=Reference.SHEET, actor=actor
        )
        happening = events.SheetApproved(
            **named(character),
            sheet_id=sheet.pk,
            variation_ids=[t.variation_id for t in chosen],
            reference_ids=references,
            replaced_ids=[t.variation_id for t in replaced],
        )
        record(character, happening, actor=actor)
    return chosen


def reject_takes(*, sheet: CharacterSheet, takes: Iterable[SheetTake], actor: User) -> list[SheetTake]:
    """Reject pictures: another take of the cell is proposed, where there is one. Returns those not rejected yet."""
    return _close(sheet, takes, SheetTake.REJECTED, actor)


def reopen_takes(*, sheet: CharacterSheet, takes: Iterable[SheetTake], actor: User) -> list[SheetTake]:
    """Take decisions back. What was approved is no reference any more. Returns those that were decided."""
    return _close(sheet, takes, SheetTake.UNDECIDED, actor)


def _close(sheet: CharacterSheet, takes: Iterable[SheetTake], verdict: str, actor: User) -> list[SheetTake]:
    with transaction.atomic():
        character = lock(sheet.character)
        chosen = [t for t in _anew(sheet, takes) if t.verdict != verdict]
        if not chosen:
            return []
        approved = [t for t in chosen if t.verdict == SheetTake.APPROVED]
        _decide(chosen, verdict, None if verdict == SheetTake.UNDECIDED else actor)
        if approved:
            _trash_references(approved)
            refresh_references(character)
        told = events.SheetRejected if verdict == SheetTake.REJECTED else events.SheetReopened
        happening = told(**named(character), sheet_id=sheet.pk, variation_ids=[t.variation_id for t in chosen])
        record(character, happening, actor=actor)
    return chosen


def _anew(sheet: CharacterSheet, takes: Iterable[SheetTake]) -> list[SheetTake]:
    """As they are now that the character is locked, in the order of their cells."""
    rows = SheetTake.objects.filter(cell__sheet=sheet, pk__in=[t.pk for t in takes])
    return list(rows.select_related("cell", "variation__asset").order_by("cell__place", "pk"))


def _is_removed(take: SheetTake) -> bool:
    """Approved, and its reference was removed from the character since."""
    return not Reference.objects.present().filter(made_from=take.variation_id).exists()


def _decide(takes: Sequence[SheetTake], verdict: str, actor: User | None) -> None:
    for take in takes:
        take.verdict, take.decided_by = verdict, actor
        take.decided_at = timezone.now() if actor else None
    SheetTake.objects.bulk_update(takes, ["verdict", "decided_by", "decided_at"])


def _trash_references(takes: Sequence[SheetTake]) -> None:
    rows = Reference.objects.present().filter(made_from__in=[t.variation_id for t in takes])
    rows.update(trashed_at=timezone.now(), is_held_out=False)
