"""Ten places, painted as broad soft shapes: out of focus, as behind a portrait."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .canvas import Canvas, Colour, Linear, Path, Radial, box, dark, ellipse, light, mix
from .scene import COLOURS

Rng = np.random.Generator


def paint_background(canvas: Canvas, name: str, seed: int) -> None:
    """Cover the whole canvas. `name` is one of `scene.BACKGROUNDS`."""
    _PAINTERS[name](canvas, np.random.default_rng((seed, 0xB6)))


def _wash(canvas: Canvas, *colours: Colour, until: float = 256) -> None:
    canvas.fill(box(0, 0, 256, 256), Linear((0, 0), (0, until), colours))


def _studio(canvas: Canvas, rng: Rng) -> None:
    tint = [(176, 188, 206), (206, 190, 176), (168, 194, 180), (200, 180, 196), (150, 158, 176)][rng.integers(5)]
    canvas.fill(box(0, 0, 256, 256), Radial((128, 96), 190, (light(tint, 0.42), tint, dark(tint, 0.3))))


def _park(canvas: Canvas, rng: Rng) -> None:
    _wash(canvas, (128, 194, 238), (220, 240, 248), until=180)
    for k in range(3):
        x, y = rng.uniform(0, 256), 22.0 + k * 16
        for dx, size in ((-18, 11), (0, 15), (19, 10)):
            canvas.fill(ellipse(x + dx, y, size * 1.5, size * 0.8), (252, 253, 255), 0.8)
    for k in range(6):
        x, r = k * 50 + rng.uniform(-15, 15), rng.uniform(27, 38)
        leaf = mix((96, 164, 80), (58, 124, 66), rng.random())
        canvas.fill(box(x - 4, 130, x + 4, 190), (116, 82, 58))
        canvas.fill(ellipse(x, 114, r), leaf)
        canvas.fill(ellipse(x - r * 0.25, 106, r * 0.6), light(leaf, 0.16))
    canvas.fill(box(0, 168, 256, 256), Linear((0, 168), (0, 256), ((140, 196, 96), (92, 158, 72))))


def _beach(canvas: Canvas, rng: Rng) -> None:
    _wash(canvas, (92, 184, 238), (214, 240, 250), until=130)
    x, y = rng.uniform(20, 236), rng.uniform(25, 58)
    canvas.glow(x, y, 44, 44, (255, 248, 214), 0.7)
    canvas.fill(ellipse(x, y, 16), (255, 242, 182))
    canvas.fill(box(0, 122, 256, 178), Linear((0, 122), (0, 178), ((24, 112, 184), (92, 204, 216))))
    canvas.fill(Path(0, 174).quad(64, 164, 128, 174, 192, 184, 256, 172).to(256, 256, 0, 256), (250, 246, 236))
    canvas.fill(Path(0, 180).quad(64, 170, 128, 180, 192, 190, 256, 178).to(256, 256, 0, 256), (240, 216, 164))


def _houses(canvas: Canvas, rng: Rng, *, night: bool) -> None:
    if night:
        _wash(canvas, (18, 20, 54), (70, 50, 104))
        canvas.glow(212, 36, 34, 34, (250, 246, 214), 0.4)
        canvas.fill(ellipse(212, 36, 13), (250, 246, 216))
    else:
        _wash(canvas, (160, 202, 232), (240, 242, 238))
    x = -rng.uniform(2, 20)
    while x < 256:
        width, top = rng.uniform(34, 54), rng.uniform(40, 128)
        wall = (
            mix((28, 28, 58), (44, 40, 78), rng.random())
            if night
            else mix((124, 136, 154), (178, 156, 142), rng.random())
        )
        canvas.fill(box(x, top, x + width - 2, 256), Linear((0, top), (0, 256), (light(wall, 0.08), dark(wall, 0.12))))
        pane = (255, 220, 126) if night else (214, 230, 238)
        for wy in np.arange(top + 10, 236, 26):
            for wx in np.arange(x + 7, x + width - 14, 17):
                if rng.random() < (0.45 if night else 0.9):
                    canvas.fill(box(wx, wy, wx + 10, wy + 14), pane)
        x += width


def _forest(canvas: Canvas, rng: Rng) -> None:
    _wash(canvas, (164, 208, 186), (96, 144, 114))
    for layer in range(3):
        tint = mix((100, 150, 118), (30, 78, 54), layer / 2)
        for k in range(6):
            x, top = k * 50 + rng.uniform(-20, 20), 34 + layer * 30 + rng.uniform(-14, 14)
            canvas.fill(
                Path(x, top).to(x + 30, 256, x - 30, 256),
                Linear((0, top), (0, 256), (light(tint, 0.1), dark(tint, 0.1))),
            )


def _library(canvas: Canvas, rng: Rng) -> None:
    _wash(canvas, (98, 64, 44), (72, 44, 30))
    spines = [dark(c, 0.28) for c in COLOURS.values()]
    for y in range(-4, 256, 52):
        x = -rng.uniform(0, 12)
        while x < 256:
            width, height = rng.uniform(16, 27), rng.uniform(32, 43)
            canvas.fill(box(x, y + 46 - height, x + width - 1.5, y + 46), spines[rng.integers(len(spines))])
            x += width
        canvas.fill(box(0, y + 45, 256, y + 52), (62, 38, 26))


def _mountains(canvas: Canvas, rng: Rng) -> None:
    _wash(canvas, (112, 164, 224), (236, 236, 246), until=200)
    for layer in range(2):
        tint = mix((134, 146, 178), (82, 94, 128), layer)
        for k in range(4):
            x, top = k * 84 + rng.uniform(-30, 30), 46 + layer * 48 + rng.uniform(-16, 16)
            canvas.fill(
                Path(x, top).to(x + 92, 256, x - 92, 256),
                Linear((x - 40, 0), (x + 60, 0), (light(tint, 0.14), dark(tint, 0.1))),
            )
            canvas.fill(
                Path(x, top).to(x + 17, top + 38, x + 5, top + 29, x - 6, top + 40, x - 17, top + 37), (250, 250, 255)
            )


def _desert(canvas: Canvas, rng: Rng) -> None:
    _wash(canvas, (248, 182, 116), (255, 236, 200), until=170)
    x = rng.uniform(30, 226)
    canvas.glow(x, 58, 56, 56, (255, 248, 214), 0.6)
    canvas.fill(ellipse(x, 58, 21), (255, 246, 206))
    for y, tint in ((138, (228, 168, 104)), (176, (206, 138, 80))):
        start = y + rng.uniform(-10, 10)
        dune = Path(0, start).quad(80, y - 32, 140, y, 200, y + 26, 256, y - 8).to(256, 256, 0, 256)
        canvas.fill(dune, Linear((0, y - 20), (0, 256), (light(tint, 0.12), tint)))
    x, green = float(rng.choice([26, 230])), (72, 132, 86)
    canvas.fill(box(x - 7, 98, x + 7, 196, 7), green)
    canvas.fill(box(x - 22, 122, x - 12, 152, 5), green)
    canvas.fill(box(x - 22, 143, x, 152), green)


def _kitchen(canvas: Canvas, rng: Rng) -> None:
    _wash(canvas, (240, 230, 212), (226, 214, 192))
    for y in range(78, 180, 34):
        canvas.line(0, y, 256, y, (210, 198, 176), 2)
    for x in range(10, 256, 40):
        canvas.line(x, 72, x, 180, (210, 198, 176), 2)
    front = mix(list(COLOURS.values())[rng.integers(len(COLOURS))], (226, 218, 206), 0.5)
    for left, right, knob in ((-4, 84, 74), (176, 260, 186)):
        canvas.fill(box(left, -4, right, 72), Linear((0, 0), (0, 72), (light(front, 0.12), front)))
        canvas.stroke(box(left + 8, 6, right - 8, 62), dark(front, 0.16), 2, closed=True)
        canvas.fill(ellipse(knob, 38, 3.4), (86, 80, 80))
    canvas.fill(box(0, 178, 256, 191), (152, 122, 98))
    canvas.fill(box(0, 190, 256, 256), dark(front, 0.12))


_PAINTERS: dict[str, Callable[[Canvas, Rng], None]] = {
    "studio": _studio,
    "park": _park,
    "beach": _beach,
    "city": lambda canvas, rng: _houses(canvas, rng, night=False),
    "night city": lambda canvas, rng: _houses(canvas, rng, night=True),
    "forest": _forest,
    "library": _library,
    "mountains": _mountains,
    "desert": _desert,
    "kitchen": _kitchen,
}
