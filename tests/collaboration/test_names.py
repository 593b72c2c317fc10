from __future__ import annotations

import time

import pytest
from django.core.exceptions import ValidationError

from collaboration.names import clean_code, clean_name, clean_text


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("  Mara \t Voss\n", "Mara Voss"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("../../etc/passwd", "../../etc/passwd"),
        ("שלום עולם", "שלום עולם"),
        ("👩🏽‍🚀", "👩🏽‍🚀"),
        ("Zoe\u0308", "Zoë"),
        ("می‌خواهم", "می‌خواهم"),
    ],
)
def test_names_that_are_welcome(given, kept):
    assert clean_name(given) == kept


@pytest.mark.parametrize("name", ["a\u202eb", "a\u2066b", "a\x00b", "a\x1bb", "\ud800"])
def test_names_that_turn_or_hide_text_are_refused(name):
    with pytest.raises(ValidationError, match="invisible control characters"):
        clean_name(name)


@pytest.mark.parametrize("name", ["", "   ", "\u200d", "\u200b\u200b", "\u0301"])
def test_a_name_is_something_one_can_see(name):
    with pytest.raises(ValidationError, match="empty"):
        clean_name(name)


def test_a_long_name_is_refused_not_cut():
    assert clean_name("x" * 120) == "x" * 120
    with pytest.raises(ValidationError, match="10,000 characters; at most 120"):
        clean_name("x" * 10_000)


def test_piled_up_marks_take_no_time():
    piled = "a" + "\u0315\u0300" * 1_000_000
    for clean in (clean_name, lambda text: clean_text(text, limit=4000), clean_code):
        began = time.process_time()
        with pytest.raises(ValidationError, match="2,000,001 characters; at most"):
            clean(piled)
        assert time.process_time() - began < 1


def test_text_keeps_its_lines():
    assert clean_text(" a\r\nb\rc ", limit=9) == "a\nb\nc"
    assert clean_text("", limit=9) == ""
    with pytest.raises(ValidationError, match="at most 3"):
        clean_text("abcd", limit=3)
    with pytest.raises(ValidationError, match="invisible"):
        clean_text("a\u202eb", limit=9)


@pytest.mark.parametrize("code", ["SC010", "1", "12A", "sh_010.b-2", "Сцена1"])
def test_codes_that_are_welcome(code):
    assert clean_code(f" {code} ") == code


@pytest.mark.parametrize("code", ["", " ", "SC 010", "a/b", "-x", "<b>", "x" * 21, "a\u202eb"])
def test_codes_that_are_refused(code):
    with pytest.raises(ValidationError):
        clean_code(code)
