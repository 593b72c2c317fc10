"""Plots as SVG text, drawn here so that the page needs no script. Looks come from the classes of the page's stylesheet.

Series are told apart by their place, their shape and a label, never by colour.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any, Final

import numpy as np

DASHES: Final = ("", "6 4", "2 3", "10 3 2 3")
LEFT, RIGHT, TOP, BOTTOM = 52, 16, 14, 40
Scale = Callable[[float], float]


def roc(curves: Mapping[str, Sequence[Sequence[float]]]) -> str:
    """True matches over false matches of each encoder, the latter in decades."""
    points = [(x, y) for curve in curves.values() for x, y in curve]
    if not points:
        return ""
    width, height = 640, 320
    least = math.floor(math.log10(min(x for x, _ in points)))
    bottom = max(0.0, math.floor(min(y for x, y in points if x >= 1e-4) * 10 - 0.5) / 10) if points else 0.0
    x = _scale((least, 0), (LEFT, width - RIGHT))
    y = _scale((bottom, 1), (height - BOTTOM, TOP))
    parts = [
        *_grid_y(y, _steps(bottom, 1, 5), width),
        *(_line(x(d), TOP, x(d), height - BOTTOM, "grid") for d in range(least, 1)),
        *(_text(x(d), height - BOTTOM + 18, f"1e{d}" if d else "1", "middle") for d in range(least, 1)),
        *(_line(x(d), TOP, x(d), height - BOTTOM, "mark") for d in (-2, -3) if least <= d),
        _text((LEFT + width - RIGHT) / 2, height - 4, "false-match rate", "middle", "quiet"),
    ]
    for k, (name, curve) in enumerate(curves.items()):
        path = " ".join(f"{x(math.log10(a)):.1f},{y(max(b, bottom)):.1f}" for a, b in curve)
        dash = f' stroke-dasharray="{DASHES[k % len(DASHES)]}"' if DASHES[k % len(DASHES)] else ""
        parts.append(f'<polyline class="curve" points="{path}"{dash}/>')
        top = height - BOTTOM - 18 * (len(curves) - k)
        parts.append(f'<line class="curve" x1="{width - 190}" y1="{top}" x2="{width - 150}" y2="{top}"{dash}/>')
        parts.append(_text(width - 142, top + 4, name))
    return _svg(width, height, parts, "True-match rate over false-match rate of each encoder")


def distributions(rows: Mapping[str, Sequence[float]], marks: Mapping[str, float]) -> str:
    """One histogram for each row, all over the same cosines. `marks`: label -> cosine."""
    shown = {name: values for name, values in rows.items() if len(values)}
    if not shown:
        return ""
    width, each, left = 640, 62, 130
    height = TOP + each * len(shown) + BOTTOM
    every = [v for values in shown.values() for v in values]
    low, high = math.floor(min(every) * 10) / 10, 1.0
    x = _scale((low, high), (left, width - RIGHT))
    edges = np.linspace(low, high, 49)
    parts = [_line(x(v), TOP, x(v), height - BOTTOM, "grid") for v in _steps(low, high, 6)]
    parts += [_text(x(v), height - BOTTOM + 18, f"{v:.1f}", "middle") for v in _steps(low, high, 6)]
    for k, (name, values) in enumerate(shown.items()):
        base = TOP + each * (k + 1)
        counts = np.histogram(values, edges)[0]
        tall = (each - 14) / max(counts.max(), 1)
        corners = [(x(low), base)]
        for count, a, b in zip(counts, edges[:-1], edges[1:], strict=True):
            corners += [(x(a), base - count * tall), (x(b), base - count * tall)]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in [*corners, (x(high), base)])
        parts += [f'<polygon class="heap" points="{path}"/>', _line(left, base, width - RIGHT, base, "axis")]
        parts.append(_text(left - 10, base - 14, name, "end"))
        parts.append(_text(left - 10, base, f"{len(values):,} pictures", "end", "quiet"))
    for k, (label, cosine) in enumerate(sorted(marks.items(), key=lambda mark: mark[1])):
        if low <= cosine <= high:
            anchor, beside = ("end", -4) if k == 0 else ("start", 4)  # marks may be close together
            parts.append(_line(x(cosine), TOP, x(cosine), height - BOTTOM, "mark"))
            parts.append(_text(x(cosine) + beside, TOP + 8, label, anchor, "quiet"))
    parts.append(_text((left + width - RIGHT) / 2, height - 4, "cosine to the held-out pictures", "middle", "quiet"))
    return _svg(width, height, parts, "How the cosines of each tier are spread")


def identity_and_adherence(points: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]]) -> str:
    """One cross for each tier: adherence across, identity up; the arms are the intervals."""
    shown = {name: pair for name, pair in points.items() if all(p.get("value") is not None for p in pair)}
    if not shown:
        return ""
    width, height = 640, 340
    low_x = min(0.9, math.floor(min(a["low"] for a, _ in shown.values()) * 10) / 10)
    x, y = _scale((low_x, 1), (LEFT, width - RIGHT - 60)), _scale((0, 1), (height - BOTTOM, TOP))
    parts = [
        *_grid_y(y, _steps(0, 1, 5), width),
        *(_line(x(v), TOP, x(v), height - BOTTOM, "grid") for v in _steps(low_x, 1, 5)),
        *(_text(x(v), height - BOTTOM + 18, f"{v:.2f}", "middle") for v in _steps(low_x, 1, 5)),
        _text((LEFT + width - RIGHT) / 2, height - 4, "prompts followed", "middle", "quiet"),
    ]
    for k, (name, (a, b)) in enumerate(shown.items()):
        at = x(a["value"]), y(b["value"])
        parts.append(_line(x(a["low"]), at[1], x(a["high"]), at[1], "arm"))
        parts.append(_line(at[0], y(b["low"]), at[0], y(b["high"]), "arm"))
        parts += [_shape(k, *at), _text(at[0] + 10, at[1] - 8, name)]
    return _svg(width, height, parts, "Pictures verified over prompts followed, by tier")


def strata(rows: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """`rows`: value of the slot -> tier -> estimate of a share. One column for each tier, each from 0 to 1."""
    tiers = list(dict.fromkeys(tier for columns in rows.values() for tier in columns))
    if not tiers:
        return ""
    left, each, tall = 130, 126, 24
    width, height = left + each * len(tiers) + RIGHT, 30 + tall * len(rows) + 22
    parts = []
    for k, tier in enumerate(tiers):
        x = _scale((0, 1), (left + each * k + 10, left + each * (k + 1) - 10))
        parts.append(_text(x(0), 16, tier))
        parts += [_line(x(v), 26, x(v), height - 20, "grid") for v in (0, 0.5, 1)]
        parts += [_text(x(v), height - 4, label, "middle", "quiet") for v, label in ((0, "0"), (1, "1"))]
        for n, columns in enumerate(rows.values()):
            found, at = columns.get(tier) or {}, 30 + tall * n + tall / 2
            if found.get("value") is not None:
                parts.append(_line(x(found["low"]), at, x(found["high"]), at, "arm"))
                parts.append(f'<circle class="dot" cx="{x(found["value"]):.1f}" cy="{at:.1f}" r="4"/>')
    for n, value in enumerate(rows):
        parts.append(_text(left - 10, 30 + tall * n + tall / 2 + 4, value, "end"))
    return _svg(width, height, parts, "Share verified by what the prompt asked for")


# --------------------------------------------------------------------------------------------------------- pieces
def _scale(domain: tuple[float, float], pixels: tuple[float, float]) -> Scale:
    span = (domain[1] - domain[0]) or 1.0
    return lambda value: pixels[0] + (value - domain[0]) / span * (pixels[1] - pixels[0])


def _steps(low: float, high: float, about: int) -> list[float]:
    """Round numbers from low to high."""
    step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1) if (high - low) / s <= about + 0.01)
    return [round(v, 4) for v in np.arange(math.ceil(low / step - 1e-9) * step, high + step / 2, step)]


def _grid_y(y: Scale, values: Sequence[float], width: int) -> list[str]:
    lines = [_line(LEFT, y(v), width - RIGHT, y(v), "grid") for v in values]
    return lines + [_text(LEFT - 8, y(v) + 4, f"{v:.2f}", "end") for v in values]


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str = "start", kind: str = "label") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _shape(k: int, x: float, y: float) -> str:
    corners = {1: 3, 2: 4, 3: 5}.get(k % 4)
    if corners is None:
        return f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="5"/>'
    turn = [2 * math.pi * n / corners - math.pi / 2 for n in range(corners)]
    path = " ".join(f"{x + 6.5 * math.cos(t):.1f},{y + 6.5 * math.sin(t):.1f}" for t in turn)
    return f'<polygon class="dot" points="{path}"/>'


def _svg(width: float, height: float, parts: Sequence[str], title: str) -> str:
    body = "".join(parts)
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}" role="img">'
        f"<title>{escape(title)}</title>{body}</svg>"
    )
