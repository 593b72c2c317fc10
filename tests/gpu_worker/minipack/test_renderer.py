from __future__ import annotations

import dataclasses
import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpu_worker.minipack import people, splits
from gpu_worker.minipack.renderer import (
    Placed,
    Scene,
    caption,
    face_geometry,
    identity,
    nuisance,
    render,
    render_group,
    vocabulary,
)
from gpu_worker.minipack.renderer.scene import BACKGROUNDS, EXPRESSIONS, OUTFITS


def difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.abs(a.astype(int) - b.astype(int)).max(2)


def test_the_same_person_and_scene_give_the_same_pixels() -> None:
    person, scene = identity(5), nuisance(np.random.default_rng(1))
    first = render(person, scene, 96)
    assert first.shape == (96, 96, 3)
    assert (first == render(identity(5), nuisance(np.random.default_rng(1)), 96)).all()


def test_seeds_give_different_people() -> None:
    assert len({dataclasses.replace(identity(seed), seed=0) for seed in range(60)}) == 60


def test_the_background_changes_without_the_face() -> None:
    person = identity(11)
    a, b = (render(person, Scene(background=place), 128) for place in ("studio", "forest"))
    changed = difference(a, b) > 8
    left, top, right, bottom = (round(v) for v in face_geometry(person, Scene(), 128).box)
    assert changed[:20].mean() > 0.5
    inner = changed[top + 12 : (top + bottom) // 2, left + 12 : right - 12]  # the box's lower corners show the place
    assert inner.mean() == 0


def test_the_outfit_changes_without_the_face_or_the_place() -> None:
    person = identity(12)
    a, b = (render(person, Scene(outfit="suit", colour=colour), 128) for colour in ("green", "orange"))
    changed = difference(a, b) > 8
    assert changed[110:].mean() > 0.2
    assert changed[:64].mean() == 0


def test_the_expression_changes_the_face_only() -> None:
    person = identity(13)
    pictures = [render(person, Scene(expression=mood), 128) for mood in EXPRESSIONS]
    left, top, right, bottom = (round(v) for v in face_geometry(person, Scene(), 128).box)
    for a, b in itertools.combinations(pictures, 2):
        changed = difference(a, b) > 8
        assert changed[top:bottom, left:right].mean() > 0.01
        assert not changed[:, : max(0, left - 14)].any()


@pytest.mark.parametrize("seed", range(12))
def test_keypoints_lie_in_the_face_in_the_agreed_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    face = face_geometry(identity(seed), nuisance(rng), 200)
    left, top, right, bottom = face.box
    points = np.array(face.keypoints)
    assert 0 < left < right < 200
    assert 0 < top < bottom < 200
    assert (points > [left, top]).all()
    assert (points < [right, bottom]).all()
    one, two, nose, corner, other = points
    assert one[0] < two[0]
    assert corner[0] < other[0]
    assert max(one[1], two[1]) < nose[1] < min(corner[1], other[1]) + 12


def test_eyes_are_where_the_keypoints_say() -> None:
    person = dataclasses.replace(identity(4), glasses="none", eye=(10.0, 200.0, 10.0))
    face, picture = face_geometry(person, Scene(), 256), render(person, Scene(), 256)
    for x, y in face.keypoints[:2]:
        around = picture[round(y) - 9 : round(y) + 10, round(x) - 9 : round(x) + 10].astype(int)
        green = (around[..., 1] > around[..., 0] + 40) & (around[..., 1] > around[..., 2] + 40)
        assert green.sum() > 20


def test_a_group_shows_everyone_where_it_says() -> None:
    rng = np.random.default_rng(3)
    placed = [Placed(identity(k), nuisance(rng), x, 128, 0.4) for k, x in enumerate((45, 128, 211))]
    picture, faces = render_group(placed, Scene(background="park"), 240)
    assert picture.shape == (240, 240, 3)
    middles = [(face.box[0] + face.box[2]) / 2 for face in faces]
    assert [round(m / 240 * 3 - 0.5) for m in middles] == [0, 1, 2]


def test_captions_use_known_words_only() -> None:
    known = set(vocabulary())
    for seed in range(80):
        person, scene = identity(seed), nuisance(np.random.default_rng(seed))
        for full in (True, False):
            assert set(caption(person, scene, full).replace(",", "").split()) <= known
    assert "sks" in known


def test_a_full_caption_names_traits_and_scene() -> None:
    person = dataclasses.replace(identity(1), hair_name="ginger", hair_style="short", glasses="round")
    scene = Scene(expression="happy", outfit="hoodie", colour="teal", background="beach")
    text = caption(person, scene)
    assert "ginger short hair" in text
    assert "round glasses" in text
    assert "happy, wearing a teal hoodie, beach background" in text
    assert "ginger" not in caption(person, scene, full=False)


def test_splits_never_share_a_person() -> None:
    for a, b in itertools.combinations(splits.ALL, 2):
        assert not range(max(a.first, b.first), min(a.seeds().stop, b.seeds().stop))


# ------------------------------------------------------------------------------------------------- sample persons
def test_references_are_real_files_of_one_person(tmp_path: Path) -> None:
    paths = people.write_references(tmp_path, seed=8, count=6, size=256)
    assert [path.suffix for path in paths] == [".png", ".jpg"] * 3
    for path in paths:
        with Image.open(path) as picture:
            assert picture.format == {".png": "PNG", ".jpg": "JPEG"}[path.suffix]
            assert picture.size == (256, 256)
            assert picture.mode == "RGB"
    again = people.write_references(tmp_path / "again", seed=8, count=6, size=256)
    assert [path.read_bytes() for path in paths] == [path.read_bytes() for path in again]


def test_references_vary() -> None:
    scenes = people.sample_scenes(seed=2, count=10)
    assert {scene.expression for scene in scenes} == set(EXPRESSIONS)
    assert {scene.background for scene in scenes} == set(BACKGROUNDS)
    assert {scene.outfit for scene in scenes} == set(OUTFITS)
    assert min(scene.yaw for scene in scenes) < -15 < 15 < max(scene.yaw for scene in scenes)
    assert scenes[0].yaw == 0


def test_a_description_names_nobody() -> None:
    words = people.describe(people.sample_person(5))
    assert {"hair", "eyes", "skin", "age", "traits"} <= set(words)
    assert set(str(words["prompt"]).replace(",", "").split()) <= set(vocabulary())


def test_unknown_sample_persons_are_refused() -> None:
    with pytest.raises(ValueError, match="no sample person"):
        people.sample_person(-1)


def test_sample_persons_need_no_torch() -> None:
    code = "import sys, gpu_worker.minipack.people; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
