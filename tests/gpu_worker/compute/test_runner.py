from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gpu_worker.contracts import (
    AdapterUse,
    Checkpoint,
    Done,
    Failed,
    GenerateRequest,
    IdentityUse,
    LookRequest,
    Message,
    Notice,
    Output,
    PictureSpec,
    Progress,
    Request,
    RunError,
    SamplePicture,
    SeriesRequest,
    Stopped,
    TrainingPicture,
    TrainRequest,
    looked_from_json,
    message_from_json,
    to_json,
)
from gpu_worker.packs import read_pack
from gpu_worker.runner import Runner
from gpu_worker.runner.warm import failure, thread_count

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:peft", "ignore::FutureWarning:insightface")
FINAL = (Done, Stopped, Failed)


def never() -> bool:
    return False


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    runner = Runner(device="cpu")
    yield runner
    runner.close()


@pytest.fixture
def run(runner: Runner, tmp_path: Path) -> Callable[..., list[Message]]:
    def go(request: Request, should_stop: Callable[[], bool] = never) -> list[Message]:
        messages = list(runner.run(request, tmp_path / "work", should_stop=should_stop))
        assert isinstance(messages[-1], FINAL)
        assert not any(isinstance(message, FINAL) for message in messages[:-1])
        for message in messages:  # whatever is sent can cross a process border
            assert to_json(message_from_json(json.loads(json.dumps(to_json(message))))) == json.loads(
                json.dumps(to_json(message))
            )
        return messages

    return go


def generate(pack: Path, count: int = 3, prompt: str = "portrait of a happy man", **fields: Any) -> GenerateRequest:
    pictures = tuple(PictureSpec(index=10 + k, prompt=prompt, seed=k) for k in range(count))
    return GenerateRequest(
        **{"pack": str(pack), "pictures": pictures, "width": 32, "height": 32, "steps": 2, "batch_size": 2, **fields}
    )


def train(pack: Path, folder: Path, **fields: Any) -> TrainRequest:
    folder.mkdir(exist_ok=True)
    pictures = []
    for k in range(2):
        rng = np.random.default_rng(k)
        Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(folder / f"{k}.png")
        pictures.append(TrainingPicture(path=f"{k}.png", caption="a sks man"))
    values = {
        "steps": 4,
        "rank": 2,
        "batch_size": 2,
        "resolution": 32,
        "trigger": "sks",
        "checkpoint_every": 2,
        "checkpoint_dir": "kept",
    }
    return TrainRequest(pack=str(pack), pictures=tuple(pictures), **(values | fields))


def of(messages: list[Message], cls: type) -> list[Any]:
    return [message for message in messages if isinstance(message, cls)]


# -------------------------------------------------------------------------------------------------- generating
def test_pictures_come_with_all_that_made_them(
    tiny_pack: Path, run: Callable[..., list[Message]], tmp_path: Path, make: SimpleNamespace
) -> None:
    request = generate(tiny_pack, identity=IdentityUse(embedding=make.embedding(), strength=0.6), negative_prompt="sad")
    messages = run(request)
    outputs = of(messages, Output)
    assert [o.index for o in outputs] == [10, 11, 12]
    for output, spec in zip(outputs, request.pictures, strict=True):
        path = tmp_path / "work" / output.path
        assert (output.kind, output.path) == ("picture", f"picture-{spec.index:04d}.png")
        assert hashlib.sha256(path.read_bytes()).hexdigest() == output.sha256
        assert Image.open(path).size == (32, 32)
        data, pack = output.data, read_pack(tiny_pack)
        assert data["model"] == {"name": "tiny", "version": "1.0", "sha256": pack.sha256}
        assert (data["seed"], data["prompt"], data["negative_prompt"]) == (spec.seed, spec.prompt, "sad")
        assert (data["steps"], data["guidance"], data["width"], data["height"]) == (2, 3.0, 32, 32)
        assert (data["sampler"], data["identity"], data["adapter"]) == (
            "DPMSolverMultistepScheduler",
            {"strength": 0.6},
            None,
        )
        assert data["seconds"] > 0
        assert looked_from_json(data["look"]).width == 32
    assert messages[-1].values["pictures"] == 3  # type: ignore[union-attr]
    assert [p.step for p in of(messages, Progress)] == [0, 2, 4, 5, 6]
    assert {p.total for p in of(messages, Progress)} == {6}


def test_without_encoders_pictures_are_not_looked_at(tiny_pack: Path, run: Callable[..., list[Message]]) -> None:
    assert all("look" not in output.data for output in of(run(generate(tiny_pack, encoders=())), Output))


def test_a_second_run_finds_the_model_warm_and_gives_the_same(
    tiny_pack: Path, run: Callable[..., list[Message]], runner: Runner
) -> None:
    first = of(run(generate(tiny_pack)), Output)
    warm = runner._pipeline
    second = of(run(generate(tiny_pack)), Output)
    assert runner._pipeline is warm
    assert [o.sha256 for o in first] == [o.sha256 for o in second]


def test_a_changed_pack_is_loaded_anew(tiny_packs: Callable[..., Path], run: Callable[..., list[Message]]) -> None:
    flow, epsilon = tiny_packs(), tiny_packs(prediction="epsilon")
    first = of(run(generate(flow)), Output)
    other = of(run(generate(epsilon)), Output)
    again = of(run(generate(flow)), Output)
    assert first[0].sha256 != other[0].sha256
    assert first[0].sha256 == again[0].sha256
    assert other[0].data["sampler"] == "DDIMScheduler"


def test_unknown_words_are_named_but_not_the_trigger(
    tiny_pack: Path, run: Callable[..., list[Message]], tmp_path: Path, make: SimpleNamespace
) -> None:
    from safetensors.torch import load_file, save_file

    path = tmp_path / "lora.safetensors"
    make.lora_file(path, tiny_pack, layout="kohya")
    save_file(load_file(path), path, metadata={"modelspec.trigger_phrase": "marav person"})
    adapter = AdapterUse(path="../lora.safetensors", sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    messages = run(
        generate(tiny_pack, prompt="marav person, (astronaut:1.2) on the moon", negative_prompt="ugly", adapter=adapter)
    )
    (notice,) = of(messages, Notice)
    assert notice.code == "unknown-words"
    assert notice.data == {"words": ["astronaut", "on", "the", "moon", "ugly"]}
    assert "astronaut, on, the, moon, ugly" in notice.sentence
    assert of(messages, Output)[0].data["adapter"] == {"sha256": adapter.sha256, "strength": 0.7}


def test_stopping_ends_the_run_with_what_is_done(
    tiny_pack: Path, run: Callable[..., list[Message]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpu_worker.runner.warm.ASK_EVERY", 0.0)
    asked = iter([False] * 30)
    messages = run(generate(tiny_pack, 24, steps=20, batch_size=1), lambda: next(asked, True))
    assert isinstance(messages[-1], Stopped)
    assert messages[-1].step == 20 * len(of(messages, Output))
    assert len(of(messages, Output)) < 24


def test_a_run_stopped_before_it_began_loads_nothing(tiny_pack: Path, run: Callable[..., list[Message]]) -> None:
    messages = run(generate(tiny_pack, 24, steps=100), lambda: True)
    assert isinstance(messages[-1], Stopped)
    assert of(messages, Output) == []


def test_should_stop_is_asked_in_the_callers_thread(tiny_pack: Path, run: Callable[..., list[Message]]) -> None:
    threads = set()

    def should_stop() -> bool:
        threads.add(threading.get_ident())
        return False

    run(generate(tiny_pack), should_stop)
    assert threads == {threading.get_ident()}


def test_leaving_the_iterator_stops_the_run_and_frees_the_runner(
    tiny_pack: Path, runner: Runner, tmp_path: Path
) -> None:
    messages = runner.run(generate(tiny_pack, 24, steps=150, batch_size=1), tmp_path, should_stop=never)
    for message in messages:
        if isinstance(message, Progress) and message.step:
            break
    messages.close()  # type: ignore[attr-defined]
    assert isinstance(list(runner.run(generate(tiny_pack, 1), tmp_path, should_stop=never))[-1], Done)


# ------------------------------------------------------------------------------------------------------- series
def series(pack: Path, make: SimpleNamespace, folder: Path, **fields: Any) -> SeriesRequest:
    """The same two pictures with each of two adapters."""
    parts = []
    for k in range(2):
        path = folder / f"lora-{k}.safetensors"
        adapter = AdapterUse(path=str(path), sha256=make.lora_file(path, pack, seed=k), strength=0.7)
        pictures = tuple(PictureSpec(index=2 * k + n, prompt="portrait of a happy man", seed=n) for n in range(2))
        parts.append(dataclasses.replace(generate(pack, adapter=adapter), pictures=pictures))
    return SeriesRequest(pack=str(pack), parts=tuple(parts), **fields)


def test_a_series_is_told_as_one_run(
    tiny_pack: Path, run: Callable[..., list[Message]], tmp_path: Path, make: SimpleNamespace
) -> None:
    request = series(tiny_pack, make, tmp_path)
    messages = run(request)
    outputs = of(messages, Output)
    assert [o.index for o in outputs] == [0, 1, 2, 3]
    adapters = [part.adapter.sha256 for part in request.parts if part.adapter]
    assert [o.data["adapter"]["sha256"] for o in outputs] == [a for a in adapters for _ in range(2)]
    assert len({o.sha256 for o in outputs}) == 4
    steps = [(p.step, p.total) for p in of(messages, Progress)]
    assert steps == sorted(steps)
    assert steps[-1] == (8, 8)
    assert any(p.note.startswith("Part 2 of 2: ") for p in of(messages, Progress))
    assert of(messages, Done)[0].values["pictures"] == 4
    alone = of(run(request.parts[1]), Output)
    assert [o.sha256 for o in alone] == [o.sha256 for o in outputs][2:]


def test_a_series_stops_with_the_part_that_runs(
    tiny_pack: Path, runner: Runner, tmp_path: Path, make: SimpleNamespace
) -> None:
    first = threading.Event()
    messages: list[Message] = []
    request = series(tiny_pack, make, tmp_path)
    for message in runner.run(request, tmp_path / "work", should_stop=first.is_set):
        messages.append(message)
        if isinstance(message, Output):
            first.set()
    if isinstance(messages[-1], Done):
        pytest.skip("the series was too quick to be stopped")
    assert isinstance(messages[-1], Stopped)
    assert messages[-1].step < 8


def test_attributes_are_read_where_a_classifier_is(
    tiny_pack: Path, run: Callable[..., list[Message]], tmp_path: Path, make: SimpleNamespace
) -> None:
    without = of(run(series(tiny_pack, make, tmp_path, attributes=True)), Output)
    assert not any("attributes" in o.data for o in without)
    pack = tmp_path / "pack"
    shutil.copytree(tiny_pack, pack)
    make.add_whole_picture_models(pack)
    for output in of(run(series(pack, make, tmp_path, attributes=True)), Output):
        word, probability = output.data["attributes"]["colour"]
        assert word in ("red", "green", "blue")
        assert 1 / 3 <= probability <= 1
    assert not any("attributes" in o.data for o in of(run(series(pack, make, tmp_path)), Output))


def test_a_series_that_cannot_be_made_is_refused(
    tiny_pack: Path, run: Callable[..., list[Message]], tmp_path: Path, make: SimpleNamespace
) -> None:
    request = series(tiny_pack, make, tmp_path)
    for parts, sentence in [
        ((), "no pictures to make"),
        ((request.parts[0], request.parts[0]), "the same index"),
        ((dataclasses.replace(request.parts[0], pack=str(tmp_path)),), "the same model"),
    ]:
        (failed,) = of(run(dataclasses.replace(request, parts=parts)), Failed)
        assert sentence in failed.sentence


# ---------------------------------------------------------------------------------------------------- training
def test_training_ends_with_an_adapter_that_generation_takes(
    tiny_pack: Path, run: Callable[..., list[Message]], tmp_path: Path
) -> None:
    work = tmp_path / "work"
    messages = run(train(tiny_pack, work, samples=(SamplePicture(prompt="a sks man", seed=1),), sample_every=2))
    assert [o.kind for o in of(messages, Output)] == ["sample", "sample", "adapter"]
    adapter = of(messages, Output)[-1]
    assert hashlib.sha256((work / adapter.path).read_bytes()).hexdigest() == adapter.sha256
    assert (work / "kept" / "step-00000004").is_dir()
    made = run(generate(tiny_pack, 1, adapter=AdapterUse(path=adapter.path, sha256=adapter.sha256)))
    assert isinstance(made[-1], Done)


def test_training_that_is_stopped_keeps_its_place(
    tiny_pack: Path, run: Callable[..., list[Message]], runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpu_worker.runner.warm.ASK_EVERY", 0.0)
    request = train(tiny_pack, tmp_path / "work", steps=300, checkpoint_every=150)
    for _ in range(2):
        seen: list[Message] = []
        for message in runner.run(request, tmp_path / "work", should_stop=lambda seen=seen: steps_of(seen) >= 3):
            seen.append(message)
        assert isinstance(seen[-1], Stopped)
        assert 0 < seen[-1].step < 300
        kept = sorted((tmp_path / "work" / "kept").iterdir())[-1]
        assert int(kept.name[5:]) == seen[-1].step
    assert any(m.note.startswith("Going on from step") for m in of(seen, Progress))


def test_at_a_checkpoint_the_run_waits_for_the_caller(tiny_pack: Path, runner: Runner, tmp_path: Path) -> None:
    request = train(tiny_pack, tmp_path, steps=12, checkpoint_every=1, keep_checkpoints=1)
    seen = []
    for message in runner.run(request, tmp_path, should_stop=never):
        if isinstance(message, Checkpoint):
            time.sleep(0.02)  # the run could write and remove folders meanwhile
            (kept,) = (tmp_path / "kept").iterdir()
            assert int(kept.name[5:]) == message.step
            seen.append(message.step)
    assert seen == list(range(1, 13))


def test_a_stop_asked_for_at_a_checkpoint_is_heard_there(tiny_pack: Path, runner: Runner, tmp_path: Path) -> None:
    request = train(tiny_pack, tmp_path, steps=300, checkpoint_every=3)
    seen: list[Message] = []
    for message in runner.run(request, tmp_path, should_stop=lambda: bool(of(seen, Checkpoint))):
        seen.append(message)
    assert isinstance(seen[-1], Stopped)
    assert [m.step for m in of(seen, Checkpoint)] == [3]
    assert seen[-1].step == 3


def test_samples_are_looked_at(tiny_pack: Path, run: Callable[..., list[Message]], tmp_path: Path) -> None:
    samples = (SamplePicture(prompt="a sks man", seed=1),)
    (sample,) = of(run(train(tiny_pack, tmp_path / "work", steps=1, samples=samples)), Output)[:1]
    assert looked_from_json(sample.data["look"]).width == 32
    request = train(tiny_pack, tmp_path / "work", steps=1, samples=samples, encoders=(), checkpoint_dir="other")
    assert "look" not in of(run(request), Output)[0].data


def steps_of(messages: list[Message]) -> int:
    return sum("loss" in message.values for message in of(messages, Progress))


def test_unknown_caption_words_are_named(tiny_pack: Path, run: Callable[..., list[Message]], tmp_path: Path) -> None:
    request = train(tiny_pack, tmp_path / "work", steps=1)
    pictures = tuple(TrainingPicture(path=p.path, caption="a sks man, freckled") for p in request.pictures)
    (notice,) = of(run(TrainRequest(**{**vars_of(request), "pictures": pictures})), Notice)
    assert notice.data == {"words": ["freckled"]}


def vars_of(request: TrainRequest) -> dict[str, Any]:
    import dataclasses

    return {f.name: getattr(request, f.name) for f in dataclasses.fields(request)}


# ----------------------------------------------------------------------------------------------------- looking
def test_pictures_are_looked_at_one_by_one(
    tiny_pack: Path, run: Callable[..., list[Message]], tmp_path: Path, make: SimpleNamespace
) -> None:
    (tmp_path / "work").mkdir()
    make.face_picture().save(tmp_path / "work" / "face.png")
    (tmp_path / "work" / "broken.png").write_bytes(b"x")
    messages = run(LookRequest(pack=str(tiny_pack), pictures=("face.png", "broken.png", "face.png")))
    assert [o.index for o in of(messages, Output)] == [0, 2]
    assert set(looked_from_json(of(messages, Output)[0].data).faces[0].embeddings) == {"conditioning", "scoring"}
    (notice,) = of(messages, Notice)
    assert (notice.code, notice.data) == ("unreadable-picture", {"index": 1})
    assert isinstance(messages[-1], Done)


def test_if_no_picture_can_be_read_the_run_fails(tiny_pack: Path, run: Callable[..., list[Message]]) -> None:
    (last,) = of(run(LookRequest(pack=str(tiny_pack), pictures=("gone.png",))), Failed)
    assert last.sentence.startswith("The picture gone.png cannot be read")


@pytest.mark.parametrize(
    ("domain", "noise", "noticed"),
    [("illustration", 4, True), ("illustration", 0, False), ("photograph", 4, False), ("photograph", 0, True)],
)
def test_a_reference_out_of_the_packs_domain_is_noticed(
    tiny_packs: Callable[..., Path],
    run: Callable[..., list[Message]],
    tmp_path: Path,
    domain: str,
    noise: int,
    noticed: bool,
) -> None:
    (tmp_path / "work").mkdir()
    pixels = np.full((256, 256, 3), 120) + np.random.default_rng(0).normal(0, noise, (256, 256, 3))
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "work" / "a.png")
    notices = of(run(LookRequest(pack=str(tiny_packs(domain=domain)), pictures=("a.png",))), Notice)
    assert [(n.code, n.data["index"]) for n in notices] == ([("out-of-domain", 0)] if noticed else [])


def test_a_pack_without_encoders_makes_pictures_but_looks_at_none(
    tiny_pack: Path, run: Callable[..., list[Message]], tmp_path: Path
) -> None:
    pack = Path(shutil.copytree(tiny_pack, tmp_path / "pack", ignore=shutil.ignore_patterns("identity")))
    manifest = json.loads((pack / "pack.json").read_text())
    manifest["encoders"] = {}
    manifest["files"] = {k: v for k, v in manifest["files"].items() if not k.startswith("identity")}
    (pack / "pack.json").write_text(json.dumps(manifest))
    (output,) = of(run(generate(pack, 1)), Output)
    assert "look" not in output.data
    (failed,) = of(run(LookRequest(pack=str(pack), pictures=("a.png",))), Failed)
    assert "it has no encoders" in failed.sentence


# ----------------------------------------------------------------------------------------------------- failing
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"steps": 0}, "number of steps"),
        ({"pack": "/nowhere"}, "There is no model pack in /nowhere"),
        ({"width": 33}, "multiples of 2"),
        ({"adapter": AdapterUse(path="gone.safetensors", sha256="0" * 64)}, "gone.safetensors cannot be read"),
    ],
)
def test_what_a_person_can_mend_is_said_plainly(
    tiny_pack: Path, run: Callable[..., list[Message]], change: dict[str, Any], sentence: str
) -> None:
    (failed,) = of(run(generate(**{"pack": tiny_pack, **change})), Failed)
    assert sentence in failed.sentence
    assert not failed.retryable
    assert failed.detail == ""


def test_what_nobody_expected_keeps_its_traceback_and_spoils_nothing(
    tiny_pack: Path, run: Callable[..., list[Message]], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = of(run(generate(tiny_pack, 1)), Output)[0].sha256
    with monkeypatch.context() as patch:
        patch.setattr("gpu_worker.runner.warm._save", lambda *_: 1 / 0)
        (failed,) = of(run(generate(tiny_pack, 1)), Failed)
    assert "unexpected" in failed.sentence
    assert "ZeroDivisionError" in failed.detail
    assert "ZeroDivisionError" not in failed.sentence
    assert of(run(generate(tiny_pack, 1)), Output)[0].sha256 == expected


@pytest.mark.parametrize(
    ("error", "retryable", "sentence"),
    [
        (RunError("Do this."), False, "Do this."),
        (MemoryError(), True, "memory ran out"),
        (RuntimeError("CUDA error: out of memory"), True, "memory ran out"),
        (OSError(errno.ENOSPC, "No space left on device"), True, "disk is full"),
        (ValueError("odd"), False, "unexpected"),
    ],
)
def test_each_failure_has_its_sentence(error: Exception, retryable: bool, sentence: str) -> None:
    failed = failure(error)
    assert sentence in failed.sentence
    assert failed.retryable == retryable


def test_a_model_that_cannot_even_be_freed_ends_its_run(
    tiny_pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gpu_worker.pipelines.sd import StableDiffusion

    def break_down(*args: Any, **options: Any) -> Any:
        raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(StableDiffusion, "generate", break_down)
    monkeypatch.setattr(StableDiffusion, "unload", break_down)
    runner = Runner(device="cpu")
    messages = list(runner.run(generate(tiny_pack), tmp_path, should_stop=never))
    assert isinstance(messages[-1], Failed)
    assert "device-side assert" in messages[-1].detail


def test_a_run_that_ends_without_an_answer_is_not_waited_for(
    tiny_pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = Runner(device="cpu")
    monkeypatch.setattr(runner, "_work", lambda request, workdir, emit, should_stop: emit(Progress(step=1, total=2)))
    messages = list(runner.run(generate(tiny_pack), tmp_path, should_stop=never))
    assert [type(message) for message in messages] == [Progress, Failed]


def test_results_appear_whole_or_not_at_all(tiny_pack: Path, run: Callable[..., list[Message]], tmp_path: Path) -> None:
    run(generate(tiny_pack))
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == [f"picture-{k:04d}.png" for k in (10, 11, 12)]


def test_threads_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDIO_THREADS", "3")
    assert thread_count() == 3
    monkeypatch.setenv("STUDIO_THREADS", "many")
    with pytest.raises(RunError, match="STUDIO_THREADS is 'many'"):
        thread_count()
    monkeypatch.delenv("STUDIO_THREADS")
    assert thread_count() >= 1


def test_the_run_uses_as_many_threads_as_told(tiny_pack: Path, tmp_path: Path) -> None:
    import torch

    runner = Runner(device="cpu", threads=2)
    try:
        list(runner.run(generate(tiny_pack, 1), tmp_path, should_stop=never))
        assert runner._executor.submit(torch.get_num_threads).result() == 2
    finally:
        runner.close()


def test_runs_from_several_threads_wait_for_each_other(tiny_pack: Path, runner: Runner, tmp_path: Path) -> None:
    ended: list[tuple[float, Message]] = []

    def one(name: str) -> None:
        last = list(runner.run(generate(tiny_pack, 2), tmp_path / name, should_stop=never))[-1]
        ended.append((time.monotonic(), last))

    threads = [threading.Thread(target=one, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [type(last) for _, last in ended] == [Done] * 3
