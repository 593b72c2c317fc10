"""What happens at approval gates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from collaboration.events import Happening, in_words


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfGate(Happening):
    topic: ClassVar[str] = "Approvals"
    subject_kind: str
    subject_id: str
    title: str
    """Of the subject."""
    gate_id: str
    gate: str
    """Its name."""

    def subject(self) -> tuple[str, object]:
        return self.subject_kind, self.subject_id


@dataclass(frozen=True, slots=True, kw_only=True)
class GateCreated(_OfGate):
    kind: ClassVar[str] = "gate.created"

    def summary(self) -> str:
        return f"wants the approval “{self.gate}” for {self.title}"


@dataclass(frozen=True, slots=True, kw_only=True)
class GateChanged(_OfGate):
    kind: ClassVar[str] = "gate.changed"
    fields: list[str]

    def summary(self) -> str:
        return f"changed {in_words(self.fields)} of the approval “{self.gate}” of {self.title}"


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRemoved(_OfGate):
    kind: ClassVar[str] = "gate.removed"

    def summary(self) -> str:
        return f"no longer wants the approval “{self.gate}” of {self.title}"


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRestored(_OfGate):
    kind: ClassVar[str] = "gate.restored"

    def summary(self) -> str:
        return f"wants the approval “{self.gate}” of {self.title} again"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalAsked(_OfGate):
    kind: ClassVar[str] = "approval.asked"
    asks: list[int]
    """Ids of the people who may approve and have not."""

    def summary(self) -> str:
        return f"asked for the approval “{self.gate}” of {self.title}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalGiven(_OfGate):
    kind: ClassVar[str] = "approval.given"
    revision: int
    given: int
    needed: int
    asked_by: int | None

    def summary(self) -> str:
        return f"approved {self.title}: {self.gate}, {min(self.given, self.needed)} of {self.needed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRefused(_OfGate):
    kind: ClassVar[str] = "approval.refused"
    revision: int
    note: str
    asked_by: int | None

    def summary(self) -> str:
        return f"wants changes of {self.title} before the approval “{self.gate}”: {self.note}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalWithdrawn(_OfGate):
    kind: ClassVar[str] = "approval.withdrawn"

    def summary(self) -> str:
        return f"took back what they said at “{self.gate}” of {self.title}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalLost(_OfGate):
    """A change took approvals away; the actor is who made the change."""

    kind: ClassVar[str] = "approval.lost"
    revision: int
    """Number of the revision that changed what was approved."""
    changed: list[str]
    approvers: list[int]
    asked_by: int | None

    def summary(self) -> str:
        return f"changed {in_words(self.changed)} of {self.title}, which lost the approval “{self.gate}”"
