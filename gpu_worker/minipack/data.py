"""Stage `data`: render the pictures that the models are trained on, as uint8 arrays on disk.

    generator.npy      48,000 portraits, 128 px
    conditioning.npy   30,000 aligned face crops, 112 px; `scoring.npy` the same of other people
    detector.npy       6,000 scenes with 0 to 3 faces, 384 px; `detector.npz` holds boxes and keypoints
    calibration.npy, evaluation.npy   portraits, 128 px

A file that exists is complete and is kept, so the stage can be stopped and started again.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import splits
from .renderer import Face, Identity, Placed, Scene, face_geometry, identity, nuisance, render, render_group
from .splits import Split

PORTRAIT, CROP, SCENE = 128, 112, 384
MOST_FACES = 3
Pixels = NDArray[np.uint8]


def scenes_of(seed: int, count: int) -> list[Scene]:
    """The scenes in which a split shows one identity."""
    rng = np.random.default_rng((seed, 0x5C))
    return [nuisance(rng) for _ in range(count)]


def scene_of(split: Split, index: int) -> tuple[Identity, Scene]:
    """Person and scene of the picture at `index` of a split's array."""
    seed = split.first + index // split.pictures
    return identity(seed), scenes_of(seed, split.pictures)[index % split.pictures]


def aligned(picture: Pixels, keypoints: NDArray[np.float64]) -> Pixels:
    """112x112 crop, made by insightface's own alignment."""
    from insightface.utils import face_align

    return np.asarray(face_align.norm_crop(picture, keypoints.astype(np.float32), image_size=CROP), np.uint8)


def make(
    work: Path, *, only: Iterable[Split] = splits.ALL, processes: int = 2, log: Callable[[str], None] = print
) -> None:
    """Render every split of `only` that is not there yet."""
    wanted = frozenset(only)
    jobs: list[tuple[Split, Callable[[int, int], Any], tuple[int, ...]]] = [
        (splits.GENERATOR, _portraits, (PORTRAIT, PORTRAIT, 3)),
        (splits.CONDITIONING, _crops, (CROP, CROP, 3)),
        (splits.SCORING, _crops, (CROP, CROP, 3)),
        (splits.EVALUATION, _portraits, (PORTRAIT, PORTRAIT, 3)),
        (splits.CALIBRATION, _portraits, (PORTRAIT, PORTRAIT, 3)),
        (splits.DETECTOR, _scene, (SCENE, SCENE, 3)),
    ]
    work.mkdir(parents=True, exist_ok=True)
    for split, painter, shape in jobs:
        path = work / f"{split.name}.npy"
        if split not in wanted or path.exists():
            continue
        part = path.with_suffix(".part.npy")
        out = np.lib.format.open_memmap(
            part, mode="w+", dtype=np.uint8, shape=(split.identities * split.pictures, *shape)
        )
        truth: list[Any] = []
        with multiprocessing.get_context("spawn").Pool(processes, _quiet) as pool:
            work_list: Iterable[tuple[int, int]] = ((seed, split.pictures) for seed in split.seeds())
            for k, (pictures, faces) in enumerate(pool.imap(_Task(painter), work_list, chunksize=16)):
                out[k * split.pictures : (k + 1) * split.pictures] = pictures
                truth.append(faces)
        out.flush()
        if split is splits.DETECTOR:
            _save_truth(work / "detector.npz", truth)
        part.rename(path)
        log(f"data: {split.name} is ready, {len(out)} pictures")


class _Task:
    """A painter with its arguments unpacked; at module level so that it can be sent to another process."""

    def __init__(self, painter: Callable[[int, int], Any]) -> None:
        self.painter = painter

    def __call__(self, task: tuple[int, int]) -> Any:
        return self.painter(*task)


def _quiet() -> None:
    import cv2

    cv2.setNumThreads(1)


def _portraits(seed: int, count: int) -> tuple[Pixels, None]:
    person = identity(seed)
    return np.stack([render(person, scene, PORTRAIT) for scene in scenes_of(seed, count)]), None


def _crops(seed: int, count: int) -> tuple[Pixels, None]:
    """Aligned crops from portraits of several sizes, with keypoints as inexact as a detector's."""
    person, rng, out = identity(seed), np.random.default_rng((seed, 0xC4)), []
    for scene in scenes_of(seed, count):
        size = int(rng.choice([112, 128, 128, 160, 224]))
        points = np.array(face_geometry(person, scene, size).keypoints)
        points = points + rng.normal(0, 0.022 * np.linalg.norm(points[1] - points[0]), points.shape)
        out.append(aligned(render(person, scene, size, supersample=2 if size > 128 else 3), points))
    return np.stack(out), None


def group_scene(rng: np.random.Generator, seeds: list[int], size: int = SCENE) -> tuple[Pixels, list[Face]]:
    """A picture with one person per seed, spread from left to right at very different sizes (none: an empty place)."""
    people, background = [], nuisance(rng)
    count = max(1, len(seeds))
    for k, seed in enumerate(seeds):
        widest = {1: 1.15, 2: 0.62, 3: 0.42}[count]
        scale = float(np.exp(rng.uniform(np.log(0.16), np.log(widest))))
        lane = 256 / count
        reach = max(0.0, lane / 2 - 62 * scale)
        x = lane * (k + 0.5) + rng.uniform(-reach, reach)
        low, high = min(90 * scale, 128), max(256 - 92 * scale, 128)
        people.append(Placed(identity(seed), nuisance(rng), x, float(rng.uniform(low, high)), scale))
    return render_group(people, background, size)


def _scene(seed: int, count: int) -> tuple[Pixels, list[Face]]:
    rng = np.random.default_rng((seed, 0xDE))
    seeds = [
        splits.DETECTOR.first + int(s)
        for s in rng.integers(0, splits.DETECTOR.identities, int(rng.choice(4, p=[0.16, 0.4, 0.24, 0.2])))
    ]
    picture, faces = group_scene(rng, seeds)
    return picture[None], faces


def _save_truth(path: Path, truth: list[list[Face]]) -> None:
    boxes = np.full((len(truth), MOST_FACES, 4), np.nan, np.float32)
    points = np.full((len(truth), MOST_FACES, 5, 2), np.nan, np.float32)
    for k, faces in enumerate(truth):
        for j, face in enumerate(faces):
            boxes[k, j], points[k, j] = face.box, face.keypoints
    np.savez_compressed(path, boxes=boxes, keypoints=points)
