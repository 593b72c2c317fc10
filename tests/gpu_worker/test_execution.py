"""What stands between a run and the database: results accepted once, and every way in which a run can end."""

from __future__ import annotations

import dataclasses
import errno
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError
from dramatiq.middleware import Shutdown

from gpu_worker import actions, claims, execution, sweeper
from gpu_worker.contracts import Checkpoint, Done, Failed, Notice, Output, Progress, RunError, Stopped
from gpu_worker.execution import JobWorker
from gpu_worker.models import Job, JobOutput, Worker
from tests.gpu_worker import work

pytestmark = pytest.mark.django_db(transaction=True)
GPU = list(Job.GPU_QUEUES)


class Killed(BaseException):
    """What a process that is killed would leave behind: nothing after this point runs."""


@pytest.fixture(autouse=True)
def quick_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "PROGRESS_EVERY_SECONDS", 0.01)


def output(index: int) -> Output:
    return Output(index=index, kind="picture")


def job_of(job: Job) -> Job:
    return Job.objects.get(pk=job.pk)


def until(condition: Callable[[], bool]) -> Callable[[], None]:
    """A step of a script that waits until the beat has carried something over."""

    def wait() -> None:
        for _ in range(2000):
            if condition():
                return
            time.sleep(0.005)
        raise AssertionError("it never happened")

    return wait


# ---------------------------------------------------------------------------------------------------------- results
def test_results_are_accepted_one_by_one_and_the_job_ends(
    enqueue: Callable[..., Job], make_worker: Callable[..., JobWorker]
) -> None:
    job = enqueue(units=2)
    worker = make_worker([Progress(step=1, total=2), output(0), output(1), Done()])
    assert worker.run_next()
    assert not worker.run_next()
    job = job_of(job)
    assert (job.state, job.step, job.worker, job.note) == (Job.DONE, 2, None, "")
    assert work.accepted == [(0, "staged 0"), (1, "staged 1")]
    assert work.ended == [("finished", Job.DONE)]


def test_a_result_that_was_accepted_before_is_not_accepted_again(
    enqueue: Callable[..., Job], make_worker: Callable[..., JobWorker]
) -> None:
    enqueue(units=3)
    worker = make_worker(
        [output(0), output(1), Failed(sentence="Lost it.", retryable=True)], [output(1), output(2), Done()]
    )
    worker.run_next()
    Job.objects.update(not_before=None)
    worker.run_next()
    assert [index for index, _ in work.accepted] == [0, 1, 2]
    assert list(JobOutput.objects.values_list("index", "token")) == [(0, 1), (1, 1), (2, 2)]


def test_what_was_seen_in_a_picture_does_not_stay_with_the_job(
    enqueue: Callable[..., Job], make_worker: Callable[..., JobWorker]
) -> None:
    enqueue()
    make_worker([Output(index=0, kind="sample", data={"step": 5, "look": {"faces": ["private"]}}), Done()]).run_next()
    assert JobOutput.objects.get().data == {"step": 5}


def test_a_result_of_a_lost_lease_is_refused(
    enqueue: Callable[..., Job], make_worker: Callable[..., JobWorker], worker_row: Worker
) -> None:
    enqueue(units=2)

    def lose_the_lease() -> None:
        Job.objects.update(lease_until=claims.after(-1))
        claims.take_back_expired()
        assert claims.claim(GPU, worker_row) is not None

    make_worker([output(0), lose_the_lease, output(1), Done()]).run_next()
    job = Job.objects.get()
    assert (job.state, job.token, job.worker_id) == (Job.RUNNING, 2, worker_row.pk)
    assert [index for index, _ in work.accepted] == [0]
    assert work.ended == []


def test_a_result_whose_acceptance_fails_leaves_nothing_behind(
    enqueue: Callable[..., Job], make_worker: Callable[..., JobWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    enqueue()

    def refuse(job: Job, output: Output, staged: Any) -> None:
        Job.objects.update(title="half done")
        raise RunError("This picture cannot be used.")

    monkeypatch.setattr(execution, "kind_of", lambda name: dataclasses.replace(work.WORK, accept=refuse))
    make_worker([output(0), Done()]).run_next()
    job = Job.objects.get()
    assert (job.state, job.error, job.title) == (Job.FAILED, "This picture cannot be used.", "work")
    assert not JobOutput.objects.exists()


# --------------------------------------------------------------------------------------------------------- progress
def test_progress_is_kept_on_the_row(enqueue: Callable[..., Job], make_worker: Callable[..., JobWorker]) -> None:
    job = enqueue(units=4)
    steps = [Progress(step=n, total=4, values={"loss": 1.0 / n}) for n in (1, 2)]
    seen = until(lambda: job_of(job).step == 2)
    make_worker([*steps, seen, Failed(sentence="It broke.", detail="Traceback")]).run_next()
    job = job_of(job)
    assert job.measured["loss"] == [[1, 1.0], [2, 0.5]]
    assert (job.step, job.error, job.error_detail) == (2, "It broke.", "Traceback")


def test_the_last_progress_is_written_even_when_no_beat_came_after_it(
    enqueue: Callable[..., Job], make_worker: Callable[..., JobWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "PROGRESS_EVERY_SECONDS", 60)
    enqueue(units=9)
    make_worker([Progress(step=7, total=9, values={"loss": 0.25}), Failed(sentence="It broke.")]).run_next()
    job = Job.objects.get()
    assert (job.step, job.measured) == (7, {"loss": [[7, 0.25]]})


def test_steps_that_are_made_again_replace_what_was_measured(
    enqueue: Callable[..., Job], make_worker: Callable[..., JobWorker]
) -> None:
    enqueue(units=4)

    def steps(*numbers: int, loss: float) -> list[Progress]:
        return [Progress(step=n, total=4, values={"loss": loss}) for n in numbers]

    worker = make_worker(
        [*steps(1, 2, 3, loss=1.0), Failed(sentence="Lost.", retryable=True)], [*steps(2, 3, 4, loss=0.5), Done()]
    )
    worker.run_next()
    Job.objects.update(not_before=None)
    worker.run_next()
    assert Job.objects.get().measured["loss"] == [[1, 1.0], [2, 0.5], [3, 0.5], [4, 0.5]]


def test_a_long_series_is_thinned_and_keeps_its_ends(
    enqueue: Callable[..., Job], make_worker: Callable[..., JobWorker]
) -> None:
    enqueue(units=2000)
    script = [Progress(step=n, total=2000, values={"loss": float(n)}) for n in range(1, 2001)]
    make_worker([*script, Done()]).run_next()
    series = Job.objects.get().measured["loss"]
    assert len(series) <= 2 * execution.SERIES_POINTS
    assert (series[0], series[-1]) == ([1, 1.0], [2000, 2000.0])
    assert [step for step, _ in series] == sorted({step for step, _ in series})


def test_a_notice_is_kept_once(enqueue: Callable[..., Job], make_worker: Callable[..., JobWorker]) -> None:
    enqueue()
    notice = Notice(code="unknown-words", sentence="Not known: zeppelin.", data={"words": ["zeppelin"]})
    make_worker([notice, notice, Done()]).run_next()
    assert [n["sentence"] for n in Job.objects.get().notices] == ["Not known: zeppelin."]


# ---------------------------------------------------------------------------------------------------- how it can end
def test_a_failure_that_may_pass_waits_a_little_and_counts(
    enqueue: Callable[..., Job], make_worker: Callable[..., JobWorker], worker_row: Worker
) -> None:
    enqueue()
    make_worker([Failed(sentence="The memory ran out.", retryable=True)]).run_next()
    job = Job.objects.get()
    assert (job.state, job.attempts, job.note) == (Job.WAITING, 1, "The memory ran out.")
    assert claims.claim(GPU, worker_row) is None, "not before its time"
    assert work.ended == []


def test_a_failure_that_does_not_pass_ends_the_job_after_some_attempts(
    enqueue: Callable[..., Job], make_worker: Callable[..., JobWorker]
) -> None:
    enqueue()
    worker = make_worker(*[[Failed(sentence="The memory ran out.", retryable=True)]] * claims.MAX_ATTEMPTS)
    for _ in range(claims.MAX_ATTEMPTS):
        Job.objects.update(not_before=None)
        assert worker.run_next()
    assert Job.objects.get().state == Job.FAILED
    assert work.ended == [("failed", Job.FAILED)]


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ([RunError("These references are gone.")], "These references are gone."),
        ([KeyError("oops")], "did not expect"),
        ([Progress(step=1, total=2)], "without an answer"),
    ],
)
def test_every_other_failure_says_a_sentence(
    enqueue: Callable[..., Job], make_worker: Callable[..., JobWorker], script: list[Any], sentence: str
) -> None:
    enqueue()
    make_worker(script).run_next()
    job = Job.objects.get()
    assert sentence in (job.error or job.note)
    assert ("KeyError" in job.error_detail) == ("did not expect" in sentence)


def test_a_database_that_was_away_does_not_fail_the_job(
    enqueue: Callable[..., Job], make_worker: Callable[..., JobWorker]
) -> None:
    enqueue()
    make_worker([OperationalError("server closed the connection")]).run_next()
    job = Job.objects.get()
    assert (job.state, job.attempts) == (Job.WAITING, 1)


def test_a_cancelled_run_stops_at_its_next_step(
    enqueue: Callable[..., Job], make_worker: Callable[..., JobWorker]
) -> None:
    job = enqueue(units=3)
    child = enqueue("child", parents=[job])

    def cancel() -> None:
        actions.cancel(job=job)

    worker = make_worker([output(0), cancel, work.UNTIL_TOLD_TO_STOP])
    worker.run_next()
    job = job_of(job)
    assert job.state == Job.CANCELLED
    assert [index for index, _ in work.accepted] == [0]
    # The child at once, the job itself when its run has stopped.
    assert work.ended == [("failed", Job.CANCELLED), ("failed", Job.CANCELLED)]
    assert job_of(child).state == Job.CANCELLED


def test_a_paused_run_rests_with_its_checkpoint(
    enqueue: Callable[..., Job], make_worker: Callable[..., JobWorker]
) -> None:
    job = enqueue(units=100)

    def pause() -> None:
        actions.pause(job=job)

    make_worker([Checkpoint(step=25), pause, work.UNTIL_TOLD_TO_STOP]).run_next()
    job = job_of(job)
    assert (job.state, job.checkpoint_step, job.lease_until, job.wanted) == (Job.PAUSED, 25, None, "")


def test_who_thinks_better_of_a_pause_while_the_run_stops_is_heard(
    enqueue: Callable[..., Job], make_worker: Callable[..., JobWorker]
) -> None:
    job = enqueue(units=100)

    def pause_and_resume() -> None:
        actions.pause(job=job)
        actions.resume(job=job)

    make_worker([pause_and_resume, Stopped(step=30)]).run_next()
    assert job_of(job).state == Job.WAITING


def test_a_training_makes_way_for_short_work_at_its_checkpoint(
    enqueue: Callable[..., Job], make_worker: Callable[..., JobWorker]
) -> None:
    training = enqueue("training", units=100, is_short=False)

    def short_arrives() -> None:
        enqueue("short")

    worker = make_worker(
        [
            Checkpoint(step=25),
            Progress(step=26, total=100),
            short_arrives,
            Checkpoint(step=50),
            Progress(step=51, total=100),
        ],
        [Done()],
        [Done()],
    )
    worker.run_next()
    training = job_of(training)
    assert (training.state, training.checkpoint_step) == (Job.WAITING, 50)
    assert training.yielded_at is not None
    assert "way" in training.note
    worker.run_next()
    assert set(Job.objects.filter(state=Job.DONE).values_list("title", flat=True)) == {"short"}
    worker.run_next()
    assert job_of(training).state == Job.DONE


def test_a_training_does_not_make_way_for_another_training(
    enqueue: Callable[..., Job], make_worker: Callable[..., JobWorker]
) -> None:
    training = enqueue("training", units=100, is_short=False)
    enqueue("another", units=100, is_short=False)
    make_worker([Checkpoint(step=25), Progress(step=26, total=100), Done()]).run_next()
    assert job_of(training).state == Job.DONE


def test_a_worker_that_is_told_to_end_gives_its_job_back_at_once(
    enqueue: Callable[..., Job], make_worker: Callable[..., JobWorker]
) -> None:
    enqueue()
    with pytest.raises(Shutdown):
        make_worker([Progress(step=1, total=2), Shutdown()]).run_next()
    job = Job.objects.get()
    assert (job.state, job.attempts, job.lease_until) == (Job.WAITING, 0, None)


def test_a_stopping_worker_gives_its_job_back(
    enqueue: Callable[..., Job], make_worker: Callable[..., JobWorker]
) -> None:
    enqueue()
    worker = make_worker([Stopped(step=3)])
    worker.stopping.set()
    worker.run_next()
    job = Job.objects.get()
    assert (job.state, job.note) == (Job.WAITING, "Waiting again: its worker was stopped")


RETRYABLE = Failed(sentence="The memory ran out.", retryable=True)


@pytest.mark.parametrize("ending", [RETRYABLE, OperationalError("away"), Shutdown()])
@pytest.mark.parametrize(("act", "state"), [(actions.cancel, Job.CANCELLED), (actions.pause, Job.PAUSED)])
def test_what_was_asked_is_done_however_the_run_ends(
    enqueue: Callable[..., Job], make_worker: Callable[..., JobWorker], ending: Any, act: Any, state: str
) -> None:
    job = enqueue(units=3)

    def ask() -> None:
        act(job=job)

    with suppress(Shutdown):
        make_worker([ask, ending]).run_next()
    job = job_of(job)
    assert (job.state, job.wanted) == (state, "")
    assert work.ended == ([("failed", state)] if state == Job.CANCELLED else [])


def test_a_kind_that_cannot_take_note_of_a_failure_does_not_keep_the_job_running(
    enqueue: Callable[..., Job], make_worker: Callable[..., JobWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    enqueue()

    def fail(job: Job) -> None:
        Job.objects.update(title="half done")
        raise KeyError("the batch is gone")

    monkeypatch.setattr(claims, "kind_of", lambda name: dataclasses.replace(work.WORK, failed=fail))
    make_worker([RunError("The batch is gone.")]).run_next()
    job = Job.objects.get()
    assert (job.state, job.error, job.title) == (Job.FAILED, "The batch is gone.", "work")


def test_a_job_of_a_kind_that_no_longer_exists_ends_with_a_sentence(
    enqueue: Callable[..., Job], make_worker: Callable[..., JobWorker]
) -> None:
    enqueue()
    Job.objects.update(kind="test.gone")
    make_worker().run_next()
    job = Job.objects.get()
    assert job.state == Job.FAILED
    assert "did not expect" in job.error


def test_a_full_disk_is_tried_again_later(enqueue: Callable[..., Job], make_worker: Callable[..., JobWorker]) -> None:
    enqueue()
    make_worker([OSError(errno.ENOSPC, "No space left on device")]).run_next()
    job = Job.objects.get()
    assert (job.state, job.attempts) == (Job.WAITING, 1)
    assert "disk is full" in job.note


def test_a_working_folder_that_cannot_be_made_is_a_failure_like_any_other(
    enqueue: Callable[..., Job], make_worker: Callable[..., JobWorker], settings: Any, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    settings.SCRATCH_DIR = tmp_path / "file"
    enqueue()
    make_worker([Done()]).run_next()
    assert Job.objects.get().state == Job.FAILED


@pytest.mark.parametrize("progress", [Checkpoint(step=25), output(0)], ids=["checkpoint", "output"])
def test_a_run_that_gets_on_may_lose_its_worker_any_number_of_times(
    enqueue: Callable[..., Job], make_worker: Callable[..., JobWorker], progress: Any
) -> None:
    enqueue(units=100)
    Job.objects.update(attempts=claims.MAX_ATTEMPTS - 1)
    worker = make_worker([progress, RETRYABLE], [progress, RETRYABLE])
    worker.run_next()
    assert (Job.objects.get().state, Job.objects.get().attempts) == (Job.WAITING, 1)
    Job.objects.update(not_before=None)
    worker.run_next()
    assert Job.objects.get().attempts == 2, "the same again is not getting on"


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "link"])
def test_a_result_outside_the_working_folder_is_refused(
    enqueue: Callable[..., Job], make_worker: Callable[..., JobWorker], settings: Any, name: str
) -> None:
    enqueue()

    def link() -> None:
        next(settings.SCRATCH_DIR.glob("*-1")).joinpath("link").symlink_to("/etc/passwd")

    make_worker([link, Output(index=0, kind="picture", path=name), Done()]).run_next()
    job = Job.objects.get()
    assert (job.state, work.accepted) == (Job.FAILED, [])
    assert "outside its folder" in job.error


def test_a_result_that_is_not_what_was_announced_is_refused(
    enqueue: Callable[..., Job], make_worker: Callable[..., JobWorker], settings: Any
) -> None:
    enqueue()

    def write() -> None:
        next(settings.SCRATCH_DIR.glob("*-1")).joinpath("a.png").write_bytes(b"other bytes")

    make_worker([write, Output(index=0, kind="picture", path="a.png", sha256="0" * 64), Done()]).run_next()
    job = Job.objects.get()
    assert (job.state, work.accepted) == (Job.FAILED, [])
    assert "damaged" in job.error


def test_a_run_is_closed_before_its_job_ends(
    enqueue: Callable[..., Job], make_worker: Callable[..., JobWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    enqueue()
    states: list[str] = []
    worker = make_worker([])

    def run(*args: Any, **options: Any) -> Any:
        try:
            yield output(0)
        finally:
            states.append(Job.objects.get().state)

    def refuse(job: Job, output: Output, staged: Any) -> None:
        raise RunError("This picture cannot be used.")

    monkeypatch.setattr(worker.runner, "run", run)
    monkeypatch.setattr(execution, "kind_of", lambda name: dataclasses.replace(work.WORK, accept=refuse))
    worker.run_next()
    assert (states, Job.objects.get().state) == ([Job.RUNNING], Job.FAILED)


# ------------------------------------------------------------------------------------------------- crash and recovery
def test_a_killed_run_goes_on_where_it_stood_and_makes_nothing_twice(
    enqueue: Callable[..., Job], make_worker: Callable[..., JobWorker]
) -> None:
    enqueue(units=100)
    worker = make_worker(
        [output(25000), Checkpoint(step=25), output(50000), Killed()],
        [output(50000), Checkpoint(step=50), output(75000), Done()],
    )
    with pytest.raises(Killed):
        worker.run_next()
    job = Job.objects.get()
    assert (job.state, job.checkpoint_step) == (Job.RUNNING, 25)
    Job.objects.update(lease_until=claims.after(-1))
    sweeper.sweep()
    assert worker.run_next()
    assert Job.objects.get().state == Job.DONE
    assert [index for index, _ in work.accepted] == [25000, 50000, 75000]


def test_both_claims_of_a_run_see_the_same_checkpoint_folder(
    enqueue: Callable[..., Job], make_worker: Callable[..., JobWorker]
) -> None:
    enqueue(units=100)
    worker = make_worker([Checkpoint(step=25), Killed()], [Done()])
    with pytest.raises(Killed):
        worker.run_next()
    folder = Path(worker.runner.requests[0].checkpoint_dir)  # type: ignore[attr-defined]
    (folder / "step-00000025").mkdir()
    Job.objects.update(lease_until=claims.after(-1))
    claims.take_back_expired()
    worker.run_next()
    assert worker.runner.requests[1].checkpoint_dir == str(folder)  # type: ignore[attr-defined]
    assert not folder.exists(), "a finished job leaves no checkpoints"


def test_jobs_of_a_dead_process_on_this_host_are_taken_back_at_once(
    enqueue: Callable[..., Job], worker_row: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    enqueue()
    claims.claim(GPU, worker_row)
    Worker.objects.update(host=execution.this_host(), pid=2**22 + 1)  # beyond the largest process number
    assert execution.take_back_from_dead_processes() == 1
    assert Job.objects.get().state == Job.WAITING
    assert Worker.objects.get(pk=worker_row.pk).stopped_at is not None


@pytest.mark.parametrize("where", ["another host", "this host"])
def test_jobs_of_living_processes_are_left_alone(enqueue: Callable[..., Job], worker_row: Worker, where: str) -> None:
    enqueue()
    claims.claim(GPU, worker_row)
    host, pid = (execution.this_host(), os.getppid()) if where == "this host" else ("elsewhere", 2**22 + 1)
    Worker.objects.update(host=host, pid=pid)
    assert execution.take_back_from_dead_processes() == 0
    assert Job.objects.get().state == Job.RUNNING


def test_a_process_that_got_our_number_before_us_is_dead(enqueue: Callable[..., Job], worker_row: Worker) -> None:
    enqueue()
    claims.claim(GPU, worker_row)
    Worker.objects.update(host=execution.this_host(), pid=os.getpid())
    assert execution.take_back_from_dead_processes() == 1


def test_our_own_jobs_are_not_taken_back(enqueue: Callable[..., Job], make_worker: Callable[..., JobWorker]) -> None:
    enqueue()
    worker = make_worker([execution.take_back_from_dead_processes, sweeper.sweep, output(0), Done()])
    worker.run_next()
    job = Job.objects.get()
    assert (job.state, job.token) == (Job.DONE, 1)
