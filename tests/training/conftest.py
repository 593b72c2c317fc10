"""A character with references that were looked at, a pack of random weights, and a worker."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.db import transaction
from PIL import Image

from assets.actions import store_picture
from assets.folders import character_folder
from characters import actions as characters
from characters.models import Character, Reference
from collaboration.models import Project, User
from gpu_worker import catalog
from gpu_worker.contracts import Face, Looked
from gpu_worker.execution import JobWorker
from gpu_worker.models import Job, Reading
from tests.gpu_worker.compute.conftest import build_pack


@pytest.fixture(scope="session")
def packs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packs that holds `tiny`."""
    folder = tmp_path_factory.mktemp("packs")
    (folder / "tiny").mkdir()
    build_pack(folder / "tiny")
    return folder


@pytest.fixture(autouse=True)
def pack(packs: Path, settings: Any, tmp_path: Path) -> None:
    settings.MODEL_PACKS = [packs]
    settings.DEFAULT_PACK = "tiny"
    settings.SCRATCH_DIR = tmp_path / "scratch"


def embedding(identity: int, noise: int, amount: float = 0.3) -> tuple[float, ...]:
    """A unit vector near that of `identity`."""
    base = np.random.default_rng(identity).standard_normal(512)
    other = np.random.default_rng(10_000 + noise).standard_normal(512)
    vector = base / np.linalg.norm(base) + amount * other / np.linalg.norm(other)
    return tuple(float(v) for v in vector / np.linalg.norm(vector))


def looked(n: int, *, identity: int = 1, yaw: float | None = None, **changes: Any) -> dict[str, Any]:
    """What was seen in reference `n`."""
    face = Face(
        box=(80.0, 80.0, 240.0, 240.0),
        confidence=0.99,
        keypoints=((120, 140), (200, 140), (160, 180), (130, 210), (190, 210)),
        embeddings={name: embedding(identity, n) for name in ("conditioning", "scoring")},
        yaw=(-25.0, 0.0, 25.0)[n % 3] if yaw is None else yaw,
    )
    hashes = np.random.default_rng(n).integers(0, 2**63, dtype=np.int64)
    seen = Looked(
        width=320,
        height=320,
        faces=(face,),
        sharpness=200.0,
        brightness=0.5,
        clipped=0.0,
        perceptual_hash=f"{int(hashes):016x}",
        photographic=0.1,
        colours=(("#aa3344", 0.5),),
    )
    return dataclasses.asdict(dataclasses.replace(seen, **changes))


def picture(n: int) -> bytes:
    rng = np.random.default_rng(n)
    pixels = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((96, 96), Image.Resampling.NEAREST).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def add_references(bob: User) -> Callable[..., list[Reference]]:
    """`add_references(mara, 10)`: pictures that passed their checks; the character stands refreshed."""

    def add(character: Character, count: int, first: int = 0, **seen: Any) -> list[Reference]:
        folder = character_folder(character.name, "references")
        stored = [
            store_picture(project=character.project, file=picture(n), name=f"look {n}.png", folder=folder, actor=bob)
            for n in range(first, first + count)
        ]
        references = characters.add_references(character=character, assets=stored, actor=bob)
        pack = catalog.default_pack()
        Reading.objects.bulk_create(
            Reading(asset=asset, pack=pack.name, pack_version=pack.version, seen=looked(n, **seen))
            for n, asset in enumerate(stored, first)
        )
        with transaction.atomic():  # accepting the last one judges them all
            last = first + count - 1
            characters.accept_reading(reference_id=references[-1].pk, seen=looked(last, **seen))
        Job.objects.filter(kind="reference.look").update(state=Job.DONE)
        character.refresh_from_db()
        return references

    return add


@pytest.fixture
def empty_mara(project: Project, bob: User) -> Character:
    return characters.create_character(project=project, actor=bob, name="Mara", noun="woman")


@pytest.fixture
def mara(empty_mara: Character, add_references: Callable[..., list[Reference]]) -> Character:
    """Ten usable references, two of them held out."""
    add_references(empty_mara, 10)
    return empty_mara


@pytest.fixture
def worker(transactional_db: None) -> Iterator[JobWorker]:
    worker = JobWorker(list(Job.GPU_QUEUES), lane="gpu")
    yield worker
    worker.runner.close()
