"""A small anti-aliased painter on top of OpenCV: paths, gradients, clips and strokes in user units.

OpenCV fills polygons without anti-aliasing but with sub-pixel corners, so everything is drawn on a supersampled
picture and averaged down once at the end. Needs no system graphics library.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Colour = tuple[float, float, float]
Points = NDArray[np.float64]
_SHIFT = 4
_INK = (40, 28, 38)
_SMALL = 9.0
"""User units: smaller shapes have no contour, which would drown them."""
_T3 = np.linspace(0, 1, 13)[1:, None]
_CUBIC = np.hstack([(1 - _T3) ** 3, 3 * _T3 * (1 - _T3) ** 2, 3 * _T3**2 * (1 - _T3), _T3**3])
_QUAD = np.hstack([(1 - _T3) ** 2, 2 * _T3 * (1 - _T3), _T3**2])
_CIRCLE = np.stack([np.cos(np.linspace(0, 2 * np.pi, 41)[:-1]), np.sin(np.linspace(0, 2 * np.pi, 41)[:-1])], 1)


def mix(a: Sequence[float], b: Sequence[float], t: float) -> Colour:
    return (a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t)


def dark(colour: Sequence[float], t: float) -> Colour:
    """Towards a warm dark violet, as painters shade; pure black looks dirty on skin."""
    return mix(colour, (34, 14, 40), t)


def light(colour: Sequence[float], t: float) -> Colour:
    return mix(colour, (255, 250, 238), t)


class Path:
    """A chain of lines and Bezier curves, flattened as it is built."""

    def __init__(self, x: float, y: float) -> None:
        self._parts: list[Points] = [np.array([[x, y]], float)]

    def to(self, *xy: float) -> Path:
        """Straight lines to each (x, y) in turn."""
        self._parts.append(np.array(xy, float).reshape(-1, 2))
        return self

    def quad(self, *xy: float) -> Path:
        """Quadratic curves, each given by a control point and an end point."""
        for a, b, c, d in np.array(xy, float).reshape(-1, 4):
            self._parts.append(_QUAD @ np.vstack([self._parts[-1][-1], [a, b], [c, d]]))
        return self

    def cubic(self, *xy: float) -> Path:
        """Cubic curves, each given by two control points and an end point."""
        for row in np.array(xy, float).reshape(-1, 6):
            self._parts.append(_CUBIC @ np.vstack([self._parts[-1][-1], row.reshape(3, 2)]))
        return self

    @property
    def points(self) -> Points:
        return np.concatenate(self._parts)


def ellipse(cx: float, cy: float, rx: float, ry: float | None = None) -> Points:
    return _CIRCLE * (rx, rx if ry is None else ry) + (cx, cy)


def box(left: float, top: float, right: float, bottom: float, radius: float = 0) -> Points:
    if not radius:
        return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], float)
    radius = min(radius, (right - left) / 2, (bottom - top) / 2)
    quarter = _CIRCLE[:11] * radius
    corners = [(right - radius, bottom - radius, 0), (left + radius, bottom - radius, 1)]
    corners += [(left + radius, top + radius, 2), (right - radius, top + radius, 3)]
    turn = [np.array(m, float) for m in ([[1, 0], [0, 1]], [[0, 1], [-1, 0]], [[-1, 0], [0, -1]], [[0, -1], [1, 0]])]
    return np.concatenate([quarter @ turn[k] + (x, y) for x, y, k in corners])


@dataclass(frozen=True, slots=True)
class Linear:
    """Colours spread evenly from `start` to `end` (user units)."""

    start: tuple[float, float]
    end: tuple[float, float]
    colours: tuple[Sequence[float], ...]


@dataclass(frozen=True, slots=True)
class Radial:
    """Colours spread evenly from the centre to `radius`."""

    centre: tuple[float, float]
    radius: float
    colours: tuple[Sequence[float], ...]


Paint = Sequence[float] | Linear | Radial
Shape = Path | Points


class Canvas:
    """A picture `width` (by default `size`) pixels wide and `size` high, whose height spans `units` user units.

    `tones`: in how many flat tones gradients are painted; 0 for smooth ones. `contour`: width of the line around every
    larger opaque shape, in user units; 0 for none.
    """

    def __init__(
        self, size: int, *, units: float = 256, supersample: int = 3, width: int | None = None, tones: int = 0
    ) -> None:
        self.size, self.width = size, width or size
        self.side, self.across = size * supersample, self.width * supersample
        self.tones, self.contour = tones, 0.0
        self.pixels: Any = np.zeros((self.side, self.across, 3), np.uint8)
        k = self.side / units
        self.matrix = np.array([[k, 0, 0], [0, k, 0], [0, 0, 1]], float)
        self._clip: Any = None

    # ------------------------------------------------------------------------------------------- where
    @contextlib.contextmanager
    def moved(self, dx: float = 0, dy: float = 0, *, scale: float = 1, degrees: float = 0) -> Iterator[None]:
        """Inside, user units are rotated and scaled about (dx, dy)."""
        before = self.matrix
        self.matrix = before @ placement(dx, dy, scale, degrees)
        try:
            yield
        finally:
            self.matrix = before

    @contextlib.contextmanager
    def clipped(self, shape: Shape) -> Iterator[None]:
        before, mask = self._clip, np.zeros((self.side, self.across), np.uint8)
        cv2.fillPoly(mask, [self._fixed(shape)], 255, cv2.LINE_8, _SHIFT)
        self._clip = mask if before is None else cv2.bitwise_and(mask, before)
        try:
            yield
        finally:
            self._clip = before

    @property
    def _zoom(self) -> float:
        (a, b), (c, d) = self.matrix[:2, :2].tolist()
        return math.sqrt(abs(a * d - b * c))

    @property
    def _inverse(self) -> Points:
        """From pixels to user units [2, 3]."""
        (a, b, e), (c, d, f) = self.matrix[:2].tolist()
        k = 1 / (a * d - b * c)
        return np.array([[d * k, -b * k, (b * f - d * e) * k], [-c * k, a * k, (c * e - a * f) * k]])

    def _fixed(self, shape: Shape) -> NDArray[np.int32]:
        points = shape.points if isinstance(shape, Path) else shape
        return ((points @ self.matrix[:2, :2].T + self.matrix[:2, 2] - 0.5) * (1 << _SHIFT)).round().astype(np.int32)

    # ------------------------------------------------------------------------------------------- paint
    def fill(self, shape: Shape, paint: Paint, alpha: float = 1) -> None:
        """Paint the inside of a closed shape. Colours are 0-255; `alpha` is 0-1."""
        corners = self._fixed(shape)
        if self.contour and alpha >= 1 and self._clip is None and self._is_large(shape):
            # Half of the line lies under the shape that is painted over it.
            thickness = max(2, round(2 * self.contour * self._zoom))
            cv2.polylines(self.pixels, [corners], True, _INK, thickness, cv2.LINE_8, _SHIFT)
        if alpha >= 1 and self._clip is None and not isinstance(paint, Linear | Radial):
            cv2.fillPoly(self.pixels, [corners], _rgb(paint), cv2.LINE_8, _SHIFT)
            return
        margin = 1 << _SHIFT
        area = self._area(corners, margin)
        if area is None:
            return
        left, top, right, bottom = area
        mask = np.zeros((bottom - top, right - left), np.uint8)
        cv2.fillPoly(mask, [corners - np.array([left, top], np.int32) * margin], 255, cv2.LINE_8, _SHIFT)
        self._blend(area, mask, paint, alpha)

    def stroke(
        self, shape: Shape, colour: Sequence[float], width: float, alpha: float = 1, *, closed: bool = False
    ) -> None:
        """Draw a line of `width` user units with round ends along the shape."""
        corners = self._fixed(shape)
        thickness = max(1, round(width * self._zoom))
        if alpha >= 1 and self._clip is None:
            cv2.polylines(self.pixels, [corners], closed, _rgb(colour), thickness, cv2.LINE_8, _SHIFT)
            return
        area = self._area(corners, (thickness + 2) << _SHIFT)
        if area is None:
            return
        left, top, right, bottom = area
        mask = np.zeros((bottom - top, right - left), np.uint8)
        moved = corners - np.array([left, top], np.int32) * (1 << _SHIFT)
        cv2.polylines(mask, [moved], closed, 255, thickness, cv2.LINE_8, _SHIFT)
        self._blend(area, mask, colour, alpha)

    def line(
        self, x0: float, y0: float, x1: float, y1: float, colour: Sequence[float], width: float, alpha: float = 1
    ) -> None:
        self.stroke(np.array([[x0, y0], [x1, y1]], float), colour, width, alpha)

    def glow(self, cx: float, cy: float, rx: float, ry: float, colour: Sequence[float], alpha: float) -> None:
        """A soft spot that fades out smoothly to its rim."""
        area = self._area(self._fixed(ellipse(cx, cy, rx, ry)), 1 << _SHIFT)
        if area is None:
            return
        x, y = self._users(area)
        strength = np.clip(1 - ((x - cx) / rx) ** 2 - ((y - cy) / ry) ** 2, 0, 1) ** 1.5 * alpha
        mask = (strength * 255).astype(np.uint8)
        self._blend(area, mask, colour, 1, soft=True)

    def multiply(self, paint: Paint) -> None:
        """Tint the whole picture: white leaves it as it is."""
        area = (0, 0, self.across, self.side)
        if isinstance(paint, Linear | Radial):
            self.pixels = cv2.multiply(self.pixels, self._shade(area, paint, tones=0), scale=1 / 255)
        else:
            table = np.stack([np.arange(256) * c / 255 for c in paint], 1).round().astype(np.uint8)
            self.pixels = cv2.LUT(self.pixels, table[None])

    def picture(self) -> NDArray[np.uint8]:
        """uint8 [size, width, 3], RGB."""
        if self.side == self.size:
            return self.pixels.copy()
        return cv2.resize(self.pixels, (self.width, self.size), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]

    # ------------------------------------------------------------------------------------------- inside
    @staticmethod
    def _is_large(shape: Shape) -> bool:
        points = shape.points if isinstance(shape, Path) else shape
        return bool((np.ptp(points, axis=0) > _SMALL).all())

    def _area(self, corners: NDArray[np.int32], margin: int) -> tuple[int, int, int, int] | None:
        low, high = (corners.min(0) - margin) >> _SHIFT, (corners.max(0) + margin) >> _SHIFT
        left, top = max(0, int(low[0])), max(0, int(low[1]))
        right, bottom = min(self.across, int(high[0]) + 1), min(self.side, int(high[1]) + 1)
        return None if right <= left or bottom <= top else (left, top, right, bottom)

    def _users(self, area: tuple[int, int, int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """User coordinates of every pixel of an area."""
        left, top, right, bottom = area
        px, py = (
            np.arange(left, right, dtype=np.float32)[None] + 0.5,
            np.arange(top, bottom, dtype=np.float32)[:, None] + 0.5,
        )
        a = self._inverse.astype(np.float32)
        return a[0, 0] * px + a[0, 1] * py + a[0, 2], a[1, 0] * px + a[1, 1] * py + a[1, 2]

    def _shade(self, area: tuple[int, int, int, int], paint: Linear | Radial, tones: int) -> NDArray[np.uint8]:
        if isinstance(paint, Linear):
            (x0, y0), (x1, y1) = paint.start, paint.end
            dx, dy = x1 - x0, y1 - y0
            k = 1 / (dx * dx + dy * dy)
            a = np.array([dx * k, dy * k]) @ self._inverse  # t is linear in pixels, too
            left, top, right, bottom = area
            across = (np.arange(left, right) + 0.5) * a[0] + (a[2] - (x0 * dx + y0 * dy) * k)
            down = (np.arange(top, bottom) + 0.5) * a[1]
            t = across.astype(np.float32)[None] + down.astype(np.float32)[:, None]
        else:
            x, y = self._users(area)
            t = np.sqrt((x - paint.centre[0]) ** 2 + (y - paint.centre[1]) ** 2) / paint.radius
        table = _ramp(len(paint.colours), tones) @ np.array(paint.colours, float)
        levels = cv2.convertScaleAbs(np.maximum(t, 0), alpha=255)  # saturates at 255
        return cv2.applyColorMap(levels, table.round().clip(0, 255).astype(np.uint8)[:, None])  # type: ignore[return-value]

    def _blend(
        self,
        area: tuple[int, int, int, int],
        mask: NDArray[np.uint8],
        paint: Paint,
        alpha: float,
        *,
        soft: bool = False,
    ) -> None:
        left, top, right, bottom = area
        if self._clip is not None:
            clip = self._clip[top:bottom, left:right]
            mask = np.minimum(mask, clip)
        under = self.pixels[top:bottom, left:right]
        over: Any = np.empty_like(under)
        if isinstance(paint, Linear | Radial):
            over = self._shade(area, paint, self.tones)
        else:
            over[:] = _rgb(paint)
        if soft:
            weight = cv2.merge([mask, mask, mask]).astype(np.uint16)
            mixed = (under * (255 - weight) + over * weight + 127) // 255
            under[:] = mixed.astype(np.uint8)
            return
        if alpha < 1:
            over = cv2.addWeighted(over, alpha, under, 1 - alpha, 0)
        cv2.copyTo(over, mask, under)


def placement(dx: float, dy: float, scale: float = 1, degrees: float = 0) -> Points:
    """3x3 matrix: rotate (clockwise as seen), scale, then move to (dx, dy)."""
    c, s = math.cos(math.radians(degrees)) * scale, math.sin(math.radians(degrees)) * scale
    return np.array([[c, -s, dx], [s, c, dy], [0, 0, 1]], float)


def _rgb(colour: Any) -> tuple[int, int, int]:
    red, green, blue = colour
    return min(255, max(0, round(red))), min(255, max(0, round(green))), min(255, max(0, round(blue)))


@functools.cache
def _ramp(stops: int, tones: int) -> NDArray[np.float64]:
    """Shares of each of the colours at 256 steps along a gradient [256, stops]."""
    along = np.linspace(0, 1, 256)
    if tones:
        along = (np.floor(along * 0.999 * tones) + 0.5) / tones
    return np.maximum(0, 1 - np.abs(along[:, None] * (stops - 1) - np.arange(stops)))
