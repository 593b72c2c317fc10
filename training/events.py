"""What happens in training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from collaboration.events import Happening


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfRun(Happening):
    topic: ClassVar[str] = "Training"
    character_id: UUID
    name: str
    run_id: UUID

    def subject(self) -> tuple[str, object]:
        return "training", self.run_id


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingStarted(_OfRun):
    kind: ClassVar[str] = "training.started"
    tier: str
    references: int
    steps: int

    def summary(self) -> str:
        return f"started to train {self.name}: {self.references} references, {self.steps} steps"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPaused(_OfRun):
    kind: ClassVar[str] = "training.paused"

    def summary(self) -> str:
        return f"paused the training of {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResumed(_OfRun):
    kind: ClassVar[str] = "training.resumed"

    def summary(self) -> str:
        return f"resumed the training of {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingCancelled(_OfRun):
    kind: ClassVar[str] = "training.cancelled"
    step: int

    def summary(self) -> str:
        return f"cancelled the training of {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRetried(_OfRun):
    kind: ClassVar[str] = "training.retried"
    step: int

    def summary(self) -> str:
        return f"put the training of {self.name} back in the queue"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingFinished(_OfRun):
    kind: ClassVar[str] = "training.finished"
    steps: int
    seconds: float

    def summary(self) -> str:
        return f"finished training {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingFailed(_OfRun):
    kind: ClassVar[str] = "training.failed"
    sentence: str

    def summary(self) -> str:
        return f"could not finish training {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingTrashed(_OfRun):
    kind: ClassVar[str] = "training.trashed"

    def summary(self) -> str:
        return f"moved a training of {self.name} to the trash"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRestored(_OfRun):
    kind: ClassVar[str] = "training.restored"

    def summary(self) -> str:
        return f"took a training of {self.name} back from the trash"


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonStarted(_OfRun):
    kind: ClassVar[str] = "comparison.started"
    checkpoints: int
    pictures: int

    def summary(self) -> str:
        return f"began to compare {self.checkpoints} checkpoints of {self.name}: {self.pictures} pictures"


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonFinished(_OfRun):
    kind: ClassVar[str] = "comparison.finished"
    proposed: int | None
    """Step; None where nothing could be proposed."""

    def summary(self) -> str:
        found = "proposes none" if self.proposed is None else f"proposes step {self.proposed:,}"
        return f"compared the checkpoints of {self.name} and {found}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonStopped(_OfRun):
    kind: ClassVar[str] = "comparison.stopped"
    state: str
    """`failed` or `cancelled`."""

    def summary(self) -> str:
        how = "could not compare" if self.state == "failed" else "stopped comparing"
        return f"{how} the checkpoints of {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointChosen(_OfRun):
    kind: ClassVar[str] = "checkpoint.chosen"
    step: int
    version: int

    def summary(self) -> str:
        return f"chose step {self.step:,} of a training of {self.name}, which is adapter v{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointsErased(_OfRun):
    kind: ClassVar[str] = "checkpoint.erased"
    count: int

    def summary(self) -> str:
        what = "a checkpoint" if self.count == 1 else f"{self.count} checkpoints"
        return f"erased {what} of a training of {self.name} for good"


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfAdapter(Happening):
    topic: ClassVar[str] = "Training"
    character_id: UUID
    name: str
    adapter_id: UUID
    version: int

    def subject(self) -> tuple[str, object]:
        return "character", self.character_id


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterActivated(_OfAdapter):
    kind: ClassVar[str] = "adapter.activated"

    def summary(self) -> str:
        return f"made adapter v{self.version} the active one of {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterErased(_OfAdapter):
    kind: ClassVar[str] = "adapter.erased"

    def summary(self) -> str:
        return f"erased adapter v{self.version} of {self.name} for good"
