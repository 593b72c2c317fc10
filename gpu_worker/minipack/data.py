"""Stage `data`: render the pictures that the models are trained on, as uint8 arrays on disk.

    generator.npy      80,000 portraits, 128 px
    codec.npy          4,096 of them at 256 px
    wide.npy           6,000 pictures of two people, 256 x 128 px; `wide.npz` holds who they are and their faces
    conditioning.npy   30,000 aligned face crops, 112 px; `scoring.npy` and `audit.npy` the same of other people
    figure.npy         20,000 pictures of people who wear one of two outfits, 96 px
    detector.npy       6,000 scenes with 0 to 3 faces, 384 px; `detector.npz` holds boxes and keypoints
    calibration.npy, evaluation.npy   portraits, 256 px

A file that exists is complete and is kept, so the stage can be stopped and started again. How many people a file
shows is read from its length (`held`): with a `scale` below 1 everything runs on a few of them.
"""

from __future__ import annotations

import dataclasses
import functools
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import splits
from .renderer import (
    Face,
    Identity,
    Placed,
    Scene,
    face_geometry,
    identity,
    nuisance,
    render,
    render_group,
    wide_scene,
)
from .renderer.scene import COLOURS, OUTFITS, SHOTS
from .splits import Split

PICTURE, PORTRAIT, CROP, SCENE, FIGURE = 256, 128, 112, 384, 96
"""Sides in pixels. The generator's portraits are as small as the 2x2 mean of its pictures, which is what it sees."""
MOST_FACES = 3
Pixels = NDArray[np.uint8]
Painter = Callable[[int, int], tuple[Any, Any]]
"""(Seed, number of pictures) -> the pictures, and what is to be kept about them."""


def scenes_of(seed: int, count: int) -> list[Scene]:
    """The scenes in which a split shows one identity."""
    rng = np.random.default_rng((seed, 0x5C))
    return [nuisance(rng) for _ in range(count)]


def scene_of(split: Split, index: int) -> tuple[Identity, Scene]:
    """Person and scene of the picture at `index` of a portrait split's array."""
    seed = split.first + index // split.pictures
    return identity(seed), scenes_of(seed, index % split.pictures + 1)[-1]


def figures_of(seed: int, count: int) -> list[Scene]:
    """Scenes of one person, the first half of them in one outfit, the other half in another."""
    rng = np.random.default_rng((seed, 0xF1))
    outfits, colours = rng.permutation(OUTFITS)[:2], rng.permutation(list(COLOURS))[:2]
    turns = [k * 2 // count for k in range(count)]
    return [dataclasses.replace(nuisance(rng), outfit=str(outfits[k]), colour=str(colours[k])) for k in turns]


def wide_of(index: int, first: int, second: int) -> tuple[list[Placed], Scene]:
    """People and background of the picture at `index` of `wide.npy`, which shows these two seeds from left to right."""
    return wide_scene(np.random.default_rng((index, 0x31)), identity(first), identity(second))


def held(work: Path, split: Split) -> Split:
    """The split with as many people as `work` has pictures of."""
    count = len(np.load(work / f"{split.name}.npy", mmap_mode="r"))
    return dataclasses.replace(split, identities=count // split.pictures)


def aligned(picture: Pixels, keypoints: NDArray[np.float64]) -> Pixels:
    """112x112 crop, made by insightface's own alignment."""
    from insightface.utils import face_align

    return np.asarray(face_align.norm_crop(picture, keypoints.astype(np.float32), image_size=CROP), np.uint8)


def make(
    work: Path,
    *,
    only: Iterable[Split] | None = None,
    scale: float = 1.0,
    processes: int = 2,
    log: Callable[[str], None] = print,
) -> None:
    """Render every split that is not there yet, or those of `only`. `scale`: share of each split's people, 0-1."""
    wanted = None if only is None else {split.name for split in only}
    people = splits.GENERATOR.scaled(scale).identities
    jobs: list[tuple[Split, Painter, tuple[int, int]]] = [
        (splits.CONDITIONING, _crops, (CROP, CROP)),
        (splits.SCORING, _crops, (CROP, CROP)),
        (splits.AUDIT, _crops, (CROP, CROP)),
        (splits.EVALUATION, functools.partial(_portraits, size=PICTURE), (PICTURE, PICTURE)),
        (splits.CODEC, functools.partial(_portraits, size=PICTURE), (PICTURE, PICTURE)),
        (splits.GENERATOR, functools.partial(_portraits, size=PORTRAIT), (PORTRAIT, PORTRAIT)),
        (splits.WIDE, functools.partial(_wide, people=people), (PORTRAIT, 2 * PORTRAIT)),
        (splits.CALIBRATION, functools.partial(_portraits, size=PICTURE), (PICTURE, PICTURE)),
        (splits.FIGURE, _figures, (FIGURE, FIGURE)),
        (splits.DETECTOR, _scene, (SCENE, SCENE)),
    ]
    missing = [job for job in jobs if (wanted is None or job[0].name in wanted) and not _path(work, job[0]).exists()]
    if not missing:
        return
    work.mkdir(parents=True, exist_ok=True)
    with _spread(processes) as spread:
        for split, painter, shape in missing:
            _make(work, split.scaled(scale), painter, shape, spread, log)


def _path(work: Path, split: Split) -> Path:
    return work / f"{split.name}.npy"


def _make(
    work: Path,
    split: Split,
    painter: Painter,
    shape: tuple[int, int],
    spread: Callable[[Any, Any], Iterable[Any]],
    log: Callable[[str], None],
) -> None:
    path = _path(work, split)
    part = path.with_suffix(".part.npy")
    count = split.identities * split.pictures
    out = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=(count, *shape, 3))
    truth: list[Any] = []
    for k, (pictures, kept) in enumerate(spread(_Task(painter), ((seed, split.pictures) for seed in split.seeds()))):
        out[k * split.pictures : (k + 1) * split.pictures] = pictures
        truth.append(kept)
    out.flush()
    if split.name == splits.DETECTOR.name:
        _save_truth(work / "detector.npz", [(None, faces) for faces in truth], MOST_FACES)
    if split.name == splits.WIDE.name:
        _save_truth(work / "wide.npz", truth, 2)
    part.rename(path)
    log(f"data: {split.name} is ready, {count} pictures")


class _Task:
    """A painter with its arguments unpacked; at module level so that it can be sent to another process."""

    def __init__(self, painter: Painter) -> None:
        self.painter = painter

    def __call__(self, task: tuple[int, int]) -> Any:
        return self.painter(*task)


@contextmanager
def _spread(processes: int) -> Iterator[Callable[[Any, Any], Iterable[Any]]]:
    """`map` over so many processes; for one, in this process."""
    if processes <= 1:
        yield map
        return
    with multiprocessing.get_context("spawn").Pool(processes, _quiet) as pool:
        yield functools.partial(pool.imap, chunksize=8)


def _quiet() -> None:
    import cv2

    cv2.setNumThreads(1)


def _portraits(seed: int, count: int, *, size: int) -> tuple[Pixels, None]:
    person = identity(seed)
    return np.stack([render(person, scene, size, supersample=2) for scene in scenes_of(seed, count)]), None


CROP_SHOTS = {"close-up": 0.78, "medium shot": 0.16, "full shot": 0.06}
CROP_SIZES = {
    "close-up": (96, 112, 128, 128, 160, 224, 256),
    "medium shot": (128, 160, 192, 256),
    "full shot": (192, 256, 320),
}
"""Share of each shot among the crops' portraits, and their sizes in pixels; a face is at least 24 px high."""


def _crops(seed: int, count: int) -> tuple[Pixels, None]:
    """Aligned crops from portraits of several sizes, with keypoints as inexact as a detector's."""
    person, rng, out = identity(seed), np.random.default_rng((seed, 0xC4)), []
    for _ in range(count):
        shot = str(rng.choice(list(CROP_SHOTS), p=list(CROP_SHOTS.values())))
        scene, size = nuisance(rng, shot=shot), int(rng.choice(CROP_SIZES[shot]))
        points = np.array(face_geometry(person, scene, size).keypoints)
        points = points + rng.normal(0, 0.022 * np.linalg.norm(points[1] - points[0]), points.shape)
        out.append(aligned(render(person, scene, size, supersample=2 if size < 224 else 1), points))
    return np.stack(out), None


def _figures(seed: int, count: int) -> tuple[Pixels, None]:
    person = identity(seed)
    return np.stack([render(person, scene, FIGURE, supersample=2) for scene in figures_of(seed, count)]), None


def _wide(seed: int, count: int, *, people: int) -> tuple[Pixels, tuple[list[int], list[Face]]]:
    """Two of the first `people` of GENERATOR side by side; `count` is 1."""
    pair = np.random.default_rng((seed, 0x32)).choice(people, 2, replace=False)
    seeds = [splits.GENERATOR.first + int(k) for k in pair]
    placed, background = wide_of(seed, *seeds)
    picture, faces = render_group(placed, background, PORTRAIT, width=2 * PORTRAIT)
    return picture[None], (seeds, faces)


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
        scene = nuisance(rng, shot="close-up", drawing=background.drawing)
        people.append(Placed(identity(seed), scene, x, float(rng.uniform(low, high)), scale))
    return render_group(people, background, size)


def _scene(seed: int, count: int) -> tuple[Pixels, list[Face]]:
    """A picture with 0 to 3 faces; a third of those with one are portraits, of all shots alike. `count` is 1."""
    rng = np.random.default_rng((seed, 0xDE))
    seeds = [
        splits.DETECTOR.first + int(s)
        for s in rng.integers(0, splits.DETECTOR.identities, int(rng.choice(4, p=[0.16, 0.4, 0.24, 0.2])))
    ]
    if len(seeds) == 1 and rng.random() < 1 / 3:
        person, scene = identity(seeds[0]), nuisance(rng, shot=str(rng.choice(SHOTS)))
        return render(person, scene, SCENE, supersample=2)[None], [face_geometry(person, scene, SCENE)]
    picture, faces = group_scene(rng, seeds)
    return picture[None], faces


def _save_truth(path: Path, truth: list[tuple[list[int] | None, list[Face]]], most: int) -> None:
    """Boxes [N, most, 4] and keypoints [N, most, 5, 2] in pixels, NaN where there is no face; with people their seeds
    [N, most]."""
    boxes = np.full((len(truth), most, 4), np.nan, np.float32)
    points = np.full((len(truth), most, 5, 2), np.nan, np.float32)
    for k, (_, faces) in enumerate(truth):
        for j, face in enumerate(faces):
            boxes[k, j], points[k, j] = face.box, face.keypoints
    who = [seeds for seeds, _ in truth if seeds is not None]
    known = {"seeds": np.array(who, np.int64)} if who else {}
    np.savez_compressed(path, boxes=boxes, keypoints=points, **known)  # type: ignore[arg-type]
