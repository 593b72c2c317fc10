"""From Train to an active adapter, through the worker and a real LoRA training with a pack of random weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from safetensors import safe_open

from assets import actions as assets
from assets.models import Asset
from characters.models import Character
from collaboration.models import Event, Revision, User
from gpu_worker import claims, sweeper
from gpu_worker.contracts import Checkpoint, Message, Output, TrainRequest
from gpu_worker.execution import JobWorker
from gpu_worker.models import Adapter, Job, JobOutput, Reading, Worker
from training import actions, jobs
from training.models import TrainingRun, TrainingSample
from training.recipes import Recipe

pytestmark = pytest.mark.django_db(transaction=True)

SHORT = Recipe(
    rank=4, alpha=8.0, learning_rate=1e-3, steps=6, batch_size=2, resolution=32, checkpoint_every=2, sample_every=3
)
ALL_SAMPLES = [(3, 0), (3, 1), (3, 2), (6, 0), (6, 1), (6, 2)]


@pytest.fixture
def run(mara: Character, bob: User) -> TrainingRun:
    return actions.start_training(character=mara, tier="standard", recipe=SHORT, actor=bob)


def fresh(run: TrainingRun) -> TrainingRun:
    return TrainingRun.objects.with_rows().get(pk=run.pk)


def samples(run: TrainingRun) -> list[tuple[int, int]]:
    return list(TrainingSample.objects.filter(run=run).values_list("step", "place"))


class Killed(BaseException):
    """What a killed process leaves behind: nothing after this point runs."""


def interrupt(worker: JobWorker, after: Callable[[Message], bool], do: Callable[[], None]) -> list[TrainRequest]:
    """Let the worker's runner call `do` once, right after a message for which `after` holds. Returns the requests."""
    genuine, requests, done = worker.runner.run, [], []

    def run(request: TrainRequest, workdir: Any, **more: Any) -> Iterator[Message]:
        requests.append(request)
        messages = genuine(request, workdir, **more)
        try:
            for message in messages:
                yield message
                if not done and after(message):
                    done.append(1)
                    do()
        finally:
            messages.close()  # type: ignore[attr-defined]

    worker.runner.run = run  # type: ignore[method-assign, assignment]
    return requests


def kill() -> None:
    raise Killed


def at_checkpoint(step: int) -> Callable[[Message], bool]:
    return lambda message: isinstance(message, Checkpoint) and message.step == step


def after_sample(index: int) -> Callable[[Message], bool]:
    return lambda message: isinstance(message, Output) and message.index == index


# ------------------------------------------------------------------------------------------------------ all goes well
def test_a_training_ends_with_an_active_adapter(mara: Character, run: TrainingRun, worker: JobWorker) -> None:
    revisions = Revision.objects.count()
    assert worker.run_next()

    run = fresh(run)
    assert (run.job.state, run.job.error) == (Job.DONE, "")
    adapter = run.adapter
    assert adapter is not None
    assert (adapter.version, adapter.is_active, adapter.trigger, adapter.rank) == (1, True, "sks", 4)
    assert adapter.licence["spdx"] == "CC0-1.0"
    assert adapter.file is not None
    assert (adapter.file.kind, adapter.file.sha256) == (Asset.ADAPTER, adapter.sha256)
    assert adapter.file.key.endswith(f"Characters/mara/adapters/{adapter.sha256}.safetensors")
    mara.refresh_from_db()
    assert (mara.status, mara.adapter_version) == (Character.TRAINED, 1)
    assert samples(run) == ALL_SAMPLES
    assert [step for step, _ in run.job.measured["loss"]] == [1, 2, 3, 4, 5, 6]
    # One revision and one event each, in the order in which it happened.
    assert Revision.objects.count() == revisions + 1
    happened = Event.objects.filter(kind__regex=r"^(training|adapter)\.").order_by("seq").values_list("kind", flat=True)
    assert list(happened) == ["training.started", "adapter.activated", "training.finished"]


def test_the_file_says_what_it_is(run: TrainingRun, worker: JobWorker, tmp_path: Any) -> None:
    worker.run_next()
    adapter = fresh(run).adapter
    assert adapter is not None
    assert adapter.file is not None
    path = adapter.file.copy_to(tmp_path / "adapter.safetensors")
    with safe_open(path, "pt") as file:
        told = file.metadata()
    assert told["modelspec.title"] == "Mara (The Long Night)"
    assert told["modelspec.license"] == "CC0-1.0"
    assert told["modelspec.trigger_phrase"] == "sks"
    assert told["modelspec.author"] == "Bob"
    assert told["persona.run"] == str(run.pk)
    assert told["lora_adapter_metadata"], "alpha differs from rank"


def test_held_out_references_are_never_handed_to_the_trainer(
    mara: Character, run: TrainingRun, worker: JobWorker
) -> None:
    requests = interrupt(worker, lambda message: False, kill)
    worker.run_next()
    held_out = {str(r.asset_id) for r in mara.references.filter(is_held_out=True)}
    names = {picture.path.rpartition("/")[2].partition(".")[0] for picture in requests[0].pictures}
    assert len(names) == 8
    assert not names & held_out
    assert all(picture.embedding is not None for picture in requests[0].pictures)


def test_samples_are_looked_at_and_their_provenance_is_in_the_file(run: TrainingRun, worker: JobWorker) -> None:
    worker.run_next()
    sample = TrainingSample.objects.filter(run=run).select_related("asset").latest("pk")
    assert sample.no_score_reason == "no face found", "noise has no face, and that is no low score"
    assert Reading.objects.filter(asset=sample.asset).exists()
    with sample.asset.open() as file:
        content = file.read()
    assert str(run.pk).encode() in content
    assert not any("look" in data for data in JobOutput.objects.values_list("data", flat=True))


# ----------------------------------------------------------------------------------------------------- all goes wrong
def test_a_killed_run_goes_on_from_its_checkpoint_and_makes_no_sample_twice(
    run: TrainingRun, worker: JobWorker
) -> None:
    # After the samples of step 3 and before the checkpoint of step 4: step 3 and its samples are made again.
    interrupt(worker, after_sample(3002), kill)
    with pytest.raises(Killed):
        worker.run_next()
    job = Job.objects.get(pk=run.job_id)
    assert (job.state, job.checkpoint_step) == (Job.RUNNING, 2)
    assert samples(run) == ALL_SAMPLES[:3]
    stored, kept = Asset.objects.count(), run.checkpoints.count()

    Job.objects.filter(pk=run.job_id).update(lease_until=claims.after(-1))
    sweeper.sweep()
    assert worker.run_next()

    run = fresh(run)
    assert (run.job.state, run.job.attempts) == (Job.DONE, 0)
    assert samples(run) == ALL_SAMPLES
    new = run.checkpoints.count() - kept
    assert new >= 1
    assert Asset.objects.count() == stored + 3 + new, "three more samples, and checkpoints, one of them the adapter"
    # What was measured in the last moment before a kill may be missing from the curve; nothing is in it twice.
    steps = [step for step, _ in run.job.measured["loss"]]
    assert steps == sorted(set(steps))
    assert steps[-1] == 6
    assert Adapter.objects.count() == 1


def test_two_kills_in_a_row_lose_no_more_than_a_checkpoint_each(run: TrainingRun, worker: JobWorker) -> None:
    steps = []
    for step in (2, 4):
        interrupt(worker, at_checkpoint(step), kill)
        with pytest.raises(Killed):
            worker.run_next()
        steps.append(Job.objects.get(pk=run.job_id).checkpoint_step)
        Job.objects.filter(pk=run.job_id).update(lease_until=claims.after(-1))
        claims.take_back_expired()
    assert steps == [2, 4]
    worker.run_next()
    assert fresh(run).job.state == Job.DONE
    assert samples(run) == ALL_SAMPLES


def test_a_late_result_of_a_lost_lease_is_refused(run: TrainingRun, mara: Character, worker: JobWorker) -> None:
    other = Worker.objects.create(host="elsewhere", pid=1, lane="gpu", queues=list(Job.GPU_QUEUES))

    def lose_the_lease() -> None:
        Job.objects.filter(pk=run.job_id).update(lease_until=claims.after(-1))
        claims.take_back_expired()
        assert claims.claim(Job.GPU_QUEUES, other) is not None

    interrupt(worker, at_checkpoint(4), lose_the_lease)
    worker.run_next()
    run = fresh(run)
    assert (run.job.state, run.job.token, run.job.worker_id) == (Job.RUNNING, 2, other.pk)
    assert samples(run) == ALL_SAMPLES[:3]
    assert run.adapter is None
    assert not Adapter.objects.exists()
    mara.refresh_from_db()
    assert mara.status == Character.TRAINING


def test_a_paused_run_goes_on_where_it_stood(run: TrainingRun, bob: User, worker: JobWorker) -> None:
    interrupt(worker, at_checkpoint(2), lambda: actions.pause_training(run=fresh(run), actor=bob) and None)
    worker.run_next()
    paused = fresh(run)
    if paused.job.state == Job.DONE:  # it was over before it was told
        pytest.skip("the training was too quick to be paused")
    assert paused.job.state == Job.PAUSED
    assert paused.job.checkpoint_step >= 2
    assert not worker.run_next(), "paused work is not taken"
    actions.resume_training(run=paused, actor=bob)
    assert worker.run_next()
    assert fresh(run).job.state == Job.DONE
    assert samples(run) == ALL_SAMPLES


def test_a_reference_that_was_erased_stops_the_training_with_a_sentence(
    run: TrainingRun, mara: Character, bob: User, worker: JobWorker
) -> None:
    assets.erase(asset=Asset.objects.get(pk=run.references[0]["asset"]), actor=bob)
    worker.run_next()
    job = Job.objects.get(pk=run.job_id)
    assert job.state == Job.FAILED
    assert job.error.startswith("1 of the 8 references of this training have been erased.")
    mara.refresh_from_db()
    assert mara.status != Character.TRAINING


def test_a_pack_that_was_replaced_stops_the_training_with_a_sentence(run: TrainingRun, worker: JobWorker) -> None:
    TrainingRun.objects.update(pack_version="0.9")
    worker.run_next()
    assert "no longer installed" in Job.objects.get(pk=run.job_id).error


def test_a_learning_rate_that_is_too_high_is_explained(mara: Character, bob: User, worker: JobWorker) -> None:
    wild = Recipe(rank=4, alpha=1024.0, learning_rate=1.0, steps=60, batch_size=2, resolution=32, sample_every=100)
    run = actions.start_training(character=mara, tier="standard", recipe=wild, actor=bob)
    worker.run_next()
    job = fresh(run).job
    assert job.state == Job.FAILED
    assert "learning rate" in job.error


def test_a_damaged_adapter_is_refused(run: TrainingRun, worker: JobWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = jobs._prepare_adapter

    def changed(run: TrainingRun, output: Output, path: Any) -> Any:
        import dataclasses

        return genuine(run, dataclasses.replace(output, sha256="0" * 64), path)

    monkeypatch.setattr(jobs, "_prepare_adapter", changed)
    worker.run_next()
    assert "damaged" in Job.objects.get(pk=run.job_id).error
    assert not Adapter.objects.exists()
