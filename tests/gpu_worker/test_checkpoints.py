"""Checkpoints travel between hosts through storage, and nothing is left of work that is over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from gpu_worker import checkpoints, claims
from gpu_worker.execution import forget_old_workers
from gpu_worker.models import Job, Worker

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def shared_storage(settings: Any) -> None:
    settings.STORAGES = settings.STORAGES | {"default": {"BACKEND": "django.core.files.storage.InMemoryStorage"}}


@pytest.fixture
def host(settings: Any, tmp_path: Path, wired: None) -> Callable[[str], None]:
    """`host("b")`: from here on everything happens on that host."""

    def change(name: str) -> None:
        settings.SCRATCH_DIR = tmp_path / name

    change("a")
    return change


def write(job: Job, step: int) -> None:
    """What a trainer does before it says that there is a checkpoint."""
    folder = checkpoints.restore(job) / f"step-{step:08d}"
    folder.mkdir()
    (folder / "tensors").write_bytes(b"%d" % step)
    checkpoints.keep(job)


def restored(job: Job) -> list[str]:
    return sorted(path.name for path in checkpoints.restore(job).iterdir())


def test_another_host_goes_on_from_the_last_checkpoint(
    enqueue: Callable[..., Job], host: Callable[[str], None]
) -> None:
    job = enqueue()
    write(job, 25)
    write(job, 50)
    assert default_storage.listdir(f"work/{job.pk}")[1] == ["checkpoint-50.tar"]
    job.checkpoint_step = 50
    host("b")
    assert restored(job) == ["step-00000050"]
    assert (checkpoints.restore(job) / "step-00000050" / "tensors").read_bytes() == b"50"


def test_a_host_that_lost_the_job_leaves_the_checkpoints_of_the_next_alone(
    enqueue: Callable[..., Job], host: Callable[[str], None]
) -> None:
    job = enqueue()
    write(job, 25)
    host("b")
    job.checkpoint_step = 25
    write(job, 50)
    write(job, 75)
    host("a")
    write(Job(pk=job.pk, checkpoint_step=25), 30)  # it does not know yet that it lost the job
    job.checkpoint_step = 75
    host("c")
    assert restored(job) == ["step-00000075"]


def test_a_run_that_lost_its_lease_stores_nothing(
    enqueue: Callable[..., Job], host: Callable[[str], None], make_worker: Callable[..., Any], worker_row: Worker
) -> None:
    from gpu_worker.contracts import Checkpoint, Done

    job = enqueue(units=100)

    def lose_the_lease() -> None:
        (checkpoints.restore(job) / "step-00000025").mkdir()
        Job.objects.update(lease_until=claims.after(-1))
        claims.take_back_expired()
        assert claims.claim(list(Job.GPU_QUEUES), worker_row) is not None

    make_worker([lose_the_lease, Checkpoint(step=25), Done()]).run_next()
    assert not default_storage.exists(f"work/{job.pk}/checkpoint-25.tar")


def test_half_a_fetched_checkpoint_is_not_taken_for_one(
    enqueue: Callable[..., Job], host: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = enqueue()
    write(job, 25)
    job.checkpoint_step = 25
    host("b")

    def break_off(self: Any, path: str, **options: Any) -> None:
        (Path(path) / "step-00000025").mkdir()
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("tarfile.TarFile.extractall", break_off)
        with pytest.raises(OSError, match="No space"):
            checkpoints.restore(job)
    assert restored(job) == ["step-00000025"]
    assert (checkpoints.restore(job) / "step-00000025" / "tensors").read_bytes() == b"25"


def test_a_stored_checkpoint_that_is_damaged_does_not_stop_the_job(
    enqueue: Callable[..., Job], host: Callable[[str], None]
) -> None:
    job = enqueue()
    default_storage.save(f"work/{job.pk}/checkpoint-25.tar", ContentFile(b"not a tar file" * 100))
    job.checkpoint_step = 25
    assert restored(job) == []


def test_nothing_is_left_of_work_that_is_over(
    enqueue: Callable[..., Job], host: Callable[[str], None], worker_row: Worker, settings: Any
) -> None:
    jobs = {state: enqueue(state) for state in ("running", "paused", "done", "failed", "failed long ago", "gone")}
    assert claims.claim(list(Job.GPU_QUEUES), worker_row) == jobs["running"]
    for name, job in jobs.items():
        write(job, 25)
        (Path(settings.SCRATCH_DIR) / f"{job.pk}-1").mkdir()
        ended = claims.after(-8 * 86_400) if name == "failed long ago" else None
        if name != "gone":
            Job.objects.filter(pk=job.pk).update(state=name.split()[0], ended_at=ended)
    Job.objects.filter(pk=jobs["gone"].pk).delete()
    forget_old_workers()
    left = {name for name, job in jobs.items() if (Path(settings.SCRATCH_DIR) / "checkpoints" / str(job.pk)).exists()}
    assert left == {"running", "paused", "failed"}
    assert {name for name, job in jobs.items() if default_storage.exists(f"work/{job.pk}/checkpoint-25.tar")} == left
    folders = {name for name, job in jobs.items() if (Path(settings.SCRATCH_DIR) / f"{job.pk}-1").exists()}
    assert folders == {"running"}


def test_without_storage_to_share_nothing_is_copied(
    enqueue: Callable[..., Job], host: Callable[[str], None], settings: Any, tmp_path: Path
) -> None:
    local = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path / "files"}}
    settings.STORAGES = settings.STORAGES | {"default": local}
    job = enqueue()
    write(job, 25)
    assert not (tmp_path / "files").exists()
    checkpoints.forget(job)
    assert not (tmp_path / "a" / "checkpoints" / str(job.pk)).exists()
    forget_old_workers()
