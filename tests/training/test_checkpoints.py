"""Checkpoints of a training: kept on the way, compared, one of them used, erased - with real LoRAs on a tiny pack."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse
from safetensors import safe_open

from assets import actions as assets
from assets.folders import character_folder
from assets.models import Asset
from characters import actions as characters
from characters import scoring
from characters.models import Character, Reference
from collaboration.models import Event, User
from gpu_worker import claims, sweeper
from gpu_worker.contracts import Message, Output, Request
from gpu_worker.execution import JobWorker
from gpu_worker.models import Adapter, Job, Reading
from gpu_worker.packs import read_pack
from tests.gpu_worker.compute.conftest import add_whole_picture_models, build_pack, lora_file
from tests.training.conftest import embedding, looked
from training import actions
from training.models import CheckpointComparison, ComparisonPicture, TrainingCheckpoint, TrainingRun
from training.recipes import Recipe

pytestmark = pytest.mark.django_db(transaction=True)

SHORT = Recipe(
    rank=4,
    alpha=8.0,
    learning_rate=1e-3,
    steps=6,
    batch_size=2,
    resolution=32,
    checkpoint_every=4,
    compare_checkpoints=3,
    sample_every=100,
)
STEPS = [2, 4, 6]
PROMPTS = 4
HTMX = {"HX-Request": "true"}


class Killed(BaseException):
    """What a killed process leaves behind: nothing after this point runs."""


def change(worker: JobWorker, how: Callable[[Message], Message]) -> list[Request]:
    """Let the messages of the worker's runs pass through `how`; returns the requests, as they come."""
    genuine, requests = worker.runner.run, []

    def run(request: Request, workdir: Any, **more: Any) -> Iterator[Message]:
        requests.append(request)
        messages = genuine(request, workdir, **more)
        try:
            for message in messages:
                yield how(message)
        finally:
            messages.close()

    worker.runner.run = run  # type: ignore[method-assign, assignment]
    return requests


def see(worker: JobWorker, likeness: dict[int, float]) -> None:
    """Let the encoders see a face in every picture of a comparison: with so much noise by step (0 is the person)."""
    order = itertools.count(700)

    def how(message: Message) -> Message:
        if not isinstance(message, Output) or message.kind != "picture":
            return message
        step = STEPS[message.index // PROMPTS]
        n = next(order)
        face = looked(n, yaw=0.0)
        face["faces"][0]["embeddings"] = {"scoring": embedding(1, n, likeness[step])}
        face["figure"] = ()
        return dataclasses.replace(message, data={**message.data, "look": json.loads(json.dumps(face))})

    change(worker, how)


def fresh(run: TrainingRun) -> TrainingRun:
    return TrainingRun.objects.with_rows().get(pk=run.pk)


def kept(run: TrainingRun) -> list[int]:
    return [c.step for c in TrainingCheckpoint.objects.filter(run=run).select_related("file") if c.is_there]


def url(name: str, run: TrainingRun, *more: Any) -> str:
    return reverse(f"training:{name}", args=[run.character.project.slug, run.pk, *more])


def text(response: Any) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def kinds() -> list[str]:
    rows = Event.objects.filter(kind__regex=r"^(comparison|checkpoint|adapter)\.").order_by("seq")
    return list(rows.values_list("kind", flat=True))


def pictures(comparison: CheckpointComparison) -> list[tuple[int, int]]:
    return list(ComparisonPicture.objects.filter(comparison=comparison).values_list("step", "place"))


EVERY = [(step, place) for step in STEPS for place in range(PROMPTS)]


@pytest.fixture
def run(mara: Character, bob: User) -> TrainingRun:
    return actions.start_training(character=mara, tier="standard", recipe=SHORT, actor=bob)


def trained(run: TrainingRun, packs: Path, folder: Path) -> TrainingRun:
    """The run is done: random LoRAs stand for what it learnt, and the last one is the active adapter."""
    pack = read_pack(packs / "tiny")
    for step in STEPS:
        path = folder / f"{step}.safetensors"
        lora_file(path, packs / "tiny", seed=step, scale=0.02 * step)
        prepared = assets.prepare_file(
            project=run.character.project,
            file=path,
            name=f"Mara step {step}.safetensors",
            folder=character_folder("Mara", "adapters"),
            kind=Asset.ADAPTER,
            extension="safetensors",
        )
        told: dict[str, Any] = {"run": run, "step": step, "rank": 4, "prepared": prepared, "again": path}
        with transaction.atomic():
            if step == STEPS[-1]:
                actions.accept_adapter(pack=pack, **told)
            else:
                actions.accept_checkpoint(**told)
    with transaction.atomic():
        Job.objects.filter(pk=run.job_id).update(state=Job.DONE)
        characters.refresh_status(character=run.character)
    return fresh(run)


@pytest.fixture
def done(run: TrainingRun, packs: Path, tmp_path: Path) -> TrainingRun:
    return trained(run, packs, tmp_path)


@pytest.fixture
def compared(done: TrainingRun, bob: User, worker: JobWorker) -> CheckpointComparison:
    """Step 4 is the nearest to the person."""
    see(worker, {2: 1.2, 4: 0.2, 6: 0.9})
    comparison = actions.start_comparison(run=done, actor=bob)
    assert worker.run_next()
    return CheckpointComparison.objects.select_related("job", "run__character__project").get(pk=comparison.pk)


# ------------------------------------------------------------------------------------------------------ keeping them
def test_a_training_keeps_its_lora_at_several_steps(run: TrainingRun, worker: JobWorker, tmp_path: Path) -> None:
    worker.run_next()
    run = fresh(run)
    assert run.job.state == Job.DONE, run.job.error
    checkpoints = list(run.checkpoints.select_related("file", "adapter"))
    assert [c.step for c in checkpoints] == STEPS
    assert [c.adapter for c in checkpoints] == [None, None, run.adapter]
    assert len({c.sha256 for c in checkpoints}) == 3
    file = checkpoints[0].file
    assert file is not None
    assert file.original_name == "Mara step 2.safetensors"
    with safe_open(file.copy_to(tmp_path / "two.safetensors"), "pt") as opened:
        assert opened.metadata()["ss_steps"] == "2"
        assert opened.metadata()["persona.run"] == str(run.pk)
    assert not CheckpointComparison.objects.exists(), "on a processor nobody waits for what nobody asked for"


@pytest.mark.parametrize("after", [2999, 4999])
def test_a_killed_training_loses_no_checkpoint_and_doubles_none(
    run: TrainingRun, worker: JobWorker, after: int
) -> None:
    killed: list[int] = []

    def kill(message: Message) -> Message:
        if isinstance(message, Output) and message.index == after and not killed:
            killed.append(after)
            raise Killed  # the file is written and handed out, and nobody has taken it
        return message

    change(worker, kill)
    with pytest.raises(Killed):
        worker.run_next()
    Job.objects.filter(pk=run.job_id).update(lease_until=claims.after(-1))
    sweeper.sweep()
    worker.run_next()
    run = fresh(run)
    assert run.job.state == Job.DONE, run.job.error
    assert kept(run) == STEPS
    assert Asset.objects.filter(kind=Asset.ADAPTER).count() == 3
    assert Adapter.objects.count() == 1


def test_what_a_gpu_has_trained_is_compared_at_once(run: TrainingRun, worker: JobWorker) -> None:
    def on_gpu(message: Message) -> Message:
        if isinstance(message, Output) and message.kind == "adapter":
            return dataclasses.replace(message, data={**message.data, "device": "cuda"})
        return message

    change(worker, on_gpu)
    worker.run_next()
    comparison = CheckpointComparison.objects.get(run=run)
    assert comparison.job.state == Job.WAITING
    worker.run_next()
    comparison.refresh_from_db()
    assert pictures(comparison) == EVERY
    assert comparison.proposed_step is None
    assert "identity could be measured in too few" in comparison.reason, "noise has no face, and that is no low score"


# ----------------------------------------------------------------------------------------------------- comparing them
def test_the_nearest_checkpoint_is_proposed_with_its_reason(compared: CheckpointComparison, done: TrainingRun) -> None:
    assert compared.job.state == Job.DONE, compared.job.error
    assert pictures(compared) == EVERY
    assert compared.proposed_step == 4
    assert compared.reason.startswith("Step 4 is proposed")
    assert [m["step"] for m in compared.results] == STEPS
    assert all(m["scored"] == PROMPTS for m in compared.results)
    row = ComparisonPicture.objects.select_related("asset").first()
    assert row is not None
    assert row.measured_against["held_out"] is True
    assert Reading.objects.filter(asset=row.asset).exists()
    with row.asset.open() as file:
        assert str(compared.pk).encode() in file.read()
    assert kinds() == ["adapter.activated", "comparison.started", "comparison.finished"]


def test_all_checkpoints_draw_the_same_prompts_and_seeds(done: TrainingRun, bob: User, worker: JobWorker) -> None:
    requests = change(worker, lambda message: message)
    comparison = actions.start_comparison(run=done, actor=bob)
    worker.run_next()
    (request,) = requests
    told = [[(p.prompt, p.seed) for p in part.pictures] for part in request.parts]  # type: ignore[union-attr]
    assert told[0] == told[1] == told[2]
    assert len(set(told[0])) == PROMPTS
    adapters = [part.adapter.sha256 for part in request.parts]  # type: ignore[union-attr]
    assert adapters == [entry["sha256"] for entry in comparison.steps]
    assert all(part.identity == request.parts[0].identity for part in request.parts)  # type: ignore[union-attr]
    files = set(ComparisonPicture.objects.values_list("asset__sha256", flat=True))
    assert len(files) == 12, "each checkpoint draws differently"


def test_a_pack_without_classifier_says_not_measured(
    compared: CheckpointComparison, client_of: Any, vera: User
) -> None:
    assert [m["adherence"] for m in compared.results] == [None] * 3
    assert {m["distance"] for m in compared.results} == {"hash"}
    page = text(client_of(vera).get(compared.run.get_absolute_url()))
    assert "Adherence of what was asked not measured not measured not measured" in page


def test_a_pack_with_classifier_and_figure_encoder_is_asked(
    mara: Character, bob: User, worker: JobWorker, settings: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "packs"
    (folder / "tiny").mkdir(parents=True)
    build_pack(folder / "tiny")
    add_whole_picture_models(folder / "tiny")
    manifest = json.loads((folder / "tiny" / "pack.json").read_text())
    manifest["slots"] = {"expression": ["happy", "sad"], "colour": ["red", "blue"]}
    (folder / "tiny" / "pack.json").write_text(json.dumps(manifest))
    settings.MODEL_PACKS = [folder]
    run = actions.start_training(character=mara, tier="standard", recipe=SHORT, actor=bob)
    run = trained(run, folder, tmp_path)
    comparison = actions.start_comparison(run=run, actor=bob)
    worker.run_next()
    comparison.refresh_from_db()
    assert [p["asked"] for p in comparison.plan] == [
        {"expression": expression, "colour": colour}
        for expression, colour in [("happy", "red"), ("happy", "red"), ("sad", "blue"), ("sad", "blue")]
    ]
    for picture in ComparisonPicture.objects.filter(comparison=comparison):
        assert set(picture.seen) == {"colour"}, "the classifier knows nothing of expressions"
        assert picture.seen["colour"] in ("red", "green", "blue")
    for found in comparison.results:
        told = ComparisonPicture.objects.filter(comparison=comparison, step=found["step"])
        hits = sum(p.seen["colour"] == comparison.plan[p.place]["asked"]["colour"] for p in told)
        assert found["adherence"] == hits / PROMPTS
        assert found["distance"] == "figure"


def test_without_held_out_references_the_verdict_says_so(
    mara: Character, done: TrainingRun, bob: User, worker: JobWorker
) -> None:
    Reference.objects.filter(character=mara, is_held_out=True).update(is_held_out=False)
    see(worker, {2: 1.2, 4: 0.6, 6: 0.2})
    comparison = actions.start_comparison(run=done, actor=bob)
    worker.run_next()
    comparison.refresh_from_db()
    assert comparison.proposed_step == 6
    assert any("held out from the training" in sentence for sentence in comparison.concerns)


def test_a_cancelled_comparison_keeps_its_pictures_and_makes_the_rest_later(
    client_of: Callable[[User], Client], done: TrainingRun, bob: User, worker: JobWorker
) -> None:
    client = client_of(bob)
    client.post(url("compare", done))
    comparison = CheckpointComparison.objects.get()
    made: list[int] = []

    def cancel(message: Message) -> Message:
        if isinstance(message, Output):
            made.append(message.index)
            if len(made) == 5:
                client.post(url("compare_cancel", done))
                worker.stopping.set()  # else the run hears of it with the next beat, which it might outrun
        return message

    change(worker, cancel)
    worker.run_next()
    worker.stopping.clear()
    job = Job.objects.get(pk=comparison.job_id)
    assert job.state == Job.CANCELLED
    before = pictures(comparison)
    assert 5 <= len(before) < len(EVERY)
    page = text(client.get(done.get_absolute_url()))
    assert "cancelled before all pictures were made, so nothing is proposed" in page
    assert "Make the rest" in page

    first = set(ComparisonPicture.objects.values_list("pk", flat=True))
    client.post(url("compare_retry", done))
    worker.run_next()
    comparison.refresh_from_db()
    assert Job.objects.get(pk=comparison.job_id).state == Job.DONE
    assert pictures(comparison) == EVERY
    assert first < set(ComparisonPicture.objects.values_list("pk", flat=True)), "nothing was made anew"
    assert len(comparison.results) == 3


def test_a_comparison_whose_end_was_lost_ends(done: TrainingRun, bob: User, worker: JobWorker) -> None:
    def kill(message: Message) -> Message:
        if type(message).__name__ == "Done" and not killed:
            killed.append(1)
            raise Killed
        return message

    killed: list[int] = []
    change(worker, kill)
    comparison = actions.start_comparison(run=done, actor=bob)
    with pytest.raises(Killed):
        worker.run_next()
    assert pictures(comparison) == EVERY
    Job.objects.filter(pk=comparison.job_id).update(lease_until=claims.after(-1))
    sweeper.sweep()
    worker.run_next()
    assert Job.objects.get(pk=comparison.job_id).state == Job.DONE
    assert pictures(comparison) == EVERY


def test_pictures_of_another_identity_profile_are_not_mixed(
    done: TrainingRun, bob: User, worker: JobWorker, add_references: Callable[..., list[Reference]]
) -> None:
    made: list[int] = []

    def kill(message: Message) -> Message:
        if isinstance(message, Output):
            made.append(1)
            if len(made) == 3:
                raise Killed
        return message

    change(worker, kill)
    comparison = actions.start_comparison(run=done, actor=bob)
    with pytest.raises(Killed):
        worker.run_next()
    Job.objects.filter(pk=comparison.job_id).update(lease_until=claims.after(-1))
    sweeper.sweep()
    add_references(done.character, 3, first=60)
    worker.run_next()
    job = Job.objects.get(pk=comparison.job_id)
    assert job.state == Job.FAILED
    assert "learnt anew" in job.error


# --------------------------------------------------------------------------------------------------------- using one
def test_a_confirmed_checkpoint_becomes_the_active_version_once(
    client_of: Callable[[User], Client], compared: CheckpointComparison, bob: User
) -> None:
    run, client = compared.run, client_of(bob)
    page = client.get(run.get_absolute_url())
    assert f'action="{url("checkpoint_use", run, 4)}"' in page.content.decode()
    for _ in range(2):
        response = client.post(url("checkpoint_use", run, 4), follow=True)
        assert "Pictures are made with adapter v2, the checkpoint of step 4 from now on." in text(response)
    checkpoint = TrainingCheckpoint.objects.select_related("adapter").get(run=run, step=4)
    versions = list(Adapter.objects.order_by("version").values_list("version", "is_active"))
    assert versions == [(1, False), (2, True)]
    assert checkpoint.adapter is not None
    assert (checkpoint.adapter.sha256, checkpoint.adapter.file) == (checkpoint.sha256, checkpoint.file)
    assert kinds()[-2:] == ["checkpoint.chosen", "adapter.activated"]
    assert kinds().count("checkpoint.chosen") == 1
    compared.refresh_from_db()
    assert (compared.confirmed_step, compared.confirmed_by) == (4, bob)
    run.character.refresh_from_db()
    assert run.character.adapter_version == 2
    assert scoring.trained_with([checkpoint.adapter.pk]) == {r["id"] for r in run.references}


def test_switching_back_is_one_click(
    client_of: Callable[[User], Client], compared: CheckpointComparison, bob: User
) -> None:
    run, client = compared.run, client_of(bob)
    first = Adapter.objects.get(version=1)
    back = reverse("training:adapter_activate", args=[run.character.project.slug, first.pk])
    assert f'action="{back}"' in client.post(url("checkpoint_use", run, 4), follow=True).content.decode()
    response = client.post(back, headers=HTMX)
    assert response.headers["HX-Refresh"] == "true", "the toast stands in a page of any kind"
    assert Adapter.objects.get(is_active=True) == first
    # Choosing the last step is choosing the version that it is.
    client.post(url("checkpoint_use", run, 4))
    client.post(url("checkpoint_use", run, 6))
    assert Adapter.objects.count() == 2
    assert Adapter.objects.get(is_active=True) == first


def test_the_list_of_versions_says_which_step_each_one_is(
    client_of: Callable[[User], Client], compared: CheckpointComparison, bob: User, vera: User
) -> None:
    client_of(bob).post(url("checkpoint_use", compared.run, 2))
    character = compared.run.character
    where = reverse("training:tab", args=[character.project.slug, character.pk])
    page = text(client_of(vera).get(where, headers=HTMX))
    assert "rank 4 · step 2 of 6" in page
    assert "rank 4 · step 6 of 6" in page


def test_the_page_shows_figures_curves_and_pictures(
    client_of: Callable[[User], Client], compared: CheckpointComparison, vera: User, bob: User
) -> None:
    response = client_of(vera).get(compared.run.get_absolute_url())
    page, words = response.content.decode(), text(response)
    assert compared.reason in words
    assert "Step 4 · proposed" in words
    assert "Step 6 · v1, active" in words
    assert page.count('<figure class="curve">') >= 2
    assert page.count("<td><a href=") == 12
    assert "Use step" not in words, "seeing is not using"
    assert "Use step 4" in text(client_of(bob).get(compared.run.get_absolute_url()))
    assert not re.search(r"\sstyle=|<style|hx-on|\son[a-z]+=|javascript:", page)


def test_before_a_comparison_the_page_offers_one_and_what_it_takes(
    client_of: Callable[[User], Client], done: TrainingRun, bob: User, rita: User
) -> None:
    page = text(client_of(bob).get(done.get_absolute_url()))
    assert "12 pictures tell, 4 with each checkpoint" in page
    assert "Compare checkpoints" in page
    assert "Compare checkpoints" not in text(client_of(rita).get(done.get_absolute_url()))


def test_a_waiting_comparison_asks_for_itself_and_can_be_cancelled(
    client_of: Callable[[User], Client], done: TrainingRun, bob: User
) -> None:
    client = client_of(bob)
    client.post(url("compare", done))
    page = client.get(done.get_absolute_url(), headers=HTMX).content.decode()
    assert 'data-refresh-seconds="4"' in page
    assert url("compare_cancel", done) in page
    assert "being compared already" in text(client.post(url("compare", done), follow=True))
    assert "being compared" in text(client.post(url("trash", done), follow=True))
    client.post(url("compare_cancel", done))
    assert "data-refresh-seconds" not in client.get(done.get_absolute_url(), headers=HTMX).content.decode()
    assert CheckpointComparison.objects.count() == 1


POSTS = ["compare", "compare_cancel", "compare_retry", "checkpoints_erase", "checkpoint_use"]


@pytest.mark.parametrize("name", POSTS)
def test_only_who_may_changes_anything(
    client_of: Callable[[User], Client], done: TrainingRun, rita: User, charlie: User, bob: User, name: str
) -> None:
    address = url(name, done, *([4] if name == "checkpoint_use" else []))
    assert client_of(rita).post(address).status_code == 403
    assert client_of(charlie).post(address).status_code == 404
    assert client_of(bob).get(address).status_code == 405
    assert not CheckpointComparison.objects.exists()
    assert kept(done) == STEPS


def test_a_run_with_one_checkpoint_has_nothing_to_compare(
    client_of: Callable[[User], Client], done: TrainingRun, bob: User
) -> None:
    TrainingCheckpoint.objects.filter(run=done).exclude(step=6).delete()
    assert 'id="checkpoints-title"' not in client_of(bob).get(done.get_absolute_url()).content.decode()
    assert "nothing to compare" in text(client_of(bob).post(url("compare", done), follow=True))
    assert not CheckpointComparison.objects.exists()


# ---------------------------------------------------------------------------------------------------------- erasing
def test_with_a_reference_go_the_checkpoints_that_learnt_from_it(
    client_of: Callable[[User], Client], done: TrainingRun, alice: User, bob: User
) -> None:
    actions.use_checkpoint(run=done, step=4, actor=bob)
    client = client_of(bob)
    client.post(url("compare", done))
    reference = Reference.objects.select_related("character__project").get(pk=done.references[0]["id"])
    where = reverse("characters:reference_erase", args=[done.character.project.slug, done.character_id, reference.pk])
    page = text(client_of(alice).get(where))
    assert "A checkpoint of a training" in page
    assert "Adapter v1" in page
    assert "Adapter v2" in page
    client_of(alice).post(where)
    assert kept(done) == [4, 6], "those in use are erased by themselves, as the page says"
    assert CheckpointComparison.objects.get().job.state == Job.CANCELLED
    page = text(client.get(done.get_absolute_url()))
    assert "References of this training were erased" in page
    assert "Compare checkpoints" not in page


def test_with_the_last_version_of_a_training_go_its_other_checkpoints(
    client_of: Callable[[User], Client], done: TrainingRun, alice: User
) -> None:
    second = actions.use_checkpoint(run=done, step=4, actor=alice)
    client, slug = client_of(alice), done.character.project.slug
    first = Adapter.objects.get(version=1)
    client.post(reverse("training:adapter_erase", args=[slug, first.pk]))
    assert kept(done) == [2, 4]
    client.post(reverse("training:adapter_erase", args=[slug, second.pk]))
    assert kept(done) == []
    response = client.post(url("checkpoint_use", done, 2), follow=True)
    assert "The checkpoint of step 2 has been erased." in text(response)


def test_checkpoints_are_erased_by_themselves(
    client_of: Callable[[User], Client], done: TrainingRun, alice: User, bob: User
) -> None:
    assert client_of(bob).post(url("checkpoints_erase", done)).status_code == 403
    response = client_of(alice).post(url("checkpoints_erase", done), follow=True)
    assert "2 checkpoints have been erased." in text(response)
    assert kept(done) == [6]
    assert kinds()[-1] == "checkpoint.erased"
    assert Adapter.objects.get().is_active
