"""The character sheet: what it is made with, and what its cells hold."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.core.exceptions import ValidationError

from characters import orders
from characters.models import (
    Character,
    CharacterSheet,
    IdentityProfile,
    Reference,
    SheetCell,
    SheetTake,
    VariationBatch,
)
from characters.orders import Proposal
from characters.profiles import base_prompt, split_traits
from characters.variations import AXES, MOST, Settings
from gpu_worker import catalog
from gpu_worker.models import Adapter, Job
from gpu_worker.packs import Pack, words

ANGLE, EXPRESSION = "pose", "expression"
"""The axes of a batch that are the rows and the columns of a sheet."""
ANGLES: Final = ("front view", "three-quarter view facing left", "three-quarter view facing right", "profile view")
EXPRESSIONS: Final = ("neutral", "happy", "sad", "angry", "surprised")
"""What is offered by packs that name no choices of their own."""
STEADY: Final = ("outfit", "colour", "background", "light", "shot", "drawing")
"""Axes that are the same in every picture."""
PLAIN: Final = {"background": ("studio", "plain", "white", "grey"), "colour": ("grey", "white", "black")}
"""What draws no attention to itself, the best first; of other axes the first choice of the pack."""
FACES = 6
"""Faces cast at once, unless somebody asks for more or fewer."""
MOST_TAKES = 8
"""Further takes of one cell at once."""


# ------------------------------------------------------------------------------------------------- what it is made with
def angles_of(pack: Pack) -> tuple[str, ...]:
    return tuple(pack.slots.get(ANGLE) or ANGLES)


def expressions_of(pack: Pack) -> tuple[str, ...]:
    return tuple(pack.slots.get(EXPRESSION) or EXPRESSIONS)


def _steady(pack: Pack, prompt: str) -> dict[str, tuple[str, ...]]:
    """One choice for every axis that is not varied, as far as the pack has words for it. Clothes that the prompt names
    stay as they are."""
    if pack.vocabulary is None:
        return {"background": ("a plain studio",)}
    said = set(words(prompt))
    dressed = any(said.intersection(words(outfit)) for outfit in pack.slots.get("outfit", ()))
    chosen: dict[str, tuple[str, ...]] = {}
    for axis in STEADY:
        offered = pack.slots.get(axis, ())
        if axis not in AXES or not offered or (dressed and axis in ("outfit", "colour")):
            continue
        chosen[axis] = (next((word for word in PLAIN.get(axis, ()) if word in offered), offered[0]),)
    return chosen


def default_settings(character: Character) -> Settings:
    """As many expressions as fit, from as many angles as then make at most 24 pictures, all else the same."""
    pack = catalog.default_pack()
    expressions = expressions_of(pack)[:MOST]
    angles = angles_of(pack)[: MOST // len(expressions)]
    return Settings(
        axes={EXPRESSION: expressions, ANGLE: angles} | _steady(pack, _prompt(character)),
        image_prompt_strength=float(pack.defaults.get("identity_strength", Settings().image_prompt_strength)),
    )


def _prompt(character: Character) -> str:
    profile = IdentityProfile.objects.filter(character=character).first()
    return profile.base_prompt if profile and profile.base_prompt else base_prompt(character)


def casting_settings(character: Character, count: int) -> Settings:
    """Faces from words alone: seen from the front, calm, each with a seed of its own. Raises ValidationError."""
    if not 1 <= count <= MOST:
        raise ValidationError({"count": f"Cast 1 to {MOST} faces at once."})
    pack = catalog.default_pack()
    axes = {EXPRESSION: expressions_of(pack)[:1], ANGLE: angles_of(pack)[:1]} | _steady(pack, _prompt(character))
    return Settings(axes=axes, per_combination=count, lora_strength=0, image_prompt_strength=0)


def settings_of_cell(cell: SheetCell, count: int) -> Settings:
    """Those of the cell's sheet, for this one cell and with new seeds."""
    first = cell.sheet.batches.order_by("created_at", "id").first()
    kept = first.settings if first is not None else {}
    axes = dict(kept.get("axes") or {}) | {ANGLE: [cell.angle], EXPRESSION: [cell.expression]}
    return Settings.from_json(kept | {"axes": axes, "per_combination": count, "seed": None})


def propose(*, character: Character, settings: Settings) -> Proposal:
    """Work out a sheet without ordering it. Raises ValidationError, keyed by field, with sentences."""
    _check_axes(settings)
    proposal = orders.propose(character=character, settings=settings)
    if not proposal.choice.uses_image_prompt and proposal.adapter is None:
        raise ValidationError(_why_nobody(character, proposal))
    return proposal


def _check_axes(settings: Settings) -> None:
    errors = {}
    if not settings.axes.get(ANGLE):
        errors[ANGLE] = "Choose at least one angle."
    if not settings.axes.get(EXPRESSION):
        errors[EXPRESSION] = "Choose at least one expression."
    for axis, values in settings.axes.items():
        if axis not in (ANGLE, EXPRESSION) and len(values) > 1:
            errors[axis] = f"A sheet shows one {axis}; these are {len(values)}. Choose one of them."
    if errors:
        raise ValidationError(errors)


def _why_nobody(character: Character, proposal: Proposal) -> str:
    """Why nothing would keep the pictures to one person."""
    profile = IdentityProfile.objects.filter(character=character).first()
    if profile is None or not profile.is_learnt:
        return f"Nobody knows {character.name}'s face yet. Add one to three pictures, or cast a face from words."
    if proposal.choice.pack.ip_adapter is None:
        return f"{proposal.choice.pack.title} takes no image prompts. Train {character.name} first."
    return "With an image prompt strength of 0 every picture would show somebody else. Choose a higher one."


# --------------------------------------------------------------------------------------------- words of a description
_NOUNS: Final = {
    "woman": ("woman", "girl", "lady", "mother", "grandmother", "she"),
    "man": ("man", "boy", "gentleman", "father", "grandfather", "he"),
}
_AGES: Final = {
    "young": ("young", "teenage", "teenager", "girl", "boy"),
    "middle-aged": ("middle-aged",),
    "old": ("old", "elderly", "aged", "grandmother", "grandfather"),
}
_FEATURES: Final = (
    "hair eyes eye skin beard moustache mustache stubble goatee glasses spectacles freckles scar scars earring "
    "earrings bald eyebrows nose lips cheeks cheekbones chin braid braids ponytail bun fringe curls dimples tattoo "
    "wrinkles"
)
"""Words for what stays with a face, whatever it wears and wherever it is."""
_LEADING: Final = (
    "a an the and with who has have having wears wearing wear his her their its very is in he she they by of"
)


@dataclass(frozen=True, slots=True)
class Words:
    """What a description says of a face."""

    noun: str
    """`woman`, `man` or `person`."""
    age: str
    """In words or in years; empty where nothing is said."""
    traits: tuple[str, ...] = field(default=())


def words_of(description: str) -> Words:
    """Find in a description what a prompt can say of a face: noun, age, and the phrases that name a feature of it.

    Deliberately plain: it proposes words for a person to correct. A trait is a part of a sentence, between commas,
    `and` or `with`, that holds a word for a feature, without the small words before it.
    """
    text = " ".join(description.lower().split())
    said = re.findall(r"[\w'-]+", text)
    found = [noun for noun, names in _NOUNS.items() for name in names if name in said]
    noun = found[0] if len(set(found)) == 1 else next((n for n in _NOUNS if n in said), "person")
    if years := re.search(r"\baged (\d{1,2})\b|\b(\d{1,2})[- ]years?[- ]old\b", text):
        age = years[1] or years[2]
    else:
        age = next((age for age, names in _AGES.items() if any(name in said for name in names)), "")
    features, leading = set(_FEATURES.split()), set(_LEADING.split())
    traits = []
    for part in re.split(r"[,.;:!?()]|\band\b|\bwith\b|\bwho\b|\bhas\b|\bwears\b|\bwearing\b", text):
        phrase = part.split()
        while phrase and phrase[0] in leading:
            phrase.pop(0)
        if 0 < len(phrase) <= 5 and features.intersection(phrase):
            traits.append(" ".join(phrase))
    return Words(noun=noun, age=age, traits=tuple(dict.fromkeys(traits)))


def words_for_casting(character: Character) -> Words:
    """What the team wrote of the character; where a field is empty, what the description says."""
    found = words_of(character.description)
    return Words(
        noun=character.noun if character.noun != "person" else found.noun,
        age=character.age or found.age,
        traits=tuple(split_traits(character.traits)) or found.traits,
    )


# ------------------------------------------------------------------------------------------------------- what it holds
MAKING, REVIEW, DONE = "making", "review", "done"
STATES: Final = {MAKING: "Being made", REVIEW: "To be approved", DONE: "Decided"}


@dataclass(slots=True)
class Cell:
    """One cell with its takes, as it is shown."""

    row: SheetCell
    takes: list[SheetTake]
    """Best first: by score, those without one last. Without those that were trashed or erased before a decision."""
    job: Job | None
    """The latest job that makes or made a take of it."""
    is_awaited: bool
    """A take of it is being made, or waits to be."""

    @property
    def approved(self) -> SheetTake | None:
        return next((t for t in self.takes if t.verdict == SheetTake.APPROVED), None)

    @property
    def proposed(self) -> SheetTake | None:
        """The best of those not decided yet, while none is approved."""
        if self.approved is not None:
            return None
        return next((t for t in self.takes if t.verdict == SheetTake.UNDECIDED), None)

    @property
    def shown(self) -> SheetTake | None:
        """The approved one, else the best not decided yet, else the best of those rejected."""
        return self.approved or self.proposed or (self.takes[0] if self.takes else None)


@dataclass(slots=True)
class Filled:
    """A sheet with everything its page needs."""

    sheet: CharacterSheet
    cells: list[Cell]
    batches: list[VariationBatch]
    """Newest first, with their jobs."""

    @property
    def angles(self) -> list[str]:
        return list(dict.fromkeys(c.row.angle for c in self.cells))

    @property
    def expressions(self) -> list[str]:
        return list(dict.fromkeys(c.row.expression for c in self.cells))

    @property
    def state(self) -> str:
        """Derived, never stored: it cannot contradict the takes."""
        if any(cell.is_awaited for cell in self.cells):
            return MAKING
        return REVIEW if any(cell.proposed for cell in self.cells) else DONE


def filled(sheet: CharacterSheet) -> Filled:
    """Three queries, however large the sheet is."""
    return fill([sheet])[0]


def fill(found: Sequence[CharacterSheet]) -> list[Filled]:
    cells = list(SheetCell.objects.filter(sheet__in=found).order_by("place"))
    takes: dict[int, list[SheetTake]] = {}
    rows = SheetTake.objects.filter(cell__sheet__in=found).select_related(
        "variation__asset", "variation__batch", "variation__as_reference", "decided_by"
    )
    for take in rows:
        takes.setdefault(take.cell_id, []).append(take)
    batches: dict[Any, list[VariationBatch]] = {}
    for batch in (
        VariationBatch.objects.filter(sheet__in=found)
        .select_related("job", "created_by", "adapter")
        .order_by("-created_at", "-id")
    ):
        batches.setdefault(batch.sheet_id, []).append(batch)
    filled = []
    for sheet in found:
        own = batches.get(sheet.pk, [])
        mine = [_cell(row, takes.get(row.pk, []), own) for row in cells if row.sheet_id == sheet.pk]
        filled.append(Filled(sheet=sheet, cells=mine, batches=own))
    return filled


def _cell(row: SheetCell, takes: list[SheetTake], batches: Sequence[VariationBatch]) -> Cell:
    making = [b for b in batches if any(_is_of(row, entry["axes"]) for entry in b.plan)]
    made = {(t.variation.batch_id, t.variation.index) for t in takes}
    awaited = any(
        not b.job.has_ended and _is_of(row, entry["axes"]) and (b.pk, entry["index"]) not in made
        for b in making
        for entry in b.plan
    )
    visible = [t for t in takes if t.verdict != SheetTake.UNDECIDED or _is_there(t)]
    return Cell(
        row=row,
        takes=sorted(visible, key=lambda t: (-_score(t), t.pk)),
        job=making[0].job if making else None,
        is_awaited=awaited,
    )


def _is_of(row: SheetCell, axes: Mapping[str, str]) -> bool:
    return (axes.get(ANGLE), axes.get(EXPRESSION)) == (row.angle, row.expression)


def _is_there(take: SheetTake) -> bool:
    return take.variation.trashed_at is None and take.variation.asset.erased_at is None


def _score(take: SheetTake) -> float:
    return take.variation.score if take.variation.score is not None else -1.0


def reference_of(take: SheetTake) -> Reference | None:
    """The reference that its picture is or was. Reads `variation.as_reference`."""
    found: Reference | None = getattr(take.variation, "as_reference", None)
    return found


def sheets_of(character: Character) -> list[CharacterSheet]:
    """Newest first."""
    return list(character.sheets.select_related("created_by").order_by("-created_at", "-id"))


def faces_of(character: Character) -> VariationBatch | None:
    """The latest faces that were cast."""
    rows = character.batches.filter(is_casting=True).select_related("job", "created_by", "adapter")
    return rows.order_by("-created_at", "-id").first()


def is_known(character: Character) -> bool:
    """Whether something keeps pictures to this one person: a learnt profile or a trained adapter."""
    profile = IdentityProfile.objects.filter(character=character).first()
    if profile is not None and profile.is_learnt:
        return True
    return Adapter.objects.of("character", character.pk).filter(is_active=True).exists()
