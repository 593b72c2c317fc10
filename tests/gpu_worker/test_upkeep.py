"""Periodic work, lost messages, and messages that find nothing to do."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import dramatiq
import pytest
from django.db import connection, connections
from dramatiq.brokers.stub import StubBroker

from gpu_worker import actors, claims, hints, schedule
from gpu_worker.execution import JobWorker
from gpu_worker.models import Job, Schedule, Worker
from tests.gpu_worker import work

GPU = list(Job.GPU_QUEUES)


# --------------------------------------------------------------------------------------------------------- schedule
@pytest.mark.django_db
def test_what_is_due_runs_once_and_is_due_again_later(wired: None) -> None:
    assert schedule.run_due() == 1
    assert schedule.run_due() == 0
    Schedule.objects.update(due_at=claims.after(-1))
    assert schedule.run_due() == 1
    assert len(work.ticks) == 2


@pytest.mark.django_db(transaction=True)
def test_two_tickers_take_an_entry_once(wired: None) -> None:
    Schedule.objects.create(name="test.tick", due_at=claims.after(-5))
    start = threading.Barrier(4)
    ran: list[int] = []

    def look() -> None:
        try:
            start.wait()
            ran.append(schedule.run_due())
        finally:
            connections.close_all()

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ran) == [0, 0, 0, 1]
    assert len(work.ticks) == 1


@pytest.mark.django_db
def test_a_failure_is_kept_and_the_next_time_comes(wired: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ValueError("the disk is full")

    monkeypatch.setattr(work, "tick", fail)
    assert schedule.run_due() == 1
    entry = Schedule.objects.get()
    assert "the disk is full" in entry.last_error
    monkeypatch.undo()


# ------------------------------------------------------------------------------------------------------------ hints
@pytest.fixture
def sent(settings: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    queues: list[str] = []
    settings.JOB_HINT = "gpu_worker.hints.leave_to_polling"
    monkeypatch.setattr(hints, "leave_to_polling", queues.append)
    return queues


@pytest.mark.django_db
def test_a_job_is_announced_after_its_transaction(
    enqueue: Callable[..., Job], sent: list[str], django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        enqueue()
        assert sent == []
    assert sent == [Job.STANDARD]


@pytest.mark.django_db
def test_reminders_go_to_those_who_are_free(enqueue: Callable[..., Job], worker_row: Worker, sent: list[str]) -> None:
    for n in range(5):
        enqueue(f"job {n}")
    Worker.objects.create(host="another", pid=2, lane="gpu", queues=GPU)
    assert hints.remind() == 2
    claims.claim(GPU, worker_row)
    sent.clear()
    assert hints.remind() == 1
    assert sent == [Job.STANDARD]


@pytest.mark.django_db
def test_nothing_waits_nothing_is_said(enqueue: Callable[..., Job], sent: list[str]) -> None:
    job = enqueue()
    Job.objects.filter(pk=job.pk).update(not_before=claims.after(60))
    assert hints.remind() == 0


# ----------------------------------------------------------------------------------------------------------- actors
@pytest.mark.django_db(transaction=True)
def test_one_message_is_enough_for_all_that_waits(
    enqueue: Callable[..., Job], make_worker: Callable[..., JobWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    from gpu_worker import execution
    from gpu_worker.contracts import Done

    worker = make_worker([Done()], [Done()], [Done()])
    monkeypatch.setattr(execution, "this_worker", lambda queues: worker)
    for n in range(3):
        enqueue(f"job {n}")
    actors.work(Job.STANDARD)
    assert set(Job.objects.values_list("state", flat=True)) == {Job.DONE}
    actors.work(Job.STANDARD)  # a duplicate finds nothing


@pytest.mark.django_db(transaction=True)
def test_a_connection_past_its_time_does_not_fail_the_next_message(
    make_worker: Callable[..., JobWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    from gpu_worker import execution

    worker = make_worker()
    monkeypatch.setattr(execution, "this_worker", lambda queues: worker)
    old = connection.connection
    connection.close_at = 0.0
    actors.work(Job.STANDARD)
    assert connection.connection is not old


def test_a_process_runs_the_jobs_of_all_its_gpu_queues_in_one_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actors.ServedQueues, "names", frozenset({Job.CPU, Job.LOW, Job.STANDARD}))
    assert actors.lane_of(Job.STANDARD) == (Job.LOW, Job.STANDARD)
    assert actors.lane_of(Job.CPU) == (Job.CPU,)
    assert actors.lane_of(Job.HIGH) == (Job.LOW, Job.STANDARD, Job.HIGH)


def test_periodic_work_begins_when_a_message_worker_boots(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that waited for its first message would never sweep what died with all the others."""
    from gpu_worker import execution

    begun: list[tuple[str, ...]] = []
    monkeypatch.setattr(execution, "this_worker", begun.append)
    monkeypatch.setattr(actors.ServedQueues, "names", frozenset())
    broker = StubBroker()
    queues = {Job.CPU, Job.LOW, Job.STANDARD}
    actors.ServedQueues().after_worker_boot(broker, dramatiq.Worker(broker, queues=queues))
    assert sorted(begun) == [(Job.CPU,), (Job.LOW, Job.STANDARD)]
