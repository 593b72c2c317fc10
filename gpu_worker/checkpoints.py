"""Where checkpoints of a job live: a working copy beside the worker, and one in storage for any other host.

A worker that takes over a job on the same disk finds the working copy; elsewhere it is fetched from storage.
"""

from __future__ import annotations

import logging
import shutil
import tarfile
import tempfile
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.core.files import File
from django.core.files.storage import FileSystemStorage, default_storage, storages
from django.db.models.functions import Now

from gpu_worker.models import Job

logger = logging.getLogger(__name__)

KEPT_DAYS = 7
"""How long a failed or cancelled job can be taken up where it stood."""


def _root() -> Path:
    return Path(settings.SCRATCH_DIR) / "checkpoints"


def _folder(job: Job) -> Path:
    return _root() / str(job.pk)


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
    here = max(_steps(folder), default=0)
    if job.checkpoint_step > here and (stored := max(_stored(job), default=0)) > here:
        _fetch(_key(job, stored), folder)
    return folder


def _fetch(key: str, folder: Path) -> None:
    """Whole or not at all: half a checkpoint under its name would be taken for one that is there."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetched-") as unpacked:
        try:
            with default_storage.open(key) as stored, tarfile.open(fileobj=stored) as tar:
                tar.extractall(unpacked, filter="data")
        except tarfile.TarError:
            logger.exception("The checkpoint %s is damaged; the job goes on from an older one, or anew", key)
            return
        for path in Path(unpacked).iterdir():
            path.rename(folder / path.name)


def _steps(folder: Path) -> dict[int, Path]:
    """Step -> the checkpoint's folder, whatever the trainer puts before the number."""
    found = {p.name.rpartition("-")[2]: p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")}
    return {int(number): path for number, path in found.items() if number.isdigit()}


def _stored(job: Job) -> dict[int, str]:
    """Step -> key in storage."""
    try:
        _, names = default_storage.listdir(_prefix(job))
    except FileNotFoundError:
        return {}
    numbers = {name: name.removeprefix("checkpoint-").removesuffix(".tar") for name in names}
    return {int(number): f"{_prefix(job)}/{name}" for name, number in numbers.items() if number.isdigit()}


def keep(job: Job) -> None:
    """Copy the newest checkpoint to storage, and remove those before it.

    One of a later step is left: it is that of another host, which took the job over.
    """
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
    for older, key in _stored(job).items():
        if older < step:
            default_storage.delete(key)


def forget(job: Job) -> None:
    """Remove everything: the job is done."""
    shutil.rmtree(_folder(job), ignore_errors=True)
    for key in _stored(job).values():
        default_storage.delete(key)


def tidy() -> None:
    """Remove what killed runs left on this host: working folders of claims that are over, and checkpoints that nothing
    will go on from, in storage too. Both hold what people look like."""
    for folder in Path(settings.SCRATCH_DIR).glob("*-*-*-*-*-*"):
        job, _, token = folder.name.rpartition("-")
        if (pk := _uuid(job)) and token.isdigit() and not _runs(pk, int(token)):
            shutil.rmtree(folder, ignore_errors=True)
    for name in {*_names(_root()), *_stored_jobs()}:
        if (pk := _uuid(name)) and not _may_go_on(pk):
            shutil.rmtree(_root() / name, ignore_errors=True)
            for key in _stored(Job(pk=pk)).values():
                default_storage.delete(key)


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []


def _stored_jobs() -> list[str]:
    try:
        return default_storage.listdir("work")[0]
    except FileNotFoundError:
        return []


def _runs(pk: UUID, token: int) -> bool:
    return Job.objects.filter(pk=pk, token=token, state=Job.RUNNING).exists()


def _may_go_on(pk: UUID) -> bool:
    resumable = Job.objects.filter(pk=pk).exclude(state=Job.DONE)
    return resumable.exclude(ended_at__lt=Now() - timedelta(days=KEPT_DAYS)).exists()


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _crosses_hosts() -> bool:
    """Files in a local folder are on this very disk, where the working copy is already."""
    return not isinstance(storages["default"], FileSystemStorage)
