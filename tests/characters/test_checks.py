from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from characters import checks
from characters.checks import Picture
from gpu_worker.packs import Pack
from tests.characters.conftest import face, looked


def judge(
    seen: Any, pack: Pack, others: list[Picture] | None = None, sha256: str = "mine"
) -> tuple[str, dict[str, Any]]:
    """What is said of a picture that came after the others."""
    judged = checks.judge([*(others or []), Picture(sha256=sha256, seen=seen)], pack)[-1]
    assert judged is not None
    verdict, answers = judged
    return verdict, {a["name"]: a for a in answers}


def others(count: int, identity: int = 1) -> list[Picture]:
    return [
        Picture(sha256=f"o{n}", seen=looked(100 + n, faces=(face(100 + n, identity=identity),))) for n in range(count)
    ]


def test_a_good_picture_passes_everything(pack: Pack) -> None:
    verdict, answers = judge(looked(1), pack, others(4))
    assert verdict == "pass"
    assert {a["verdict"] for a in answers.values()} == {"pass"}
    assert set(answers) == {"face", "size", "sharpness", "exposure", "angle", "duplicate", "identity"}


big, small, tiny = face(1), face(2, side=40.0), face(3, side=20.0)


@pytest.mark.parametrize(
    ("changes", "name", "verdict", "word"),
    [
        ({"faces": ()}, "face", "reject", "No face"),
        ({"faces": (big, face(2), face(3))}, "face", "reject", "3 faces"),
        ({"faces": (big, small)}, "face", "warn", "Others behind"),
        ({"faces": (tiny,)}, "face", "reject", "Face too small"),
        ({"faces": (small,)}, "face", "warn", "Small face"),
        ({"width": 200}, "size", "warn", "Small image"),
        ({"sharpness": 5.0}, "sharpness", "reject", "Blurred"),
        ({"sharpness": 20.0}, "sharpness", "warn", "Soft"),
        ({"brightness": 0.02}, "exposure", "warn", "Dark"),
        ({"brightness": 0.97}, "exposure", "warn", "Bright"),
        ({"clipped": 0.5}, "exposure", "warn", "Clipped"),
        ({"faces": (face(1, yaw=60.0),)}, "angle", "warn", "Profile"),
        ({"photographic": 0.9}, "domain", "warn", "Photograph"),
    ],
)
def test_each_trouble_is_named(pack: Pack, changes: dict[str, Any], name: str, verdict: str, word: str) -> None:
    overall, answers = judge(looked(1, **changes), pack)
    assert (answers[name]["verdict"], answers[name]["word"]) == (verdict, word)
    assert answers[name]["sentence"].endswith((".", "?"))
    assert overall == verdict


def test_a_photograph_is_fine_where_the_pack_knows_photographs(pack: Pack) -> None:
    photographic = dataclasses.replace(pack, domain="photograph")
    assert "domain" not in judge(looked(1, photographic=0.9), photographic)[1]


def test_the_same_file_is_rejected_and_a_very_similar_one_warned_of(pack: Pack) -> None:
    seen = looked(1)
    assert judge(seen, pack, [Picture(sha256="mine", seen=None)])[1]["duplicate"]["verdict"] == "reject"
    near = dataclasses.replace(seen, perceptual_hash=f"{int(seen.perceptual_hash, 16) ^ 0b10101:016x}")
    assert judge(seen, pack, [Picture(sha256="other", seen=near)])[1]["duplicate"]["word"] == "Near-duplicate"
    far = dataclasses.replace(seen, perceptual_hash=f"{int(seen.perceptual_hash, 16) ^ 0x7F:016x}")
    assert judge(seen, pack, [Picture(sha256="other", seen=far)])[1]["duplicate"]["verdict"] == "pass"


def test_somebody_else_stands_out_only_from_enough_others(pack: Pack) -> None:
    stranger = looked(1, faces=(face(1, identity=2),))
    assert "identity" not in judge(stranger, pack, others(2))[1]
    answers = judge(stranger, pack, others(3))[1]
    assert (answers["identity"]["verdict"], answers["identity"]["word"]) == ("reject", "Somebody else?")


def test_one_wrong_picture_among_the_others_does_not_make_the_right_ones_outliers(pack: Pack) -> None:
    wrong = Picture(sha256="x", seen=looked(50, faces=(face(50, identity=9),)))
    assert judge(looked(1), pack, [*others(3), wrong])[1]["identity"]["verdict"] == "pass"


def identities(pack: Pack, *shown: int) -> list[tuple[str, str]]:
    """(verdict, word) on the identity of pictures that show these people, in this order."""
    pictures = [Picture(sha256=f"p{k}", seen=looked(k, faces=(face(k, identity=who),))) for k, who in enumerate(shown)]
    answers = [{c["name"]: c for c in judged[1]} for judged in checks.judge(pictures, pack) if judged]
    return [(a["identity"]["verdict"], a["identity"]["word"]) for a in answers]


def test_of_two_people_those_who_are_fewer_are_told_apart(pack: Pack) -> None:
    same, other = ("pass", "Same person"), ("reject", "Another person")
    assert identities(pack, 2, 1, 1, 2, 1) == [other, same, same, other, same]


def test_of_as_many_of_each_the_first_picture_is_the_characters(pack: Pack) -> None:
    same, other = ("pass", "Same person"), ("reject", "Another person")
    assert identities(pack, 1, 2, 2, 1) == [same, other, other, same]


def test_of_pictures_that_all_show_somebody_else_none_is_taken_for_the_character(pack: Pack) -> None:
    assert {verdict for verdict, _ in identities(pack, 1, 2, 3, 4)} == {"reject"}


@pytest.mark.parametrize(
    ("yaw", "angle"), [(0, "front"), (-11, "front"), (-20, "left"), (20, "right"), (-46, "profile"), (50, "profile")]
)
def test_angles(yaw: float, angle: str) -> None:
    assert checks.angle_of(face(1, yaw=yaw)) == angle
