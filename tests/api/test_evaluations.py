"""What was measured of a model pack."""

from __future__ import annotations

import json

import pytest

from gpu_worker import catalog, reports
from tests.api.conftest import ok, problem

PATH = "/catalogue/paper/evaluation"


@pytest.fixture
def figures(settings, tmp_path):
    settings.EVALUATIONS_DIR = tmp_path / "evaluations"
    pack = catalog.default_pack()
    folder = reports.folder_for(pack, settings.EVALUATIONS_DIR)
    folder.mkdir(parents=True)
    told = {
        "date": "2026-02-03T10:00:00+00:00",
        "summary": "Low 62 %.",
        "pack": {"name": pack.name, "version": pack.version, "sha256": pack.sha256},
        "tiers": {"low": {"offered": True, "adherence": {"value": None, "low": None, "high": None}}},
    }
    (folder / reports.DATA).write_text(json.dumps(told))
    (folder / reports.PAGE).write_text("<!doctype html><title>Paper</title>")
    return told


def test_a_member_reads_every_figure(api, vera, figures):
    assert ok(api(vera).get(PATH)) == figures


def test_strangers_and_packs_without_one(api, vera, charlie, figures):
    problem(api(charlie).get(PATH), 404)
    problem(api().get(PATH), 401)
    problem(api(vera).get("/catalogue/nothing/evaluation"), 404)


def test_a_pack_that_was_not_evaluated(api, vera, settings, tmp_path):
    settings.EVALUATIONS_DIR = tmp_path / "empty"
    problem(api(vera).get(PATH), 404)
