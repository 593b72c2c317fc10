"""The committed pack, through the code that uses it. Nothing is downloaded or trained."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gpu_worker.calibration import check
from gpu_worker.minipack import PACK
from gpu_worker.minipack.renderer import (
    Placed,
    Scene,
    caption,
    face_geometry,
    identity,
    nuisance,
    render,
    render_group,
    slots,
    vocabulary,
)
from gpu_worker.minipack.splits import FREE
from gpu_worker.packs import read_pack, verify

LIMIT = 40_000_000
ENCODERS = tuple(read_pack(PACK).encoders)
JUDGES = tuple(name for name in (*ENCODERS, *["figure"] * bool(read_pack(PACK).figure)) if name != "conditioning")


def close_up(rng: np.random.Generator, *, calm: bool = False) -> Scene:
    """Drawn in any way that the pack has a word for."""
    return nuisance(rng, calm=calm, shot="close-up", drawing=None if read_pack(PACK).slots.get("drawing") else "flat")


@pytest.fixture(scope="module")
def looker() -> object:
    from gpu_worker.scorers.look import Looker

    return Looker(read_pack(PACK), ENCODERS, threads=1)


def test_every_file_has_its_hash_and_the_pack_is_small() -> None:
    pack = read_pack(PACK)
    verify(pack)
    assert sum(path.stat().st_size for path in PACK.rglob("*") if path.is_file()) < LIMIT
    assert {Path(path).suffix for path in pack.files} <= {".safetensors", ".onnx", ".json", ".txt"}


def test_the_pipeline_is_stock() -> None:
    index = json.loads((PACK / "pipeline" / "model_index.json").read_text())
    assert index["_class_name"] == "StableDiffusionPipeline"
    parts = {name: value for name, value in index.items() if isinstance(value, list) and value[0]}
    assert {value[0] for value in parts.values()} <= {"diffusers", "transformers"}
    assert parts["vae"] == ["diffusers", "AutoencoderKL"]


@pytest.mark.parametrize("judge", JUDGES)
def test_the_calibration_can_be_used(judge: str) -> None:
    check(read_pack(PACK).quantiles(judge))


def test_the_tokenizer_knows_the_vocabulary() -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(PACK / "pipeline" / "tokenizer", local_files_only=True)
    pack = read_pack(PACK)
    words = sorted(pack.vocabulary or ())
    assert words == sorted(set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens))
    offers_everything = {slot: list(choices) for slot, choices in pack.slots.items()} == slots()
    assert words == vocabulary() if offers_everything else set(words) < set(vocabulary())
    known = tokenizer(" ".join(words[:40])).input_ids
    assert tokenizer.pad_token_id not in known[:42]
    assert tokenizer("zeppelin").input_ids == [tokenizer.bos_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id]


def test_slots_are_words_it_knows() -> None:
    pack = read_pack(PACK)
    assert set(slots()) >= set(pack.slots) >= {"expression", "outfit", "colour", "background", "light", "pose"}
    for slot, choices in pack.slots.items():
        assert {word for choice in choices for word in choice.split()} <= (pack.vocabulary or set())
        assert set(choices) <= set(slots()[slot])


def test_captions_are_never_cut() -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(PACK / "pipeline" / "tokenizer", local_files_only=True)
    for seed in range(300):
        text = caption(identity(seed), nuisance(np.random.default_rng(seed)))
        assert len(tokenizer(text).input_ids) <= tokenizer.model_max_length


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_detector_counts_faces(looker, count: int) -> None:  # type: ignore[no-untyped-def]
    right = 0
    for trial in range(6):
        rng = np.random.default_rng((trial, count))
        lane = 256 / max(count, 1)
        scale, people = 0.85 if count == 1 else 0.38, [identity(FREE.first + 10 * trial + k) for k in range(count)]
        placed = [Placed(who, close_up(rng), lane * (k + 0.5), 128, scale) for k, who in enumerate(people)]
        picture, _ = render_group(placed, nuisance(rng), 384)
        right += len(looker.look(picture).faces) == count
    assert right >= 5


def test_faces_are_found_where_they_are(looker) -> None:  # type: ignore[no-untyped-def]
    person, scene = identity(FREE.first + 3), Scene(yaw=10)
    seen = looker.look(render(person, scene, 256)).faces[0]
    truth = face_geometry(person, scene, 256)
    apart = np.linalg.norm(np.subtract(*truth.keypoints[:2]))
    assert np.linalg.norm(np.subtract(seen.keypoints, truth.keypoints), axis=1).mean() < 0.25 * apart
    assert np.abs(np.subtract(seen.box, truth.box)).max() < 40


@pytest.mark.parametrize("encoder", ENCODERS)
def test_encoders_tell_people_apart(looker, encoder: str) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(6)
    table = []
    for seed in range(8):
        person = identity(FREE.first + seed)
        faces = [looker.look(render(person, close_up(rng, calm=True), 192)).faces for _ in range(3)]
        table.append([shown[0].embeddings[encoder] for shown in faces])
    e = np.array(table)
    assert np.allclose(np.linalg.norm(e, axis=2), 1, atol=1e-4)
    cosine = np.einsum("aid,bjd->abij", e, e)
    same = np.array([cosine[a, a][np.triu_indices(3, 1)].mean() for a in range(8)])
    different = np.array([cosine[a, b].mean() for a in range(8) for b in range(8) if a != b])
    assert same.mean() > different.mean() + 0.4
    assert same.min() > np.quantile(different, 0.9)
