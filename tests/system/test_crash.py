"""What a kill -9 leaves behind: everything goes on by itself, nothing is made or shown twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gpu_worker.minipack.people import write_references
from tests.system.studio import Studio

pytestmark = pytest.mark.services

MOST_LOST_STEPS = 50


def make_character(studio: Studio, folder: Path, *, references: int = 10) -> str:
    """A character whose references are uploaded and checked; returns its id."""
    character = studio.post(f"/projects/{studio.project}/characters", {"name": "Mara", "noun": "person"})["id"]
    paths = write_references(folder, seed=11, count=references, size=320)
    files = [("files", (p.name, p.read_bytes())) for p in paths]
    studio.post(f"/characters/{character}/references", files=files)

    def checked() -> bool:
        rows = studio.get(f"/characters/{character}/references")["items"]
        return len(rows) == references and all(r["verdict"] != "checking" for r in rows)

    studio.wait_until(checked, "the checks of the references")
    return character


def train(studio: Studio, character: str, **recipe: Any) -> str:
    body = {"tier": "standard", "recipe": {"batch_size": 2, "rank": 4, "sample_every": 40, **recipe}}
    run: str = studio.post(f"/characters/{character}/training-runs", body)["id"]
    return run


def test_a_training_goes_on_after_its_worker_was_killed_twice(installation: Studio, tmp_path: Path) -> None:
    studio = installation
    studio.start()
    character = make_character(studio, tmp_path)
    run = train(studio, character, steps=80, checkpoint_every=10)

    def job() -> Any:
        return studio.get(f"/training-runs/{run}")["job"]

    for reach in (20, 45):
        killed_at = studio.wait_until(lambda reach=reach: (s := job()["step"]) >= reach and s, f"step {reach}", 240)
        studio.kill("gpu")
        checkpoint = job()["checkpoint_step"]
        assert killed_at - checkpoint <= MOST_LOST_STEPS
        studio.start_worker("gpu")
        # It is this very run that goes on, from its checkpoint and not from the start.
        again = studio.wait_until(lambda: (j := job())["state"] == "running" and j, "the run to go on", 60)
        assert again["step"] >= checkpoint

    studio.wait_until(lambda: job()["state"] == "done", "the training to finish", 240)
    ended = studio.get(f"/training-runs/{run}")
    assert [step for step, _ in ended["loss"]] == list(range(1, 81))
    assert sorted((s["step"], s["place"]) for s in ended["samples"]) == sorted(
        {(s["step"], s["place"]) for s in ended["samples"]}
    )
    assert {s["step"] for s in ended["samples"]} == {40, 80}
    adapters = studio.get(f"/characters/{character}/adapters")["items"]
    assert [(a["version"], a["is_active"]) for a in adapters] == [(1, True)]


def test_no_picture_is_made_or_shown_twice_when_everything_is_killed(installation: Studio, tmp_path: Path) -> None:
    studio = installation
    studio.start()
    character = make_character(studio, tmp_path)
    body = {"text": "{happy|sad|angry}", "per_combination": 12, "tier": "low", "seed": 5}
    batch = studio.post(f"/characters/{character}/variation-batches", body)["id"]

    def made() -> list[Any]:
        rows: list[Any] = studio.get(f"/variation-batches/{batch}")["variations"]
        return rows

    studio.wait_until(lambda: len(made()) >= 2, "the first pictures")
    studio.kill("web", "cpu", "gpu")
    studio.start()
    before = {v["index"]: v["id"] for v in made()}
    assert len(before) < 12, "The batch was through before it could be interrupted."
    studio.wait_until(lambda: len(made()) == 12, "the rest of the pictures", 240)
    studio.wait_until(lambda: studio.get(f"/variation-batches/{batch}")["job"]["state"] == "done", "the end")
    after = made()
    assert Counter(v["index"] for v in after) == Counter(range(12))
    assert {v["index"]: v["id"] for v in after if v["index"] in before} == before
    assert [v["seed"] for v in sorted(after, key=lambda v: v["index"])] == list(range(5, 17))
