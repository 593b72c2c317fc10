from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gpu_worker.packs import PackError, read_pack, verify


@pytest.fixture
def pack_dir(tiny_pack: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(tiny_pack, tmp_path / "pack"))


def change(directory: Path, **fields: Any) -> None:
    manifest = json.loads((directory / "pack.json").read_text())
    (directory / "pack.json").write_text(json.dumps({**manifest, **fields}))


def test_a_pack_says_what_it_is(tiny_pack: Path) -> None:
    pack = read_pack(tiny_pack)
    verify(pack)
    assert (pack.name, pack.version, pack.family, pack.domain) == ("tiny", "1.0", "sd", "illustration")
    assert pack.sizes == ((32, 32),)
    assert pack.ip_adapter is not None
    assert pack.ip_adapter.embedding_size == 512
    assert pack.licence.commercial
    assert pack.quantiles("scoring")[2] == (0.01, 0.3)
    assert pack.recipes["low"] is None
    assert pack.path("pipeline/unet").is_dir()


def test_the_digest_names_the_content(pack_dir: Path, make: SimpleNamespace) -> None:
    before = read_pack(pack_dir).sha256
    (pack_dir / "pipeline" / "unet" / "config.json").write_text("{}")
    make.relist(pack_dir)
    assert read_pack(pack_dir).sha256 != before


def test_an_encoder_without_calibration_says_so(tiny_pack: Path) -> None:
    with pytest.raises(PackError, match="no calibration for its encoder conditioning"):
        read_pack(tiny_pack).quantiles("conditioning")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"format": 2}, "format 2; this version reads format 1"),
        ({"domain": "paintings"}, "illustration or photograph"),
        ({"name": None, "licence": {}}, "the field 'name' is missing"),
        ({"sizes": [[128]]}, "cannot be used"),
        ({"resolution": "large"}, "cannot be used"),
        ({"files": {"a.safetensors": "abc"}}, "64 lower-case hex digits"),
        ({"files": {"a.ckpt": "0" * 64}}, "only safetensors and ONNX"),
        ({"ip_adapter": {"file": "x.safetensors", "kind": "faceid", "embedding_size": 512}}, "not listed"),
        ({"ip_adapter": {"file": "ip_adapter.safetensors", "kind": "plus", "embedding_size": 512}}, "not supported"),
        ({"detection": {"sizes": [100]}}, "multiples of 32"),
        ({"figure": {"file": "figure.onnx", "size": 16, "embedding_size": 8}}, "figure encoder file .* not listed"),
        ({"figure": {"file": "figure.onnx", "size": 16}}, "field 'embedding_size' is missing"),
        ({"figure": {"file": "figure.onnx", "size": 16, "embedding_size": 0}}, "must be positive"),
        ({"figure": {"file": "../figure.onnx", "size": 16, "embedding_size": 8}}, "not a path inside it"),
        ({"attributes": {"file": "a.onnx", "size": 16, "options": {"hair": ["red"]}}}, "classifier file .* not listed"),
        ({"attributes": {"file": "a.onnx", "size": 16, "options": {"hair": []}}}, "each attribute its words"),
        ({"attributes": {"file": "a.onnx", "size": 16, "options": {}}}, "each attribute its words"),
    ],
)
def test_a_wrong_manifest_is_refused(pack_dir: Path, fields: dict[str, Any], sentence: str) -> None:
    change(pack_dir, **fields)
    with pytest.raises(PackError, match=sentence):
        read_pack(pack_dir)


@pytest.mark.parametrize("text", ["", "{", "[1]", '"pack"'])
def test_a_manifest_that_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "pack.json").write_text(text)
    with pytest.raises(PackError, match=r"pack\.json"):
        read_pack(tmp_path)


def test_a_folder_without_a_pack_says_so(tmp_path: Path) -> None:
    with pytest.raises(PackError, match="There is no model pack in"):
        read_pack(tmp_path / "nowhere")


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "a/../../b", "..", "a\\..\\b"])
@pytest.mark.parametrize("field", ["files", "pipeline", "encoders"])
def test_paths_cannot_leave_the_pack(pack_dir: Path, path: str, field: str) -> None:
    change(pack_dir, **{field: {"files": {path: "0" * 64}, "pipeline": path, "encoders": {"scoring": path}}[field]})
    with pytest.raises(PackError, match=r"not a path inside it|not listed"):
        read_pack(pack_dir)


def test_a_changed_file_is_refused_also_after_it_was_verified(pack_dir: Path) -> None:
    pack = read_pack(pack_dir)
    verify(pack)
    weights = pack_dir / "pipeline" / "unet" / "diffusion_pytorch_model.safetensors"
    body = bytearray(weights.read_bytes())
    body[-1] ^= 1
    weights.write_bytes(body)
    os.utime(weights, ns=(1, 1))
    with pytest.raises(PackError, match=r"unet/diffusion_pytorch_model\.safetensors has another hash"):
        verify(pack)


def test_only_the_parts_asked_for_are_hashed(pack_dir: Path) -> None:
    pack = read_pack(pack_dir)
    (pack_dir / "identity" / "scoring" / "encoder.onnx").write_bytes(b"other")
    verify(pack, under=["pipeline"])
    with pytest.raises(PackError, match=r"encoder\.onnx has another hash"):
        verify(pack, under=["pipeline", "identity/scoring"])


def test_a_missing_file_is_named(pack_dir: Path) -> None:
    (pack_dir / "ip_adapter.safetensors").unlink()
    with pytest.raises(PackError, match=r"incomplete: ip_adapter\.safetensors is missing"):
        verify(read_pack(pack_dir))


@pytest.mark.parametrize(
    "name",
    ["pipeline/unet/extra.json", "pipeline/tokenizer/merges.txt", "identity/scoring/second.onnx", "more.safetensors"],
)
def test_an_unlisted_file_that_could_be_loaded_is_refused(pack_dir: Path, name: str) -> None:
    (pack_dir / name).write_text("{}")
    with pytest.raises(PackError, match="does not list"):
        verify(read_pack(pack_dir))


@pytest.mark.parametrize(
    "name", ["pipeline/unet/diffusion_pytorch_model.bin", "notes.pkl", "a/b/model.CKPT", "code.py"]
)
def test_a_pickle_anywhere_is_refused(pack_dir: Path, name: str) -> None:
    (pack_dir / name).parent.mkdir(parents=True, exist_ok=True)
    (pack_dir / name).write_bytes(b"")
    with pytest.raises(PackError, match="only safetensors and ONNX"):
        verify(read_pack(pack_dir))


def test_documents_may_lie_beside(pack_dir: Path) -> None:
    for name in ("README.md", "LICENSE", "figures.png", ".gitattributes"):
        (pack_dir / name).write_text("x")
    verify(read_pack(pack_dir))


def test_a_link_out_of_the_pack_is_refused(pack_dir: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.md"
    outside.write_text("x")
    (pack_dir / "README.md").symlink_to(outside)
    with pytest.raises(PackError, match="leads out of it"):
        verify(read_pack(pack_dir))


@pytest.mark.parametrize(
    ("prompt", "unknown"),
    [
        ("portrait of a man", []),
        ("Portrait of a SAD man, wearing a purple coat", ["purple"]),
        ("(red:1.3) [blue] {coat} 4 88, --- !", []),
        ("<lora:extra:0.8> happy woman's coat", []),
        ("a naïve astronaut on a naïve beach", ["naïve", "astronaut", "on"]),
        ("blue-green coat", ["blue-green"]),
        ("", []),
    ],
)
def test_unknown_words_are_named_once_and_in_order(tiny_pack: Path, prompt: str, unknown: list[str]) -> None:
    assert read_pack(tiny_pack).unknown_words(prompt) == unknown


def test_trigger_words_are_passed_over(tiny_pack: Path) -> None:
    assert read_pack(tiny_pack).unknown_words("a Marav01 person, zap", known=["marav"]) == ["zap"]


def test_an_open_vocabulary_knows_every_word(tiny_packs: Any) -> None:
    assert read_pack(tiny_packs(tokenizer="clip")).unknown_words("anything whatsoever") == []


def test_the_face_lies_where_most_words_of_the_prompt_put_it(tiny_packs: Callable[..., Path]) -> None:
    net = read_pack(tiny_packs(controlnet=True)).controlnet
    assert net is not None
    frontal = net.keypoints("portrait of a man", 32, 32)
    assert frontal[2] == pytest.approx((16, 16))
    assert net.keypoints("a Happy man, unhappy", 32, 32)[2] == pytest.approx((19.2, 16))
    assert net.keypoints("unhappy", 32, 32) == frontal
    assert net.keypoints("a man", 64, 32)[2] == pytest.approx((32, 16))  # in the middle of a wide picture


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"places": [{"words": ["happy"], "points": [[0.5, 0.5]] * 5}]}, "without words"),
        ({"places": [{"words": [], "points": [[0.5, 0.5]] * 4}]}, "five points"),
        ({"strength": 0}, "strength"),
        ({"best_of": 9}, "best_of"),
        ({"folder": "../elsewhere"}, "not a path inside"),
    ],
)
def test_a_controlnet_that_cannot_be_used_is_refused(
    tiny_packs: Callable[..., Path], tmp_path: Path, changes: dict[str, object], says: str
) -> None:
    pack = shutil.copytree(tiny_packs(controlnet=True), tmp_path / "pack")
    manifest = json.loads((pack / "pack.json").read_text())
    manifest["controlnet"] |= changes
    (pack / "pack.json").write_text(json.dumps(manifest))
    with pytest.raises(PackError, match=says):
        read_pack(pack)
