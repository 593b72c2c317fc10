"""Where the five keypoints of a person's face go in a picture: the places of the pose, in the shape of the face.

Both halves of `gpu_worker` may use it: it imports numpy and the contracts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gpu_worker.contracts import Face
from gpu_worker.packs import ControlNet

Points = tuple[tuple[float, float], ...]
Shape = NDArray[np.float64]
"""Five (x, y), centred on their mean, upright, 1 from the middle of the eyes to the middle of the mouth."""

FRONTAL_DEGREES: Final = 12.0
"""A face turned by less looks straight ahead."""


def is_frontal(face: Face) -> bool:
    return abs(face.yaw) < FRONTAL_DEGREES


def where(control: ControlNet, prompt: str, width: int, height: int, shape: Shape | None) -> Points:
    """The keypoints for a prompt, in pixels, with the proportions of a person where they are known."""
    return placed(control.keypoints(prompt, width, height), control.keypoints("", width, height), shape)


def shape_of(faces: Sequence[Face]) -> Shape | None:
    """The mean shape of frontal faces, by generalised Procrustes analysis (Gower 1975, Psychometrika 40/1); None
    without a face. Position, size and roll do not count: they belong to the picture, not to the person."""
    shapes = [s for face in faces if (s := _normal(np.array(face.keypoints, np.float64))) is not None]
    if not shapes:
        return None
    mean = shapes[0]
    for _ in range(3):
        mean = np.mean([shape @ _turn(shape, mean) for shape in shapes], 0)
        mean /= np.linalg.norm(mean)
    eyes = mean[1] - mean[0]
    c, s = eyes / np.linalg.norm(eyes)
    upright = mean @ np.array([[c, -s], [s, c]])
    return np.asarray(upright / _height(upright))


def placed(template: Points, average: Points, shape: Shape | None) -> Points:
    """The template's keypoints with the proportions of a person.

    `template` says where the head is, how large, and how it is turned; `average` is the template of a head that looks
    straight ahead. What sets the person's `shape` apart from the average is added to the template: at its size, which
    the distance from eyes to mouth tells, since turning aside does not change it, and narrowed across as the distance
    of the eyes is.
    """
    if shape is None:
        return template
    points, plain = np.array(template, np.float64), np.array(average, np.float64)
    plain = (plain - plain.mean(0)) / _height(plain)
    size = _height(points)
    narrowed = (points[1, 0] - points[0, 0]) / (plain[1, 0] - plain[0, 0]) / size
    apart = (shape - plain) * size * np.array([narrowed, 1.0])
    return tuple((float(x), float(y)) for x, y in points + apart)


def _height(points: Shape) -> float:
    """From the middle of the eyes to the middle of the mouth."""
    return float(points[3:, 1].mean() - points[:2, 1].mean())


def _normal(points: Shape) -> Shape | None:
    centred = points - points.mean(0)
    size = np.linalg.norm(centred)
    return centred / size if size > 0 else None


def _turn(shape: Shape, onto: Shape) -> Shape:
    """Rotation that brings one centred shape nearest to another (Kabsch 1976)."""
    u, _, vt = np.linalg.svd(shape.T @ onto)
    flip = np.diag([1.0, np.sign(np.linalg.det(u @ vt))])
    return np.asarray(u @ flip @ vt)
