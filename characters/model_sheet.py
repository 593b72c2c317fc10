"""The character sheet as one picture, as animation studios print their model sheets: rows of angles, columns of
expressions, on a plain ground, with labels."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils import timezone
from PIL import Image, ImageDraw, ImageFont

from assets.metadata import provenance_png
from characters.models import IdentityProfile, SheetTake
from characters.profiles import split_traits
from characters.sheets import Cell, Filled

GROUND, INK, QUIET, LINE = (250, 250, 250), (24, 24, 24), (110, 110, 110), (205, 205, 205)
SMALLEST_CELL, LARGEST_CELL = 256, 512
"""Pixels on the side of a cell; between them a cell is as large as the largest picture."""
MARGIN, GAP, LABEL = 64, 20, 40
"""Pixels: around the sheet, between cells, and under each cell."""
HEAD, COLUMNS, ROWS, FOOT = 132, 44, 190, 84
"""Pixels: height of the title and of the column heads, width of the row heads, height of the foot."""

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@lru_cache(maxsize=32)
def _font(size: int, file: str) -> Font:
    try:
        return ImageFont.truetype(Path(settings.BASE_DIR) / "static" / "vendor" / file, size)
    except OSError:  # the interface's fonts have not been fetched: Pillow brings one
        return ImageFont.load_default(size)


def _write(draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, size: int, ink: Any, width: float) -> None:
    """`at`: left end of the base line. Shortened to `width` pixels. The font comes in two files, one of them for the
    less common Latin letters."""
    file = "inter-latin.woff2" if text.isascii() else "inter-latin-ext.woff2"
    pieces: list[tuple[str, Font]] = [(text, _font(size, file))]
    if not text.isascii():
        pieces = [(c, _font(size, "inter-latin.woff2" if ord(c) < 0x100 else "inter-latin-ext.woff2")) for c in text]
    total = sum(draw.textlength(piece, font) for piece, font in pieces)
    if total > width and len(text) > 1:
        return _write(draw, at, text[: max(1, int(len(text) * width / total) - 2)].rstrip() + "…", size, ink, total)
    x, y = at
    for piece, font in pieces:
        draw.text((x, y), piece, fill=ink, font=font, anchor="ls")
        x += draw.textlength(piece, font)
    return None


def png(filled: Filled) -> bytes:
    """The sheet as PNG in sRGB: approved pictures, proposed ones with the word for it, the other cells empty. What it
    was made of stands in the file, as in every picture."""
    sheet, character = filled.sheet, filled.sheet.character
    angles, expressions = filled.angles, filled.expressions
    side = _side(filled)
    width = 2 * MARGIN + ROWS + len(expressions) * (side + GAP) - GAP
    width = max(width, 720)
    height = 2 * MARGIN + HEAD + COLUMNS + len(angles) * (side + LABEL + GAP) - GAP + FOOT
    canvas = Image.new("RGB", (width, height), GROUND)
    draw = ImageDraw.Draw(canvas)
    inside = width - 2 * MARGIN
    _write(draw, (MARGIN, MARGIN + 40), character.name, 44, INK, inside)
    _write(draw, (MARGIN, MARGIN + 80), _who(filled), 20, QUIET, inside)
    draw.line((MARGIN, MARGIN + HEAD - 24, width - MARGIN, MARGIN + HEAD - 24), fill=LINE, width=1)
    left, top = MARGIN + ROWS, MARGIN + HEAD + COLUMNS
    for k, expression in enumerate(expressions):
        _write(draw, (left + k * (side + GAP), top - 16), _capital(expression), 20, INK, side)
    for k, angle in enumerate(angles):
        _write(draw, (MARGIN, top + k * (side + LABEL + GAP) + 20), _capital(angle), 20, INK, ROWS - GAP)
    for cell in filled.cells:
        x = left + expressions.index(cell.row.expression) * (side + GAP)
        y = top + angles.index(cell.row.angle) * (side + LABEL + GAP)
        _paint_cell(canvas, draw, cell, x, y, side)
    _foot(draw, filled, width, height)
    return provenance_png(canvas, parameters="", provenance=_provenance(filled, str(sheet.pk)))


def _side(filled: Filled) -> int:
    sides = [max(t.variation.asset.width or 0, t.variation.asset.height or 0) for c in filled.cells if (t := c.shown)]
    return min(LARGEST_CELL, max(SMALLEST_CELL, *sides, SMALLEST_CELL))


def _who(filled: Filled) -> str:
    character = filled.sheet.character
    said = [character.noun, character.age, *split_traits(character.traits)]
    return " · ".join(word for word in said if word and word != "person") or character.project.name


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _to_paint(cell: Cell) -> SheetTake | None:
    take = cell.approved or cell.proposed
    return take if take is not None and take.variation.asset.erased_at is None else None


def _paint_cell(canvas: Image.Image, draw: ImageDraw.ImageDraw, cell: Cell, x: int, y: int, side: int) -> None:
    take = _to_paint(cell)
    if take is None:
        draw.rectangle((x, y, x + side - 1, y + side - 1), outline=LINE, width=1)
        return
    picture = take.variation.asset.image()
    scale = side / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    picture = picture.resize(size, Image.Resampling.LANCZOS)
    canvas.paste(picture, (x + (side - size[0]) // 2, y + (side - size[1]) // 2))
    if take is not cell.approved:
        _write(draw, (x, y + side + 24), "Proposed, not approved yet", 15, QUIET, side)


def _foot(draw: ImageDraw.ImageDraw, filled: Filled, width: int, height: int) -> None:
    """The character's colours, and what kind of pictures these are."""
    base = height - MARGIN
    draw.line((MARGIN, base - 52, width - MARGIN, base - 52), fill=LINE, width=1)
    profile = IdentityProfile.objects.filter(character=filled.sheet.character).first()
    x = MARGIN
    for colour, _ in (profile.colours if profile else [])[:6]:
        draw.rectangle((x, base - 28, x + 31, base + 3), fill=str(colour), outline=LINE, width=1)
        x += 36
    approved = sum(c.approved is not None for c in filled.cells)
    words = f"Generated pictures, {approved} of {len(filled.cells)} approved · {timezone.now():%d %B %Y}"
    _write(draw, (x + (GAP if x > MARGIN else 0), base - 6), words, 16, QUIET, width - MARGIN - x - GAP)


def _provenance(filled: Filled, sheet: str) -> dict[str, Any]:
    return {
        "version": 1,
        "character": str(filled.sheet.character_id),
        "character_sheet": sheet,
        "cells": [
            {
                "angle": c.row.angle,
                "expression": c.row.expression,
                "variation": str(take.variation_id) if (take := _to_paint(c)) else None,
                "approved": c.approved is not None,
                "seed": take.variation.seed if take else None,
                "model": take.variation.model_name if take else None,
            }
            for c in filled.cells
        ],
    }
