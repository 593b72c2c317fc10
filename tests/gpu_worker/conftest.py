"""Jobs that need no model, and workers that run them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from collaboration.models import Project, User
from gpu_worker import actions
from gpu_worker.execution import JobWorker
from gpu_worker.models import Job, Worker
from tests.gpu_worker import work


@pytest.fixture
def wired(settings: Any, tmp_path: Path) -> Iterator[None]:
    settings.WIRING = "tests.gpu_worker.wiring"
    settings.SCRATCH_DIR = tmp_path / "scratch"
    work.forget()
    yield
    work.forget()


@pytest.fixture
def enqueue(project: Project, bob: User, wired: None) -> Callable[..., Job]:
    """`enqueue("a", units=3)`: a waiting job of the kind `test.work`."""

    def put(title: str = "work", **fields: Any) -> Job:
        values: dict[str, Any] = {
            "kind": "test.work",
            "title": title,
            "project": project,
            "actor": bob,
            "subject": ("character", "1"),
            "arguments": {},
            "queue": Job.STANDARD,
            "units": 1,
        }
        return actions.enqueue(**(values | fields))

    return put


@pytest.fixture
def worker_row(db: None) -> Worker:
    return Worker.objects.create(host="elsewhere", pid=1, lane="gpu", queues=list(Job.GPU_QUEUES))


@pytest.fixture
def make_worker(db: None, wired: None) -> Callable[..., JobWorker]:
    """`make_worker(script, ...)`: a worker of the GPU queues whose runner plays the scripts, one for each claim."""

    def make(*scripts: Any, queues: list[str] | None = None) -> JobWorker:
        worker = JobWorker(queues or list(Job.GPU_QUEUES), lane="gpu")
        worker.runner = work.Script(*scripts)  # type: ignore[assignment]
        return worker

    return make
