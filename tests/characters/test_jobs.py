"""From an upload to scored pictures, through the worker and a pack of random weights."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from django.core.files.storage import default_storage
from django.test import Client
from django.urls import reverse
from PIL import Image

from assets.models import Asset
from characters import actions, orders
from characters.models import Character, IdentityProfile, Reference, Variation
from characters.variations import Settings
from collaboration.models import Event, Project, User
from gpu_worker.contracts import Failed, Output
from gpu_worker.models import Job, JobOutput, Reading
from tests.gpu_worker.compute.conftest import face_picture

pytestmark = pytest.mark.django_db(transaction=True)


def png(n: int = 0, faces: tuple[tuple[str, int, int], ...] = (("red", 128, 128),)) -> bytes:
    """A picture in which the detector of the random pack finds `faces`; different for each `n`."""
    pixels = np.asarray(face_picture(faces=faces)).astype(int)
    # Grey grain, so that it is sharp and each is another picture; too weak for the detector.
    grain = np.random.default_rng(n).integers(-24, 24, (320, 320, 1))
    buffer = io.BytesIO()
    Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def seen_mara(mara: Character, worker: Any, stored: Callable[..., Asset], bob: User) -> Character:
    """Mara with three references that the real code looked at."""
    assets = [stored(mara, n, data=png(n)) for n in range(3)]
    actions.add_references(character=mara, assets=assets, actor=bob)
    while worker.run_next():
        pass
    mara.refresh_from_db()
    return mara


def test_uploads_are_looked_at_and_the_profile_is_learnt(
    sign_in: Callable[..., Client], bob: User, mara: Character, worker: Any
) -> None:
    where = reverse("characters:references", args=[mara.project.slug, mara.pk])
    client = sign_in(bob, htmx=True)
    for n, faces in enumerate([(("red", 128, 128),), (), (("red", 32, 32), ("red", 224, 224))]):
        upload = io.BytesIO(png(n, faces))
        upload.name = f"{n}.png"
        assert client.post(where, {"files": upload}).status_code == 201
    assert worker.run_next()
    one, none, two = Reference.objects.order_by("added_at")
    assert one.verdict in ("pass", "warn"), one.checks
    words = {r.pk: [c["word"] for c in r.checks] for r in (one, none, two)}
    assert "One face" in words[one.pk]
    assert "No face" in words[none.pk]
    assert "2 faces" in words[two.pk]
    profile = IdentityProfile.objects.get()
    assert profile.learnt_from == [str(one.pk)]
    assert len(profile.centroid) == 512
    job = Job.objects.get()
    assert (job.state, job.step, job.total) == (Job.DONE, 3, 3)
    # What was seen holds embeddings: it stands with the readings, never in the outputs of a job.
    assert all(o.data == {} for o in JobOutput.objects.all())
    assert Reading.objects.count() == 3
    assert Event.objects.filter(kind="profile.learnt").count() == 1


def test_a_reference_removed_while_its_job_waited_does_no_harm(
    mara: Character, worker: Any, stored: Callable[..., Asset], alice: User
) -> None:
    first, second = actions.add_references(
        character=mara, assets=[stored(mara, n, data=png(n)) for n in range(2)], actor=alice
    )
    actions.erase_reference(reference=first, actor=alice)
    worker.run_next()
    second.refresh_from_db()
    assert second.verdict in ("pass", "warn")
    assert Reading.objects.count() == 1


def test_a_reference_erased_between_two_claims_takes_no_answer_from_another(
    mara: Character, worker: Any, stored: Callable[..., Asset], alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = actions.add_references(character=mara, assets=[stored(mara, n, data=png(n)) for n in range(3)], actor=alice)
    run = worker.runner.run

    def dies_after_one(*args: Any, **kwargs: Any) -> Any:
        for message in run(*args, **kwargs):
            yield message
            if isinstance(message, Output):
                yield Failed(sentence="The worker is told to stop.", retryable=True)
                return

    monkeypatch.setattr(worker.runner, "run", dies_after_one)
    assert worker.run_next()
    assert JobOutput.objects.count() == 1
    monkeypatch.setattr(worker.runner, "run", run)
    actions.erase_reference(reference=rows[0], actor=alice)
    Job.objects.update(not_before=None)
    assert worker.run_next()
    for row in rows[1:]:
        row.refresh_from_db()
        assert row.verdict in ("pass", "warn"), row.checks
    assert set(Reading.objects.values_list("asset", flat=True)) == {r.asset_id for r in rows[1:]}


def test_one_file_that_is_lost_does_not_cost_the_others_their_checks(
    mara: Character, worker: Any, stored: Callable[..., Asset], bob: User
) -> None:
    lost, fine = actions.add_references(
        character=mara, assets=[stored(mara, n, data=png(n)) for n in range(2)], actor=bob
    )
    default_storage.delete(lost.asset.key)
    assert worker.run_next()
    lost.refresh_from_db()
    fine.refresh_from_db()
    assert fine.verdict in ("pass", "warn")
    assert lost.verdict == "reject"
    assert "Upload it again" in lost.checks[0]["sentence"]


def test_a_batch_is_made_scored_and_explained(seen_mara: Character, worker: Any, bob: User) -> None:
    Project.objects.update(domain=Project.ILLUSTRATION)  # noise passes for a photograph
    settings = Settings(axes={"expression": ("happy", "sad")}, text="octopus", steps=2, seed=3, negative_prompt="blue")
    batch = orders.order_variations(character=seen_mara, settings=settings, actor=bob)
    assert worker.run_next()

    batch.job.refresh_from_db()
    assert (batch.job.state, batch.job.error) == (Job.DONE, "")
    assert [n["code"] for n in batch.job.notices if n["code"] == "unknown-words"] == ["unknown-words"]
    assert "octopus" in str(batch.job.notices)
    rows = list(batch.variations.order_by("index"))
    assert [(v.index, v.seed, v.axes) for v in rows] == [(0, 3, {"expression": "happy"}), (1, 4, {"expression": "sad"})]
    for row in rows:
        # Random weights paint no face: there is a reason, and no low score.
        assert row.score is not None or row.no_score_reason == "no face found"
        assert (row.asset.width, row.asset.height) == (64, 64)
        assert row.provenance["model_title"] == "Tiny random pack"
        assert len(row.provenance["model_sha256"]) == 64
        assert row.provenance["image_prompt"]["references"] == IdentityProfile.objects.get().learnt_from
        assert row.provenance["why_this_model"] == "Low, because no adapter has been trained yet."
        assert row.provenance["ordered_by"] == "Bob"
        assert "test on" in row.provenance["worker"]
    finished = Event.objects.get(kind="variation.finished")
    assert (finished.payload["count"], finished.payload["state"]) == (2, "done")


def test_the_file_carries_how_it_was_made(seen_mara: Character, worker: Any, bob: User) -> None:
    settings = Settings(axes={"expression": ("happy",)}, steps=2, guidance=2.5, seed=9, negative_prompt="blue")
    batch = orders.order_variations(character=seen_mara, settings=settings, actor=bob)
    worker.run_next()
    variation = batch.variations.get()
    with variation.asset.open() as file:
        image = Image.open(io.BytesIO(file.read()))
        image.load()
    text = image.text["parameters"]  # type: ignore[attr-defined]
    assert text.startswith(variation.prompt)
    assert "Negative prompt: blue" in text
    assert "Steps: 2" in text
    assert "CFG scale: 2.5" in text
    assert "Seed: 9" in text
    own = json.loads(image.text["persona"])  # type: ignore[attr-defined]
    assert own["character"] == str(seen_mara.pk)
    assert own["batch"] == str(batch.pk)
    assert own["axes"] == {"expression": "happy"}
    assert "look" not in own
    assert "embedding" not in image.text["persona"]  # type: ignore[attr-defined]
    read = variation.asset.settings_found
    assert read is not None
    assert (read.prompt, read.seed) == (variation.prompt, 9)


def test_the_same_seed_makes_the_same_picture(seen_mara: Character, worker: Any, bob: User) -> None:
    settings = Settings(steps=2, seed=21)
    hashes = []
    for _ in range(2):
        batch = orders.order_variations(character=seen_mara, settings=settings, actor=bob)
        worker.run_next()
        with batch.variations.get().asset.open() as file:
            hashes.append(Image.open(io.BytesIO(file.read())).convert("RGB").tobytes())
    assert hashes[0] == hashes[1]


def test_a_batch_taken_up_again_makes_only_what_is_missing(seen_mara: Character, worker: Any, bob: User) -> None:
    batch = orders.order_variations(
        character=seen_mara, settings=Settings(per_combination=3, steps=2, seed=1), actor=bob
    )
    worker.run_next()
    kept = batch.variations.get(index=1).asset_id
    Variation.objects.filter(batch=batch, index=2).delete()
    JobOutput.objects.filter(job=batch.job, index=2).delete()
    Job.objects.filter(pk=batch.job_id).update(state=Job.WAITING)
    worker.run_next()
    assert sorted(batch.variations.values_list("index", flat=True)) == [0, 1, 2]
    assert batch.variations.get(index=1).asset_id == kept


def test_a_batch_whose_end_alone_was_lost_ends(seen_mara: Character, worker: Any, bob: User) -> None:
    batch = orders.order_variations(
        character=seen_mara, settings=Settings(per_combination=2, steps=2, seed=1), actor=bob
    )
    worker.run_next()
    kept = set(batch.variations.values_list("asset_id", flat=True))
    Job.objects.filter(pk=batch.job_id).update(state=Job.WAITING)
    worker.run_next()
    job = Job.objects.get(pk=batch.job_id)
    assert (job.state, job.error) == (Job.DONE, "")
    assert set(batch.variations.values_list("asset_id", flat=True)) == kept


def test_an_erased_adapter_is_said_and_nothing_is_made(seen_mara: Character, worker: Any, bob: User) -> None:
    from gpu_worker import actions as jobs

    jobs.create_adapter(
        project=seen_mara.project,
        subject=("character", seen_mara.pk),
        activate=True,
        sha256="a" * 64,
        pack="tiny",
        pack_version="1.0",
        architecture="stable-diffusion-v1",
        trigger="sks",
        rank=4,
    )
    batch = orders.order_variations(character=seen_mara, settings=Settings(steps=2), actor=bob)
    worker.run_next()
    batch.job.refresh_from_db()
    assert batch.job.state == Job.FAILED
    assert "has been erased. Generate again with another one." in batch.job.error
    assert not batch.variations.exists()
