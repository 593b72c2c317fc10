from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

from gpu_worker.contracts import (
    AdapterUse,
    Checkpoint,
    GenerateRequest,
    Message,
    Notice,
    Output,
    PictureSpec,
    Progress,
    RunError,
    SamplePicture,
    Stopped,
    TrainingPicture,
    TrainRequest,
)
from gpu_worker.packs import digest_of, read_pack
from gpu_worker.trainers.lora import FLOOR, LoraTrainer, learning_rate

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:peft")
SIZES = ((40, 40), (24, 48), (64, 32), (50, 50))


@pytest.fixture
def request_for(tmp_path: Path, make: SimpleNamespace) -> Callable[..., TrainRequest]:
    """`request_for(pack, joint=True, **fields)`: four pictures of noise, in three buckets."""

    def build(pack: Path, *, joint: bool = False, **fields: Any) -> TrainRequest:
        rng, pictures = np.random.default_rng(7), []
        for k, (width, height) in enumerate(SIZES):
            path = tmp_path / f"picture-{k}.png"
            if not path.exists():
                Image.fromarray(rng.integers(0, 255, (height, width, 3), dtype=np.uint8)).save(path)
            embedding = make.embedding(k) if joint and k else None
            pictures.append(
                TrainingPicture(
                    path=str(path), caption=f"portrait of a sks man {'happy' if k % 2 else 'sad'}", embedding=embedding
                )
            )
        values: dict[str, Any] = {
            "rank": 4,
            "alpha": 8.0,
            "steps": 8,
            "batch_size": 2,
            "resolution": 32,
            "warmup_steps": 2,
            "checkpoint_every": 3,
            "learning_rate": 1e-2,
        }
        return TrainRequest(pack=str(pack), pictures=tuple(pictures), trigger="sks", **(values | fields))

    return build


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., list[Message]]:
    """`run(request, name, stop_after=3)`: all messages; the run is asked to stop after so many steps of its own."""
    count = iter(range(1000))

    def go(request: TrainRequest, *, stop_after: float = math.inf) -> list[Message]:
        messages: list[Message] = []
        workdir = tmp_path / f"run-{next(count)}"
        workdir.mkdir()
        for message in LoraTrainer(request, read_pack(request.pack), "cpu", workdir).run(
            lambda: len(losses(messages)) >= stop_after
        ):
            messages.append(message)
            if isinstance(message, Output):
                messages[-1] = dataclasses.replace(message, path=str(workdir / message.path))
        return messages

    return go


def of(messages: list[Message], cls: type, kind: str = "") -> list[Any]:
    return [m for m in messages if isinstance(m, cls) and (not kind or m.kind == kind)]  # type: ignore[attr-defined]


def weights(messages: list[Message]) -> dict[str, torch.Tensor]:
    (adapter,) = of(messages, Output, "adapter")
    return load_file(adapter.path)


def losses(messages: list[Message]) -> list[float]:
    return [m.values["loss"] for m in of(messages, Progress) if "loss" in m.values]


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


# ----------------------------------------------------------------------------------------------------- resuming
@pytest.mark.parametrize(
    ("prediction", "joint", "fields"),
    [
        ("flow_prediction", False, {"dropout": 0.2, "flip": True, "caption_dropout": 0.3}),
        ("flow_prediction", True, {"flip": True}),
        ("epsilon", False, {}),
        ("v_prediction", False, {}),
    ],
)
def test_stopping_and_going_on_changes_nothing(
    tiny_packs: Callable[..., Path],
    request_for: Callable[..., TrainRequest],
    run: Callable[..., list[Message]],
    tmp_path: Path,
    prediction: str,
    joint: bool,
    fields: dict[str, Any],
) -> None:
    pack = tiny_packs(prediction=prediction)
    straight = run(request_for(pack, joint=joint, checkpoint_dir=str(tmp_path / "a"), **fields))
    request = request_for(pack, joint=joint, checkpoint_dir=str(tmp_path / "b"), **fields)
    parts = [run(request, stop_after=2), run(request, stop_after=3), run(request)]
    assert [of(part, Stopped) for part in parts] == [[Stopped(step=2)], [Stopped(step=5)], []]
    assert equal(weights(straight), weights(parts[-1]))
    assert losses(straight) == [loss for part in parts for loss in losses(part)]
    assert all(tensor.isfinite().all() for tensor in weights(straight).values())


def test_loras_handed_out_on_the_way_are_the_same_in_a_run_that_was_stopped(
    tiny_pack: Path, request_for: Callable[..., TrainRequest], run: Callable[..., list[Message]], tmp_path: Path
) -> None:
    wanted = {"hand_out_at": (2, 5, 8), "checkpoint_every": 100}
    straight = run(request_for(tiny_pack, checkpoint_dir=str(tmp_path / "a"), **wanted))
    given = {o.index: load_file(o.path) for o in of(straight, Output, "checkpoint")}
    assert list(given) == [2999, 5999], "what the last step leaves is the adapter"
    assert not equal(given[2999], given[5999])
    assert not equal(given[5999], weights(straight))
    assert [m.step for m in of(straight, Checkpoint)] == [2, 5, 8], "one can go on from where a file was handed out"

    request = request_for(tiny_pack, checkpoint_dir=str(tmp_path / "b"), **wanted)
    parts = [run(request, stop_after=2), run(request, stop_after=2), run(request)]
    again = [{o.index: load_file(o.path) for o in of(part, Output, "checkpoint")} for part in parts]
    assert [list(found) for found in again] == [[2999], [2999], [5999]], "a file may have been lost with its run"
    assert equal(again[0][2999], given[2999])
    assert equal(again[1][2999], given[2999])
    assert equal(again[2][5999], given[5999])


def test_a_run_that_was_killed_goes_on_from_its_last_checkpoint(
    tiny_pack: Path, request_for: Callable[..., TrainRequest], run: Callable[..., list[Message]], tmp_path: Path
) -> None:
    straight = run(request_for(tiny_pack, checkpoint_dir=str(tmp_path / "a")))
    request = request_for(tiny_pack, checkpoint_dir=str(tmp_path / "b"))
    for steps in (4, 4):  # dies one step after the checkpoint: that step is done again
        trainer, done = LoraTrainer(request, read_pack(tiny_pack), "cpu", tmp_path).run(lambda: False), 0
        for message in trainer:
            done += isinstance(message, Progress) and "loss" in message.values
            if done == steps:
                trainer.close()  # type: ignore[attr-defined]
                break
    last = run(request)
    assert [m.step for m in of(last, Progress) if "loss" in m.values] == [7, 8]
    assert equal(weights(straight), weights(last))


def test_a_run_that_is_taken_up_never_seems_to_start_over(
    tiny_pack: Path, request_for: Callable[..., TrainRequest], run: Callable[..., list[Message]], tmp_path: Path
) -> None:
    request = request_for(tiny_pack, checkpoint_dir=str(tmp_path / "c"))
    run(request, stop_after=4)
    assert {m.step for m in of(run(request), Progress)} == {4, 5, 6, 7, 8}


def test_slow_steps_have_a_checkpoint_each_whatever_the_recipe_says(
    tiny_pack: Path,
    request_for: Callable[..., TrainRequest],
    run: Callable[..., list[Message]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rare = request_for(tiny_pack, checkpoint_every=500, steps=4)
    monkeypatch.setattr("gpu_worker.trainers.lora.CHECKPOINT_SECONDS", 0.0)
    assert [m.step for m in of(run(rare), Checkpoint)] == [1, 2, 3, 4]


def test_a_finished_run_started_again_only_hands_on_its_adapter(
    tiny_pack: Path, request_for: Callable[..., TrainRequest], run: Callable[..., list[Message]], tmp_path: Path
) -> None:
    request = request_for(tiny_pack, checkpoint_dir=str(tmp_path / "c"))
    first, second = run(request), run(request)
    assert losses(second) == []
    assert equal(weights(first), weights(second))


def test_a_damaged_checkpoint_costs_only_the_steps_since_the_one_before(
    tiny_pack: Path, request_for: Callable[..., TrainRequest], run: Callable[..., list[Message]], tmp_path: Path
) -> None:
    request = request_for(tiny_pack, checkpoint_dir=str(tmp_path / "c"))
    straight = run(request_for(tiny_pack, checkpoint_dir=str(tmp_path / "d")))
    run(request, stop_after=7)
    newest = tmp_path / "c" / "step-00000007" / "tensors.safetensors"
    newest.write_bytes(newest.read_bytes()[:-100])
    resumed = run(request)
    (notice,) = of(resumed, Notice)
    assert (notice.code, notice.data) == ("checkpoint-damaged", {"step": 7})
    assert [m.step for m in of(resumed, Progress) if "loss" in m.values] == [7, 8]
    assert equal(weights(straight), weights(resumed))


@pytest.mark.parametrize("fields", [{"learning_rate": 2e-2}, {"steps": 9}, {"seed": 1}, {"rank": 8}, {"flip": True}])
def test_a_checkpoint_of_another_training_is_refused(
    tiny_pack: Path,
    request_for: Callable[..., TrainRequest],
    run: Callable[..., list[Message]],
    tmp_path: Path,
    fields: dict[str, Any],
) -> None:
    folder = str(tmp_path / "c")
    run(request_for(tiny_pack, checkpoint_dir=folder), stop_after=2)
    with pytest.raises(RunError, match="belongs to another training"):
        run(request_for(tiny_pack, checkpoint_dir=folder, **fields))


def test_changed_pictures_are_another_training(
    tiny_pack: Path, request_for: Callable[..., TrainRequest], run: Callable[..., list[Message]], tmp_path: Path
) -> None:
    request = request_for(tiny_pack, checkpoint_dir=str(tmp_path / "c"))
    run(request, stop_after=2)
    Image.new("RGB", (40, 40), "red").save(request.pictures[0].path)
    with pytest.raises(RunError, match="belongs to another training"):
        run(request)


@pytest.mark.parametrize("later", ["other", "none"])
def test_a_run_keeps_the_embeddings_it_began_with(
    tiny_pack: Path,
    request_for: Callable[..., TrainRequest],
    run: Callable[..., list[Message]],
    tmp_path: Path,
    make: SimpleNamespace,
    later: str,
) -> None:
    straight = run(request_for(tiny_pack, joint=True, checkpoint_dir=str(tmp_path / "a")))
    request = request_for(tiny_pack, joint=True, checkpoint_dir=str(tmp_path / "b"))
    run(request, stop_after=4)
    seen_anew = tuple(
        dataclasses.replace(p, embedding=make.embedding(77) if later == "other" else None) for p in request.pictures
    )
    assert equal(weights(straight), weights(run(dataclasses.replace(request, pictures=seen_anew))))


# ----------------------------------------------------------------------------------------------------- messages
def test_each_step_tells_where_it_stands(
    tiny_pack: Path, request_for: Callable[..., TrainRequest], run: Callable[..., list[Message]]
) -> None:
    request = request_for(tiny_pack)
    messages = run(request)
    steps = [m for m in of(messages, Progress) if "loss" in m.values]
    assert [m.step for m in steps] == list(range(1, 9))
    assert [m.values["learning_rate"] for m in steps] == [learning_rate(k, request) for k in range(8)]
    assert all(m.values["steps_per_second"] > 0 for m in steps)
    assert steps[-1].values["seconds_left"] == 0
    assert steps[0].note == "Step 1 of 8"
    assert [m.step for m in of(messages, Checkpoint)] == [3, 6, 8]


def test_samples_come_when_asked_for_and_change_nothing(
    tiny_pack: Path, request_for: Callable[..., TrainRequest], run: Callable[..., list[Message]]
) -> None:
    samples = (SamplePicture(prompt="a sks man beach", seed=1), SamplePicture(prompt="a sks man coat", seed=2))
    with_samples = run(request_for(tiny_pack, joint=True, samples=samples, sample_every=5))
    found = of(with_samples, Output, "sample")
    assert [m.index for m in found] == [5000, 5001, 8000, 8001]
    assert [m.data["prompt"] for m in found[:2]] == ["a sks man beach", "a sks man coat"]
    for sample in found:
        assert digest_of(Path(sample.path)) == sample.sha256
        assert Image.open(sample.path).size == (32, 32)
    assert found[0].sha256 != found[2].sha256
    assert equal(weights(with_samples), weights(run(request_for(tiny_pack, joint=True))))


def test_the_rate_rises_then_falls_to_a_twentieth(tiny_pack: Path, request_for: Callable[..., TrainRequest]) -> None:
    request = request_for(tiny_pack, steps=100, warmup_steps=4, learning_rate=1.0)
    rates = [learning_rate(k, request) for k in range(100)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert rates[52] == pytest.approx((1 + FLOOR) / 2, abs=0.02)
    assert rates[-1] == pytest.approx(FLOOR)


def test_one_step_with_more_warm_up_than_steps_works(
    tiny_pack: Path, request_for: Callable[..., TrainRequest], run: Callable[..., list[Message]]
) -> None:
    messages = run(request_for(tiny_pack, steps=1, warmup_steps=50, batch_size=1))
    assert len(losses(messages)) == 1
    assert any(v.abs().max() > 0 for k, v in weights(messages).items() if "lora_B" in k)


# ------------------------------------------------------------------------------------------------------ learning
def test_training_lowers_the_loss(
    tiny_pack: Path, request_for: Callable[..., TrainRequest], run: Callable[..., list[Message]]
) -> None:
    curve = losses(run(request_for(tiny_pack, steps=60, batch_size=4, rank=8, caption_dropout=0.0)))
    assert np.mean(curve[-10:]) < 0.93 * np.mean(curve[:10])


def test_joint_training_listens_to_the_embeddings(
    tiny_pack: Path, request_for: Callable[..., TrainRequest], run: Callable[..., list[Message]], make: SimpleNamespace
) -> None:
    joint = request_for(tiny_pack, joint=True)
    others = tuple(
        dataclasses.replace(p, embedding=p.embedding and make.embedding(99 + k)) for k, p in enumerate(joint.pictures)
    )
    one, two = run(joint), run(dataclasses.replace(joint, pictures=others))
    assert not equal(weights(one), weights(two))
    assert of(one, Output, "adapter")[0].data["joint"]
    assert not of(run(request_for(tiny_pack)), Output, "adapter")[0].data["joint"]


def test_the_lora_of_the_image_prompt_stays_as_it_is(
    tiny_packs: Callable[..., Path], request_for: Callable[..., TrainRequest], run: Callable[..., list[Message]]
) -> None:
    trained = weights(run(request_for(tiny_packs(faceid_lora=True), joint=True)))
    assert trained.keys() == weights(run(request_for(tiny_packs(), joint=True))).keys()


def test_convolutions_can_be_trained(
    tiny_pack: Path, request_for: Callable[..., TrainRequest], run: Callable[..., list[Message]]
) -> None:
    trained = weights(run(request_for(tiny_pack, targets=("to_q", "conv1"), steps=2)))
    assert any(".conv1.lora_A.weight" in name and tensor.ndim == 4 for name, tensor in trained.items())
    assert not any(".to_k." in name for name in trained)


# ------------------------------------------------------------------------------------------------------- the file
def test_the_adapter_says_what_it_is(
    tiny_pack: Path, request_for: Callable[..., TrainRequest], run: Callable[..., list[Message]]
) -> None:
    extra = (("modelspec.title", "Mara"), ("modelspec.author", "Northlight"))
    (adapter,) = of(run(request_for(tiny_pack, metadata=extra)), Output, "adapter")
    path = Path(adapter.path)
    assert (adapter.index, adapter.sha256) == (0, hashlib.sha256(path.read_bytes()).hexdigest())
    with safe_open(path, framework="pt") as file:
        metadata, keys = file.metadata(), list(file.keys())
    assert all(key.startswith("unet.") and ".lora_" in key for key in keys)
    expected = {
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": "stable-diffusion-v1/lora",
        "modelspec.implementation": "diffusers",
        "modelspec.title": "Mara",
        "modelspec.author": "Northlight",
        "modelspec.license": "CC0-1.0",
        "modelspec.trigger_phrase": "sks",
        "ss_v2": "False",
        "ss_base_model_version": "stable-diffusion-v1",
        "ss_network_dim": "4",
        "ss_network_alpha": "8.0",
        "ss_num_train_images": "4",
        "ss_steps": "8",
        "ss_learning_rate": "0.01",
        "ss_seed": "0",
    }
    assert expected.items() <= metadata.items()
    assert all(isinstance(value, str) for value in metadata.values())
    assert float(metadata["ss_training_started_at"]) <= float(metadata["ss_training_finished_at"])
    body = path.read_bytes()
    tensors = body[8 + int.from_bytes(body[:8], "little") :]
    assert metadata["modelspec.hash_sha256"] == "0x" + hashlib.sha256(tensors).hexdigest()
    assert json.loads(metadata["lora_adapter_metadata"])["unet.lora_alpha"] == 8.0


def test_the_pipeline_applies_the_adapter_as_it_was_trained(
    tiny_pack: Path, request_for: Callable[..., TrainRequest], run: Callable[..., list[Message]]
) -> None:
    from gpu_worker.pipelines.sd import StableDiffusion

    sample = SamplePicture(prompt="a sks man beach", seed=5)
    messages = run(request_for(tiny_pack, samples=(sample,), sample_every=100))
    (seen,), (adapter,) = of(messages, Output, "sample"), of(messages, Output, "adapter")
    model = StableDiffusion()
    model.load(read_pack(tiny_pack), "cpu")
    request = GenerateRequest(
        pack=str(tiny_pack),
        pictures=(PictureSpec(index=0, prompt=sample.prompt, seed=sample.seed),),
        width=32,
        height=32,
        steps=4,
        adapter=AdapterUse(path=adapter.path, sha256=adapter.sha256, strength=1.0),
    )

    def make(request: GenerateRequest) -> np.ndarray:
        ((_, picture, _),) = model.generate(request, should_stop=lambda: False, on_progress=lambda *_: None)
        return np.asarray(picture, np.int16)

    trained = np.asarray(Image.open(seen.path), np.int16)
    assert np.abs(make(request) - trained).max() <= 2  # the file holds 16-bit weights
    assert np.abs(make(dataclasses.replace(request, adapter=None)) - trained).mean() > 1


# -------------------------------------------------------------------------------------------------------- refusing
def test_a_picture_that_cannot_be_read_is_named(
    tiny_pack: Path, request_for: Callable[..., TrainRequest], run: Callable[..., list[Message]]
) -> None:
    request = request_for(tiny_pack)
    Path(request.pictures[2].path).write_bytes(b"not a picture")
    with pytest.raises(RunError, match=r"picture-2\.png cannot be read"):
        run(request)


def test_a_loss_that_is_not_finite_names_the_learning_rate(
    tiny_pack: Path,
    request_for: Callable[..., TrainRequest],
    run: Callable[..., list[Message]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch.nn.functional as F

    real, calls = F.mse_loss, []

    def diverging(*arguments: Any) -> torch.Tensor:
        calls.append(1)
        return real(*arguments) * (float("inf") if len(calls) == 5 else 1.0)

    monkeypatch.setattr("gpu_worker.trainers.lora.F.mse_loss", diverging)
    with pytest.raises(
        RunError, match=r"at step 5: the loss is not a finite number. The learning rate 0\.01 is too high"
    ):
        run(request_for(tiny_pack))


def test_layers_that_are_not_there_are_named(
    tiny_pack: Path, request_for: Callable[..., TrainRequest], run: Callable[..., list[Message]]
) -> None:
    with pytest.raises(RunError, match=r"layers \(to_nowhere\) are not in the model tiny"):
        run(request_for(tiny_pack, targets=("to_nowhere",)))


def test_too_little_memory_says_what_to_lower(
    tiny_pack: Path,
    request_for: Callable[..., TrainRequest],
    run: Callable[..., list[Message]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*arguments: Any) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("gpu_worker.trainers.lora.F.mse_loss", full)
    with pytest.raises(RunError, match=r"Lower the batch size \(2\) or the resolution \(32\)") as caught:
        run(request_for(tiny_pack))
    assert caught.value.retryable
