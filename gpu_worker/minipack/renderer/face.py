"""The face in the head's own frame: x to the right, y down, the origin between the eyes of a frontal head."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .canvas import Canvas, Colour, Linear, Path, Points, box, dark, ellipse, light, mix
from .identity import ACCENTS, Identity
from .scene import Scene

_INK: Colour = (38, 24, 32)
_EYE_OPENING = {"surprised": 1.4, "happy": 0.84, "angry": 0.76, "sad": 0.82, "scared": 1.3}
_BROW = {
    "angry": (-0.46, 3.5), "sad": (0.48, -2.0), "surprised": (0.0, -9.0), "happy": (0.0, -3.0), "scared": (0.44, -6.5),
}  # fmt: skip
"""Slope (radians, inner end down is negative) and lift (units, up is negative)."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the parts of a face lie for one person in one scene (head frame)."""

    turn: float
    x: float
    """Shift of the features as the head turns."""
    y: float
    eyes: tuple[tuple[float, float], tuple[float, float]]
    nose: tuple[float, float]
    mouth: tuple[float, float]
    corners: tuple[tuple[float, float], tuple[float, float]]
    chin: float


def layout(person: Identity, scene: Scene) -> Layout:
    turn, nod = scene.yaw / 38, scene.pitch / 32
    x, y = turn * 13, nod * 7 + person.eye_height

    def eye(s: int) -> tuple[float, float]:
        return (s * person.eye_distance * (1 - 0.1 * max(0.0, s * turn)) + x, y)

    nose = (x * 1.35, y + person.nose_length * 0.92 + nod * 2)
    mouth = (x * 1.1, max(y + (person.chin - 8) * person.mouth_height + 2, nose[1] + 10))
    half, lift = {
        "neutral": (1.0, 0.0), "happy": (1.3, -6.5), "sad": (1.08, 8.5), "angry": (1.0, 0.5), "surprised": (0.62, 4.5),
        "scared": (1.0, 7.0),
    }[scene.expression]  # fmt: skip
    corners = tuple((mouth[0] + s * person.mouth_width * half, mouth[1] + lift) for s in (-1, 1))
    opened = {"happy": 7, "surprised": 11, "scared": 5}.get(scene.expression, 0)
    return Layout(turn, x, y, (eye(-1), eye(1)), nose, mouth, corners, person.chin + opened * 0.5)  # type: ignore[arg-type]


def outline(person: Identity, at: Layout) -> Points:
    w, t, chin, q = person.half_width, person.crown, at.chin, at.turn * 4
    jaw, y, width = w * person.jaw, person.jaw_height, person.chin_width
    shape = (
        Path(q * 0.5, -t).cubic(w * 0.72, -t, w, -t * 0.5, w, -4).cubic(w, y * 0.6, jaw + q, y, jaw * 0.92 + q, y + 6)
    )
    shape.cubic(jaw * 0.75 + q, chin * 0.86, width + 8 + q, chin, q, chin)
    shape.cubic(-width - 8 + q, chin, -jaw * 0.75 + q, chin * 0.86, -jaw * 0.92 + q, y + 6)
    return shape.cubic(-jaw + q, y, -w, y * 0.6, -w, -4).cubic(-w, -t * 0.5, -w * 0.72, -t, q * 0.5, -t).points


def paint_face(canvas: Canvas, person: Identity, scene: Scene) -> None:
    """Ears, face and features; hair on top comes after it, glasses after that (`paint_glasses`)."""
    at, w, skin = layout(person, scene), person.half_width, person.skin
    _paint_ears(canvas, person, at)
    face = outline(person, at)
    if person.chin_width > 13:  # a square chin
        q = at.turn * 4
        canvas.fill(box(q - person.chin_width * 1.3, at.chin - 20, q + person.chin_width * 1.3, at.chin + 1, 10), skin)
    toward = scene.light_side
    canvas.fill(
        face, Linear((toward * w * 1.1, -10), (-toward * w * 1.2, 10), (light(skin, 0.2), skin, dark(skin, 0.17)))
    )
    with canvas.clipped(face):
        canvas.glow(at.x * 0.6, -person.crown * 0.55, 30, 17, (255, 252, 244), 0.16)
        for s in (-1, 1):
            canvas.glow(s * 26 + at.x, 20 + at.y, 15, 12, (232, 84, 84), 0.1 + 0.45 * person.blush)
        _paint_beard(canvas, person, at)
        _paint_marks(canvas, person, at)
        _paint_age(canvas, person, at)
    _paint_nose(canvas, person, at)
    for s, (cx, cy) in zip((-1, 1), at.eyes, strict=True):
        _paint_eye(canvas, person, scene, at, s, cx, cy)
    _paint_mouth(canvas, person, scene, at)
    if person.beard in ("moustache", "full beard", "goatee"):
        x, y, half = at.mouth[0], at.mouth[1] - 2, person.mouth_width + 5
        shape = Path(x, y - 8).cubic(x + 8, y - 11, x + half - 2, y - 6, x + half, y + 1).quad(x + 8, y - 4, x, y - 3)
        canvas.fill(
            shape.quad(x - 8, y - 4, x - half, y + 1).cubic(x - half + 2, y - 6, x - 8, y - 11, x, y - 8),
            _beard_colour(person),
        )


def paint_glasses(canvas: Canvas, person: Identity, scene: Scene) -> None:
    if person.glasses == "none":
        return
    at, frame = layout(person, scene), dark(ACCENTS[person.glasses_colour], 0.08)
    y, turn = at.y, at.turn
    for s in (-1, 1):
        narrow = 1 - 0.15 * max(0.0, s * turn)
        cx, r = s * max(person.eye_distance, 17.5) * (1 - 0.1 * max(0.0, s * turn)) + at.x, 14.5 * narrow
        if person.glasses == "round":
            rim = ellipse(cx, y + 0.5, r, 14.5)
        elif person.glasses == "square":
            rim = box(cx - r - 1, y - 11, cx + r + 1, y + 12.5, 3.5)
        else:
            shape = Path(cx - s * (r - 2), y - 8).to(cx + s * (r + 5), y - 14)
            rim = shape.quad(cx + s * r, y + 13, cx, y + 12, cx - s * r, y + 11, cx - s * (r - 2), y - 8).points
        canvas.fill(rim, (236, 246, 255), 0.16)
        canvas.stroke(rim, frame, 3, closed=True)
        canvas.line(cx + s * r, y - 4, s * (person.half_width - 1) - turn * 4, y - 3, frame, 3)
    canvas.line(at.x - 3.5, y - 2, at.x + 3.5, y - 2, frame, 3)


# ------------------------------------------------------------------------------------------------- parts
def _paint_ears(canvas: Canvas, person: Identity, at: Layout) -> None:
    for s in (-1, 1):
        if s * at.turn < 0.55:
            x, r = s * (person.half_width - 1) - at.turn * 5, person.ear
            canvas.fill(ellipse(x, 4 + r * 0.17, r * 0.62, r * 1.07), dark(person.skin, 0.1))
            canvas.fill(ellipse(x, 4 + r * 0.15, r * 0.3, r * 0.55), dark(person.skin, 0.26))
            if person.earrings:
                canvas.fill(ellipse(x, r * 1.25 + 9, 4), ACCENTS[person.earring_colour])


def _beard_colour(person: Identity) -> Colour:
    natural = (
        (70, 46, 36)
        if person.hair_style == "bald" and person.hair_name in ("blue", "pink", "green", "purple")
        else person.hair
    )
    return dark(natural, 0.12)


def _paint_beard(canvas: Canvas, person: Identity, at: Layout) -> None:
    w, x, y, tint = person.half_width, at.x, at.mouth[1], _beard_colour(person)
    if person.beard in ("stubble", "full beard"):
        inner = person.mouth_width + 4
        shape = (
            Path(-w - 6, 2)
            .cubic(-w + 4, 10, -w + 10, y - 14, x * 0.6 - inner, y - 10)
            .quad(x * 0.8, y - 13, x * 0.6 + inner, y - 10)
        )
        shape.cubic(w - 10, y - 14, w - 4, 10, w + 6, 2).to(w + 6, 92, -w - 6, 92)
        if person.beard == "stubble":
            canvas.fill(shape, mix(tint, (70, 60, 66), 0.3), 0.26)
        else:
            canvas.fill(shape, Linear((0, y - 16), (0, at.chin + 4), (light(tint, 0.1), tint, dark(tint, 0.2))))
    elif person.beard == "goatee":
        canvas.fill(ellipse(x * 0.8, (y + 1 + at.chin + 14) / 2, 15, (at.chin + 13 - y) / 2), tint)


def _paint_marks(canvas: Canvas, person: Identity, at: Layout) -> None:
    if person.freckles:
        rng, spot = np.random.default_rng(person.freckle_seed), mix(person.skin, (124, 58, 30), 0.55)
        for _ in range(18):
            canvas.fill(ellipse(rng.uniform(-30, 30) + at.x, rng.uniform(8, 25) + at.y, rng.uniform(1.2, 2.0)), spot)
    if person.mole:
        canvas.fill(ellipse(person.mole[0] * 0.8 + at.x, person.mole[1] * 0.8 + at.y + 4, 2.3), (62, 36, 32))
    if person.scar:
        tint = light(person.skin, 0.5) if sum(person.skin) < 480 else mix(person.skin, (190, 60, 60), 0.5)
        canvas.line(22 + at.x, -18 + at.y, 30 + at.x, 20 + at.y, tint, 2.6)


def _paint_age(canvas: Canvas, person: Identity, at: Layout) -> None:
    if person.age == "young":
        return
    old, line = person.age == "old", dark(person.skin, 0.42)
    for s in (-1, 1):
        fold = Path(s * (person.nose_width + 4) + at.x, at.nose[1] - 2)
        fold.quad(
            s * (person.mouth_width + 5) + at.x, at.mouth[1] - 12, s * (person.mouth_width + 6) + at.x, at.mouth[1]
        )
        canvas.stroke(fold, line, 1.8, 0.55 if old else 0.34)
        bag = Path(s * (person.eye_distance - 6) + at.x, 12 + at.y)
        canvas.stroke(
            bag.quad(s * person.eye_distance + at.x, 15.5 + at.y, s * (person.eye_distance + 8) + at.x, 11 + at.y),
            line,
            1.6,
            0.45 if old else 0.24,
        )
    if old:
        for k in range(2):
            y = -32 - k * 7 + at.y * 0.5
            canvas.stroke(Path(-18 + at.x, y).quad(at.x, y - 3, 18 + at.x, y), line, 1.6, 0.4)


def _paint_eye(canvas: Canvas, person: Identity, scene: Scene, at: Layout, s: int, cx: float, cy: float) -> None:
    narrow = 1 - 0.22 * max(0.0, s * at.turn)
    half, opening = person.eye_width * narrow, person.eye_opening * _EYE_OPENING.get(scene.expression, 1.0)
    slant = -math.degrees(person.eye_tilt) * s + {"sad": s * 10, "angry": -s * 7}.get(scene.expression, 0)
    with canvas.moved(cx, cy, degrees=slant):
        almond = Path(-half, 0).cubic(-half * 0.5, -opening * 1.3, half * 0.5, -opening * 1.3, half, 0)
        almond.cubic(half * 0.5, opening * 1.05, -half * 0.5, opening * 1.05, -half, 0)
        canvas.fill(ellipse(0, -opening * 0.35, half * 1.16, opening * 1.1), dark(person.skin, 0.2), 0.45)
        canvas.fill(almond, (250, 249, 247))
        r, gaze = person.eye_opening * person.iris * 1.04, at.turn * 3.2
        look = scene.pitch / 32 * 1.6
        with canvas.clipped(almond):
            canvas.fill(ellipse(gaze, look - 0.3, r), dark(person.eye, 0.42))
            canvas.fill(
                ellipse(gaze, look + 0.2, r * 0.8),
                Linear((0, -r), (0, r), (dark(person.eye, 0.12), light(person.eye, 0.22))),
            )
            canvas.fill(ellipse(gaze, look - 0.2, r * 0.42), (18, 14, 20))
            canvas.fill(box(-half, -opening * 1.2, half, -opening * 0.52), (80, 66, 84), 0.3)
        canvas.fill(ellipse(gaze + 2, look - 2.3, 1.6), (255, 255, 255))
        lid = Path(-half, 0).cubic(-half * 0.5, -opening * 1.3, half * 0.5, -opening * 1.3, half, 0)
        canvas.stroke(lid, _INK, 3.2 if person.lashes else 2.2)
        if person.lashes:
            canvas.line(s * half, -0.5, s * (half + 3.8), -4.4, _INK, 2.4)
    slope, lift = _BROW.get(scene.expression, (0.0, 0.0))
    tint = mix(person.hair, (96, 94, 98), 0.35) if person.hair_name in ("white", "grey") else dark(person.hair, 0.32)
    with canvas.moved(
        cx,
        cy - person.brow_gap + lift - person.eye_opening * 0.35,
        degrees=-s * math.degrees(person.brow_slope * 0.5 - slope * 1.1),
    ):
        length, arch, thick = person.brow_length * narrow, person.brow_arch, person.brow_thickness
        brow = Path(-s * length, arch * 0.4 - thick * 0.5).quad(0, -arch - thick * 0.5, s * length, arch * 0.4)
        canvas.fill(brow.quad(0, -arch + thick * 0.6, -s * length, arch * 0.4 + thick * 0.5), tint)
        canvas.stroke(
            Path(-s * length, arch * 0.4).quad(0, -arch, s * length, arch * 0.4), tint, max(1.4, thick * 0.55)
        )


def _paint_nose(canvas: Canvas, person: Identity, at: Layout) -> None:
    x, y, w = *at.nose, person.nose_width
    line, shade = dark(person.skin, 0.36), dark(person.skin, 0.13)
    bridge = at.x * 0.6
    if person.nose == "button":
        canvas.glow(x, y - 2, w * 1.1, w * 0.9, light(person.skin, 0.6), 0.45)
        canvas.stroke(Path(x - w * 0.75, y - 1).quad(x, y + 6, x + w * 0.75, y - 1), line, 2.3)
    elif person.nose == "bridge":
        s = person.parting
        canvas.stroke(
            Path(bridge - s * 2, at.y + 4).to(x + s * w * 0.8, y).quad(x, y + 4.5, x - s * w * 0.5, y + 1), line, 2.3
        )
    elif person.nose == "round":
        canvas.fill(ellipse(x, y - w * 0.02, w * 0.95, w * 0.62), shade)
        canvas.fill(ellipse(x - w * 0.1, y - w * 0.25, w * 0.36, w * 0.2), light(person.skin, 0.4), 0.6)
    else:
        shape = Path(bridge - 2, at.y + 3).to(x - w, y + 2).quad(x, y + 7, x + w, y + 2).to(bridge + 2, at.y + 3)
        canvas.fill(shape, Linear((x - w, 0), (x + w, 0), (dark(person.skin, 0.05), dark(person.skin, 0.2))))
        for s in (-1, 1):
            canvas.fill(ellipse(x + s * w * 0.45, y + 2.2, 1.6), dark(person.skin, 0.5))


def _paint_mouth(canvas: Canvas, person: Identity, scene: Scene, at: Layout) -> None:
    (x, y), half, lips = at.mouth, person.mouth_width, person.lips
    rose = mix(mix(person.skin, (172, 62, 66), 0.5), (200, 34, 66), person.lip_tint * (0.75 if person.woman else 0.12))
    mood = scene.expression
    left, right = at.corners
    if mood in ("neutral", "sad"):
        bow = 0.0 if mood == "neutral" else -7.5  # how far the middle lies above the corners' line
        m = (left[1] + right[1]) / 2 + bow
        upper = Path(*left).quad(x - half * 0.4, m - lips, x, m - lips * 0.55, x + half * 0.4, m - lips, *right)
        canvas.fill(upper.quad(x, m + bow * 0.4, *left), dark(rose, 0.14))
        canvas.fill(
            Path(*left).quad(x, m + bow * 0.4, *right).quad(x, m + lips * 1.7 + bow * 0.3, *left),
            Linear((0, m), (0, m + lips), (rose, light(rose, 0.2))),
        )
        canvas.stroke(Path(*left).quad(x, m + bow * 0.4, *right), dark(rose, 0.58), 2.4)
    elif mood == "happy":
        smile = Path(*left).quad(x, y - 1, *right).cubic(x + half * 1.04, y + 17, x - half * 1.04, y + 17, *left)
        canvas.fill(smile, (122, 30, 42))
        with canvas.clipped(smile):
            canvas.fill(ellipse(x, y + 13, half * 0.7, 5.5), (216, 96, 100))
            canvas.fill(box(left[0], y - 9, right[0], y + 4.2), (255, 255, 252))
        canvas.stroke(smile, rose, max(2.4, lips * 0.6), closed=True)
        for s, corner in ((-1, left), (1, right)):
            canvas.line(corner[0], corner[1] - 2, corner[0] + s * 2, corner[1] + 2.5, dark(person.skin, 0.36), 1.8)
    elif mood == "angry":
        teeth = box(left[0], y - 5, right[0], y + 6, 4)
        canvas.fill(teeth, (250, 249, 246))
        canvas.line(left[0], y + 0.5, right[0], y + 0.5, (128, 76, 78), 1.8)
        for k in (-0.5, 0, 0.5):
            canvas.line(x + half * k, y - 5, x + half * k, y + 6, (128, 76, 78), 1.5)
        canvas.stroke(teeth, dark(rose, 0.34), max(2.6, lips * 0.6), closed=True)
    elif mood == "scared":  # corners drawn down and apart, the upper lip wavering over clenched teeth
        m = y - 3.5
        scream = Path(*left).quad(x - half * 0.75, m - 1, x - half * 0.4, m + 1.5, x, m - 3.5, x + half * 0.4, m + 1.5)
        scream.quad(x + half * 0.75, m - 1, *right).quad(
            x + half * 0.5, y + 12, x, y + 10, x - half * 0.5, y + 12, *left
        )
        canvas.fill(scream, (104, 30, 42))
        with canvas.clipped(scream):
            canvas.fill(box(left[0], m - 6, right[0], y + 3.4), (250, 249, 246))
        canvas.stroke(scream, dark(rose, 0.2), max(2.4, lips * 0.55), closed=True)
    else:
        gap = ellipse(x, y + 4.5, half * 0.62, 10.5)
        canvas.fill(gap, Linear((0, y - 8), (0, y + 15), ((74, 16, 28), (150, 52, 60))))
        canvas.stroke(gap, rose, max(2.4, lips * 0.7), closed=True)
