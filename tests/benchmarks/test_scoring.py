"""The benchmark of scoring: its pictures follow from the seed, and it notices when results differ."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from benchmarks.scoring import agreement, paint, report


def test_pictures_follow_from_the_seed(tmp_path):
    folders = [tmp_path / name for name in ("a", "b", "c")]
    for folder in folders:
        folder.mkdir()
    first, again, other = (
        [file.read_bytes() for file in paint(folder, seed=seed, count=4)]
        for folder, seed in zip(folders, (3, 3, 4), strict=True)
    )
    assert first == again
    assert first != other


@pytest.fixture
def files(tmp_path):
    names = [tmp_path / f"{n}.png" for n in range(2)]
    for name in names:
        Image.new("RGB", (100, 80)).save(name)
    return names


def face(left: float, angle: float = 0.0):
    return (left, 10.0, left + 40.0, 50.0), {"scoring": np.array([np.cos(angle), np.sin(angle)])}


def test_equal_results_agree_also_past_the_edges_of_the_picture(files):
    plain = [[face(-5), face(50)], []]
    mine = [[face(50), ((0.0, 10.0, 35.0, 50.0), face(0)[1])], [face(20)]]
    found = agreement(plain, mine, files)
    assert found["same"]
    assert (found["faces"], found["only_with_border"], found["lowest_iou"]) == (2, 1, 1.0)


@pytest.mark.parametrize(
    "mine", [[[face(10)], []], [[face(10), face(50, 0.1)], []], [[face(10), face(55)], []], [[], []]]
)
def test_a_face_that_is_missed_moved_or_embedded_otherwise_does_not_agree(files, mine):
    assert not agreement([[face(10), face(50)], []], mine, files)["same"]


def test_a_report_needs_no_figures():
    assert "bar 3" in report({"machine": "none", "load_at_start": 0.0})
