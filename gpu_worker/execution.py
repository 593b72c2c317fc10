"""A worker at work: claim a job, run it, accept what comes out, end it.

The run itself is a plain program (`runner`); this module stands between it and the database. No transaction is open
while a model works. The lease is renewed by a thread of its own, so a job is held as long as its process lives, not as
long as it makes progress.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import shutil
import socket
import threading
import time
import traceback
from contextlib import closing, suppress
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, connections, transaction
from django.db.models import F
from django.db.models.functions import Now
from dramatiq.middleware import Interrupt

from gpu_worker import checkpoints, claims, contracts, fairness
from gpu_worker.claims import LeaseLost
from gpu_worker.kinds import JobKind, kind_of
from gpu_worker.models import Job, JobOutput, Worker
from gpu_worker.packs import digest_of
from gpu_worker.runner import Runner, failure

logger = logging.getLogger(__name__)

PROGRESS_EVERY_SECONDS = 0.7
WORKER_STOPPED = "Waiting again: its worker was stopped"
_INITIAL_PID_SPACE = str(0xEFFFFFFC)
SERIES_POINTS = 300
"""A measured series is thinned to about this many points."""


_OURS: set[UUID] = set()
"""Rows of the workers of this process."""


def this_host() -> str:
    """Names where process numbers mean the same: the host and, inside a container, its space of process numbers."""
    name = socket.gethostname()[:80]
    try:
        space = Path("/proc/self/ns/pid").readlink().name.strip("pid:[]")
    except OSError:  # not a Linux host
        return name
    return name if space == _INITIAL_PID_SPACE else f"{name} {space}"


class JobWorker:
    """One lane: runs one job at a time from its queues."""

    def __init__(self, queues: list[str], lane: str = "") -> None:
        self.queues = queues
        self.runner = Runner()
        self.stopping = threading.Event()
        self.row = Worker.objects.create(
            host=this_host(), pid=os.getpid(), lane=lane or "+".join(queues), queues=queues
        )
        _OURS.add(self.row.pk)

    def run_next(self) -> bool:
        """Run the fairest waiting job. Returns False when there was none."""
        job = claims.claim(self.queues, self.row)
        if job is None:
            return False
        logger.info("Running %s (%s), claim %s", job.title, job.pk, job.token)
        Execution(job, self).run()
        return True

    def run_forever(self) -> None:
        """Poll the job table until `stopping` is set."""
        last_beat = 0.0
        while not self.stopping.is_set():
            if time.monotonic() - last_beat > settings.JOB_LEASE_SECONDS / 3:
                self.beat()
                last_beat = time.monotonic()
            try:
                busy = self.run_next()
            except Exception:
                logger.exception("The worker could not run a job; it goes on in a moment")
                connection.close()
                busy = False
            if not busy:
                self.stopping.wait(settings.JOB_POLL_SECONDS)
        Worker.objects.filter(pk=self.row.pk).update(stopped_at=Now())

    def beat(self) -> None:
        Worker.objects.filter(pk=self.row.pk).update(beat_at=Now(), stopped_at=None)


@cache
def this_worker(queues: tuple[str, ...]) -> JobWorker:
    """The one worker of this process for these queues: models stay warm from message to message."""
    from gpu_worker.schedule import Ticker

    worker = JobWorker(list(queues))
    Ticker(then=worker.beat).start()
    return worker


class Beat(threading.Thread):
    """Renews the lease and carries progress to the job's row, on a database connection of its own."""

    def __init__(self, job: Job, worker: Worker) -> None:
        super().__init__(name=f"beat-{job.pk}", daemon=True)
        self.job, self.worker = job, worker
        self.wanted = ""
        self.lost = False
        self._progress: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()

    def report(self, **fields: Any) -> None:
        """Leave progress to be written with the next beat; only the latest counts."""
        with self._lock:
            self._progress.update(fields)

    def run(self) -> None:
        renew_every = settings.JOB_LEASE_SECONDS / 3
        renewed = time.monotonic()
        try:
            while not self._over.wait(PROGRESS_EVERY_SECONDS):
                with self._lock:
                    fields, self._progress = self._progress, {}
                now = time.monotonic()
                try:
                    # An idle beat only looks whether the job should stop; it writes when there is something to say.
                    if fields or now - renewed > renew_every:
                        self.wanted = claims.beat(self.job, **fields)
                        if now - renewed > renew_every:
                            Worker.objects.filter(pk=self.worker.pk).update(beat_at=Now())
                        renewed = now
                    else:
                        self.wanted = claims.asked(self.job)
                except (LeaseLost, Job.DoesNotExist):
                    self.lost = True
                    return
                except Exception:
                    # The database may be away for a moment; the lease bears that for a while.
                    logger.exception("Could not beat for %s", self.job.pk)
                    connections.close_all()
                    if now - renewed > settings.JOB_LEASE_SECONDS:
                        self.lost = True
                        return
        finally:
            connections.close_all()

    def finish(self) -> dict[str, Any]:
        """Stop beating; returns progress that was not written yet."""
        self._over.set()
        self.join()
        return self._progress


class Execution:
    """One claim of one job, from request to end."""

    def __init__(self, job: Job, worker: JobWorker) -> None:
        self.job, self.worker = job, worker
        self.workdir = Path(settings.SCRATCH_DIR) / f"{job.pk}-{job.token}"
        self.beat = Beat(job, worker.row)
        self.measured: dict[str, list[list[float]]] = {k: list(v) for k, v in job.measured.items()}
        self.make_way = False

    def run(self) -> None:
        self.beat.start()
        try:
            self.workdir.mkdir(parents=True, exist_ok=True)
            self._run()
        except LeaseLost:
            logger.warning("Lost the lease of %s; its results are left to the next claim", self.job.pk)
        except contracts.RunError as error:
            self._fail(contracts.Failed(sentence=str(error), retryable=error.retryable))
        except (OperationalError, InterfaceError):
            # If it is still away, the lease runs out and the job is taken back.
            connection.close()
            self._fail(
                contracts.Failed(
                    sentence="The database was away for a moment. The job goes on from its last checkpoint.",
                    retryable=True,
                    detail=traceback.format_exc(),
                )
            )
        except Interrupt:
            # This process is told to end while the job runs.
            with suppress(LeaseLost):
                self._stopped(note=WORKER_STOPPED)
            raise
        except (OSError, MemoryError) as error:
            self._fail(failure(error))
        except Exception:
            self._fail(
                contracts.Failed(
                    sentence="Something went wrong that we did not expect. Try again; if it stays, tell an operator.",
                    detail=traceback.format_exc(),
                )
            )
        finally:
            self.beat.finish()
            shutil.rmtree(self.workdir, ignore_errors=True)

    def _run(self) -> None:
        self.kind: JobKind = kind_of(self.job.kind)
        checkpoint_dir = checkpoints.restore(self.job)
        request = self.kind.prepare(self.job, self.workdir)
        if request is None:
            self._done()
            return
        if isinstance(request, contracts.TrainRequest):
            request = dataclasses.replace(request, checkpoint_dir=str(checkpoint_dir))
        # Closed at once, whatever happens here: a run that nobody follows must not hold the model from the next job.
        with closing(self.worker.runner.run(request, self.workdir, should_stop=self._should_stop)) as messages:
            for message in messages:
                if self.beat.lost:
                    raise LeaseLost
                match message:
                    case contracts.Progress():
                        self._progress(message)
                    case contracts.Output():
                        self._accept(message)
                    case contracts.Checkpoint(step=step):
                        self._checkpoint(step)
                    case contracts.Notice():
                        self._notice(message)
                    case contracts.Stopped():
                        self._stopped(note=WORKER_STOPPED if self.worker.stopping.is_set() else "")
                        return
                    case contracts.Failed():
                        self._fail(message)
                        return
                    case contracts.Done():
                        self._done()
                        return
        self._fail(contracts.Failed(sentence="The model run ended without an answer. Try again.", retryable=True))

    def _should_stop(self) -> bool:
        return bool(self.beat.lost or self.beat.wanted or self.make_way or self.worker.stopping.is_set())

    def _progress(self, message: contracts.Progress) -> None:
        for name, value in message.values.items():
            series = self.measured.setdefault(name, [])
            while series and series[-1][0] >= message.step:  # steps that are made again after a checkpoint
                series.pop()
            series.append([message.step, round(value, 6)])
            if len(series) > 2 * SERIES_POINTS:
                del series[1:-1:2]
        self.beat.report(step=message.step, total=message.total, note=message.note[:200], measured=self.measured)

    def _accept(self, output: contracts.Output) -> None:
        if JobOutput.objects.filter(job=self.job, index=output.index).exists():
            return
        staged = self.kind.stage(self.job, output, self._file_of(output))
        with transaction.atomic():
            claims.hold(self.job)
            _, created = JobOutput.objects.get_or_create(
                job=self.job,
                index=output.index,
                # What was seen holds embeddings: it belongs to the readings of a picture, and goes with them.
                defaults={
                    "kind": output.kind,
                    "token": self.job.token,
                    "data": {} if output.kind == "look" else {k: v for k, v in output.data.items() if k != "look"},
                },
            )
            if created:
                self.kind.accept(self.job, output, staged)
                Job.objects.filter(pk=self.job.pk).update(attempts=0)
        self.job.attempts = 0

    def _file_of(self, output: contracts.Output) -> Path | None:
        """The file an output names, as it was written. Raises RunError."""
        if not output.path:
            return None
        path = (self.workdir / output.path).resolve()
        if not path.is_relative_to(self.workdir.resolve()):
            raise contracts.RunError("The model run named a file outside its folder, which is refused.")
        try:
            whole = not output.sha256 or digest_of(path) == output.sha256
        except FileNotFoundError:
            raise contracts.RunError("The model run named a file that it did not write. Try again.") from None
        if not whole:
            raise contracts.RunError("A result was damaged on its way from the model run. Try again.")
        return path

    def _checkpoint(self, step: int) -> None:
        claims.beat(self.job)  # a run that lost its lease must not touch what the next one goes on from
        checkpoints.keep(self.job)
        if step > self.job.checkpoint_step:  # it gets on, so nothing about it kills its workers
            self.job.checkpoint_step, self.job.attempts = step, 0
        claims.beat(self.job, checkpoint_step=step, attempts=self.job.attempts)
        # What is short must not wait for what is long.
        if not self.job.is_short:
            self.make_way = any(j.is_short for j in fairness.waiting_jobs(self.worker.queues))

    def _notice(self, notice: contracts.Notice) -> None:
        entry = {"code": notice.code, "sentence": notice.sentence, "data": notice.data}
        if entry not in self.job.notices:
            self.job.notices.append(entry)
            claims.beat(self.job, notices=self.job.notices)

    def _stopped(self, note: str) -> None:
        """The run ended early. `note`: what the job says while it waits again, unless somebody wanted otherwise."""
        left = self.beat.finish()
        with transaction.atomic():
            # Asked again under the lock: whoever paused may have thought better of it while the run was stopping.
            claims.hold(self.job)
            if self._heeded(left):
                return
            if self.make_way:
                claims.release(self.job, yielded_at=Now(), note="Making way for shorter work", **_kept(left))
            else:
                claims.release(self.job, note=note, **_kept(left))

    def _heeded(self, left: dict[str, Any], **fields: Any) -> bool:
        """Cancel or pause the job if somebody asked for it, under the lock; says whether it was so."""
        match claims.asked(self.job):
            case Job.CANCEL:
                claims.end(self.job, Job.CANCELLED, note="", **_kept(left))
            case Job.PAUSE:
                claims.release(self.job, state=Job.PAUSED, note="Paused", **_kept(left), **fields)
            case _:
                return False
        return True

    def _done(self) -> None:
        left = self.beat.finish()
        claims.end(
            self.job, Job.DONE, then=self.kind.finished, note="", error="", **(_kept(left) | {"step": F("total")})
        )
        checkpoints.forget(self.job)

    def _fail(self, why: contracts.Failed) -> None:
        logger.warning("%s failed: %s\n%s", self.job.pk, why.sentence, why.detail)
        left = self.beat.finish()
        attempts = self.job.attempts + 1
        with suppress(LeaseLost), transaction.atomic():
            claims.hold(self.job)
            if why.retryable and attempts < claims.MAX_ATTEMPTS:
                # What somebody wanted counts more than another try.
                if not self._heeded(left, attempts=attempts):
                    later = claims.after(min(300, 5 * 2**attempts))
                    note = why.sentence[:200]
                    claims.release(self.job, attempts=attempts, not_before=later, note=note, **_kept(left))
            else:
                claims.end(
                    self.job,
                    Job.FAILED,
                    note="",
                    error=why.sentence,
                    error_detail=why.detail[-20_000:],
                    **_kept(left),
                )


def _kept(progress: dict[str, Any]) -> dict[str, Any]:
    """The last progress that no beat has written yet."""
    return {k: v for k, v in progress.items() if k in ("step", "measured")}


def take_back_from_dead_processes() -> int:
    """Return jobs of workers on this host whose process is gone, at once: no need to wait for their leases."""
    gone = []
    for worker in Worker.objects.filter(host=this_host(), stopped_at=None).exclude(pk__in=_OURS):
        if worker.pid == os.getpid():  # our number belonged to another process before
            gone.append(worker.pk)
            continue
        try:
            os.kill(worker.pid, 0)
        except ProcessLookupError:
            gone.append(worker.pk)
        except PermissionError:
            continue
    Worker.objects.filter(pk__in=gone).update(stopped_at=Now())
    return claims.take_back(Job.objects.filter(state=Job.RUNNING, worker__in=gone))


def forget_old_workers() -> None:
    """Forget workers that have been away for a week, and what killed ones left behind on this host."""
    checkpoints.tidy()
    Worker.objects.filter(beat_at__lt=Now() - timedelta(days=7)).delete()
