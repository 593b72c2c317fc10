"""Figures: quantiles, strict JSON, tables; and what is drawn from a seed."""

from __future__ import annotations

import json
import math

import pytest

from benchmarks import figures, machine
from benchmarks.__main__ import section
from benchmarks.client import wait
from benchmarks.main_job import CONDITIONS, EXTRAS, Case, report
from library import people


@pytest.mark.parametrize(
    ("values", "q", "expected"),
    [
        ([5.0], 0.95, 5.0),
        (list(range(1, 101)), 0.95, 95),
        (list(range(1, 21)), 0.95, 19),
        ([3, 1, 2], 0.5, 2),
        ([1, 2], 1.0, 2),
    ],
)
def test_a_quantile_is_a_value_that_was_measured(values, q, expected):
    assert figures.quantile(values, q) == expected


def test_without_values_there_is_no_quantile():
    assert math.isnan(figures.quantile([], 0.95))


def test_what_could_not_be_measured_is_null(tmp_path):
    path = tmp_path / "deep" / "figures.json"
    figures.write_json(path, {"a": math.nan, "b": [1.5, math.inf], "c": {"d": None}, "ok": True})
    assert json.loads(path.read_text()) == {"a": None, "b": [1.5, None], "c": {"d": None}, "ok": True}


def test_tables_are_readable():
    text = figures.table([("train", 12.0), ("per image", math.nan), ("identity", {"low": 0.5})], "main_job")
    assert text.splitlines() == ["main_job", "--------", "train      12", "per image  -", "identity   low 0.5"]


def test_a_report_of_a_run_that_failed_is_a_report():
    assert "ok" in report({"ok": False, "machine": "none"})


def test_results_are_a_table_in_markdown():
    text = section("main_job", {"ok": True, "train_seconds": 100.25, "date": "today"})
    assert "| train_seconds | 100.25 |" in text
    assert "today" not in text


def test_what_has_only_parts_has_a_row_for_each_part():
    result = {"encoders": {"audit": {"tmr": 0.98}, "scoring": {"tmr": 0.99}}, "low": {"tmr": 0.5, "strata": {"a": {}}}}
    text = section("identity", result)
    assert "| encoders, audit | tmr 0.98 |" in text
    assert "| encoders, scoring | tmr 0.99 |" in text
    assert "| low | tmr 0.5 |" in text


def test_a_machine_is_described():
    about = machine.describe()
    assert about["versions"]["django"].startswith("5.")
    assert "cores" in about["machine"]


def test_a_seed_always_draws_the_same_case_and_another_one_another():
    assert Case(3) == Case(3)
    assert Case(3).person != Case(4).person
    case = Case(3)
    everybody = [case.person, case.second_person, *case.extras]
    assert len(set(everybody)) == len(everybody) == 2 + EXTRAS
    assert all(0 <= number < people.OTHERS for number in everybody)
    assert 0 <= case.first_seed < 2**31


def test_the_conditions_differ_in_nothing_but_tier_and_strengths():
    assert {frozenset(c) for c in CONDITIONS.values()} == {
        frozenset({"tier", "lora_strength", "image_prompt_strength"})
    }


def test_waiting_ends_when_the_answer_is_right_or_time_is_over():
    answers = iter([1, 2, 3])
    assert wait(lambda: next(answers), lambda n: n == 3, "three", seconds=5, every=0) == 3
    with pytest.raises(TimeoutError, match="a miracle"):
        wait(lambda: 0, bool, "a miracle", seconds=0, every=0)
