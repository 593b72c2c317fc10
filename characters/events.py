"""What happens to characters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from collaboration.events import Happening, in_words


def _count(n: int, one: str) -> str:
    return f"{n} {one}" if n == 1 else f"{n} {one}s"


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfCharacter(Happening):
    topic: ClassVar[str] = "Characters"
    character_id: UUID
    name: str

    def subject(self) -> tuple[str, object]:
        return "character", self.character_id


@dataclass(frozen=True, slots=True, kw_only=True)
class CharacterCreated(_OfCharacter):
    kind: ClassVar[str] = "character.created"

    def summary(self) -> str:
        return f"created {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CharacterChanged(_OfCharacter):
    kind: ClassVar[str] = "character.changed"
    fields: list[str]

    def summary(self) -> str:
        return f"changed {in_words(self.fields)} of {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CharacterTrashed(_OfCharacter):
    kind: ClassVar[str] = "character.trashed"

    def summary(self) -> str:
        return f"moved {self.name} to the trash"


@dataclass(frozen=True, slots=True, kw_only=True)
class CharacterRestored(_OfCharacter):
    kind: ClassVar[str] = "character.restored"

    def summary(self) -> str:
        return f"took {self.name} back from the trash"


@dataclass(frozen=True, slots=True, kw_only=True)
class CharacterRolledBack(_OfCharacter):
    kind: ClassVar[str] = "character.rolled_back"
    number: int
    """Of the revision whose state came back."""
    fields: list[str]
    is_whole: bool

    def summary(self) -> str:
        if self.is_whole:
            return f"rolled {self.name} back to revision {self.number}"
        return f"brought back {_in_words(self.fields)} of {self.name} from revision {self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CharacterUndone(_OfCharacter):
    kind: ClassVar[str] = "character.undone"
    number: int
    """Of the revision that was taken back."""
    fields: list[str]

    def summary(self) -> str:
        return f"took back revision {self.number} of {self.name}: {_in_words(self.fields)}"


def _in_words(fields: list[str]) -> str:
    return in_words([field.replace("_", " ") for field in fields])


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfReference(_OfCharacter):
    topic: ClassVar[str] = "References"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferencesAdded(_OfReference):
    kind: ClassVar[str] = "reference.added"
    reference_ids: list[UUID]

    def summary(self) -> str:
        return f"added {_count(len(self.reference_ids), 'reference')} to {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceChecked(_OfReference):
    kind: ClassVar[str] = "reference.checked"
    reference_id: UUID
    verdict: str

    def summary(self) -> str:
        words = {"pass": "it passed", "warn": "it passed with a warning", "reject": "it cannot be used"}
        return f"checked a reference of {self.name}: {words[self.verdict]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceTrashed(_OfReference):
    kind: ClassVar[str] = "reference.trashed"
    reference_id: UUID

    def summary(self) -> str:
        return f"removed a reference of {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceRestored(_OfReference):
    kind: ClassVar[str] = "reference.restored"
    reference_id: UUID

    def summary(self) -> str:
        return f"took back a reference of {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceErased(_OfReference):
    kind: ClassVar[str] = "reference.erased"
    reference_id: UUID

    def summary(self) -> str:
        return f"erased a reference of {self.name} for good"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferencesSeparated(_OfReference):
    kind: ClassVar[str] = "reference.separated"
    reference_ids: list[UUID]
    to_character: UUID | None
    """The new character they went into; None: the trash."""
    to_name: str

    def summary(self) -> str:
        where = f"into the new character {self.to_name}" if self.to_character else "to the trash"
        return f"moved {_count(len(self.reference_ids), 'reference')} of another person from {self.name} {where}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferencesRejoined(_OfReference):
    kind: ClassVar[str] = "reference.rejoined"
    count: int

    def summary(self) -> str:
        return f"took {_count(self.count, 'reference')} back to {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileLearnt(_OfCharacter):
    kind: ClassVar[str] = "profile.learnt"
    references: int

    def summary(self) -> str:
        return f"learnt who {self.name} is from {_count(self.references, 'reference')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAlikesFound(_OfCharacter):
    kind: ClassVar[str] = "look_alike.found"
    others: list[str]

    def summary(self) -> str:
        return f"found that {self.name} looks like {in_words(self.others)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAlikeDismissed(_OfCharacter):
    kind: ClassVar[str] = "look_alike.dismissed"
    other: str
    reason: str

    def summary(self) -> str:
        return f"dismissed that {self.name} looks like {self.other}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAlikeRestored(_OfCharacter):
    kind: ClassVar[str] = "look_alike.restored"
    other: str

    def summary(self) -> str:
        return f"warned again that {self.name} looks like {self.other}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BasePromptChanged(_OfCharacter):
    kind: ClassVar[str] = "profile.prompt_changed"
    before: str
    after: str

    def summary(self) -> str:
        return f"changed the base prompt of {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfVariation(_OfCharacter):
    topic: ClassVar[str] = "Variations"


@dataclass(frozen=True, slots=True, kw_only=True)
class VariationsOrdered(_OfVariation):
    kind: ClassVar[str] = "variation.ordered"
    batch_id: UUID
    count: int
    tier: str

    def summary(self) -> str:
        return f"ordered {_count(self.count, 'variation')} of {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class VariationsFinished(_OfVariation):
    kind: ClassVar[str] = "variation.finished"
    batch_id: UUID
    count: int
    """Pictures made."""
    state: str

    def summary(self) -> str:
        how = {"done": "finished", "failed": "could not finish", "cancelled": "stopped"}[self.state]
        return f"{how} variations of {self.name}: {_count(self.count, 'picture')} made"


@dataclass(frozen=True, slots=True, kw_only=True)
class VariationsCancelled(_OfVariation):
    kind: ClassVar[str] = "variation.cancelled"
    batch_id: UUID

    def summary(self) -> str:
        return f"cancelled variations of {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class VariationsRetried(_OfVariation):
    kind: ClassVar[str] = "variation.retried"
    batch_id: UUID

    def summary(self) -> str:
        return f"put variations of {self.name} back in the queue"


@dataclass(frozen=True, slots=True, kw_only=True)
class VariationPicked(_OfVariation):
    kind: ClassVar[str] = "variation.picked"
    variation_id: UUID

    def summary(self) -> str:
        return f"picked a variation of {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class VariationUnpicked(_OfVariation):
    kind: ClassVar[str] = "variation.unpicked"
    variation_id: UUID

    def summary(self) -> str:
        return f"took back a pick of {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class VariationTrashed(_OfVariation):
    kind: ClassVar[str] = "variation.trashed"
    variation_id: UUID

    def summary(self) -> str:
        return f"moved a variation of {self.name} to the trash"


@dataclass(frozen=True, slots=True, kw_only=True)
class VariationRestored(_OfVariation):
    kind: ClassVar[str] = "variation.restored"
    variation_id: UUID

    def summary(self) -> str:
        return f"took back a variation of {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementOrdered(_OfVariation):
    kind: ClassVar[str] = "measurement.ordered"
    count: int

    def summary(self) -> str:
        return f"asked to measure {_count(self.count, 'variation')} of {self.name} again"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementCancelled(_OfVariation):
    kind: ClassVar[str] = "measurement.cancelled"

    def summary(self) -> str:
        return f"stopped measuring variations of {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementFinished(_OfVariation):
    kind: ClassVar[str] = "measurement.finished"
    count: int
    """Pictures measured."""
    of: int
    """Pictures that were to be measured."""
    state: str

    def summary(self) -> str:
        how = {"done": "measured", "failed": "could not measure all", "cancelled": "stopped after measuring"}[
            self.state
        ]
        return f"{how} {self.count} of {_count(self.of, 'variation')} of {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FacesOrdered(_OfVariation):
    kind: ClassVar[str] = "face.ordered"
    batch_id: UUID
    count: int

    def summary(self) -> str:
        return f"asked for {_count(self.count, 'face')} to cast {self.name} from"


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceChosen(_OfReference):
    kind: ClassVar[str] = "face.chosen"
    variation_id: UUID
    reference_id: UUID

    def summary(self) -> str:
        return f"chose a generated face for {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfSheet(_OfCharacter):
    topic: ClassVar[str] = "Character sheets"
    sheet_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetOrdered(_OfSheet):
    kind: ClassVar[str] = "sheet.ordered"
    batch_id: UUID
    count: int

    def summary(self) -> str:
        return f"ordered {_count(self.count, 'picture')} for a character sheet of {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _SheetDecision(_OfSheet):
    variation_ids: list[UUID]


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetApproved(_SheetDecision):
    kind: ClassVar[str] = "sheet.approved"
    reference_ids: list[UUID]
    replaced_ids: list[UUID]
    """Variations that were approved for the same cells before."""

    def summary(self) -> str:
        return f"approved {_count(len(self.variation_ids), 'picture')} of a character sheet of {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetRejected(_SheetDecision):
    kind: ClassVar[str] = "sheet.rejected"

    def summary(self) -> str:
        return f"rejected {_count(len(self.variation_ids), 'picture')} of a character sheet of {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetReopened(_SheetDecision):
    kind: ClassVar[str] = "sheet.reopened"

    def summary(self) -> str:
        what = _count(len(self.variation_ids), "decision")
        return f"took back {what} on a character sheet of {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfPreset(Happening):
    topic: ClassVar[str] = "Variations"
    preset_id: int
    name: str

    def subject(self) -> tuple[str, object]:
        return "preset", self.preset_id


@dataclass(frozen=True, slots=True, kw_only=True)
class PresetSaved(_OfPreset):
    kind: ClassVar[str] = "preset.saved"

    def summary(self) -> str:
        return f"saved the preset {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PresetTrashed(_OfPreset):
    kind: ClassVar[str] = "preset.trashed"

    def summary(self) -> str:
        return f"deleted the preset {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PresetRestored(_OfPreset):
    kind: ClassVar[str] = "preset.restored"

    def summary(self) -> str:
        return f"took back the preset {self.name}"
