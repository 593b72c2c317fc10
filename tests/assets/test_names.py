"""File names as people see them."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from assets.names import MAX_NAME, clean_name


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("Mara close-up.png", "Mara close-up.png"),
        ("Mára 女性 Жук.jpg", "Mára 女性 Жук.jpg"),
        ("🎬 take 3 👩‍🚀.png", "🎬 take 3 👩‍🚀.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\bob\\Mara.png", "Mara.png"),
        ("a/b/", "picture"),
        ("\u202egnp.exe", "gnp.exe"),
        ("photo\u2067\u200f\u061c.png", "photo.png"),
        ("a\x00b\r\nc\t.png", "abc.png"),
        ("<img src=x onerror=alert(1)>.png", "_img src=x onerror=alert(1)_.png"),
        ('"quoted" `tick`: a|b?.png', "_quoted_ _tick__ a_b_.png"),
        ("...", "picture"),
        ("", "picture"),
        (".png", "png"),
        ("  spaced   out .png", "spaced out .png"),
        ("lone \ud800 surrogate.png", "lone surrogate.png"),
        (
            "Z" + "\u0301" * 50 + "algo.png",
            unicodedata.normalize("NFC", "Z\u0301\u0301\u0301\u0301\u0301") + "algo.png",
        ),
    ],
)
def test_clean_name(raw: str, clean: str) -> None:
    assert clean_name(raw) == clean


def test_10_000_characters_keep_their_beginning_and_extension() -> None:
    name = clean_name("Mara " * 2000 + ".png")
    assert len(name) <= MAX_NAME
    assert name.startswith("Mara Mara")
    assert name.endswith(".png")


def test_a_name_that_is_all_extension() -> None:
    assert len(clean_name("x." + "y" * 10_000)) == MAX_NAME


@given(st.text(st.characters()))
@example("a\u0301" * 300)
@example("e\u200d\u0301.png")
@example("a" * 198 + " .png")
@example("e\u200b\u0301")
def test_any_name_is_safe_and_stays_as_it_is(raw: str) -> None:
    name = clean_name(raw)
    assert 1 <= len(name) <= MAX_NAME
    assert not set(name) & set('/\\<>"|*?:`')
    assert not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in name)
    assert not any(unicodedata.category(c) == "Cf" and c not in "\u200c\u200d" for c in name)
    assert name == name.strip()
    name.encode("utf-8")
    assert clean_name(name) == name
