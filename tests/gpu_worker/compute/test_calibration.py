from __future__ import annotations

import math

import pytest

from gpu_worker import calibration

QUANTILES = [(0.5, 0.02), (0.1, 0.2), (0.01, 0.3), (0.001, 0.42), (0.0001, 0.5)]


@pytest.mark.parametrize(
    ("cosine", "score"),
    [(-1.0, 0), (0.02, 0), (0.16, 35), (0.3, 70), (0.36, 77.5), (0.42, 85), (0.71, 92.5), (1.0, 100)],
)
def test_the_score_goes_through_its_four_points(cosine: float, score: float) -> None:
    assert calibration.score(cosine, QUANTILES) == pytest.approx(score)


def test_the_score_never_falls() -> None:
    scores = [calibration.score(k / 500, QUANTILES) for k in range(-500, 501)]
    assert scores == sorted(scores)
    assert (scores[0], scores[-1]) == (0, 100)


def test_a_cosine_over_one_by_rounding_is_a_hundred() -> None:
    assert calibration.score(1.0000001, QUANTILES) == 100


def test_points_between_the_measured_rates_are_found() -> None:
    sparse = [(0.9, -0.1), (0.05, 0.25), (0.0005, 0.45)]
    # log10 from -1.301 to -3.301 over a cosine of 0.2: a rate of 1e-2 is 0.699 / 2 of the way.
    assert calibration.threshold(1e-2, sparse) == pytest.approx(0.25 + 0.2 * 0.69897 / 2, abs=1e-6)
    assert calibration.score(calibration.threshold(1e-2, sparse), sparse) == pytest.approx(70)


@pytest.mark.parametrize(
    ("cosine", "rate"), [(0.3, 1e-2), (0.42, 1e-3), (0.25, math.sqrt(1e-3)), (0.9, 1e-4), (1.0, 1e-4), (-0.5, 0.5)]
)
def test_the_false_match_rate_is_log_linear_and_claims_nothing_unmeasured(cosine: float, rate: float) -> None:
    assert calibration.false_match_rate(cosine, QUANTILES) == pytest.approx(rate)


@pytest.mark.parametrize("value", [0.0, 12.5, 70.0, 80.0, 85.0, 99.0, 100.0])
def test_a_score_leads_back_to_the_cosine_that_reaches_it(value: float) -> None:
    assert calibration.score(calibration.cosine_of(value, QUANTILES), QUANTILES) == pytest.approx(value)


@pytest.mark.parametrize(
    ("quantiles", "sentence"),
    [
        ([], "at least two"),
        ([(0.5, 0.1), (0.5, 0.2)], "fall strictly"),
        ([(0.5, 0.2), (0.001, 0.2)], "rise strictly"),
        ([(0.5, 0.2), (0.0, 0.4)], r"\(0, 1\]"),
        ([(0.1, 0.2), (0.001, 0.4)], "impostor median"),
        ([(0.5, 0.2), (0.01, 0.4)], "0.001"),
        ([(0.5, 0.2), (0.001, math.nan)], "not finite"),
    ],
)
def test_a_calibration_that_does_not_reach_is_refused(quantiles: list[tuple[float, float]], sentence: str) -> None:
    with pytest.raises(calibration.CalibrationError, match=sentence):
        calibration.score(0.3, quantiles)


def test_not_a_number_is_no_score() -> None:
    with pytest.raises(calibration.CalibrationError):
        calibration.score(math.nan, QUANTILES)
