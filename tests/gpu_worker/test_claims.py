"""A job has one holder at a time, and whoever lost it can change nothing any more."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, connections
from django.db.models.functions import Now
from django.utils import timezone

from gpu_worker import claims
from gpu_worker.models import Job, Worker
from tests.gpu_worker import work

GPU = list(Job.GPU_QUEUES)


def database_now() -> Any:
    return Worker.objects.values_list(Now(), flat=True).first()


@pytest.mark.django_db
def test_a_claim_takes_a_lease_and_a_new_token(enqueue: Callable[..., Job], worker_row: Worker, settings: Any) -> None:
    settings.JOB_LEASE_SECONDS = 30
    waiting = enqueue()
    job = claims.claim(GPU, worker_row)
    assert job is not None
    assert (job.pk, job.state, job.token, job.worker_id) == (waiting.pk, Job.RUNNING, 1, worker_row.pk)
    assert job.lease_until is not None
    assert timedelta(seconds=20) < job.lease_until - database_now() <= timedelta(seconds=31)
    assert claims.claim(GPU, worker_row) is None


@pytest.mark.django_db
def test_a_claim_takes_only_from_its_queues(enqueue: Callable[..., Job], worker_row: Worker) -> None:
    enqueue(queue=Job.CPU)
    assert claims.claim(GPU, worker_row) is None
    assert claims.claim([Job.CPU], worker_row) is not None


@pytest.mark.django_db(transaction=True)
def test_two_claimers_never_get_the_same_job(enqueue: Callable[..., Job], worker_row: Worker) -> None:
    for n in range(12):
        enqueue(f"job {n}")
    taken: list[Any] = []
    start = threading.Barrier(4)

    def claim_all() -> None:
        try:
            start.wait()
            while (job := claims.claim(GPU, worker_row)) is not None:
                taken.append(job.pk)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=claim_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 12
    assert set(Job.objects.values_list("token", flat=True)) == {1}


@pytest.mark.django_db
def test_a_beat_keeps_the_job_and_tells_what_is_wanted(enqueue: Callable[..., Job], worker_row: Worker) -> None:
    enqueue()
    job = claims.claim(GPU, worker_row)
    assert job is not None
    assert claims.beat(job, step=3) == ""
    Job.objects.update(wanted=Job.PAUSE)
    assert claims.beat(job) == Job.PAUSE
    job.refresh_from_db()
    assert job.step == 3


@pytest.mark.django_db
@pytest.mark.parametrize("late", ["beat", "asked", "hold", "end", "release"])
def test_a_lost_lease_changes_nothing(enqueue: Callable[..., Job], worker_row: Worker, late: str) -> None:
    enqueue()
    first = claims.claim(GPU, worker_row)
    assert first is not None
    Job.objects.update(lease_until=claims.after(-1))
    assert claims.take_back_expired() == 1
    second = claims.claim(GPU, worker_row)
    assert second is not None
    assert second.token == 2
    calls: dict[str, Callable[[], Any]] = {
        "beat": lambda: claims.beat(first, step=99),
        "asked": lambda: claims.asked(first),
        "hold": lambda: claims.hold(first),
        "end": lambda: claims.end(first, Job.DONE),
        "release": lambda: claims.release(first),
    }
    with pytest.raises(claims.LeaseLost):
        calls[late]()
    now = Job.objects.get()
    assert (now.state, now.token, now.step) == (Job.RUNNING, 2, 0)


@pytest.mark.django_db
def test_leases_run_by_the_clock_of_the_database(
    enqueue: Callable[..., Job], worker_row: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    enqueue()
    claims.claim(GPU, worker_row)
    ahead = timezone.now() + timedelta(days=1)
    monkeypatch.setattr(timezone, "now", lambda: ahead)
    assert claims.take_back_expired() == 0
    Job.objects.update(lease_until=claims.after(-1))
    assert claims.take_back_expired() == 1


@pytest.mark.django_db
def test_a_job_that_is_taken_back_waits_again_and_counts_the_attempt(
    enqueue: Callable[..., Job], worker_row: Worker
) -> None:
    enqueue()
    claims.claim(GPU, worker_row)
    Job.objects.update(checkpoint_step=25, lease_until=claims.after(-1))
    claims.take_back_expired()
    job = Job.objects.get()
    assert (job.state, job.attempts, job.worker, job.lease_until, job.checkpoint_step) == (
        Job.WAITING,
        1,
        None,
        None,
        25,
    )
    assert work.ended == []


@pytest.mark.django_db
def test_a_job_that_kills_its_workers_is_given_up(enqueue: Callable[..., Job], worker_row: Worker) -> None:
    enqueue()
    for _ in range(claims.MAX_ATTEMPTS):
        assert claims.claim(GPU, worker_row) is not None
        Job.objects.update(lease_until=claims.after(-1))
        claims.take_back_expired()
    job = Job.objects.get()
    assert job.state == Job.FAILED
    assert "5 times" in job.error
    assert work.ended == [("failed", Job.FAILED)]
    assert claims.claim(GPU, worker_row) is None


@pytest.mark.django_db
@pytest.mark.parametrize(("wanted", "state"), [(Job.CANCEL, Job.CANCELLED), (Job.PAUSE, Job.PAUSED)])
def test_what_was_asked_of_a_dead_worker_is_done_when_its_job_is_taken_back(
    enqueue: Callable[..., Job], worker_row: Worker, wanted: str, state: str
) -> None:
    enqueue()
    claims.claim(GPU, worker_row)
    Job.objects.update(wanted=wanted, lease_until=claims.after(-1))
    claims.take_back_expired()
    job = Job.objects.get()
    assert (job.state, job.wanted) == (state, "")
    assert work.ended == ([("failed", Job.CANCELLED)] if state == Job.CANCELLED else [])


@pytest.mark.django_db
def test_a_job_is_not_claimed_before_its_time(enqueue: Callable[..., Job], worker_row: Worker) -> None:
    job = enqueue()
    Job.objects.filter(pk=job.pk).update(not_before=claims.after(60))
    assert claims.claim(GPU, worker_row) is None
    Job.objects.filter(pk=job.pk).update(not_before=claims.after(-1))
    assert claims.claim(GPU, worker_row) is not None


@pytest.mark.django_db
def test_a_child_waits_until_every_parent_is_done(enqueue: Callable[..., Job], worker_row: Worker) -> None:
    first, second = enqueue("first"), enqueue("second")
    child = enqueue("child", parents=[first, second])
    claimed = [claims.claim(GPU, worker_row) for _ in range(2)]
    assert {j.pk for j in claimed if j} == {first.pk, second.pk}
    assert claims.claim(GPU, worker_row) is None
    assert claimed[0] is not None
    assert claimed[1] is not None
    claims.end(claimed[0], Job.DONE)
    assert claims.claim(GPU, worker_row) is None
    claims.end(claimed[1], Job.DONE)
    last = claims.claim(GPU, worker_row)
    assert last is not None
    assert last.pk == child.pk


@pytest.mark.django_db
def test_a_failed_parent_keeps_its_child_waiting(enqueue: Callable[..., Job], worker_row: Worker) -> None:
    parent = enqueue("parent")
    enqueue("child", parents=[parent])
    job = claims.claim(GPU, worker_row)
    assert job is not None
    claims.end(job, Job.FAILED)
    assert claims.claim(GPU, worker_row) is None


@pytest.mark.django_db
def test_time_spent_adds_up_over_claims(enqueue: Callable[..., Job], worker_row: Worker) -> None:
    enqueue()
    for _ in range(2):
        job = claims.claim(GPU, worker_row)
        assert job is not None
        Job.objects.update(claimed_at=claims.after(-10))
        job.refresh_from_db()
        claims.release(job)
    job = Job.objects.get()
    assert 20 <= job.busy_seconds < 30


@pytest.mark.django_db(transaction=True)
def test_a_claim_does_not_wait_for_a_row_that_somebody_holds(enqueue: Callable[..., Job], worker_row: Worker) -> None:
    if not connection.features.has_select_for_update_skip_locked:
        pytest.skip("this database locks as a whole")
    from django.db import transaction

    held, free = enqueue("held"), enqueue("free")
    taken: list[Any] = []

    def claim_other() -> None:
        try:
            job = claims.claim(GPU, worker_row)
            taken.append(job and job.pk)
        finally:
            connections.close_all()

    with transaction.atomic():
        Job.objects.select_for_update().get(pk=held.pk)
        thread = threading.Thread(target=claim_other)
        thread.start()
        thread.join()
    assert taken == [free.pk]


@pytest.mark.django_db
def test_one_job_that_cannot_be_taken_back_does_not_keep_the_others(
    enqueue: Callable[..., Job], worker_row: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [enqueue(f"job {n}") for n in range(3)]
    for _ in jobs:
        claims.claim(GPU, worker_row)
    Job.objects.update(lease_until=claims.after(-1))
    settled = claims._settled

    def fail_for_the_first(job: Job) -> dict[str, Any]:
        if job.pk == jobs[0].pk:
            raise ValueError("its project cannot be read")
        return settled(job)

    monkeypatch.setattr(claims, "_settled", fail_for_the_first)
    assert claims.take_back_expired() == 2
    assert [Job.objects.get(pk=job.pk).state for job in jobs] == [Job.RUNNING, Job.WAITING, Job.WAITING]


@pytest.mark.django_db
def test_a_job_of_an_unknown_kind_that_keeps_losing_its_worker_is_given_up(
    enqueue: Callable[..., Job], worker_row: Worker
) -> None:
    enqueue()
    claims.claim(GPU, worker_row)
    Job.objects.update(lease_until=claims.after(-1), attempts=claims.MAX_ATTEMPTS - 1, kind="test.gone")
    assert claims.take_back_expired() == 1
    assert Job.objects.get().state == Job.FAILED
