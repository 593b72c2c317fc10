"""Putting jobs in the queue, pausing, cancelling and retrying them, and numbering adapters."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from collaboration.models import Project
from gpu_worker import actions, claims, selection
from gpu_worker.models import Adapter, Job, Worker
from tests.gpu_worker import work

GPU = list(Job.GPU_QUEUES)
pytestmark = pytest.mark.django_db


def running(worker: Worker) -> Job:
    job = claims.claim(GPU, worker)
    assert job is not None
    return job


def state_of(job: Job) -> tuple[str, str]:
    job.refresh_from_db()
    return job.state, job.wanted


# ------------------------------------------------------------------------------------------------------ estimates
def test_the_first_estimate_is_the_guess_of_the_kind(enqueue: Callable[..., Job]) -> None:
    assert enqueue(units=10).estimated_seconds == 4 + 10 * 2
    assert enqueue(units=10, seconds_per_unit=0.5).estimated_seconds == 4 + 10 * 0.5


def test_estimates_learn_from_the_last_twenty_jobs_of_the_kind_and_queue(enqueue: Callable[..., Job]) -> None:
    now = timezone.now()
    for n in range(25):  # the five oldest were slow
        job = enqueue(units=10)
        seconds = 1000 if n < 5 else 30
        ended = now + timedelta(seconds=n)
        Job.objects.filter(pk=job.pk).update(state=Job.DONE, busy_seconds=seconds, ended_at=ended)
    assert actions.estimate_seconds("test.work", Job.STANDARD, 20) == pytest.approx(60)
    assert actions.estimate_seconds("test.work", Job.LOW, 20) == 44


# ------------------------------------------------------------------------------------------------------- the states
def test_a_waiting_job_is_cancelled_at_once_and_its_kind_is_told(enqueue: Callable[..., Job]) -> None:
    job = enqueue()
    actions.cancel(job=job)
    assert state_of(job) == (Job.CANCELLED, "")
    assert work.ended == [("failed", Job.CANCELLED)]


def test_a_running_job_is_asked_to_stop(enqueue: Callable[..., Job], worker_row: Worker) -> None:
    enqueue()
    job = running(worker_row)
    actions.cancel(job=job)
    assert state_of(job) == (Job.RUNNING, Job.CANCEL)
    assert work.ended == []


def test_cancelling_twice_tells_the_kind_once(enqueue: Callable[..., Job]) -> None:
    job = enqueue()
    actions.cancel(job=job)
    actions.cancel(job=job)
    assert work.ended == [("failed", Job.CANCELLED)]


def test_cancelling_takes_everything_that_waits_for_it_along(enqueue: Callable[..., Job]) -> None:
    parent = enqueue("parent")
    child = enqueue("child", parents=[parent])
    grandchild = enqueue("grandchild", parents=[child])
    bystander = enqueue("bystander")
    actions.cancel(job=parent)
    assert [state_of(j)[0] for j in (parent, child, grandchild, bystander)] == [Job.CANCELLED] * 3 + [Job.WAITING]


def test_cancelling_a_running_parent_takes_its_children_along(enqueue: Callable[..., Job], worker_row: Worker) -> None:
    parent = enqueue("parent")
    child = enqueue("child", parents=[parent])
    running(worker_row)
    actions.cancel(job=parent)
    assert state_of(parent) == (Job.RUNNING, Job.CANCEL)
    assert state_of(child)[0] == Job.CANCELLED


def test_a_waiting_job_pauses_and_resumes_at_once(enqueue: Callable[..., Job], worker_row: Worker) -> None:
    job = enqueue()
    actions.pause(job=job)
    assert state_of(job) == (Job.PAUSED, "")
    assert claims.claim(GPU, worker_row) is None
    actions.resume(job=job)
    assert state_of(job) == (Job.WAITING, "")
    assert claims.claim(GPU, worker_row) is not None


def test_a_running_job_that_was_asked_to_pause_can_be_told_to_go_on(
    enqueue: Callable[..., Job], worker_row: Worker
) -> None:
    enqueue()
    job = running(worker_row)
    actions.pause(job=job)
    assert state_of(job) == (Job.RUNNING, Job.PAUSE)
    actions.resume(job=job)
    assert state_of(job) == (Job.RUNNING, "")


def test_pausing_does_not_undo_a_cancel(enqueue: Callable[..., Job], worker_row: Worker) -> None:
    enqueue()
    job = running(worker_row)
    actions.cancel(job=job)
    with pytest.raises(actions.NotNow, match="being cancelled"):
        actions.pause(job=job)
    assert state_of(job) == (Job.RUNNING, Job.CANCEL)


@pytest.mark.parametrize("act", [actions.pause, actions.resume])
def test_what_has_ended_cannot_be_paused_or_resumed(enqueue: Callable[..., Job], act: Any) -> None:
    job = enqueue()
    actions.cancel(job=job)
    with pytest.raises(actions.NotNow, match="ended already"):
        act(job=job)


def test_a_failed_job_is_tried_again_from_its_checkpoint(enqueue: Callable[..., Job], worker_row: Worker) -> None:
    enqueue(units=100)
    job = running(worker_row)
    claims.end(job, Job.FAILED, error="It broke.", attempts=4, checkpoint_step=50)
    actions.retry(job=job)
    job.refresh_from_db()
    assert (job.state, job.error, job.attempts, job.checkpoint_step, job.ended_at) == (Job.WAITING, "", 0, 50, None)


@pytest.mark.parametrize("state", [Job.WAITING, Job.RUNNING, Job.PAUSED, Job.DONE])
def test_only_what_failed_or_was_cancelled_is_tried_again(enqueue: Callable[..., Job], state: str) -> None:
    job = enqueue()
    Job.objects.update(state=state)
    with pytest.raises(actions.NotNow):
        actions.retry(job=job)


# --------------------------------------------------------------------------------------------------------- adapters
@pytest.fixture
def make_adapter(project: Project) -> Callable[..., Adapter]:
    def make(activate: bool = True, subject: str = "1") -> Adapter:
        return actions.create_adapter(
            project=project,
            subject=("character", subject),
            activate=activate,
            sha256="0" * 64,
            pack="mini",
            pack_version="1.0",
            architecture="stable-diffusion-v1",
            trigger="sks",
            rank=16,
        )

    return make


def test_adapters_are_numbered_for_each_subject_and_one_is_active(make_adapter: Callable[..., Adapter]) -> None:
    first, second, other = make_adapter(), make_adapter(), make_adapter(subject="2")
    first.refresh_from_db()
    assert [(a.version, a.is_active) for a in (first, second, other)] == [(1, False), (2, True), (1, True)]


def test_the_database_refuses_two_active_adapters(make_adapter: Callable[..., Adapter]) -> None:
    make_adapter(), make_adapter()
    with pytest.raises(IntegrityError), transaction.atomic():
        Adapter.objects.update(is_active=True)


def test_an_erased_adapter_leaves_its_number_taken(make_adapter: Callable[..., Adapter]) -> None:
    first = make_adapter()
    actions.erase_adapter(adapter=first)
    assert (first.is_active, first.file) == (False, None)
    assert first.erased_at is not None
    assert list(Adapter.objects.of("character", "1")) == []
    assert make_adapter().version == 2


def test_an_adapter_fits_only_the_weights_it_was_trained_on(make_adapter: Callable[..., Adapter]) -> None:
    adapter = make_adapter()
    pack = {"name": "mini", "version": "1.0", "architecture": "stable-diffusion-v1"}
    assert selection.fits(adapter, SimpleNamespace(**pack))  # type: ignore[arg-type]
    for field in pack:
        assert not selection.fits(adapter, SimpleNamespace(**(pack | {field: "another"})))  # type: ignore[arg-type]
