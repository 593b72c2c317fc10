"""A character, pictures of it, and what a model would see in them. Only `worker` runs real models."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.db import transaction
from django.test import Client
from PIL import Image

from assets import actions as assets
from assets.folders import character_folder
from assets.metadata import GenerationSettings
from assets.models import Asset
from characters import actions
from characters.models import Character, Reference, Variation, VariationBatch
from collaboration.models import Project, User
from gpu_worker import catalog
from gpu_worker.contracts import Face, Looked
from gpu_worker.models import Job, Reading
from gpu_worker.packs import Pack, read_pack

QUANTILES = [[0.5, 0.0], [0.1, 0.2], [0.01, 0.35], [0.001, 0.5], [0.0001, 0.6]]
WORDS = (
    "portrait of a an person man woman happy sad neutral wearing red blue hoodie suit coat beach city background sks"
)


@pytest.fixture(scope="session")
def paper_packs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a pack that says everything about itself and holds no weights."""
    folder = tmp_path_factory.mktemp("paper")
    manifest = {
        "format": 1,
        "name": "paper",
        "title": "Paper pack",
        "version": "1.0",
        "family": "sd",
        "architecture": "stable-diffusion-v1",
        "domain": "illustration",
        "licence": {"name": "CC0", "spdx": "CC0-1.0", "commercial": True, "url": ""},
        "resolution": 64,
        "sizes": [[64, 64]],
        "pipeline": "pipeline",
        "ip_adapter": {"file": "ip.safetensors", "kind": "faceid", "embedding_size": 512},
        "encoders": {"conditioning": "identity/conditioning", "scoring": "identity/scoring"},
        "calibration": {"scoring": {"impostor_quantiles": QUANTILES}},
        "defaults": {"steps": 10, "guidance": 3.0, "negative_prompt": ""},
        "recipes": {"low": None, "standard": {"rank": 4}, "high": None},
        "vocabulary": WORDS.split(),
        "slots": {
            "expression": ["neutral", "happy", "sad"],
            "outfit": ["hoodie", "suit", "coat"],
            "colour": ["red", "blue"],
            "background": ["beach", "city"],
        },
        "files": {"ip.safetensors": "0" * 64},
    }
    (folder / "paper").mkdir()
    (folder / "paper" / "pack.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture(autouse=True)
def pack(paper_packs: Path, settings: Any, tmp_path: Path) -> Pack:
    settings.MODEL_PACKS = [paper_packs]
    settings.DEFAULT_PACK = "paper"
    settings.SCRATCH_DIR = tmp_path / "scratch"
    return read_pack(paper_packs / "paper")


# ---------------------------------------------------------------------------------------------------- what is seen
def embedding(identity: int, noise: int, amount: float = 0.3) -> tuple[float, ...]:
    """A unit vector near that of `identity`."""
    base = np.random.default_rng(identity).standard_normal(512)
    other = np.random.default_rng(10_000 + noise).standard_normal(512)
    vector = base / np.linalg.norm(base) + amount * other / np.linalg.norm(other)
    return tuple(float(v) for v in vector / np.linalg.norm(vector))


def face(n: int, *, identity: int = 1, yaw: float = 0.0, side: float = 160.0, amount: float = 0.3) -> Face:
    return Face(
        box=(80.0, 80.0, 80.0 + side, 80.0 + side),
        confidence=0.99,
        keypoints=((120, 140), (200, 140), (160, 180), (130, 210), (190, 210)),
        embeddings={name: embedding(identity, n, amount) for name in ("conditioning", "scoring")},
        yaw=yaw,
    )


def looked(n: int = 0, **changes: Any) -> Looked:
    """What is seen in picture `n`: all is well, unless `changes` say otherwise."""
    fields: dict[str, Any] = {
        "width": 320,
        "height": 320,
        "faces": (face(n, yaw=(-25.0, 0.0, 25.0)[n % 3]),),
        "sharpness": 200.0,
        "brightness": 0.5,
        "clipped": 0.0,
        "perceptual_hash": f"{int(np.random.default_rng(n).integers(0, 2**63)):016x}",
        "photographic": 0.1,
        "colours": (("#aa3344", 0.5), ("#224488", 0.3)),
    }
    return Looked(**(fields | changes))


def as_json(seen: Looked) -> dict[str, Any]:
    return json.loads(json.dumps(dataclasses.asdict(seen)))


def picture(n: int, size: int = 96) -> bytes:
    """A PNG that differs for each `n`."""
    pixels = np.random.default_rng(n).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((size, size), Image.Resampling.NEAREST).save(buffer, "PNG")
    return buffer.getvalue()


# ----------------------------------------------------------------------------------------------------------- cast
@pytest.fixture
def stored(bob: User) -> Callable[..., Asset]:
    """`stored(mara, n)`: picture `n`, in the character's folder."""

    def store(character: Character, n: int = 0, part: str = "references", data: bytes | None = None) -> Asset:
        return assets.store_picture(
            project=character.project,
            file=data or picture(n),
            name=f"look {n}.png",
            folder=character_folder(character.name, part),  # type: ignore[arg-type]
            actor=bob,
        )

    return store


@pytest.fixture
def mara(project: Project, alice: User) -> Character:
    """Somebody with no references yet."""
    return actions.create_character(
        project=project, actor=alice, name="Mara", noun="woman", age="34", traits="red coat", tier="low", tags=["lead"]
    )


@pytest.fixture
def see() -> Callable[..., None]:
    """`see(reference, looked(...))`: the answer of the checks, as the worker gives it."""

    def accept(reference: Reference, seen: Looked) -> None:
        with transaction.atomic():
            actions.accept_reading(reference_id=reference.pk, seen=as_json(seen))
        reference.refresh_from_db()

    return accept


@pytest.fixture
def add(stored: Callable[..., Asset], see: Callable[..., None], bob: User) -> Callable[..., list[Reference]]:
    """`add(mara, 10)`: that many references that were looked at; further arguments go to `looked`."""

    def add_some(character: Character, count: int, first: int = 0, **changes: Any) -> list[Reference]:
        numbers = range(first, first + count)
        pictures = [stored(character, n) for n in numbers]
        rows = actions.add_references(character=character, assets=pictures, actor=bob)
        pack = catalog.default_pack()
        for reference, n in zip(rows[:-1], numbers, strict=False):
            Reading.objects.create(
                asset=reference.asset, pack=pack.name, pack_version=pack.version, seen=as_json(looked(n, **changes))
            )
        see(rows[-1], looked(numbers[-1], **changes))  # which judges all of them
        Job.objects.filter(kind="reference.look").update(state=Job.DONE)
        for reference in rows:
            reference.refresh_from_db()
        character.refresh_from_db()
        return rows

    return add_some


@pytest.fixture
def batch_of(alice: User) -> Callable[..., VariationBatch]:
    """`batch_of(mara, count=3, made=3)`: a batch of which some pictures are made, with scores 90, 91, ..."""
    from characters import orders
    from characters.variations import Settings

    def order(
        character: Character, *, count: int = 2, made: int | None = None, state: str = Job.DONE, **fields: Any
    ) -> VariationBatch:
        fields = {"per_combination": count, "seed": 5} | fields
        batch = orders.order_variations(character=character, settings=Settings(**fields), actor=alice)
        Job.objects.filter(pk=batch.job_id).update(state=state)
        for index in range(len(batch.plan) if made is None else made):
            make_variation(batch, index, alice)
        batch.refresh_from_db()
        return batch

    return order


def make_variation(batch: VariationBatch, index: int, actor: User, **fields: Any) -> Variation:
    plan = batch.plan[index]
    asset = assets.store_generated(
        project=batch.character.project,
        image=Image.open(io.BytesIO(picture(1000 + index))).convert("RGB"),
        settings=GenerationSettings(source="persona", prompt=plan["prompt"], seed=plan["seed"]),
        provenance={},
        name=f"{batch.character.name} {index + 1}.png",
        folder=character_folder(batch.character.name, "variations"),
        actor=actor,
    )
    values: dict[str, Any] = {
        "score": 90.0 + index,
        "cosine": 0.6,
        "measured_against": {"held_out": False, "references": 3, "encoder": "scoring", "pack": "paper"},
        "provenance": {"prompt": plan["prompt"], "seed": plan["seed"], "model": "paper", "steps": 10, "guidance": 3.0},
    } | fields
    return Variation.objects.create(
        batch=batch,
        character=batch.character,
        index=index,
        asset=asset,
        prompt=plan["prompt"],
        seed=plan["seed"],
        axes=plan["axes"],
        **values,
    )


@pytest.fixture
def sign_in(client_of: Callable[[User], Client]) -> Callable[..., Client]:
    """`sign_in(bob, htmx=True)`: a browser, and whether its requests are htmx's."""

    def make(user: User, *, htmx: bool = False, target: str = "") -> Client:
        client = client_of(user)
        if htmx:
            client.defaults["HTTP_HX_REQUEST"] = "true"
            if target:
                client.defaults["HTTP_HX_TARGET"] = target
        return client

    return make


# ------------------------------------------------------------------------------------------------- real models
@pytest.fixture(scope="session")
def real_packs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a pack of random weights that all the real code runs; it offers every tier."""
    from tests.gpu_worker.compute.conftest import build_pack

    folder = tmp_path_factory.mktemp("real")
    (folder / "tiny").mkdir()
    build_pack(folder / "tiny", controlnet=True)
    manifest = json.loads((folder / "tiny" / "pack.json").read_text())
    manifest |= {"sizes": [[64, 64]], "resolution": 64}  # smaller pictures are not taken in
    (folder / "tiny" / "pack.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture
def worker(real_packs: Path, settings: Any, transactional_db: None) -> Iterator[Any]:
    """A worker for every queue, with the pack of random weights as the default."""
    from gpu_worker.execution import JobWorker

    settings.MODEL_PACKS = [real_packs]
    settings.DEFAULT_PACK = "tiny"
    worker = JobWorker([Job.CPU, *Job.GPU_QUEUES], lane="test")
    yield worker
    worker.runner.close()
