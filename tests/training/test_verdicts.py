"""Which step is proposed, and what is said of it."""

from __future__ import annotations

import math

import pytest

from training.verdicts import DIVERSITY_KEPT, FIGURE, HASH, Measured, Picture, measure, propose


def measured(
    step: int, identity: float | None, adherence: float | None = 0.9, diversity: float | None = 0.5
) -> Measured:
    told = {"identity": identity, "adherence": adherence, "diversity": diversity}
    return Measured(step=step, pictures=4, scored=0 if identity is None else 4, distance=FIGURE, **told)


def test_the_nearest_to_the_person_is_proposed() -> None:
    verdict = propose([measured(25, 60), measured(50, 80), measured(75, 71)], is_held_out=True)
    assert verdict.step == 50
    assert "its identity is 80 on average, the most of all" in verdict.reason


def test_of_equals_the_one_that_was_trained_least() -> None:
    verdict = propose([measured(25, 60), measured(50, 80), measured(75, 80.9)], is_held_out=True)
    assert verdict.step == 50
    assert "80 on average, and no later step is nearer to the person by more than 1 point" in verdict.reason


def test_a_step_that_stops_following_prompts_is_not_proposed_and_over_training_is_said() -> None:
    verdict = propose([measured(50, 70, 0.95), measured(100, 90, 0.6)], is_held_out=True)
    assert verdict.step == 50
    assert "step 100 reaches 90, but follows the prompts less (60% against 95%)" in verdict.reason
    (concern,) = verdict.concerns
    assert "followed less towards the end: 95% at step 50, 60% at step 100" in concern
    assert "over-training" in concern


def test_a_step_whose_pictures_are_all_alike_is_not_proposed() -> None:
    steps = [measured(50, 70, None, 0.5), measured(100, 90, None, 0.5 * DIVERSITY_KEPT - 0.01)]
    verdict = propose(steps, is_held_out=True)
    assert verdict.step == 50
    assert "makes pictures that are more alike (0.39 against 0.50)" in verdict.reason
    assert "more alike towards the end" in verdict.concerns[0]


def test_what_could_not_be_measured_bars_nobody() -> None:
    steps = [measured(50, 70, None, None), measured(100, 90, None, None)]
    verdict = propose(steps, is_held_out=True)
    assert (verdict.step, list(verdict.concerns)) == (100, [])


def test_identity_that_falls_again_is_said() -> None:
    verdict = propose([measured(50, 85), measured(100, 70)], is_held_out=True)
    assert verdict.step == 50
    assert "Identity falls again after step 50: 85 there, 70 at step 100." in verdict.concerns[0]


def test_without_held_out_references_it_says_what_that_means() -> None:
    verdict = propose([measured(50, 85), measured(100, 90)], is_held_out=False)
    assert verdict.step == 100
    assert "favours later steps" in verdict.concerns[0]


def test_without_faces_nothing_is_proposed() -> None:
    verdict = propose([measured(50, None), measured(100, None)], is_held_out=False)
    assert verdict.step is None
    assert "identity could be measured in too few of the pictures" in verdict.reason
    assert not verdict.concerns


def test_a_step_with_few_faces_is_not_judged_by_them() -> None:
    lucky = Measured(step=25, pictures=4, scored=1, identity=99, adherence=None, diversity=None, distance="")
    assert propose([lucky, measured(50, 60)], is_held_out=True).step == 50


def test_where_no_step_keeps_to_both_limits_a_person_chooses() -> None:
    steps = [measured(50, 85, 0.5, 0.9), measured(100, 90, 0.9, 0.2)]
    verdict = propose(steps, is_held_out=True)
    assert verdict.step is None
    assert "choose one yourself" in verdict.reason


def picture(score: float | None = None, angle: float = 0.0, **fields: object) -> Picture:
    values: dict[str, object] = {"asked": {}, "seen": {}, "figure": (math.cos(angle), math.sin(angle))} | fields
    return Picture(score=score, **values)  # type: ignore[arg-type]


def test_the_figures_of_a_step() -> None:
    asked = {"expression": "happy", "outfit": "suit", "light": "dim light"}
    seen = {"expression": "happy", "outfit": "hoodie"}  # the classifier knows nothing of light
    pictures = [picture(80, 0, asked=asked, seen=seen), picture(None, math.pi / 2), picture(60, math.pi)]
    (found,) = measure({50: pictures})
    assert (found.pictures, found.scored, found.identity) == (3, 2, 70.0)
    assert found.adherence == 0.5
    assert found.diversity == pytest.approx((1 + 1 + 2) / 3, abs=1e-4)
    assert found.distance == FIGURE


def test_without_a_figure_encoder_hashes_tell_pictures_apart() -> None:
    pictures = [picture(figure=(), perceptual_hash="0" * 16), picture(figure=(), perceptual_hash="0" * 14 + "ff")]
    (found,) = measure({50: pictures})
    assert (found.distance, found.diversity) == (HASH, 8 / 64)
    assert found.adherence is None
    assert Measured.from_json(found.as_json()) == found
