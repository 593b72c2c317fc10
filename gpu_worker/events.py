"""What happens to jobs. Their progress is no event; what was ordered and what came of it the apps above tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from collaboration.events import Happening


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStarted(Happening):
    """A machine began with it, for the first time."""

    kind: ClassVar[str] = "job.started"
    topic: ClassVar[str] = "Machines"
    job_id: str
    title: str
    subject_kind: str
    subject_id: str
    ordered_by: int | None

    def subject(self) -> tuple[str, object]:
        return self.subject_kind, self.subject_id

    def summary(self) -> str:
        return f"began: {self.title}"
