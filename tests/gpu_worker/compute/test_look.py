from __future__ import annotations

import dataclasses
import json
import math
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import insightface.app.face_analysis as face_analysis
import numpy as np
import pytest
from insightface.app import FaceAnalysis
from insightface.utils import face_align
from PIL import Image

from gpu_worker.contracts import Face, Looked, RunError, looked_from_json
from gpu_worker.packs import PackError, read_pack
from gpu_worker.runner.warm import looked_json
from gpu_worker.scorers.faces import crop
from gpu_worker.scorers.look import NOTHING, Looker, yaw

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


def test_a_picture_is_detected_once_whatever_the_number_of_encoders(
    looker: Looker, make: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = looker._detector
    assert detector is not None
    real, calls = detector.detect, []

    def counted(pictures: Any, **named: Any) -> Any:
        calls.append(len(pictures))
        return real(pictures, **named)

    monkeypatch.setattr(detector, "detect", counted)
    looker.look_many([np.asarray(make.face_picture())] * 3)
    assert sum(calls) == 3


def test_a_face_that_fills_the_picture_is_found_with_a_border(looker: Looker, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = looker._detector
    assert detector is not None
    real, shapes = detector.detect, []

    def only_small_faces(pictures: Any, **named: Any) -> Any:
        shapes.append(pictures[0].shape)
        return [NOTHING] if len(shapes) == 1 else real(pictures, **named)

    monkeypatch.setattr(detector, "detect", only_small_faces)
    picture = Image.new("RGB", (160, 160), (128, 128, 128))
    picture.paste((255, 0, 0), (48, 48, 80, 80))  # with the border: a cell of 32 px in 320 x 320
    (face,) = look(looker, picture).faces
    assert shapes == [(160, 160, 3), (320, 320, 3)]
    assert np.allclose(face.box, (0, 0, 96, 96), atol=2)
    assert np.allclose(face.keypoints[2], (48, 48), atol=2)


def test_a_large_picture_gets_its_border_at_the_size_of_the_search(
    looker: Looker, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = looker._detector
    assert detector is not None
    real, shapes = detector.detect, []

    def only_small_faces(pictures: Any, **named: Any) -> Any:
        shapes.append(pictures[0].shape)
        return [NOTHING] if len(shapes) == 1 else real(pictures, **named)

    monkeypatch.setattr(detector, "detect", only_small_faces)
    picture = Image.new("RGB", (1600, 800), (128, 128, 128))
    picture.paste((255, 0, 0), (480, 240, 800, 560))  # with the border: a cell of 32 px in 320 x 160
    (face,) = look(looker, picture).faces
    assert shapes == [(800, 1600, 3), (160, 320, 3)]
    assert np.allclose(face.box, (0, 0, 960, 720), atol=20)
    assert np.allclose(face.keypoints[2], (480, 240), atol=20)


@pytest.mark.parametrize("size", [(1, 1), (3000, 2), (15, 200), (6400, 16), (16, 6400)])
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


# ----------------------------------------------------------------------------------------------- many at once
def plain_loop(pack: Path, encoder: str) -> Any:
    """insightface as its users call it: one picture after the other."""
    app = FaceAnalysis(name=str(pack / "identity" / encoder), allowed_modules=["detection", "recognition"])
    app.prepare(ctx_id=0, det_thresh=0.5, det_size=(320, 320))
    return app


def assorted(make: SimpleNamespace) -> list[Any]:
    """Pictures of many sizes and shapes, with none to three faces."""
    faces = [("red", 128, 96), ("green", 32, 160), ("green", 256, 32)]
    rng = np.random.default_rng(4)
    found = []
    for n in range(23):
        side = (320, 640, 96, 200, 64, 333, 1000)[n % 7]
        whole = np.array(make.face_picture(side, side, faces=tuple(faces[: n % 4])))
        part = whole[: side * 2 // 3] if n % 3 else whole  # the lower part is empty
        found.append(np.clip(part + rng.integers(-9, 10, part.shape), 0, 255).astype(np.uint8))
    return found


def check_as_plain(found: list[tuple[Face, ...]], pictures: list[Any], pack: Path, encoders: tuple[str, ...]) -> int:
    """Every face of insightface's own loop is there with the same box, keypoints and embeddings. Returns how many."""
    for encoder in encoders:
        app, count = plain_loop(pack, encoder), 0
        for picture, faces in zip(pictures, found, strict=True):
            plain = app.get(np.ascontiguousarray(picture[:, :, ::-1]))
            if plain:
                assert len(plain) == len(faces)
            for one in plain:
                height, width = picture.shape[:2]
                box = np.clip(one.bbox, 0, [width, height, width, height])
                mine = min(faces, key=lambda face: float(np.abs(np.array(face.box) - box).max()))
                assert np.allclose(mine.box, box, atol=0.05)
                assert np.allclose(mine.keypoints, one.kps, atol=0.05)
                assert np.dot(mine.embeddings[encoder], one.normed_embedding) > 0.9999
                count += 1
    return count


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_many_pictures_give_what_the_plain_loop_gives(tiny_pack: Path, make: SimpleNamespace, threads: int) -> None:
    encoders, pictures = ("conditioning", "scoring"), assorted(make)
    looker = Looker(read_pack(tiny_pack), encoders, threads=threads)
    assert check_as_plain(looker.faces_many(pictures), pictures, tiny_pack, encoders) > 20


@pytest.mark.parametrize("threads", [1, 3])
def test_many_are_looked_at_as_each_alone(tiny_pack: Path, make: SimpleNamespace, threads: int) -> None:
    looker, pictures = Looker(read_pack(tiny_pack), ("scoring",), threads=threads), assorted(make)
    for alone, together in zip(map(looker.look, pictures), looker.look_many(pictures), strict=True):
        one, other = dataclasses.asdict(alone), dataclasses.asdict(together)
        faces, others = one.pop("faces"), other.pop("faces")
        assert one == other
        for face, twin in zip(faces, others, strict=True):
            assert np.allclose(face["embeddings"]["scoring"], twin["embeddings"]["scoring"], atol=1e-5)
            assert np.allclose(face["box"], twin["box"], atol=1e-3)
            assert face["outfit"] == twin["outfit"]
    assert looker.look_many([]) == []


def test_a_detector_with_a_batch_axis_takes_several_pictures_in_one_run(
    tiny_pack: Path, tmp_path: Path, make: SimpleNamespace
) -> None:
    batched = Path(shutil.copytree(tiny_pack, tmp_path / "pack"))
    for encoder in ("conditioning", "scoring"):
        make.write_detector(batched / "identity" / encoder / "detector.onnx", batched=True)
    make.relist(batched)
    pictures = assorted(make)
    looker = Looker(read_pack(batched), ("scoring",), threads=2)
    assert looker._detector is not None
    assert looker._detector.is_batched
    found = looker.faces_many(pictures)
    assert check_as_plain(found, pictures, batched, ("scoring",)) > 20
    one_by_one = Looker(read_pack(tiny_pack), ("scoring",), threads=2)
    assert one_by_one._detector is not None
    assert not one_by_one._detector.is_batched
    assert [len(faces) for faces in one_by_one.faces_many(pictures)] == [len(faces) for faces in found]


def test_finds_at_several_sizes_are_merged(tiny_pack: Path, tmp_path: Path, make: SimpleNamespace) -> None:
    pack = Path(shutil.copytree(tiny_pack, tmp_path / "pack"))
    manifest = json.loads((pack / "pack.json").read_text())
    (pack / "pack.json").write_text(json.dumps(manifest | {"detection": {"sizes": [320, 640], "threshold": 0.5}}))
    pictures = [np.asarray(make.face_picture()), np.asarray(make.face_picture(500, 200))]
    found = Looker(read_pack(pack), ("scoring",), threads=1).faces_many(pictures)
    app = plain_loop(pack, "scoring")
    app.prepare(ctx_id=0, det_thresh=0.5, det_size=[(320, 320), (640, 640)])
    for picture, faces in zip(pictures, found, strict=True):
        plain = app.get(np.ascontiguousarray(picture[:, :, ::-1]))
        assert len(plain) == len(faces) >= 1
        assert sorted(round(float(face.det_score), 4) for face in plain) == sorted(
            round(face.confidence, 4) for face in faces
        )


def test_of_very_many_faces_the_largest_stay(tiny_pack: Path, make: SimpleNamespace) -> None:
    crowd = tuple(("green", 48 * k % 288, 48 * (k // 6)) for k in range(36))
    seen = Looker(read_pack(tiny_pack), ("scoring",), threads=1).look(np.asarray(make.face_picture(faces=crowd)))
    assert len(seen.faces) == 32


def test_files_are_read_on_the_way_and_one_that_cannot_be_read_says_so(
    looker: Looker, make: SimpleNamespace, tmp_path: Path
) -> None:
    files = [tmp_path / f"{n}.png" for n in range(12)]
    for n, file in enumerate(files):
        make.face_picture(100 + n, 100).save(file)
    files[7].write_text("no picture")
    answers = list(looker.look_each(files))
    assert isinstance(answers.pop(7), RunError)
    assert [a.width for a in answers if isinstance(a, Looked)] == [100, 101, 102, 103, 104, 105, 106, *range(108, 112)]
    with pytest.raises(RunError, match=r"7\.png cannot be read"):
        looker.look_many(files)


@pytest.mark.parametrize("side", [112, 128, 224])
def test_faces_are_aligned_as_insightface_aligns_them(side: int) -> None:
    rng = np.random.default_rng(side)
    picture = cv2.GaussianBlur(rng.integers(0, 256, (300, 400, 3), dtype=np.uint8), (0, 0), 3)
    for roll in (-60, 0, 25, 180):
        points = (turned(20, roll) + rng.normal(0, 2, (5, 2))).astype(np.float32)
        expected = face_align.norm_crop(picture, points, image_size=side)
        assert np.abs(crop(np.asarray(picture), points, side).astype(int) - expected).max() <= 1


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
