"""Hair in the head's own frame: what falls behind the head, and what lies on it."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas, Linear, Path, dark, ellipse, light, mix
from .identity import Identity

_LONG = ("long straight", "long wavy", "pigtails")


def paint_hair_behind(canvas: Canvas, person: Identity, turn: float) -> None:
    """`turn` is yaw / 38 degrees: hair behind the head moves against the face."""
    style, w, t, v = person.hair_style, person.half_width, person.crown, person.hair_volume
    x, side = -turn * 5, person.parting
    paint = Linear((0, -t), (0, 90), (dark(person.hair, 0.16), dark(person.hair, 0.34)))
    if style == "long straight":
        shape = (
            Path(x, -t - 8).cubic(w + 18, -t - 8, w + 15, 0, w + 15 * v, 98).quad(w, 108, w - 22, 100).to(-w + 22, 100)
        )
        canvas.fill(shape.quad(-w, 108, -w - 15 * v, 98).cubic(-w - 15, 0, -w - 18, -t - 8, x, -t - 8), paint)
    elif style == "long wavy":
        shape = Path(x, -t - 8).cubic(w + 20, -t - 8, w + 12, -12, w + 15 * v, 12)
        for k, bulge in enumerate((9, 30, 9)):
            shape.quad(w + bulge * v, 26 + 29 * k, w + 16 * v, 41 + 29 * k)
        shape.to(-w - 16 * v, 99)
        for k, bulge in enumerate((9, 30, 9)):
            shape.quad(-w - bulge * v, 84 - 29 * k, -w - 15 * v, 70 - 29 * k)
        canvas.fill(shape.cubic(-w - 12, -12, -w - 20, -t - 8, x, -t - 8), paint)
    elif style == "bob":
        shape = Path(x, -t - 8).cubic(w + 20, -t - 8, w + 18, 0, w + 15 * v, 46).quad(w, 58, w - 16, 51).to(-w + 16, 51)
        canvas.fill(shape.quad(-w, 58, -w - 15 * v, 46).cubic(-w - 18, 0, -w - 20, -t - 8, x, -t - 8), paint)
    elif style == "afro":
        canvas.fill(ellipse(x, (34 - t - 30 * v) / 2, w + 25 * v, (34 + t + 30 * v) / 2), paint)
    elif style == "curly":
        for angle in np.linspace(-0.15, np.pi + 0.15, 11):
            canvas.fill(
                ellipse(np.cos(angle) * (w + 6) + x, -np.sin(angle) * (t - 2) + 6, 17 * v), dark(person.hair, 0.24)
            )
        for s in (-1, 1):
            canvas.fill(ellipse(s * (w + 6), 23, 15 * v), dark(person.hair, 0.24))
    elif style == "ponytail":
        tail = Path(side * (w - 12), -t + 10).cubic(
            side * (w + 50 * v), -t + 4, side * (w + 36), 50, side * (w + 20), 88
        )
        canvas.fill(tail.cubic(side * (w + 8), 60, side * (w + 12), 10, side * (w - 18), -t + 32), paint)
    elif style == "bun":
        canvas.fill(
            ellipse(x * 1.4, -t - 13 * v, 19 * v), Linear((0, -t - 32), (0, -t), (person.hair, dark(person.hair, 0.3)))
        )
    elif style == "pigtails":
        for s in (-1, 1):
            tail = Path(s * (w - 2), -6).cubic(s * (w + 38 * v), -18, s * (w + 33), 50, s * (w + 15), 80)
            canvas.fill(tail.cubic(s * (w + 1), 52, s * (w + 7), 24, s * (w - 4), 10), paint)
            canvas.fill(ellipse(s * (w + 4), -2, 5.5), (206, 66, 74))


def paint_hair_on_top(canvas: Canvas, person: Identity, turn: float) -> None:
    style, w, t, v = person.hair_style, person.half_width, person.crown, person.hair_volume
    x, side, hair = turn * 7, person.parting, person.hair
    paint = Linear((-w, -t - 14), (w * 0.6, 14), (light(hair, 0.24), hair, dark(hair, 0.16)))
    strand = dark(hair, 0.22)
    if style == "bald":
        canvas.glow(-8 + x, -t + 15, 17, 8, (255, 255, 255), 0.35)
        return
    if style == "buzz cut":
        canvas.fill(_cap(w, t, x, 17, -8, 1), mix(hair, person.skin, 0.28))
        return
    if style == "mohawk":
        canvas.fill(_cap(w, t, x, 16, -10, 0), mix(hair, person.skin, 0.62))
        canvas.fill(Path(-13 + x, -t + 18).cubic(-20 + x, -t - 36 * v, 20 + x, -t - 36 * v, 13 + x, -t + 18), paint)
    elif style in _LONG:
        top = x + side * 6
        for s in (-1, 1):
            low = 2.0 if style == "pigtails" else 26.0
            lock = Path(top, -t - 8).cubic(s * w * 0.8 + x, -t - 10, s * (w + 10), -t * 0.5, s * (w + 8), low)
            canvas.fill(lock.cubic(s * (w - 3), -8, s * (w - 9), -t * 0.45, top, -t + 16), paint)
            canvas.stroke(
                Path(top + s * 5, -t + 1).cubic(
                    s * w * 0.7 + x, -t * 0.9, s * (w - 1), -t * 0.5, s * (w + 3), low - 12
                ),
                strand,
                1.8,
                0.6,
            )
    elif style in ("short", "ponytail", "bun"):
        line, low = (21, -4) if style == "short" else (14, 3)
        canvas.fill(_cap(w, t, x, line, low, 5), paint)
        for at in (-0.55, 0.0, 0.55):
            canvas.stroke(
                Path(at * w * 0.5 + x, -t + line - 5).quad(at * w * 0.9 + x, -t + 2, at * w * 0.6 + x, -t - 2),
                strand,
                1.8,
                0.55,
            )
    elif style == "side-parted":
        low = 34 if person.woman else -1
        shape = Path(-side * (w + 4), low * 0.4).cubic(
            -side * (w + 8), -t * 0.6, -side * w * 0.7 + x, -t - 10 * v, x, -t - 9 * v
        )
        shape.cubic(side * w * 0.8 + x, -t - 10 * v, side * (w + 8), -t * 0.5, side * (w + 6), low)
        shape.cubic(side * (w - 3), -8, side * (w - 8), -t * 0.35, side * (w - 14) + x, -t * 0.5)
        shape.cubic(side * 4 + x, -t * 0.44, -side * 16 + x, -t * 0.7, -side * 20 + x, -t + 8)
        canvas.fill(shape.cubic(-side * (w - 8), -t * 0.6, -side * (w - 3), -14, -side * (w + 4), low * 0.4), paint)
        canvas.stroke(
            Path(-side * 18 + x, -t + 4).cubic(
                side * 4 + x, -t * 0.8, side * w * 0.6, -t * 0.8, side * (w - 4), -t * 0.4
            ),
            strand,
            1.8,
            0.6,
        )
    elif style == "quiff":
        canvas.fill(_cap(w, t, x, 18, -8, 2), dark(hair, 0.2))
        shape = Path(-w * 0.72 + x, -t + 18).cubic(
            -w * 0.95 + x, -t - 26 * v, w * 0.2 + x, -t - 34 * v, w * 0.8 + x, -t - 10
        )
        shape.cubic(w * 0.98 + x, -t + 4, w * 0.6 + x, -t + 16, w * 0.55 + x, -t + 20)
        canvas.fill(shape.quad(x, -t + 6, -w * 0.72 + x, -t + 18), paint)
        canvas.stroke(
            Path(-w * 0.5 + x, -t + 8).cubic(-w * 0.4 + x, -t - 12 * v, w * 0.2 + x, -t - 18 * v, w * 0.6 + x, -t - 6),
            strand,
            1.8,
            0.6,
        )
    elif style == "spiky":
        points, xs = [], np.linspace(-w - 6, w + 6, 8)
        for k in range(7):
            rise = 1 - (abs(k - 3) / 3.6) ** 2
            points += [xs[k] + 4 + x * 0.6 + side * 3, -t * 0.62 - (24 * v + 10) * rise - 6]
            points += [(xs[k] + xs[k + 1]) / 2 + 4 + x * 0.6, -t * 0.5 - 16 * rise - 6]
        shape = Path(-w - 3, -4).to(*points, w + 3, -4).cubic(w - 4, -20, w - 8, -t * 0.55, w * 0.5 + x, -t + 20)
        shape.to(w * 0.2 + x, -t + 28, x, -t + 19, -w * 0.25 + x, -t + 28, -w * 0.5 + x, -t + 20)
        canvas.fill(shape.cubic(-w + 8, -t * 0.55, -w + 4, -20, -w - 3, -4), paint)
    elif style == "afro":
        canvas.fill(_cap(w, t, x, 20, 2, 12 * v, 8), paint)
        for dx, dy in ((-0.5, 4), (0, -6), (0.5, 3)):
            canvas.fill(ellipse(dx * w + x, -t - 4 + dy, 9), light(hair, 0.1))
    elif style == "curly":
        for k, angle in enumerate(np.linspace(0.2, np.pi - 0.2, 8)):
            cx, cy = np.cos(angle) * (w - 3) + x, -np.sin(angle) * (t - 4) - 2
            canvas.fill(ellipse(cx, cy, 13.5 * v), light(hair, 0.08 * (k % 2)))
            canvas.stroke(ellipse(cx - 1, cy - 1, 6 * v)[6:26], strand, 1.8, 0.6)
    elif style in ("bob", "bowl cut"):
        fringe, low = (0.5, 36) if style == "bob" else (0.42, -1)
        shape = Path(-w - 8, low).cubic(-w - 11, -t * 0.6, -w * 0.7 + x, -t - 10, x, -t - 10)
        shape.cubic(w * 0.7 + x, -t - 10, w + 11, -t * 0.6, w + 8, low)
        shape.cubic(w - 2, 10, w - 3, -t * 0.2, w - 6 + x * 0.5, -t * fringe + 3).quad(
            x, -t * fringe - 7, -w + 6 + x * 0.5, -t * fringe + 3
        )
        canvas.fill(shape.cubic(-w + 3, -t * 0.2, -w + 2, 10, -w - 8, low), paint)
        for at in (-0.6, -0.2, 0.2, 0.6):
            canvas.stroke(
                Path(at * w * 0.5 + x, -t - 5).quad(at * w * 0.9 + x, -t * 0.85, at * w + x * 0.8, -t * fringe - 4),
                strand,
                1.8,
                0.5,
            )
    if style not in ("curly", "spiky", "mohawk", "afro"):
        canvas.stroke(
            Path(-w * 0.55 + x, -t + 4).quad(-w * 0.15 + x, -t - 4, w * 0.2 + x, -t), light(hair, 0.5), 3.4, 0.5
        )


def _cap(w: float, t: float, x: float, line: float, low: float, over: float, bulge: float = 0) -> Path:
    """A cap of hair: the skull's outline and, inside it, the hairline."""
    shape = Path(-w - over, low).cubic(-w - over - 2, -t * 0.55, -w * 0.72 + x, -t - over - bulge, x, -t - over - bulge)
    shape.cubic(w * 0.72 + x, -t - over - bulge, w + over + 2, -t * 0.55, w + over, low)
    shape.cubic(w - 3, low - 14, w - 6, -t * 0.62 + line * 0.3, w * 0.55 + x, -t + line)
    shape.quad(x, -t + line - 7, -w * 0.55 + x, -t + line)
    return shape.cubic(-w + 6, -t * 0.62 + line * 0.3, -w + 3, low - 14, -w - over, low)
