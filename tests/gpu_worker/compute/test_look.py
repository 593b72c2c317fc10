from __future__ import annotations

import math
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import insightface.app.face_analysis as face_analysis
import numpy as np
import pytest
from PIL import Image

from gpu_worker.contracts import Looked, looked_from_json
from gpu_worker.packs import PackError, read_pack
from gpu_worker.runner.warm import looked_json
from gpu_worker.scorers.look import Looker, yaw

FRONTAL = ((38.3, 51.7), (73.5, 51.5), (56.0, 71.7), (41.5, 92.4), (70.7, 92.2))  # insightface's own template


@pytest.fixture(scope="module")
def looker(tiny_pack: Path) -> Looker:
    return Looker(read_pack(tiny_pack), ("conditioning", "scoring"), threads=1)


def look(looker: Looker, picture: Any) -> Looked:
    return looker.look(np.asarray(picture))


@pytest.mark.parametrize(("width", "height"), [(320, 320), (128, 128), (640, 640), (64, 64)])
def test_boxes_and_points_are_in_the_pictures_own_pixels(
    looker: Looker, make: SimpleNamespace, width: int, height: int
) -> None:
    seen = look(looker, make.face_picture(width, height))
    scale = width / 320
    (face,) = seen.faces
    assert (seen.width, seen.height) == (width, height)
    assert np.allclose(np.array(face.box) / scale, (80, 80, 176, 176), atol=2)
    assert np.allclose(
        np.array(face.keypoints) / scale, [(112, 112), (144, 112), (128, 128), (115, 147), (141, 147)], atol=2
    )
    assert 0.9 < face.confidence <= 1
    assert abs(face.yaw) < 1


def test_a_wide_picture_is_not_distorted(looker: Looker, make: SimpleNamespace) -> None:
    canvas = Image.new("RGB", (640, 320), (128, 128, 128))
    canvas.paste((255, 0, 0), (256, 128, 320, 192))
    (face,) = look(looker, canvas).faces
    left, top, right, bottom = face.box
    assert right - left == pytest.approx(bottom - top, abs=1)


def test_the_largest_face_comes_first(looker: Looker, make: SimpleNamespace) -> None:
    seen = look(looker, make.face_picture(faces=(("green", 32, 256), ("red", 128, 96), ("green", 256, 32))))
    areas = [(f.box[2] - f.box[0]) * (f.box[3] - f.box[1]) for f in seen.faces]
    assert areas == pytest.approx([96 * 96, 48 * 48, 48 * 48], rel=0.05)


def test_every_encoder_embeds_the_same_faces_at_unit_length(looker: Looker, make: SimpleNamespace) -> None:
    seen = look(looker, make.face_picture(faces=(("red", 128, 96), ("green", 32, 256))))
    assert len(seen.faces) == 2
    for face in seen.faces:
        assert set(face.embeddings) == {"conditioning", "scoring"}
        for embedding in face.embeddings.values():
            assert len(embedding) == 512
            assert math.sqrt(sum(v * v for v in embedding)) == pytest.approx(1, abs=1e-6)
        assert abs(np.dot(face.embeddings["conditioning"], face.embeddings["scoring"])) < 0.3
    first, second = (face.embeddings["scoring"] for face in seen.faces)
    assert np.dot(first, second) < 0.999


def test_the_detector_runs_once_per_picture(
    tiny_pack: Path, make: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    looker = Looker(read_pack(tiny_pack), ("conditioning", "scoring"), threads=1)
    real, calls = looker._detector.detect, []

    def counted(*arguments: Any, **named: Any) -> Any:
        calls.append(1)
        return real(*arguments, **named)

    monkeypatch.setattr(looker._detector, "detect", counted)
    look(looker, make.face_picture())
    assert len(calls) == 1


def test_a_face_that_fills_the_picture_is_found_with_a_border(looker: Looker, monkeypatch: pytest.MonkeyPatch) -> None:
    real, shapes = looker._detector.detect, []

    def only_small_faces(bgr: np.ndarray, **named: Any) -> Any:
        shapes.append(bgr.shape)
        boxes, points = real(bgr, **named)
        return (boxes[:0], points[:0]) if len(shapes) == 1 else (boxes, points)

    monkeypatch.setattr(looker._detector, "detect", only_small_faces)
    picture = Image.new("RGB", (160, 160), (128, 128, 128))
    picture.paste((255, 0, 0), (48, 48, 80, 80))  # with the border: a cell of 32 px in 320 x 320
    (face,) = look(looker, picture).faces
    assert shapes == [(160, 160, 3), (320, 320, 3)]
    assert np.allclose(face.box, (0, 0, 96, 96), atol=2)
    assert np.allclose(face.keypoints[2], (48, 48), atol=2)


@pytest.mark.parametrize("size", [(1, 1), (3000, 2), (15, 200)])
def test_slivers_have_no_faces(looker: Looker, size: tuple[int, int]) -> None:
    assert look(looker, Image.new("RGB", size, (255, 0, 0))).faces == ()


def test_a_picture_without_a_face_is_looked_at_all_the_same(looker: Looker) -> None:
    seen = look(looker, Image.new("RGB", (100, 80), (20, 60, 160)))
    assert seen.faces == ()
    assert seen.colours == (("#143ca0", 1.0),)
    assert seen.brightness == pytest.approx(0.23, abs=0.01)


def test_without_encoders_only_the_picture_is_measured(tiny_pack: Path, make: SimpleNamespace) -> None:
    assert look(Looker(read_pack(tiny_pack), (), threads=1), make.face_picture()).faces == ()


def test_what_was_seen_goes_through_json(looker: Looker, make: SimpleNamespace) -> None:
    seen = look(looker, make.face_picture())
    assert looked_from_json(looked_json(seen)) == seen


# -------------------------------------------------------------------------------------------------------- yaw
def turned(degrees: float, roll: float = 0.0) -> np.ndarray:
    """Five points of a head turned to the right by `degrees`: eyes 64 mm apart, the nose tip 34 mm in front."""
    head = np.array([(-32, 0, 0), (32, 0, 0), (0, 38, 34), (-25, 72, 0), (25, 72, 0)], float)
    a, r = math.radians(degrees), math.radians(roll)
    x, y = head[:, 0] * math.cos(a) + head[:, 2] * math.sin(a), head[:, 1]
    return np.stack([x * math.cos(r) - y * math.sin(r), x * math.sin(r) + y * math.cos(r)], 1) * 1.7 + 200


@pytest.mark.parametrize("degrees", [-80, -45, -20, 0, 10, 45, 70])
@pytest.mark.parametrize("roll", [-30, 0, 25])
def test_yaw_is_that_of_the_head_whatever_its_roll(degrees: float, roll: float) -> None:
    assert yaw(turned(degrees, roll)) == pytest.approx(degrees, abs=2)


def test_a_frontal_face_has_no_yaw() -> None:
    assert abs(yaw(FRONTAL)) < 3
    assert yaw([(5, 5)] * 5) == 0


# ---------------------------------------------------------------------------------------------------- loading
@pytest.fixture
def spoiled(tiny_pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to spoil; asking insightface to download fails the test."""

    def never(*arguments: Any, **named: Any) -> None:
        pytest.fail("insightface went looking for a download")

    monkeypatch.setattr(face_analysis, "ensure_available", never)
    return Path(shutil.copytree(tiny_pack, tmp_path / "pack"))


def test_an_absent_pack_is_never_downloaded(spoiled: Path, make: SimpleNamespace) -> None:
    shutil.rmtree(spoiled / "identity" / "scoring")
    make.relist(spoiled)
    with pytest.raises(PackError, match="identity/scoring holds no ONNX models"):
        Looker(read_pack(spoiled), ("scoring",), threads=1)


def test_a_changed_model_is_refused(spoiled: Path) -> None:
    path = spoiled / "identity" / "scoring" / "encoder.onnx"
    path.write_bytes(path.read_bytes() + b"\0")
    Looker(read_pack(spoiled), ("conditioning",), threads=1)
    with pytest.raises(PackError, match="another hash"):
        Looker(read_pack(spoiled), ("scoring",), threads=1)


@pytest.mark.parametrize(
    ("gone", "sentence"), [("detector", "holds no face detector"), ("encoder", "holds no face encoder")]
)
def test_half_a_pack_says_what_is_missing(spoiled: Path, make: SimpleNamespace, gone: str, sentence: str) -> None:
    (spoiled / "identity" / "scoring" / f"{gone}.onnx").unlink()
    make.relist(spoiled)
    with pytest.raises(PackError, match=sentence):
        Looker(read_pack(spoiled), ("scoring",), threads=1)


def test_an_encoder_that_the_pack_lacks_is_named(tiny_pack: Path) -> None:
    with pytest.raises(PackError, match="no encoder other; it has conditioning, scoring"):
        Looker(read_pack(tiny_pack), ("other",), threads=1)
