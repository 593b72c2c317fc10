"""Where checkpoints of a job live: a working copy beside the worker, and one in storage for any other host.

A worker that takes over a job on the same disk finds the working copy; elsewhere it is fetched from storage.
"""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from pathlib import Path

from django.conf import settings
from django.core.files import File
from django.core.files.storage import default_storage

from gpu_worker.models import Job


def _folder(job: Job) -> Path:
    return Path(settings.SCRATCH_DIR) / "checkpoints" / str(job.pk)


def _prefix(job: Job) -> str:
    return f"work/{job.pk}"


def _key(job: Job, step: int) -> str:
    return f"{_prefix(job)}/checkpoint-{step}.tar"


def restore(job: Job) -> Path:
    """Return the folder of the job's checkpoints, with the last one in it if there is any.

    The working copy may be older than what another host stored since; then that one is fetched.
    """
    folder = _folder(job)
    folder.mkdir(parents=True, exist_ok=True)
    if job.checkpoint_step > max(_steps(folder), default=0):
        key = _key(job, job.checkpoint_step)
        if default_storage.exists(key):
            with default_storage.open(key) as stored, tarfile.open(fileobj=stored) as tar:
                tar.extractall(folder, filter="data")
    return folder


def _steps(folder: Path) -> dict[int, Path]:
    """Step -> the checkpoint's folder, whatever the trainer puts before the number."""
    found = {p.name.rpartition("-")[2]: p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")}
    return {int(number): path for number, path in found.items() if number.isdigit()}


def keep(job: Job) -> None:
    """Copy the newest checkpoint to storage, and remove the one before it."""
    steps = _steps(_folder(job))
    if not steps or not _crosses_hosts():
        return
    step = max(steps)
    newest = steps[step]
    with tempfile.TemporaryFile() as packed:
        with tarfile.open(fileobj=packed, mode="w") as tar:
            tar.add(newest, arcname=newest.name)
        packed.seek(0)
        key = _key(job, step)
        if not default_storage.exists(key):
            default_storage.save(key, File(packed))
    _remove(job, but=key)


def forget(job: Job) -> None:
    """Remove everything: the job is done."""
    shutil.rmtree(_folder(job), ignore_errors=True)
    _remove(job)


def _remove(job: Job, but: str = "") -> None:
    try:
        _, names = default_storage.listdir(_prefix(job))
    except FileNotFoundError:
        return
    for name in names:
        if f"{_prefix(job)}/{name}" != but:
            default_storage.delete(f"{_prefix(job)}/{name}")


def _crosses_hosts() -> bool:
    """Files in a local folder are on this very disk, where the working copy is already."""
    from django.core.files.storage import FileSystemStorage

    return not isinstance(getattr(default_storage, "_wrapped", default_storage), FileSystemStorage)
