"""Whole pictures: one portrait, or a scene with several people, with exact face boxes and keypoints."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .backgrounds import paint_background
from .canvas import Canvas, Linear, Points, placement
from .drawing import MANNERS, finish
from .face import layout, outline, paint_face, paint_glasses
from .hair import paint_hair_behind, paint_hair_on_top
from .identity import Identity
from .outfit import paint_outfit
from .scene import Scene, nuisance

_PIVOT = (128.0, 110.0)
"""Middle of the head on the canvas, at head scale 1."""
_TINT = {"warm light": (255, 224, 182), "cool light": (190, 214, 255), "dim light": (184, 176, 190)}


@dataclass(frozen=True, slots=True)
class Face:
    """Ground truth of one face, in pixels."""

    box: tuple[float, float, float, float]
    """Left, top, right, bottom: upper forehead to chin, cheek to cheek."""
    keypoints: tuple[tuple[float, float], ...]
    """Left eye, right eye, nose, left and right corner of the mouth, as seen in the picture."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A person in a picture of several: where the head's middle lies and how large it is, in canvas units."""

    person: Identity
    scene: Scene
    x: float
    y: float
    scale: float
    """Relative to a portrait."""


def render(person: Identity, scene: Scene, size: int = 256, *, supersample: int = 3) -> NDArray[np.uint8]:
    """Paint a portrait. Returns uint8 [size, size, 3], RGB; the same arguments always give the same pixels."""
    manner = MANNERS[scene.drawing]
    canvas = Canvas(size, supersample=supersample, tones=manner.tones)
    paint_background(canvas, scene.background, scene.background_seed)
    with _outlined(canvas, manner.contour):
        _paint_person(canvas, person, scene)
    _paint_light(canvas, scene)
    return finish(canvas.picture(), manner, scene.background_seed)


@contextlib.contextmanager
def _outlined(canvas: Canvas, contour: float) -> Iterator[None]:
    canvas.contour = contour
    try:
        yield
    finally:
        canvas.contour = 0.0


def face_geometry(person: Identity, scene: Scene, size: int = 256) -> Face:
    """Exact box and keypoints of the face that `render` paints at this size."""
    return _face(person, scene, placement(0, 0, size / 256))


def render_group(
    people: list[Placed], background: Scene, size: int = 384, *, supersample: int = 2, width: int | None = None
) -> tuple[NDArray[np.uint8], list[Face]]:
    """Paint zero or more people, later ones in front, `width` (by default `size`) pixels wide. Returns the picture and
    each person's face. `background` gives the place, the light and the drawing."""
    manner, faces = MANNERS[background.drawing], []
    canvas = Canvas(size, supersample=supersample, width=width, tones=manner.tones)
    spread = canvas.width / size  # a place is painted on a square; wide pictures see its middle, larger
    with canvas.moved(0, 128 * (1 - spread), scale=spread):
        paint_background(canvas, background.background, background.background_seed)
    for one in people:
        dx, dy = one.x - one.scale * 128, one.y - one.scale * 108
        with canvas.moved(dx, dy, scale=one.scale), _outlined(canvas, manner.contour):
            _paint_person(canvas, one.person, one.scene)
        faces.append(_face(one.person, one.scene, placement(0, 0, size / 256) @ placement(dx, dy, one.scale)))
    _paint_light(canvas, background, spread)
    return finish(canvas.picture(), manner, background.background_seed), faces


def wide_scene(rng: np.random.Generator, first: Identity, second: Identity) -> tuple[list[Placed], Scene]:
    """Two people side by side in a picture twice as wide as high: the first in the left half, the second in the right.

    Returns them with what each wears and does, and the scene that gives place, light and drawing.
    """
    background = nuisance(rng, shot="medium shot")
    people = []
    for k, person in enumerate((first, second)):
        own = nuisance(rng, shot="medium shot", drawing=background.drawing)
        own = replace(own, scale=1.43, dx=0.0, dy=0.0, light=background.light, light_side=background.light_side)
        scale = float(rng.uniform(0.62, 0.86))
        x = 128 + 256 * k + float(rng.uniform(-14, 14))
        people.append(Placed(person, own, x, float(rng.uniform(94, 112)), scale))
    return people, background


def _paint_person(canvas: Canvas, person: Identity, scene: Scene) -> None:
    (dx, dy, tilt), turn = _head(person, scene), scene.yaw / 38
    with canvas.moved(128 + scene.dx, 108 + scene.dy, scale=scene.scale), canvas.moved(-_PIVOT[0], -_PIVOT[1]):
        with canvas.moved(dx, dy + 40, degrees=tilt), canvas.moved(0, -40):
            paint_hair_behind(canvas, person, turn)
        with canvas.moved(0, -14):
            paint_outfit(canvas, person, scene, dx)
        with canvas.moved(dx, dy + 40, degrees=tilt), canvas.moved(0, -40):
            paint_face(canvas, person, scene)
            paint_hair_on_top(canvas, person, turn)
            paint_glasses(canvas, person, scene)


def _head(person: Identity, scene: Scene) -> tuple[float, float, float]:
    """Where the head frame lies in the portrait frame; the head tilts about a point in the neck."""
    return 128 + scene.yaw / 38 * 4, 110 + scene.pitch / 32 * 3 - (person.chin - 57) * 0.5, scene.tilt


def _face(person: Identity, scene: Scene, to_pixels: Points) -> Face:
    dx, dy, tilt = _head(person, scene)
    matrix = to_pixels @ placement(128 + scene.dx, 108 + scene.dy, scene.scale) @ placement(-_PIVOT[0], -_PIVOT[1])
    matrix = matrix @ placement(dx, dy + 40, 1, tilt) @ placement(0, -40)

    def move(points: Points) -> Points:
        return points @ matrix[:2, :2].T + matrix[:2, 2]

    at = layout(person, scene)
    rim = outline(person, at)
    rim = move(np.stack([rim[:, 0], np.maximum(rim[:, 1], -person.crown * 0.78)], 1))
    points = move(np.array([*at.eyes, at.nose, *at.corners], float))
    left, top, right, bottom = (float(v) for v in (*rim.min(0).tolist(), *rim.max(0).tolist()))
    return Face(
        (left, top, right, bottom),
        tuple((float(x), float(y)) for x, y in points),
    )


def _paint_light(canvas: Canvas, scene: Scene, spread: float = 1.0) -> None:
    if scene.light == "side light":
        reach, middle = 112 * scene.light_side * spread, 128 * spread
        canvas.multiply(
            Linear((middle + reach, 0), (middle - reach, 0), ((255, 250, 238), (232, 226, 228), (150, 148, 180)))
        )
    elif scene.light in _TINT:
        canvas.multiply(_TINT[scene.light])
