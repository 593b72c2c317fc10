"""Neck, shoulders and clothes, in canvas units at head scale 1 (the collar lies near y = 184)."""

from __future__ import annotations

from .canvas import Canvas, Colour, Linear, Path, box, dark, ellipse, light, mix
from .identity import Identity
from .scene import COLOURS, Scene

_MID = 128.0


def paint_outfit(canvas: Canvas, person: Identity, scene: Scene, neck_x: float) -> None:
    """Paint the body under the head. `neck_x` is where the turned head puts the top of the neck."""
    skin, colour = person.skin, COLOURS[scene.colour]
    shade, shine = dark(colour, 0.3), light(colour, 0.22)
    neck, shoulder, collar = (17.0, 76.0, 186.0) if person.woman else (22.0, 90.0, 183.0)
    throat = Path(neck_x - neck, 138).cubic(
        neck_x - neck, 165, _MID - neck - 1, collar, _MID - neck - 8, collar + 8
    ).quad(_MID, collar + 30, _MID + neck + 8, collar + 8).cubic(
        _MID + neck + 1, collar, neck_x + neck, 165, neck_x + neck, 138
    )  # fmt: skip
    body = _shoulders(neck, shoulder, collar)
    cloth = Linear((0, collar), (0, 256), (shine, colour, shade))
    outfit = scene.outfit
    if outfit == "hoodie":
        canvas.fill(ellipse(_MID, 188, 56, 29), Linear((0, 160), (0, 214), (colour, shade)))
    if outfit == "tank top":
        canvas.fill(
            _shoulders(neck, shoulder - 5, collar),
            Linear((0, collar), (0, 256), (light(skin, 0.06), skin, dark(skin, 0.12))),
        )
        canvas.fill(throat, skin)
        _throat_shadow(canvas, throat, neck_x, skin)
        bodice = (
            Path(_MID - 56, 262)
            .quad(_MID - 58, 236, _MID - 48, 210)
            .quad(_MID - 26, 240, _MID, 227, _MID + 26, 240, _MID + 48, 210)
        )
        canvas.fill(bodice.quad(_MID + 58, 236, _MID + 56, 262), cloth)
        for side in (-1, 1):
            canvas.line(_MID + side * 47, 214, _MID + side * 35, collar + 5, colour, 6)
        return
    canvas.fill(body, cloth)
    if outfit == "striped shirt":
        band: Colour = (246, 246, 244) if scene.colour not in ("white", "yellow", "grey") else (64, 78, 132)
        with canvas.clipped(body):
            for y in (193, 211, 229, 247):
                canvas.fill(box(0, y, 256, y + 9), band)
    if outfit == "turtleneck":
        canvas.fill(throat, dark(skin, 0.16))
        canvas.fill(
            box(_MID - neck - 7, 166, _MID + neck + 7, 201, 9),
            Linear((0, 164), (0, 201), (mix(colour, shade, 0.15), mix(colour, shade, 0.55))),
        )
        canvas.line(_MID - neck - 2, 184, _MID + neck + 2, 184, shade, 2, 0.6)
        return
    if outfit == "suit":
        shirt = Path(_MID - neck - 9, collar).to(_MID - 16, 256, _MID + 16, 256, _MID + neck + 9, collar)
        canvas.fill(shirt, (246, 247, 250))
        canvas.fill(throat, skin)
        _throat_shadow(canvas, throat, neck_x, skin)
        for side in (-1, 1):  # shirt collar
            canvas.fill(
                Path(_MID + side * (neck + 7), collar - 3).to(_MID + side * (neck + 2), collar + 22, _MID, collar + 20),
                (255, 255, 255),
            )
        tie: Colour = (158, 36, 46) if scene.colour not in ("red", "orange", "pink") else (44, 54, 96)
        canvas.fill(Path(_MID - 6, collar + 17).to(_MID + 6, collar + 17, _MID + 10, 256, _MID - 10, 256), tie)
        for side in (-1, 1):
            lapel = Path(_MID + side * (neck + 5), collar - 3).to(_MID + side * (neck + 27), collar + 13)
            canvas.fill(lapel.to(_MID + side * 32, collar + 36, _MID + side * 13, 262), shade)
        return
    if outfit == "jacket":
        under: Colour = (238, 234, 224) if scene.colour not in ("white", "yellow") else (74, 84, 104)
        canvas.fill(Path(_MID - neck - 11, collar).to(_MID - 22, 262, _MID + 22, 262, _MID + neck + 11, collar), under)
        canvas.fill(throat, skin)
        _throat_shadow(canvas, throat, neck_x, skin)
        for side in (-1, 1):
            canvas.fill(
                Path(_MID + side * (neck + 4), collar - 6).to(
                    _MID + side * (neck + 31), collar + 8, _MID + side * (neck + 7), collar + 38
                ),
                shade,
            )
            canvas.line(_MID + side * 22, 262, _MID + side * (neck + 5), collar + 30, shade, 2.5)
        return
    canvas.fill(throat, skin)
    _throat_shadow(canvas, throat, neck_x, skin)
    if outfit == "hoodie":
        canvas.stroke(Path(_MID - neck - 8, collar - 4).quad(_MID, collar + 48, _MID + neck + 8, collar - 4), shade, 10)
        for side in (-1, 1):
            canvas.line(_MID + side * 12, collar + 24, _MID + side * 13, collar + 52, (248, 248, 248), 3)
    else:
        canvas.stroke(Path(_MID - neck - 7, collar + 5).quad(_MID, collar + 34, _MID + neck + 7, collar + 5), shade, 5)


def _shoulders(neck: float, half: float, top: float) -> Path:
    return Path(_MID - neck - 2, top).cubic(
        _MID - neck - 20, top + 9, _MID - half, top + 9, _MID - half - 6, 264
    ).to(_MID + half + 6, 264).cubic(_MID + half, top + 9, _MID + neck + 20, top + 9, _MID + neck + 2, top)  # fmt: skip


def _throat_shadow(canvas: Canvas, throat: Path, neck_x: float, skin: Colour) -> None:
    """The chin's shadow: without it the head floats."""
    with canvas.clipped(throat):
        canvas.fill(ellipse(neck_x, 152, 42, 32), dark(skin, 0.3), 0.75)
