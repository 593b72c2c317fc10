"""The production's folder convention: where stored files stand inside a project."""

from __future__ import annotations

import re
from typing import Literal

from django.utils.text import slugify

_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")
_GENERATIVE = "01_Assets/Generative_Assets"

CharacterPart = Literal["references", "variations", "adapters", "embeddings"]
StylePart = Literal["references", "adapters", "luts", "previews"]


def character_folder(character: str, part: CharacterPart) -> str:
    """Folder of one part of a character, from the character's slug or name."""
    return f"{_GENERATIVE}/Characters/{segment(character)}/{part}"


def style_folder(style: str, part: StylePart) -> str:
    return f"{_GENERATIVE}/Styles/{segment(style)}/{part}"


def storyboard_folder(storyboard: str) -> str:
    return f"03_Storyboards/{segment(storyboard)}"


def segment(name: str) -> str:
    """Return a name as one folder name: ASCII letters, digits, `-` and `_`, at most 60 characters."""
    return slugify(name[:500])[:60].strip("-_") or "unnamed"


def check_folder(folder: str) -> str:
    """Return `folder` without outer slashes. Raises ValueError for anything but plain folder names, 1-8 deep."""
    parts = folder.strip("/").split("/")
    if len(parts) > 8 or not all(_SEGMENT.fullmatch(part) for part in parts):
        raise ValueError(f"{folder[:100]!r} is not a storage folder.")
    return "/".join(parts)
