"""The real wiring, and a job kind and a schedule for tests."""

from __future__ import annotations

from config import wiring

SUBJECTS = wiring.SUBJECTS
SLOTS = wiring.SLOTS
JOB_KINDS = {**wiring.JOB_KINDS, "test.work": "tests.gpu_worker.work.WORK"}
SCHEDULES = {"test.tick": ("tests.gpu_worker.work.tick", 60)}
