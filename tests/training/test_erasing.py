"""What trainings made of a reference, when that reference is erased for good."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from characters import actions as characters
from characters import scoring
from characters.models import Character, Reference
from collaboration.models import Event, User
from gpu_worker import actions as jobs
from gpu_worker import catalog, claims
from gpu_worker.contracts import RunError
from gpu_worker.models import Adapter, Job, Worker
from tests.training.conftest import looked
from training import actions
from training.models import TrainingRun
from training.recipes import Recipe

SHORT = Recipe(rank=4, alpha=8.0, learning_rate=1e-3, steps=6, batch_size=2, resolution=32)
GPU = list(Job.GPU_QUEUES)
pytestmark = pytest.mark.django_db


def erase_url(reference: Reference) -> str:
    character = reference.character
    return reverse("characters:reference_erase", args=[character.project.slug, character.pk, reference.pk])


def text(response: Any) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def start(character: Character, actor: User) -> TrainingRun:
    return actions.start_training(character=character, tier="standard", recipe=SHORT, actor=actor)


def trained(run: TrainingRun) -> Adapter:
    """The run is done, and this came of it."""
    adapter = jobs.create_adapter(
        project=run.character.project,
        subject=("character", run.character_id),
        activate=True,
        sha256="0" * 64,
        pack="tiny",
        pack_version="1.0",
        architecture="stable-diffusion-v1",
        trigger="sks",
        rank=4,
        job=run.job,
    )
    TrainingRun.objects.filter(pk=run.pk).update(adapter=adapter)
    Job.objects.filter(pk=run.job_id).update(state=Job.DONE)
    characters.refresh_status(character=run.character)
    return adapter


def learnt_from(run: TrainingRun, place: int = 0) -> Reference:
    return Reference.objects.select_related("character__project", "asset").get(pk=run.references[place]["id"])


def checkpoint(run: TrainingRun, settings: Any) -> Path:
    """A checkpoint of the run's job, as its worker leaves it."""
    folder = Path(settings.SCRATCH_DIR) / "checkpoints" / str(run.job_id) / "checkpoint-4"
    folder.mkdir(parents=True)
    (folder / "state.safetensors").write_bytes(b"weights and embeddings")
    Job.objects.filter(pk=run.job_id).update(checkpoint_step=4)
    return folder


@pytest.fixture
def row() -> Worker:
    return Worker.objects.create(host="elsewhere", pid=1, lane="gpu", queues=GPU)


# ----------------------------------------------------------------------------------------------------- adapters
def test_the_page_names_exactly_the_adapters_trained_with_it_and_erases_them(
    client_of: Callable[[User], Client],
    mara: Character,
    add_references: Callable[..., list[Reference]],
    alice: User,
) -> None:
    first = trained(start(mara, alice))
    late = add_references(mara, 1, first=40)[0]
    late.refresh_from_db()
    assert not late.is_held_out
    run = start(mara, alice)
    second = trained(run)
    client, held = client_of(alice), mara.references.filter(is_held_out=True).select_related("character__project")
    old = learnt_from(run)

    assert "Adapter v" not in text(client.get(erase_url(held[0])))
    only = client.get(erase_url(late))
    assert "Adapter v2" in text(only)
    assert "Adapter v1" not in text(only)
    both = client.get(erase_url(old))
    assert "Adapter v1" in text(both)
    assert "New pictures are made with it." in text(both)

    for adapter in (first, second):
        where = reverse("training:adapter_erase", args=[mara.project.slug, adapter.pk])
        assert f'action="{where}"' in both.content.decode()
        response = client.post(where, {"next": erase_url(old)})
        assert response["Location"] == erase_url(old)
    assert "keeps what it learnt" not in text(client.get(erase_url(old)))
    mara.refresh_from_db()
    assert mara.adapter_version is None


def test_adapters_of_another_character_with_the_same_file_are_named_with_whose_they_are(
    client_of: Callable[[User], Client], mara: Character, alice: User
) -> None:
    run = start(mara, alice)
    trained(run)
    reference = learnt_from(run)
    twin = characters.create_character(project=mara.project, actor=alice, name="Twin")
    other = characters.add_references(character=twin, assets=[reference.asset], actor=alice)[0]
    assert "Adapter v1 of Mara" in text(client_of(alice).get(erase_url(other)))


def test_the_queries_of_the_page_do_not_grow_with_the_adapters(
    client_of: Callable[[User], Client], mara: Character, alice: User, django_assert_max_num_queries: Any
) -> None:
    run = start(mara, alice)
    trained(run)
    client, page = client_of(alice), erase_url(learnt_from(run))
    client.get(page)
    with django_assert_max_num_queries(40) as before:
        client.get(page)
    for _ in range(4):
        trained(start(mara, alice))
    with django_assert_max_num_queries(len(before)):
        client.get(page)


# ------------------------------------------------------------------------------------------- trainings under way
def test_a_training_that_waits_is_cancelled_and_what_it_had_learnt_goes(
    client_of: Callable[[User], Client],
    mara: Character,
    alice: User,
    settings: Any,
    django_capture_on_commit_callbacks: Any,
) -> None:
    run = start(mara, alice)
    actions.pause_training(run=run, actor=alice)
    folder, reference = checkpoint(run, settings), learnt_from(run)
    Reference.objects.filter(pk=reference.pk).update(caption="a scar on the cheek")
    client = client_of(alice)
    page = text(client.get(erase_url(reference)))
    assert "A training under way" in page
    assert "It is cancelled, and what it has learnt so far is erased." in page
    with django_capture_on_commit_callbacks(execute=True):
        assert client.post(erase_url(reference)).status_code == 302
    run.refresh_from_db()
    job = Job.objects.get(pk=run.job_id)
    assert (job.state, job.checkpoint_step) == (Job.CANCELLED, 0)
    assert not folder.exists()
    assert [r["caption"] for r in run.references if r["id"] == str(reference.pk)] == [""]
    assert Event.objects.get(kind="training.cancelled").actor == alice
    mara.refresh_from_db()
    assert mara.status != Character.TRAINING


def test_a_training_that_runs_keeps_nothing_when_it_has_stopped(
    mara: Character, alice: User, settings: Any, row: Worker, django_capture_on_commit_callbacks: Any
) -> None:
    run = start(mara, alice)
    job = claims.claim(GPU, row)
    assert job is not None
    folder = checkpoint(run, settings)
    characters.erase_reference(reference=learnt_from(run), actor=alice)
    job.refresh_from_db()
    assert (job.state, job.wanted) == (Job.RUNNING, Job.CANCEL)
    with django_capture_on_commit_callbacks(execute=True):
        claims.end(job, Job.CANCELLED)
    assert not folder.exists()
    assert Job.objects.get(pk=job.pk).checkpoint_step == 0


def test_what_it_learnt_from_an_erased_picture_becomes_no_adapter(mara: Character, alice: User) -> None:
    run = start(mara, alice)
    characters.erase_reference(reference=learnt_from(run), actor=alice)
    with pytest.raises(RunError, match="erased while it ran"):
        actions.accept_adapter(run=run, step=6, prepared=None, again=None, pack=catalog.default_pack(), rank=4)  # type: ignore[arg-type]
    assert not Adapter.objects.exists()


def test_an_ended_training_cannot_be_continued_from_what_it_learnt(
    client_of: Callable[[User], Client],
    mara: Character,
    alice: User,
    settings: Any,
    django_capture_on_commit_callbacks: Any,
) -> None:
    run = start(mara, alice)
    actions.cancel_training(run=run, actor=alice)
    folder, reference = checkpoint(run, settings), learnt_from(run)
    client = client_of(alice)
    assert "An unfinished training" in text(client.get(erase_url(reference)))
    with django_capture_on_commit_callbacks(execute=True):
        client.post(erase_url(reference))
    assert not folder.exists()
    page = text(client.get(run.get_absolute_url()))
    assert "Continue from step" not in page


# -------------------------------------------------------------------------------------------------- held out
def test_new_references_are_held_out_rather_than_those_an_adapter_knows(
    mara: Character, add_references: Callable[..., list[Reference]], alice: User
) -> None:
    run = start(mara, alice)
    trained(run)
    known = {r["id"] for r in run.references}
    add_references(mara, 10, first=40)
    held_out = {str(pk) for pk in mara.references.filter(is_held_out=True).values_list("pk", flat=True)}
    assert len(held_out) == 4
    assert set(run.held_out) < held_out
    assert not held_out & known


def test_what_an_adapter_knows_is_never_called_held_out_from_it(mara: Character, alice: User) -> None:
    run = start(mara, alice)
    adapter = trained(run)
    route = scoring.route_of(mara)
    first, second = Reference.objects.filter(pk__in=run.held_out).order_by("pk")
    characters.trash_reference(reference=first, actor=alice)
    held_out = {str(pk) for pk in mara.references.filter(is_held_out=True).values_list("pk", flat=True)}
    assert len(held_out) == 2, "one that the adapter knows has taken its place"
    known = scoring.trained_with([adapter.pk])
    assert known == {r["id"] for r in run.references}
    truth = scoring.truth_of(mara, route, known=known)
    assert (truth.is_held_out, list(truth.references)) == (True, [str(second.pk)])
    from gpu_worker.contracts import looked_from_json

    assert scoring.score(looked_from_json(looked(500)), truth, route).against["references"] == 1
