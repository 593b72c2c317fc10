"""Neck, shoulders and clothes, in canvas units at head scale 1 (the collar lies near y = 184)."""

from __future__ import annotations

from contextlib import nullcontext

from .canvas import Canvas, Colour, Linear, Path, box, dark, ellipse, light, mix
from .identity import Identity
from .scene import COLOURS, Scene

_MID = 128.0


_CLOSE, _HEM = 264.0, 396.0
"""Where the body ends: below the picture of a close-up, or at the hips."""


def paint_outfit(canvas: Canvas, person: Identity, scene: Scene, neck_x: float) -> None:
    """Paint the body under the head. `neck_x` is where the turned head puts the top of the neck."""
    skin, colour = person.skin, COLOURS[scene.colour]
    shade, shine = dark(colour, 0.3), light(colour, 0.22)
    neck, shoulder, collar = (17.0, 76.0, 186.0) if person.woman else (22.0, 90.0, 183.0)
    whole = scene.shot != "close-up"
    end = _HEM if whole else _CLOSE
    throat = Path(neck_x - neck, 138).cubic(
        neck_x - neck, 165, _MID - neck - 1, collar, _MID - neck - 8, collar + 8
    ).quad(_MID, collar + 30, _MID + neck + 8, collar + 8).cubic(
        _MID + neck + 1, collar, neck_x + neck, 165, neck_x + neck, 138
    )  # fmt: skip
    outfit = scene.outfit
    bare = outfit == "tank top"
    if whole:
        _paint_legs(canvas, scene, shoulder)
        _paint_arms(canvas, person, shoulder, skin if bare else colour, sleeves=0.42 if outfit == "t-shirt" else 1.0)
    body = _shoulders(neck, shoulder, collar, end)
    cloth = Linear((0, collar), (0, end - 8), (shine, colour, shade))
    if outfit == "hoodie":
        canvas.fill(ellipse(_MID, 188, 56, 29), Linear((0, 160), (0, 214), (colour, shade)))
    if bare:
        canvas.fill(
            _shoulders(neck, shoulder - 5, collar, _CLOSE),
            Linear((0, collar), (0, 256), (light(skin, 0.06), skin, dark(skin, 0.12))),
        )
        canvas.fill(throat, skin)
        _throat_shadow(canvas, throat, neck_x, skin)
        bodice = (
            Path(_MID - 56, end - 2)
            .quad(_MID - 58, 236, _MID - 48, 210)
            .quad(_MID - 26, 240, _MID, 227, _MID + 26, 240, _MID + 48, 210)
        )
        canvas.fill(bodice.quad(_MID + 58, 236, _MID + 56, end - 2), cloth)
        for side in (-1, 1):
            canvas.line(_MID + side * 47, 214, _MID + side * 35, collar + 5, colour, 6)
        return
    canvas.fill(body, cloth)
    if outfit == "striped shirt":
        band: Colour = (246, 246, 244) if scene.colour not in ("white", "yellow", "grey") else (64, 78, 132)
        with canvas.clipped(body):
            for y in range(193, int(end) - 14, 18):
                canvas.fill(box(0, y, 256, y + 9), band)
    if whole:  # the arms set off from the body
        for side in (-1, 1):
            canvas.line(_MID + side * (shoulder - 24), 232, _MID + side * (shoulder - 22), 300, shade, 3, 0.8)
    if outfit == "turtleneck":
        canvas.fill(throat, dark(skin, 0.16))
        canvas.fill(
            box(_MID - neck - 7, 166, _MID + neck + 7, 201, 9),
            Linear((0, 164), (0, 201), (mix(colour, shade, 0.15), mix(colour, shade, 0.55))),
        )
        canvas.line(_MID - neck - 2, 184, _MID + neck + 2, 184, shade, 2, 0.6)
        return
    if outfit == "suit":
        point = end if not whole else 304.0  # where a buttoned jacket closes
        shirt = Path(_MID - neck - 9, collar).to(_MID - 16, 256, _MID + 16, 256, _MID + neck + 9, collar)
        if whole:
            shirt = Path(_MID - neck - 9, collar).to(
                _MID - 17, 250, _MID, point, _MID + 17, 250, _MID + neck + 9, collar
            )
        canvas.fill(shirt, (246, 247, 250))
        canvas.fill(throat, skin)
        _throat_shadow(canvas, throat, neck_x, skin)
        for side in (-1, 1):  # shirt collar
            canvas.fill(
                Path(_MID + side * (neck + 7), collar - 3).to(_MID + side * (neck + 2), collar + 22, _MID, collar + 20),
                (255, 255, 255),
            )
        tie: Colour = (158, 36, 46) if scene.colour not in ("red", "orange", "pink") else (44, 54, 96)
        with canvas.clipped(shirt) if whole else nullcontext():
            low = 300 if whole else 256
            canvas.fill(Path(_MID - 6, collar + 17).to(_MID + 6, collar + 17, _MID + 10, low, _MID - 10, low), tie)
        for side in (-1, 1):
            lapel = Path(_MID + side * (neck + 5), collar - 3).to(_MID + side * (neck + 27), collar + 13)
            foot = (_MID + side * 2, point) if whole else (_MID + side * 13, 262.0)
            canvas.fill(lapel.to(_MID + side * 32, collar + 36, *foot), shade)
        if whole:
            for y in (318, 344):
                canvas.fill(ellipse(_MID, y, 3.6), shade)
        return
    if outfit == "jacket":
        under: Colour = (238, 234, 224) if scene.colour not in ("white", "yellow") else (74, 84, 104)
        canvas.fill(
            Path(_MID - neck - 11, collar).to(_MID - 22, end - 2, _MID + 22, end - 2, _MID + neck + 11, collar), under
        )
        canvas.fill(throat, skin)
        _throat_shadow(canvas, throat, neck_x, skin)
        for side in (-1, 1):
            canvas.fill(
                Path(_MID + side * (neck + 4), collar - 6).to(
                    _MID + side * (neck + 31), collar + 8, _MID + side * (neck + 7), collar + 38
                ),
                shade,
            )
            canvas.line(_MID + side * 22, end - 2, _MID + side * (neck + 5), collar + 30, shade, 2.5)
        return
    canvas.fill(throat, skin)
    _throat_shadow(canvas, throat, neck_x, skin)
    if outfit == "hoodie":
        canvas.stroke(Path(_MID - neck - 8, collar - 4).quad(_MID, collar + 48, _MID + neck + 8, collar - 4), shade, 10)
        for side in (-1, 1):
            canvas.line(_MID + side * 12, collar + 24, _MID + side * 13, collar + 52, (248, 248, 248), 3)
        if whole:
            pocket = Path(_MID - 34, 322).to(_MID + 34, 322, _MID + 46, 372, _MID - 46, 372)
            canvas.stroke(pocket, shade, 4, closed=True)
    else:
        canvas.stroke(Path(_MID - neck - 7, collar + 5).quad(_MID, collar + 34, _MID + neck + 7, collar + 5), shade, 5)


def _shoulders(neck: float, half: float, top: float, end: float) -> Path:
    shape = Path(_MID - neck - 2, top).cubic(_MID - neck - 20, top + 9, _MID - half, top + 9, _MID - half - 6, _CLOSE)
    if end > _CLOSE:
        shape.to(_MID - half + 18, 286, _MID - half + 22, end, _MID + half - 22, end, _MID + half - 18, 286)
    return shape.to(_MID + half + 6, _CLOSE).cubic(
        _MID + half, top + 9, _MID + neck + 20, top + 9, _MID + neck + 2, top
    )


def _paint_arms(canvas: Canvas, person: Identity, shoulder: float, colour: Colour, *, sleeves: float) -> None:
    """Arms that hang beside the body. `sleeves`: how far down the cloth reaches, 0-1."""
    skin = dark(person.skin, 0.08)
    for side in (-1, 1):
        x = _MID + side * (shoulder - 7)
        arm = Path(x, 240).quad(x + side * 15, 320, x + side * 5, 404).points
        canvas.fill(ellipse(x + side * 4, 414, 12, 15), skin)
        canvas.stroke(arm, skin, 23)
        covered = arm[: max(2, round(len(arm) * sleeves))]
        canvas.stroke(covered, dark(colour, 0.14), 27)


def _paint_legs(canvas: Canvas, scene: Scene, shoulder: float) -> None:
    """Trousers and shoes, as far as the picture shows them."""
    cloth: Colour = (58, 70, 102)
    if scene.outfit == "suit":
        cloth = dark(COLOURS[scene.colour], 0.12)
    elif scene.colour in ("blue", "purple", "teal", "black"):
        cloth = (176, 156, 128)
    hip = shoulder - 24
    for side in (-1, 1):
        foot = _MID + side * 27
        canvas.fill(
            Path(_MID - side * 2, 388).to(_MID + side * hip, 388, foot + side * 17, 628, foot - side * 15, 628),
            Linear((_MID - hip, 0), (_MID + hip, 0), (light(cloth, 0.12), cloth, dark(cloth, 0.2))),
        )
        canvas.fill(ellipse(foot + side * 6, 634, 25, 12), (56, 48, 52))


def _throat_shadow(canvas: Canvas, throat: Path, neck_x: float, skin: Colour) -> None:
    """The chin's shadow: without it the head floats."""
    with canvas.clipped(throat):
        canvas.fill(ellipse(neck_x, 152, 42, 32), dark(skin, 0.3), 0.75)
