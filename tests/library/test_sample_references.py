"""Painted references of people who are in nobody's project."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from PIL import Image

from library import people
from library.sample import CAST


def paint(folder, **options):
    out = StringIO()
    call_command("sample_references", str(folder), stdout=out, **options)
    return out.getvalue()


def test_they_are_image_files_of_one_person_and_always_the_same(tmp_path):
    told = paint(tmp_path / "a", count=4, seed=7, size=128)
    paint(tmp_path / "b", count=4, seed=7, size=128)
    names = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert len(names) == 4
    assert {n.rpartition(".")[2] for n in names} == {"png", "jpg"}
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
        assert Image.open(tmp_path / "a" / name).size == (128, 128)
    assert people.describe(7)["traits"] in told


def test_another_seed_is_another_person(tmp_path):
    paint(tmp_path / "a", count=1, seed=1, size=128)
    paint(tmp_path / "b", count=1, seed=2, size=128)
    first, second = (next((tmp_path / d).iterdir()).read_bytes() for d in "ab")
    assert first != second


def test_nobody_in_the_sample_project_can_be_painted():
    assert all(part.person < people.IN_THE_SAMPLE_PROJECT for part in CAST)
    assert people.describe(0) == people.member_of_the_cast(people.IN_THE_SAMPLE_PROJECT)


@pytest.mark.parametrize(
    "options", [{"seed": -1}, {"seed": people.OTHERS}, {"count": 0}, {"count": 101}, {"size": 5}, {"size": 9000}]
)
def test_what_cannot_be_painted_is_said(tmp_path, options):
    with pytest.raises(CommandError, match=r"\.$"):
        paint(tmp_path, **options)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CommandError, match="cannot be written"):
        paint(tmp_path / "file" / "folder", count=1, size=128)
