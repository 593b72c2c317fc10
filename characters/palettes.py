"""How far two sets of colours are apart, as an eye sees it.

Colours are `#rrggbb` in sRGB; palettes are (colour, share) pairs whose shares sum to 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

Palette = Sequence[tuple[str, float]]
Lab = tuple[float, float, float]

OTHER_COLOURS = 50.0
"""CIEDE2000 from which on two colours share nothing an eye would call alike: red and green are 70 to 90 apart."""
STEPS = 20
"""Equal parts a palette is divided into to be compared."""
_WHITE = (0.95047, 1.0, 1.08883)
"""D65, 2 degree observer."""


@lru_cache(maxsize=4096)
def lab_of(colour: str) -> Lab:
    """CIELAB (D65) of an sRGB colour (IEC 61966-2-1): L* 0-100, a* and b* about -128 to 127."""
    r, g, b = (_linear(int(colour[k : k + 2], 16) / 255) for k in (1, 3, 5))
    x = 0.4124564 * r + 0.3575761 * g + 0.1804375 * b
    y = 0.2126729 * r + 0.7151522 * g + 0.0721750 * b
    z = 0.0193339 * r + 0.1191920 * g + 0.9503041 * b
    fx, fy, fz = (_cube_root(v / white) for v, white in zip((x, y, z), _WHITE, strict=True))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def _linear(v: float) -> float:
    return v / 12.92 if v <= 0.04045 else float(((v + 0.055) / 1.055) ** 2.4)


def _cube_root(t: float) -> float:
    return t ** (1 / 3) if t > (6 / 29) ** 3 else t / (3 * (6 / 29) ** 2) + 4 / 29


@lru_cache(maxsize=65536)
def ciede2000(one: Lab, other: Lab) -> float:
    """Colour difference, 0 and up; about 1 is just noticeable.

    CIE 142:2001 with all weights 1, in the steps of Sharma, Wu and Dalal 2005, "The CIEDE2000 Color-Difference Formula:
    Implementation Notes, Supplementary Test Data, and Mathematical Observations".
    """
    (l1, a1, b1), (l2, a2, b2) = one, other
    mean7 = ((math.hypot(a1, b1) + math.hypot(a2, b2)) / 2) ** 7
    g = 0.5 * (1 - math.sqrt(mean7 / (mean7 + 25.0**7)))
    a1, a2 = a1 * (1 + g), a2 * (1 + g)
    c1, c2 = math.hypot(a1, b1), math.hypot(a2, b2)
    h1, h2 = math.degrees(math.atan2(b1, a1)) % 360, math.degrees(math.atan2(b2, a2)) % 360
    grey = c1 * c2 == 0
    turn = 0.0 if grey else (h2 - h1 + 180) % 360 - 180
    if turn == -180:  # opposite hues: the sign is that of the paper
        turn = 180.0 if h2 > h1 else -180.0
    d_l, d_c = l2 - l1, c2 - c1
    d_h = 2 * math.sqrt(c1 * c2) * math.sin(math.radians(turn / 2))
    mean_l, c = (l1 + l2) / 2, (c1 + c2) / 2
    if grey:
        h = h1 + h2
    elif abs(h1 - h2) <= 180:
        h = (h1 + h2) / 2
    else:
        h = (h1 + h2 + (360 if h1 + h2 < 360 else -360)) / 2
    t = (
        1
        - 0.17 * math.cos(math.radians(h - 30))
        + 0.24 * math.cos(math.radians(2 * h))
        + 0.32 * math.cos(math.radians(3 * h + 6))
        - 0.20 * math.cos(math.radians(4 * h - 63))
    )
    s_l = 1 + 0.015 * (mean_l - 50) ** 2 / math.sqrt(20 + (mean_l - 50) ** 2)
    s_c, s_h = 1 + 0.045 * c, 1 + 0.015 * c * t
    r_c = 2 * math.sqrt(c**7 / (c**7 + 25.0**7))
    r_t = -math.sin(math.radians(60 * math.exp(-(((h - 275) / 25) ** 2)))) * r_c
    x, y, z = d_l / s_l, d_c / s_c, d_h / s_h
    return math.sqrt(max(x * x + y * y + z * z + r_t * y * z, 0.0))


def difference(one: Palette, other: Palette) -> float:
    """Earth mover's distance between two palettes, 0 and up (Rubner, Tomasi and Guibas 2000): how far, in CIEDE2000,
    the colours of one must change on the average to become those of the other.

    Exact for shares in steps of 1 / `STEPS`. Both must hold a colour.
    """
    from scipy.optimize import linear_sum_assignment  # only where models run: web hosts have no scipy

    mine, theirs = _parts(one), _parts(other)
    apart = np.array([[ciede2000(a, b) for b in theirs] for a in mine])
    return float(apart[linear_sum_assignment(apart)].mean())


def _parts(palette: Palette) -> list[Lab]:
    """The palette as `STEPS` equal parts (largest remainders)."""
    total = sum(share for _, share in palette) or 1.0
    exact = [STEPS * share / total for _, share in palette]
    whole = [int(v) for v in exact]
    for k in sorted(range(len(exact)), key=lambda k: whole[k] - exact[k])[: STEPS - sum(whole)]:
        whole[k] += 1
    return [lab_of(colour) for (colour, _), count in zip(palette, whole, strict=True) for _ in range(count)]


def agreement(apart: float) -> float:
    """0-100 from a `difference`: 100 for the same colours, falling evenly to 0 at `OTHER_COLOURS`."""
    return round(100 * max(0.0, 1 - apart / OTHER_COLOURS), 1)
