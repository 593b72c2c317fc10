"""What the layers above tell the job machinery about their kinds of job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collaboration.wired import entry
from gpu_worker.contracts import Output, Request
from gpu_worker.models import Job


def nothing_staged(job: Job, output: Output, path: Path | None) -> Any:
    return None


def nothing_to_do(job: Job) -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobKind:
    """A kind of job, in the order in which its functions are called.

    prepare(job, workdir) -> Request, or None
        Build the request late, just before the run, writing the files it names into `workdir`. None where every result
        is there already, because a worker died between the last of them and the job's end. Raises RunError with a
        sentence when the job makes no sense any more.
    stage(job, output, path) -> anything
        Slow work on one result, outside any transaction: decode it, make thumbnails, write files.
    accept(job, output, staged)
        Make the result real, in the transaction that accepts it. Runs at most once per output.
    finished(job), failed(job)
        In the transaction that ends the job.
    """

    prepare: Callable[[Job, Path], Request | None]
    accept: Callable[[Job, Output, Any], None]
    stage: Callable[[Job, Output, Path | None], Any] = nothing_staged
    finished: Callable[[Job], None] = nothing_to_do
    failed: Callable[[Job], None] = nothing_to_do
    seconds_per_unit: float = 1.0
    """First guess, until the installation has its own experience."""
    seconds_overhead: float = 2.0


def kind_of(name: str) -> JobKind:
    """Raises LookupError for a kind that is not wired."""
    kind = entry("JOB_KINDS", name)
    if kind is None:
        raise LookupError(f"No job kind {name!r} is wired.")
    return kind
