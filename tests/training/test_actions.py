"""Starting, pausing, cancelling and retrying a training, and what becomes of adapters."""

from __future__ import annotations

import dataclasses
import json
import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connections

from characters import actions as characters
from characters.models import Character, Reference
from collaboration.models import Event, Project, Revision, User
from gpu_worker import actions as jobs
from gpu_worker import claims
from gpu_worker.models import Adapter, Job, Worker
from tests.gpu_worker.compute.conftest import build_pack
from training import actions
from training.models import TrainingRun
from training.recipes import Recipe

SHORT = Recipe(rank=4, alpha=8.0, learning_rate=1e-3, steps=6, batch_size=2, resolution=32)
GPU = list(Job.GPU_QUEUES)
pytestmark = pytest.mark.django_db


@pytest.fixture
def run(mara: Character, bob: User) -> TrainingRun:
    return actions.start_training(character=mara, tier="standard", recipe=SHORT, actor=bob)


@pytest.fixture
def row() -> Worker:
    return Worker.objects.create(host="elsewhere", pid=1, lane="gpu", queues=GPU)


def kinds() -> list[tuple[str, str]]:
    """Events about training in their order, with who made them."""
    rows = Event.objects.filter(kind__regex=r"^(training|adapter)\.").order_by("seq").select_related("actor")
    return [(e.kind, e.actor.name if e.actor else "") for e in rows]


def refused(**wanted: Any) -> dict[str, list[str]]:
    with pytest.raises(ValidationError) as error:
        actions.start_training(**({"tier": "standard", "recipe": SHORT} | wanted))
    return error.value.message_dict if hasattr(error.value, "error_dict") else {"": error.value.messages}


def status(character: Character) -> str:
    character.refresh_from_db()
    return character.status


# ------------------------------------------------------------------------------------------------------------ start
def test_a_start_keeps_everything_that_was_used(run: TrainingRun, mara: Character, bob: User) -> None:
    run.refresh_from_db()
    job = run.job
    assert (job.kind, job.state, job.queue, job.units, job.is_short) == (
        "training.train",
        Job.WAITING,
        Job.STANDARD,
        6,
        False,
    )
    assert job.arguments == {"run": str(run.pk)}
    assert Recipe.from_json(run.recipe) == SHORT
    learning = mara.references.for_learning().order_by("added_at", "id")
    assert [r["id"] for r in run.references] == [str(r.pk) for r in learning]
    assert all(r["caption"].startswith("portrait of a sks woman") for r in run.references)
    assert set(run.held_out) == {str(r.pk) for r in mara.references.filter(is_held_out=True)}
    assert (run.pack, run.pack_version, run.trigger, run.created_by) == ("tiny", "1.0", "sks", bob)
    assert len({s["prompt"] for s in run.samples_wanted}) >= 2
    assert len({s["seed"] for s in run.samples_wanted}) == 3
    assert status(mara) == Character.TRAINING
    assert kinds() == [("training.started", "Bob")]


def test_without_a_recipe_the_preset_of_the_tier_is_taken(mara: Character, bob: User) -> None:
    run = actions.start_training(character=mara, tier="standard", actor=bob)
    assert (run.recipe["steps"], run.recipe["rank"]) == (4, 4)


def test_captions_are_kept_with_the_references(mara: Character, bob: User) -> None:
    first = mara.references.for_learning().order_by("added_at", "id").first()
    assert first is not None
    run = actions.start_training(
        character=mara, tier="standard", recipe=SHORT, actor=bob, captions={str(first.pk): "happy, beach"}
    )
    assert run.references[0]["caption"] == "portrait of a sks woman, happy, beach"
    assert Reference.objects.get(pk=first.pk).caption == "happy, beach"


def test_too_few_references(empty_mara: Character, add_references: Callable[..., Any], bob: User) -> None:
    add_references(empty_mara, 6)
    sentence = "Mara has 6 of the 10 references that standard needs. Add 4 more."
    assert refused(character=empty_mara, actor=bob) == {"references": [sentence]}
    assert not Job.objects.filter(kind="training.train").exists()
    assert status(empty_mara) == Character.DRAFT


def test_a_recipe_that_makes_no_sense(mara: Character, bob: User) -> None:
    recipe = dataclasses.replace(SHORT, learning_rate=math.nan)
    assert list(refused(character=mara, actor=bob, recipe=recipe)) == ["learning_rate"]
    assert not TrainingRun.objects.exists()


@pytest.mark.parametrize(
    ("wanted", "field"),
    [({"tier": "low", "recipe": None}, "tier"), ({"tier": "best"}, "tier"), ({"priority": 7}, "priority")],
)
def test_what_cannot_be_had_is_said(mara: Character, bob: User, wanted: dict[str, Any], field: str) -> None:
    assert list(refused(character=mara, actor=bob, **wanted)) == [field]


def test_one_training_at_a_time(run: TrainingRun, mara: Character, bob: User) -> None:
    assert "being trained already" in refused(character=mara, actor=bob)[""][0]
    actions.cancel_training(run=run, actor=bob)
    assert actions.start_training(character=mara, tier="standard", recipe=SHORT, actor=bob).pk != run.pk


@pytest.mark.django_db(transaction=True)
def test_two_who_press_train_at_once_start_one_training(mara: Character, bob: User) -> None:
    start, outcomes = threading.Barrier(2), []

    def press() -> None:
        try:
            start.wait()
            actions.start_training(character=mara, tier="standard", recipe=SHORT, actor=bob)
            outcomes.append("started")
        except actions.AlreadyTraining:
            outcomes.append("refused")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=press) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["refused", "started"]
    assert TrainingRun.objects.count() == 1


def test_a_character_in_the_trash_is_not_trained(mara: Character, bob: User) -> None:
    characters.trash_character(character=mara, actor=bob)
    assert "in the trash" in refused(character=mara, actor=bob)[""][0]


def test_a_commercial_project_does_not_train_on_non_commercial_weights(
    mara: Character, bob: User, tmp_path: Path, settings: Any
) -> None:
    directory = tmp_path / "packs" / "tiny"
    directory.mkdir(parents=True)
    build_pack(directory)
    manifest = json.loads((directory / "pack.json").read_text())
    manifest["licence"] = {"name": "Research only", "commercial": False}
    (directory / "pack.json").write_text(json.dumps(manifest))
    settings.MODEL_PACKS = [directory.parent]
    assert "may not be used commercially" in refused(character=mara, actor=bob)["tier"][0]
    Project.objects.update(is_commercial=False)
    mara.refresh_from_db()
    mara = Character.objects.select_related("project").get(pk=mara.pk)
    actions.start_training(character=mara, tier="standard", recipe=SHORT, actor=bob)


# ---------------------------------------------------------------------------------------------------- under way
def test_pause_and_resume_while_it_waits(run: TrainingRun, mara: Character, bob: User, leo: User) -> None:
    actions.pause_training(run=run, actor=leo)
    assert run.job.state == Job.PAUSED
    assert status(mara) == Character.TRAINING, "a paused training keeps its place"
    actions.pause_training(run=run, actor=leo)
    actions.resume_training(run=run, actor=bob)
    assert run.job.state == Job.WAITING
    assert kinds()[1:] == [("training.paused", "Leo"), ("training.resumed", "Bob")]


def test_pause_and_resume_while_it_runs(run: TrainingRun, bob: User, row: Worker) -> None:
    job = claims.claim(GPU, row)
    assert job is not None
    actions.pause_training(run=run, actor=bob)
    assert (run.job.state, run.job.wanted) == (Job.RUNNING, Job.PAUSE)
    claims.release(job, state=Job.PAUSED)
    actions.resume_training(run=run, actor=bob)
    assert run.job.state == Job.WAITING


def test_cancel_while_it_waits(run: TrainingRun, mara: Character, leo: User) -> None:
    actions.cancel_training(run=run, actor=leo)
    assert run.job.state == Job.CANCELLED
    assert status(mara) == Character.READY
    assert kinds()[1:] == [("training.cancelled", "Leo")]
    with pytest.raises(jobs.NotNow, match="ended already"):
        actions.cancel_training(run=run, actor=leo)


def test_cancel_while_it_runs_is_told_when_it_stopped(run: TrainingRun, leo: User, row: Worker) -> None:
    claims.claim(GPU, row)
    actions.cancel_training(run=run, actor=leo)
    assert kinds()[1:] == []
    Job.objects.update(lease_until=claims.after(-1))
    claims.take_back_expired()
    assert kinds()[1:] == [("training.cancelled", "Leo")]


def test_retry_goes_on_from_the_checkpoint(run: TrainingRun, mara: Character, bob: User) -> None:
    actions.cancel_training(run=run, actor=bob)
    Job.objects.update(checkpoint_step=4)
    actions.retry_training(run=run, actor=bob)
    assert (run.job.state, run.job.checkpoint_step) == (Job.WAITING, 4)
    assert status(mara) == Character.TRAINING
    assert kinds()[-1] == ("training.retried", "Bob")


def test_retry_beside_another_training_is_refused(run: TrainingRun, mara: Character, bob: User) -> None:
    actions.cancel_training(run=run, actor=bob)
    actions.start_training(character=mara, tier="standard", recipe=SHORT, actor=bob)
    with pytest.raises(actions.AlreadyTraining):
        actions.retry_training(run=run, actor=bob)


def test_a_failure_is_told_with_its_sentence(run: TrainingRun, mara: Character, row: Worker) -> None:
    job = claims.claim(GPU, row)
    assert job is not None
    claims.end(job, Job.FAILED, error="The memory was too small.")
    event = Event.objects.get(kind="training.failed")
    assert event.payload["sentence"] == "The memory was too small."
    assert status(mara) == Character.READY


def test_an_ended_run_goes_to_the_trash_and_comes_back(run: TrainingRun, bob: User) -> None:
    with pytest.raises(jobs.NotNow, match="under way"):
        actions.trash_run(run=run, actor=bob)
    actions.cancel_training(run=run, actor=bob)
    actions.trash_run(run=run, actor=bob)
    assert not TrainingRun.objects.present().exists()
    actions.restore_run(run=run, actor=bob)
    assert TrainingRun.objects.present().exists()
    assert [kind for kind, _ in kinds()[-2:]] == ["training.trashed", "training.restored"]


# ------------------------------------------------------------------------------------------------------- adapters
@pytest.fixture
def versions(mara: Character, bob: User) -> list[Adapter]:
    """Two versions; the second is active."""
    fields = {
        "project": mara.project,
        "subject": ("character", mara.pk),
        "activate": True,
        "sha256": "0" * 64,
        "pack": "tiny",
        "pack_version": "1.0",
        "architecture": "stable-diffusion-v1",
        "trigger": "sks",
        "rank": 4,
    }
    made = [jobs.create_adapter(**fields) for _ in range(2)]  # type: ignore[arg-type]
    characters.refresh_status(character=mara)
    return made


def test_an_older_version_is_activated_with_revision_and_event(
    mara: Character, versions: list[Adapter], leo: User
) -> None:
    before = Revision.objects.count()
    actions.activate_adapter(adapter=versions[0], actor=leo)
    mara.refresh_from_db()
    assert mara.adapter_version == 1
    assert list(Adapter.objects.filter(is_active=True)) == [versions[0]]
    assert kinds() == [("adapter.activated", "Leo")]
    assert Revision.objects.count() == before + 1
    assert Revision.objects.order_by("-number").first().snapshot["adapter_version"] == 1  # type: ignore[union-attr]
    actions.activate_adapter(adapter=versions[0], actor=leo)
    assert len(kinds()) == 1, "what is so already is no change"


def test_erasing_the_active_version_leaves_none(mara: Character, versions: list[Adapter], alice: User) -> None:
    actions.erase_adapter(adapter=versions[1], actor=alice)
    mara.refresh_from_db()
    assert (mara.adapter_version, mara.status) == (None, Character.READY)
    assert kinds() == [("adapter.erased", "Alice")]
    with pytest.raises(ValidationError, match="erased"):
        actions.activate_adapter(adapter=versions[1], actor=alice)
