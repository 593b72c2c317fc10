from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from gpu_worker import faces
from gpu_worker.contracts import Face
from gpu_worker.faces import Expected, assign
from tests.characters.conftest import embedding, face, looked

FLOOR = 0.2


def somebody(identity: int, **changes: Any) -> Expected:
    known = [embedding(identity, n) for n in range(3)]
    return dataclasses.replace(Expected(key=f"person {identity}", embeddings=known, floor=FLOOR), **changes)


def in_picture(*identities: int) -> tuple[Face, ...]:
    return tuple(face(50 + k, identity=identity) for k, identity in enumerate(identities))


def who(cast: faces.Cast) -> dict[str, int]:
    return {f.key: f.face for f in cast.found}


def test_each_is_given_their_own_face_in_whatever_order() -> None:
    cast = assign(in_picture(3, 1, 2), [somebody(1), somebody(2), somebody(3)], encoder="scoring")
    assert who(cast) == {"person 1": 1, "person 2": 2, "person 3": 0}
    assert (cast.missing, cast.unknown) == ((), ())
    assert cast.face_of("person 2") == 2


def test_faces_nobody_was_expected_for_are_unknown_and_those_away_are_missing() -> None:
    cast = assign(in_picture(8, 1, 9), [somebody(1), somebody(2)], encoder="scoring")
    assert who(cast) == {"person 1": 1}
    assert cast.missing == ("person 2",)
    assert cast.unknown == (0, 2)
    assert cast.face_of("person 2") is None


def test_of_two_faces_of_one_person_the_better_is_taken() -> None:
    pictured = (face(60, identity=1, amount=2.0), face(61, identity=1, amount=0.2))
    cast = assign(pictured, [somebody(1)], encoder="scoring")
    assert who(cast) == {"person 1": 1}
    assert cast.unknown == (0,)


def test_the_assignment_is_the_best_for_all_together() -> None:
    # Both are most like face 0; taking it for the first who asks would leave the second without any.
    def along(*angles: float) -> list[tuple[float, float]]:
        return [(float(np.cos(a)), float(np.sin(a))) for a in angles]

    pictured = tuple(dataclasses.replace(face(1), embeddings={"scoring": e}) for e in along(0.0, 0.9))
    near, nearer = along(0.35, 0.05)
    cast = assign(
        pictured,
        [Expected(key="a", embeddings=[near], floor=0.5), Expected(key="b", embeddings=[nearer], floor=0.7)],
        encoder="scoring",
    )
    assert who(cast) == {"a": 1, "b": 0}


def test_an_empty_picture_and_nobody_expected() -> None:
    assert assign((), [somebody(1)], encoder="scoring").missing == ("person 1",)
    assert assign(in_picture(1, 2), [], encoder="scoring").unknown == (0, 1)
    nothing_known = somebody(1, embeddings=[])
    assert assign(in_picture(1), [nothing_known], encoder="scoring") == faces.Cast(
        found=(), missing=("person 1",), unknown=(0,)
    )


# ------------------------------------------------------------------------------------------- what can be measured
def moved(x: float, y: float, scale: float = 1.0, **changes: Any) -> Face:
    """The face of the fixtures, its centre at (x, y)."""
    one = face(1)
    keys = tuple(((px - 160) * scale + x, (py - 160) * scale + y) for px, py in one.keypoints)
    half = 80 * scale
    box = (max(x - half, 0.0), max(y - half, 0.0), min(x + half, 320.0), min(y + half, 320.0))
    return dataclasses.replace(one, keypoints=keys, box=box, **changes)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (moved(160, 160), ""),
        (moved(160, 160, 0.12), "face too small"),
        (moved(160, 160, yaw=60.0), "profile view"),
        (moved(5, 160), "face cut off by the edge of the picture"),
        (moved(160, 318), "face cut off by the edge of the picture"),
        (moved(160, 160, confidence=0.52), "face partly covered"),
    ],
)
def test_why_a_face_cannot_be_measured(found: Face, reason: str) -> None:
    assert faces.why_not(found, looked(1, faces=(found,)), sure_from=0.5) == reason


def test_a_face_behind_a_larger_one_is_hidden_and_one_beside_it_is_not() -> None:
    front, behind, beside = moved(120, 160), moved(190, 160, 0.8), moved(270, 160, 0.5)
    seen = looked(1, faces=(front, behind, beside))
    assert faces.why_not(behind, seen, sure_from=0.5) == "face hidden behind another"
    assert faces.why_not(front, seen, sure_from=0.5) == ""
    assert faces.why_not(beside, seen, sure_from=0.5) == ""


def test_the_pose_is_the_same_wherever_and_however_large_the_face_is() -> None:
    one, same = moved(160, 160), moved(90, 200, 0.5)
    assert faces.pose_difference(one, same) == pytest.approx(0, abs=1e-6)
    turned = dataclasses.replace(one, keypoints=(*one.keypoints[:2], (185.0, 180.0), *one.keypoints[3:]))
    assert faces.pose_difference(one, turned) > 0.05
