"""What the models learn from: who is in which file, and that a few people suffice to run everything."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from gpu_worker.minipack import data, splits
from gpu_worker.minipack.renderer import face_geometry, identity, nuisance, render, render_group

MADE = (splits.GENERATOR, splits.CODEC, splits.WIDE, splits.AUDIT, splits.DETECTOR)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data")
    data.make(path, only=MADE, scale=0, processes=1, log=lambda _: None)
    return path


def test_nobody_serves_two_purposes() -> None:
    for one, other in itertools.combinations(splits.ALL, 2):
        assert not set(one.seeds()) & set(other.seeds()), (one.name, other.name)
    assert set(splits.CODEC.seeds()) <= set(splits.GENERATOR.seeds())
    assert splits.CALIBRATION.identities >= 500


def test_a_scale_keeps_a_dozen_people_at_least_and_all_at_most() -> None:
    assert splits.GENERATOR.scaled(0).identities == splits.FEWEST
    assert splits.GENERATOR.scaled(0.5).identities == splits.GENERATOR.identities // 2
    assert splits.EVALUATION.scaled(7).identities == splits.EVALUATION.identities


def test_files_say_how_many_people_they_show(work: Path) -> None:
    for split in MADE:
        assert data.held(work, split) == split.scaled(0)
    assert not list(work.glob("*.part.npy"))


def test_what_is_there_is_not_painted_again(work: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in work.iterdir()}
    data.make(work, only=MADE, scale=1, processes=1, log=lambda _: None)
    assert {path.name: path.stat().st_mtime_ns for path in work.iterdir()} == before


def test_portraits_can_be_painted_again_from_their_place(work: Path) -> None:
    images = np.load(work / "generator.npy")
    for index in (0, 7, 53):
        person, scene = data.scene_of(splits.GENERATOR, index)
        assert person == identity(index // splits.GENERATOR.pictures)
        assert scene == data.scenes_of(person.seed, splits.GENERATOR.pictures)[index % splits.GENERATOR.pictures]
        assert (images[index] == render(person, scene, data.PORTRAIT, supersample=2)).all()


def test_small_portraits_are_nearly_the_mean_of_large_ones(work: Path) -> None:
    large, small = np.load(work / "codec.npy"), np.load(work / "generator.npy")[:: splits.GENERATOR.pictures]
    mean = large.reshape(len(large), data.PORTRAIT, 2, data.PORTRAIT, 2, 3).mean((2, 4))
    assert np.abs(mean - small).mean() < 4


def test_wide_pictures_say_who_is_where(work: Path) -> None:
    images, truth = np.load(work / "wide.npy"), np.load(work / "wide.npz")
    assert images.shape[1:] == (data.PORTRAIT, 2 * data.PORTRAIT, 3)
    assert (truth["seeds"][:, 0] != truth["seeds"][:, 1]).all()
    assert truth["seeds"].max() < splits.GENERATOR.scaled(0).identities
    x = truth["keypoints"][..., 0]
    assert (x[:, 0] < data.PORTRAIT).all()
    assert (x[:, 1] > data.PORTRAIT).all()
    placed, background = data.wide_of(3, *truth["seeds"][3])
    again, faces = render_group(placed, background, data.PORTRAIT, width=2 * data.PORTRAIT)
    assert (again == images[3]).all()
    assert np.allclose([face.keypoints for face in faces], truth["keypoints"][3], atol=1e-3)


def test_scenes_for_the_detector_hold_the_faces_they_name(work: Path) -> None:
    images, truth = np.load(work / "detector.npy"), np.load(work / "detector.npz")
    there = ~np.isnan(truth["boxes"][..., 0])
    assert images.shape[1:] == (data.SCENE, data.SCENE, 3)
    assert there.any()
    assert (np.isnan(truth["keypoints"]).any((2, 3)) == ~there).all()


@pytest.mark.parametrize("shot", data.CROP_SIZES)
def test_cropped_faces_are_at_least_24_pixels_high(shot: str) -> None:
    rng = np.random.default_rng(4)
    for seed in range(100_000, 100_060):
        box = face_geometry(identity(seed), nuisance(rng, shot=shot), min(data.CROP_SIZES[shot])).box
        assert box[3] - box[1] >= 24


def test_crops_are_aligned(work: Path) -> None:
    crops = np.load(work / "audit.npy")
    assert crops.shape == (120, data.CROP, data.CROP, 3)
    assert len({crop.tobytes() for crop in crops}) == len(crops)


def test_figures_wear_one_outfit_and_then_another() -> None:
    for seed in range(350_000, 350_030):
        worn = [(scene.outfit, scene.colour) for scene in data.figures_of(seed, 8)]
        assert len(set(worn[:4])) == len(set(worn[4:])) == 1
        assert worn[0][0] != worn[4][0]
        assert worn[0][1] != worn[4][1]
