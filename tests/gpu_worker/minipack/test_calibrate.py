"""Stated rates of false matches, from embeddings of known people."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("insightface")

from gpu_worker.calibration import check, threshold
from gpu_worker.minipack import calibrate


def unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def people(count: int, each: int, *, seed: int, noise: float = 0.4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(count), each)
    return unit(rng.normal(size=(count, 32))[who] + noise * rng.normal(size=(len(who), 32))), who


NOBODY = (np.zeros((0, 0)), np.zeros(0, bool))


def test_a_stated_rate_holds_among_other_people() -> None:
    rows, who = people(200, 3, seed=1)
    entry = calibrate._entry((rows, np.ones(len(rows), bool)), who, NOBODY, np.zeros(0, int))
    check([(r, c) for r, c in entry["impostor_quantiles"]])
    assert entry["identities"] == 200
    assert entry["pairs"] == 600 * 599 / 2 - 200 * 3
    others, their = people(200, 3, seed=2)
    first, second = np.triu_indices(len(others), 1)
    impostors = (others @ others.T)[first, second][their[first] != their[second]]
    for rate in (1e-2, 1e-3):
        at = threshold(rate, [(r, c) for r, c in entry["impostor_quantiles"]])
        assert rate / 2 < float((impostors >= at).mean()) < rate * 2


def test_the_stricter_of_renders_and_generated_pictures_decides() -> None:
    rows, who = people(100, 3, seed=3)
    alike = unit(rows[::3] + 3 * rows.mean(0) / np.linalg.norm(rows.mean(0)))  # as if all drawn of one average face
    entry = calibrate._entry((rows, np.ones(len(rows), bool)), who, (alike, np.ones(100, bool)), np.arange(100))
    renders = dict(
        calibrate._entry((rows, np.ones(len(rows), bool)), who, NOBODY, np.zeros(0, int))["impostor_quantiles"]
    )
    generated = dict(entry["generated_impostor_quantiles"])
    for rate, cosine in entry["impostor_quantiles"]:
        assert cosine == max(renders[rate], generated[rate])
    check([(r, c) for r, c in entry["impostor_quantiles"]])


def test_pictures_without_a_face_count_for_nothing() -> None:
    rows, who = people(50, 3, seed=4)
    found = np.arange(len(rows)) % 5 > 0
    spoiled = np.where(found[:, None], rows, 0.0)
    entry = calibrate._entry((spoiled, found), who, NOBODY, np.zeros(0, int))
    assert entry["renders"] == int(found.sum())
    assert entry["true_matches"]["0.01"] > 0.9


def test_cosines_that_tie_leave_no_two_rates_for_one() -> None:
    table = calibrate.quantiles(np.zeros(1000))
    assert table == [[0.5, pytest.approx(0)]]
