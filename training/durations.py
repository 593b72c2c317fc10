"""Spans of time in words."""

from __future__ import annotations


def about(seconds: float) -> str:
    """`a few seconds`, `about 40 s`, `about 2 min`, `about 1 h 20 min`: no finer than a forecast can be."""
    if seconds < 8:
        return "a few seconds"
    if seconds < 55:
        return f"about {round(seconds / 10) * 10 or 10} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"about {max(1, minutes)} min"
    hours, rest = divmod(round(minutes / 10) * 10, 60)
    return f"about {hours} h" + (f" {rest} min" if rest else "")


def exactly(seconds: float) -> str:
    """`8 s`, `2 min 05 s`, `1 h 20 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
