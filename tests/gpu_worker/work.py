"""A kind of job that remembers what was asked of it, and a runner that plays a script."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from gpu_worker.contracts import Message, Output, Request, Stopped, TrainingPicture, TrainRequest
from gpu_worker.kinds import JobKind
from gpu_worker.models import Job

accepted: list[tuple[int, Any]] = []
ended: list[tuple[str, str]] = []
ticks: list[int] = []


def forget() -> None:
    accepted.clear()
    ended.clear()
    ticks.clear()


def tick() -> None:
    ticks.append(1)


def _prepare(job: Job, workdir: Path) -> TrainRequest:
    return TrainRequest(pack="none", pictures=(TrainingPicture(path="a.png", caption="sks"),), trigger="sks")


def _accept(job: Job, output: Output, staged: Any) -> None:
    accepted.append((output.index, staged))


WORK = JobKind(
    prepare=_prepare,
    stage=lambda job, output, path: f"staged {output.index}",
    accept=_accept,
    finished=lambda job: ended.append(("finished", job.state)),
    failed=lambda job: ended.append(("failed", job.state)),
    seconds_per_unit=2.0,
    seconds_overhead=4.0,
)

UNTIL_TOLD_TO_STOP = "until told to stop"
Step = Message | BaseException | Callable[[], None] | str


class Script:
    """A runner that yields messages, raises exceptions and calls functions, in the order given; each run plays the next
    script. Asked to stop, it answers Stopped instead of its next message."""

    def __init__(self, *scripts: Sequence[Step]) -> None:
        self.scripts = list(scripts)
        self.requests: list[Request] = []

    def run(self, request: Request, workdir: Path, *, should_stop: Callable[[], bool]) -> Iterator[Message]:
        self.requests.append(request)
        for step in self.scripts.pop(0):
            if isinstance(step, BaseException):
                raise step
            if isinstance(step, str):
                while not should_stop():
                    time.sleep(0.002)
                yield Stopped()
                return
            if callable(step):
                step()
                continue
            if should_stop():
                yield Stopped()
                return
            yield step

    def close(self) -> None:
        return None
