"""The colours of static/css/tokens.css against WCAG 2.2: 4.5:1 for words and 3:1 for edges, on every surface."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings

TOKENS = (Path(settings.BASE_DIR) / "static" / "css" / "tokens.css").read_text()
SURFACES = ("canvas", "rail-ground", "panel", "raised", "well")
WORDS = ("text", "quiet", "working", "good", "attention", "problem")


def luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb` (WCAG 2.2, *relative luminance*)."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def meanings(surround: str) -> dict[str, str]:
    """Return name -> `#rrggbb` of everything that holds in a surround; the dark one is the ground of the others."""
    values = dict(re.findall(r"--((?:grey|white)[-\d]*): (#[0-9a-f]{6});", TOKENS))
    found: dict[str, str] = {}
    for name in ("dark", surround):
        block = re.search(rf'\[data-surround="{name}"\] \{{(.*?)\}}', TOKENS, re.S)
        assert block, f"There is no surround called {name}."
        for key, value in re.findall(r"--([a-z-]+): ([^;]+);", block[1]):
            variable = re.fullmatch(r"var\(--([a-z0-9-]+)\)", value)
            colour = values.get(variable[1], "") if variable else value
            if re.fullmatch(r"#[0-9a-f]{6}", colour):
                found[key] = colour
    return found


@pytest.mark.parametrize("surround", ["dark", "grey", "black"])
def test_surfaces_are_strictly_neutral(surround: str) -> None:
    colours = meanings(surround)
    for surface in (*SURFACES, "hover", "line", "edge", "text", "quiet"):
        red, green, blue = (colours[surface][i : i + 2] for i in (1, 3, 5))
        assert red == green == blue, f"--{surface} in {surround} is {colours[surface]}"


@pytest.mark.parametrize("surround", ["dark", "grey", "black"])
@pytest.mark.parametrize("surface", SURFACES)
def test_words_and_edges_are_seen_on_every_surface(surround: str, surface: str) -> None:
    colours = meanings(surround)
    for word in WORDS:
        assert contrast(colours[word], colours[surface]) >= 4.5, f"--{word} on --{surface} in {surround}"
    assert contrast(colours["edge"], colours[surface]) >= 3, f"--edge on --{surface} in {surround}"
    assert contrast(colours["focus"], colours[surface]) >= 3


@pytest.mark.parametrize("surround", ["dark", "grey", "black"])
def test_the_primary_button_is_read(surround: str) -> None:
    colours = meanings(surround)
    assert contrast(colours["ink"], colours["text"]) >= 4.5
