"""Puts right what crashes and lost messages leave behind."""

from __future__ import annotations

from gpu_worker import claims, execution, hints


def sweep() -> None:
    """Return jobs of dead workers to the queue, and hint again at every job that waits."""
    claims.take_back_expired()
    execution.take_back_from_dead_processes()
    hints.remind()
