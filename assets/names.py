"""File names as people see them. They never take part in storage keys."""

from __future__ import annotations

import re
import unicodedata

MAX_NAME = 200
_MAX_EXTENSION = 12
_UNSAFE = re.compile(r'[<>"|*?:`]')
_JOINERS = {"\u200c", "\u200d"}
"""Join emoji and letters; the other format characters only hide or reverse text."""
_MAX_MARKS = 4
"""Combining marks in a row; more only paint over the neighbouring lines."""


def clean_name(raw: str, *, fallback: str = "picture") -> str:
    """Return a safe display name of 1-200 characters.

    Keeps letters of every script, spaces and emoji. Drops path parts, control and format characters (right-to-left
    overrides among them), lone surrogates and piled-up marks; characters with a meaning to HTML or to file systems
    become `_`. A long name keeps its beginning and its extension. Applying it twice changes nothing.
    """
    name = _fit(_letters(re.split(r"[/\\]", raw[-100_000:])[-1] or ""))
    return name or fallback


def _letters(name: str) -> str:
    kept: list[str] = []
    marks = 0
    for c in unicodedata.normalize("NFC", name[:20_000]):
        category = unicodedata.category(c)
        if category in ("Cc", "Cs", "Cn", "Co", "Zl", "Zp") or (category == "Cf" and c not in _JOINERS):
            continue
        if c in _JOINERS and (not kept or kept[-1] in _JOINERS):
            continue
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if marks <= _MAX_MARKS:
            kept.append(" " if category == "Zs" else c)
    # What was dropped may have stood between a letter and its mark.
    return re.sub(r" +", " ", _UNSAFE.sub("_", unicodedata.normalize("NFC", "".join(kept))))


def _fit(name: str) -> str:
    name = _trim(name)
    if len(name) <= MAX_NAME:
        return name
    stem, dot, extension = name.rpartition(".")
    if dot and stem and 1 <= len(extension) <= _MAX_EXTENSION and extension.isalnum():
        return _trim(f"{_trim(stem[: MAX_NAME - len(extension) - 1])}.{extension}")
    return _trim(name[:MAX_NAME])


def _trim(name: str) -> str:
    return name.strip(" .\u200c\u200d")
