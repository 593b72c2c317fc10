"""A client of the API with a token, a model pack on paper, and characters with checked references."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from PIL import Image

from assets.actions import store_picture
from assets.folders import character_folder
from characters import actions as characters
from characters.models import Character, Reference
from collaboration import actions
from collaboration.models import Project, User
from collaboration.verbs import Verb
from gpu_worker.contracts import Face, Looked

PROBLEM = "application/problem+json"
SLOTS = {
    "expression": ["neutral", "happy", "sad"],
    "outfit": ["suit", "hoodie"],
    "colour": ["red", "blue"],
    "background": ["studio", "beach"],
    "pose": ["facing forward", "looking left"],
}


class Api:
    """Requests to /api/v1 in the name of one person."""

    def __init__(self, secret: str = "") -> None:
        self.client = Client()
        self.headers = {"Authorization": f"Bearer {secret}"} if secret else {}

    def request(
        self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None, **data: Any
    ) -> Any:
        options: dict[str, Any] = {"headers": {**self.headers, **(headers or {})}}
        if body is not None:
            text = body if isinstance(body, str | bytes) else json.dumps(body)
            options |= {"data": text, "content_type": "application/json"}
        elif data:
            options["data"] = data
        return getattr(self.client, method)(f"/api/v1{path}", **options)

    def get(self, path: str, **parameters: Any) -> Any:
        return self.request("get", path, **parameters)

    def post(self, path: str, body: Any = None, **options: Any) -> Any:
        return self.request("post", path, body, **options)

    def patch(self, path: str, body: Any) -> Any:
        return self.request("patch", path, body)

    def delete(self, path: str) -> Any:
        return self.request("delete", path)


def problem(response: Any, status: int) -> dict[str, Any]:
    """The problem document of a refusal, of which every part is there."""
    assert response.status_code == status, response.content[:500]
    assert response["Content-Type"] == PROBLEM
    document = response.json()
    assert document["status"] == status
    assert document["type"].startswith(("/api/v1/docs#problem-", "about:blank"))
    assert document["title"]
    assert document["detail"].endswith((".", "?", "`."))
    return document


def ok(response: Any, status: int = 200) -> Any:
    assert response.status_code == status, response.content[:800]
    return response.json()


def fetched(response: Any) -> tuple[str, bytes]:
    """(type, content) of a file: in the answer itself or, from S3, behind the signed address that it leads to."""
    if response.status_code == 302:
        stored = httpx.get(response["Location"])
        assert stored.status_code == 200, stored.text
        return stored.headers["Content-Type"], stored.content
    assert response.status_code == 200, response.content[:500]
    body = b"".join(response.streaming_content) if response.streaming else response.content
    return response["Content-Type"], body


def png(seed: int = 0, size: int = 320) -> bytes:
    corners = np.random.default_rng(seed).integers(0, 256, (4, 4, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(corners).resize((size, size), Image.Resampling.BICUBIC).save(buffer, "PNG")
    return buffer.getvalue()


def upload(name: str, data: bytes) -> io.BytesIO:
    file = io.BytesIO(data)
    file.name = name
    return file


@pytest.fixture(autouse=True)
def pack(tmp_path: Path, settings: Any) -> Path:
    """A model pack of which only the description is there: nothing in these tests runs a model."""
    folder = tmp_path / "packs" / "paper"
    folder.mkdir(parents=True)
    words = {w for choices in SLOTS.values() for phrase in choices for w in phrase.split()}
    words |= {"portrait", "of", "a", "an", "the", "with", "wearing", "background", "sks", "person", "woman", "man"}
    words |= {"young", "old", "hair", "brown"}
    manifest = {
        "format": 1,
        "name": "paper",
        "title": "Paper pack",
        "version": "1",
        "family": "sd",
        "architecture": "stable-diffusion-v1",
        "domain": "illustration",
        "licence": {"name": "CC0", "spdx": "CC0-1.0", "commercial": True},
        "resolution": 128,
        "sizes": [[128, 128]],
        "pipeline": "pipeline",
        "ip_adapter": {"file": "ip.safetensors", "kind": "faceid", "embedding_size": 512},
        "encoders": {},
        "calibration": {
            "scoring": {"impostor_quantiles": [[0.5, 0.0], [0.1, 0.2], [0.01, 0.35], [0.001, 0.5]]},
            "conditioning": {"impostor_quantiles": [[0.5, 0.0], [0.1, 0.2], [0.01, 0.35], [0.001, 0.5]]},
        },
        "defaults": {"steps": 20, "guidance": 3.0},
        "recipes": {"low": None, "standard": {"steps": 100, "rank": 8}, "high": {"steps": 200, "rank": 16}},
        "vocabulary": sorted(words),
        "slots": SLOTS,
        "files": {"ip.safetensors": "0" * 64},
    }
    (folder / "pack.json").write_text(json.dumps(manifest))
    settings.MODEL_PACKS = [folder.parent]
    settings.DEFAULT_PACK = "paper"
    settings.API_REQUESTS_PER_MINUTE = 0
    return folder


@pytest.fixture
def api(db: None) -> Callable[..., Api]:
    """`api(bob)`: bob's token with every scope; `api(bob, Verb.SEE)`: one that may only see; `api()`: nobody."""

    def make(user: User | None = None, *scopes: Verb) -> Api:
        if user is None:
            return Api()
        _, secret = actions.create_token(user=user, name="Test", scopes=scopes or list(Verb))
        return Api(secret)

    return make


@pytest.fixture
def mara(project: Project, bob: User) -> Character:
    fields = {"noun": "woman", "age": "young", "traits": "brown hair", "tags": ["lead"], "importance": 0.9}
    return characters.create_character(project=project, actor=bob, name="Mara", **fields)


def seen_as(person: int, place: int) -> Looked:
    """What a detector and encoders would have seen: pictures of the same `person` are alike."""
    rng = np.random.default_rng(person)
    who = rng.normal(size=512)
    embedding = who / np.linalg.norm(who) + np.random.default_rng((person, place)).normal(size=512) * 0.01
    embedding = tuple(float(x) for x in embedding / np.linalg.norm(embedding))
    face = Face(
        box=(60.0, 60.0, 220.0, 240.0),
        confidence=0.99,
        keypoints=((100.0, 120.0), (180.0, 120.0), (140.0, 160.0), (110.0, 200.0), (170.0, 200.0)),
        embeddings={"conditioning": embedding, "scoring": embedding},
        yaw=2.0,
    )
    return Looked(
        width=320,
        height=320,
        faces=(face,),
        sharpness=120.0,
        brightness=0.5,
        clipped=0.0,
        perceptual_hash=f"{int(np.random.default_rng((7, place)).integers(1 << 62)):016x}",
        photographic=0.1,
        colours=(("#a07050", 0.6), ("#203040", 0.4)),
    )


@pytest.fixture
def with_references(project: Project, bob: User) -> Callable[..., list[Reference]]:
    """`with_references(mara, 10)`: so many pictures of the same person, looked at and usable."""

    def make(character: Character, count: int, *, looked: bool = True) -> list[Reference]:
        folder = character_folder(character.name, "references")
        stored = [
            store_picture(project=project, file=png(k), name=f"{character.name}-{k}.png", folder=folder, actor=bob)
            for k in range(count)
        ]
        added = characters.add_references(character=character, assets=stored, actor=bob)
        if looked:
            for place, reference in enumerate(added):
                seen = dataclasses.asdict(seen_as(1, place))
                characters.accept_reading(reference_id=reference.pk, seen=json.loads(json.dumps(seen)))
        character.refresh_from_db()
        return list(character.references.order_by("added_at", "id"))

    return make


@pytest.fixture
def count_queries() -> Callable[[Callable[[], Any]], int]:
    """`count_queries(ask)`: how many queries that takes."""

    def count(ask: Callable[[], Any]) -> int:
        with CaptureQueriesContext(connection) as captured:
            ask()
        return len(captured)

    return count
