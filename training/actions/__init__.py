"""Every write about trainings, the adapters that come of them, and the comparison of their checkpoints."""

from __future__ import annotations

from training.actions.adapters import (
    accept_adapter,
    accept_checkpoint,
    activate_adapter,
    erase_adapter,
)
from training.actions.comparisons import (
    cancel_comparison,
    erase_checkpoints,
    note_compared,
    note_comparison_stopped,
    retry_comparison,
    start_comparison,
    use_checkpoint,
)
from training.actions.runs import (
    KIND,
    TRAIN_QUEUE,
    AlreadyTraining,
    cancel_training,
    forget_reference,
    note_finished,
    note_stopped,
    open_run,
    pause_training,
    restore_run,
    resume_training,
    retry_training,
    start_training,
    trash_run,
)

__all__ = [
    "KIND",
    "TRAIN_QUEUE",
    "AlreadyTraining",
    "accept_adapter",
    "accept_checkpoint",
    "activate_adapter",
    "cancel_comparison",
    "cancel_training",
    "erase_adapter",
    "erase_checkpoints",
    "forget_reference",
    "note_compared",
    "note_comparison_stopped",
    "note_finished",
    "note_stopped",
    "open_run",
    "pause_training",
    "restore_run",
    "resume_training",
    "retry_comparison",
    "retry_training",
    "start_comparison",
    "start_training",
    "trash_run",
    "use_checkpoint",
]
