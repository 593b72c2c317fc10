from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gpu_worker.contracts import (
    Checkpoint,
    Done,
    Failed,
    GenerateRequest,
    Message,
    Output,
    PictureSpec,
    Progress,
    Stopped,
    TrainingPicture,
    TrainRequest,
    dumps,
)
from gpu_worker.runner import Runner, run_in_subprocess

ROOT = Path(__file__).resolve().parents[3]


def never() -> bool:
    return False


def generate(pack: Path, count: int = 2, steps: int = 2) -> GenerateRequest:
    pictures = tuple(PictureSpec(index=k, prompt="portrait of a happy man", seed=k) for k in range(count))
    return GenerateRequest(pack=str(pack), pictures=pictures, width=32, height=32, steps=steps, batch_size=1)


def train(pack: Path, folder: Path, steps: int) -> TrainRequest:
    pixels = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "0.png")
    pictures = (TrainingPicture(path="0.png", caption="a sks man"),)
    return TrainRequest(
        pack=str(pack),
        pictures=pictures,
        trigger="sks",
        rank=2,
        steps=steps,
        batch_size=1,
        resolution=32,
        checkpoint_every=10,
        checkpoint_dir="kept",
    )


def fake(tmp_path: Path, code: str) -> str:
    """An interpreter that runs `code` instead of a model."""
    script = tmp_path / "python"
    script.write_text(f"#!{sys.executable}\nimport os, signal, sys, time\n{code}\n")
    script.chmod(0o755)
    return str(script)


def test_the_same_as_in_this_process(tiny_pack: Path, tmp_path: Path) -> None:
    ours = list(Runner(device="cpu").run(generate(tiny_pack), tmp_path / "a", should_stop=never))
    theirs = list(run_in_subprocess(generate(tiny_pack), tmp_path / "b", should_stop=never))
    assert [type(m) for m in ours] == [type(m) for m in theirs]
    for a, b in zip(ours, theirs, strict=True):
        if isinstance(a, Output) and isinstance(b, Output):
            assert (a.index, a.path, a.sha256, a.data["look"]) == (b.index, b.path, b.sha256, b.data["look"])
            assert (tmp_path / "b" / b.path).exists()
    assert not (tmp_path / "b" / "request.json").exists()


def test_what_a_child_refuses_arrives_as_its_sentence(tmp_path: Path) -> None:
    (failed,) = run_in_subprocess(generate(tmp_path / "none"), tmp_path, should_stop=never)
    assert isinstance(failed, Failed)
    assert failed.sentence.startswith("There is no model pack in")


def test_a_training_that_is_killed_ends_as_if_it_had_not_been(tiny_pack: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
    assert isinstance(list(Runner(device="cpu").run(train(tiny_pack, one, 25), one, should_stop=never))[-1], Done)
    messages: list[Message] = []
    for message in run_in_subprocess(train(tiny_pack, other, 25), other, should_stop=never):
        messages.append(message)
        if isinstance(message, Progress) and message.step == 12:
            os.kill(child_of(other), signal.SIGKILL)
    failed = messages[-1]
    assert isinstance(failed, Failed)
    assert failed.retryable
    assert "SIGKILL" in failed.sentence
    resumed = list(run_in_subprocess(train(tiny_pack, other, 25), other, should_stop=never))
    assert isinstance(resumed[-1], Done)
    notes = [m.note for m in resumed if isinstance(m, Progress)]
    assert any(note.startswith("Going on from step") for note in notes)
    a, b = (load_file(folder / "adapter.safetensors") for folder in (one, other))
    assert a.keys() == b.keys()
    assert all((a[k] == b[k]).all() for k in a)


def test_a_child_that_is_asked_to_stop_does_at_its_next_step(tiny_pack: Path, tmp_path: Path) -> None:
    messages: list[Message] = []
    request = train(tiny_pack, tmp_path, 20_000)
    for message in run_in_subprocess(
        request, tmp_path, should_stop=lambda: any(isinstance(m, Checkpoint) for m in messages)
    ):
        messages.append(message)
    assert isinstance(messages[-1], Stopped)
    assert 10 <= messages[-1].step < 20_000
    assert isinstance(messages[-2], Checkpoint)
    assert messages[-2].step == messages[-1].step


def child_of(workdir: Path) -> int:
    """The process that runs in `workdir`."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"gpu_worker.runner" in command and str(workdir).encode() in command:
                return int(entry.name)
    raise AssertionError("no child is running")


@pytest.mark.parametrize(
    ("code", "sentence", "detail"),
    [
        ("sys.stderr.write('cannot import torch'); sys.exit(3)", "with exit code 3", "cannot import torch"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "by signal SIGSEGV", ""),
    ],
)
def test_a_child_that_dies_says_how(tiny_pack: Path, tmp_path: Path, code: str, sentence: str, detail: str) -> None:
    (failed,) = run_in_subprocess(generate(tiny_pack), tmp_path / "w", should_stop=never, python=fake(tmp_path, code))
    assert isinstance(failed, Failed)
    assert failed.retryable
    assert sentence in failed.sentence
    assert detail in failed.detail


def test_a_child_that_talks_nonsense_is_ended(tiny_pack: Path, tmp_path: Path) -> None:
    python = fake(tmp_path, "print('Loading...', flush=True); time.sleep(600)")
    (failed,) = run_in_subprocess(generate(tiny_pack), tmp_path / "w", should_stop=never, python=python)
    assert isinstance(failed, Failed)
    assert "no message" in failed.sentence
    assert "Loading..." in failed.detail


def test_a_child_that_does_not_stop_is_killed_after_its_grace(tiny_pack: Path, tmp_path: Path) -> None:
    python = fake(tmp_path, "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)")
    messages = list(
        run_in_subprocess(generate(tiny_pack), tmp_path / "w", should_stop=lambda: True, python=python, grace=0.2)
    )
    assert messages == [Stopped(step=0)]


def test_an_interpreter_that_is_not_there_fails_with_a_sentence(tiny_pack: Path, tmp_path: Path) -> None:
    (failed,) = run_in_subprocess(generate(tiny_pack), tmp_path, should_stop=never, python="/nowhere/python")
    assert isinstance(failed, Failed)
    assert "/nowhere/python cannot be started" in failed.sentence


def test_the_child_ends_when_the_one_who_asked_is_gone(tiny_pack: Path, tmp_path: Path) -> None:
    described = tmp_path / "request.json"
    described.write_text(dumps(train(tiny_pack, tmp_path, 20_000)))
    child = subprocess.Popen(
        [sys.executable, "-m", "gpu_worker.runner", "--watch-stdin", str(described), str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    for line in child.stdout:
        if '"loss"' in line:
            break
    child.stdin.close()
    last = child.stdout.readlines()[-1]
    assert '"stopped"' in last
    assert child.wait(timeout=60) == 0


def test_libraries_may_print(tiny_pack: Path, tmp_path: Path, make: SimpleNamespace) -> None:
    """Only messages are on standard output, even where a library prints there."""
    described = tmp_path / "request.json"
    described.write_text(dumps(generate(tiny_pack, 1)))
    code = (
        "import sys, builtins\n"
        "import gpu_worker.runner.__main__ as program, gpu_worker.runner.warm as warm\n"
        "real = warm.read_pack\n"
        "def chatty(path):\n    print('find model:', path)\n"
        "    import os; os.write(1, b'from C\\n')\n    return real(path)\n"
        "warm.read_pack = chatty\n"
        f"sys.argv = ['x', {str(described)!r}, {str(tmp_path)!r}]\n"
        "sys.exit(program.main())"
    )
    done: Any = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert all(line.startswith("{") for line in done.stdout.splitlines())
    assert "find model:" in done.stderr
    assert "from C" in done.stderr


def test_a_request_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "request.json").write_text('{"kind": "dream"}')
    done = subprocess.run(
        [sys.executable, "-m", "gpu_worker.runner", str(tmp_path / "request.json"), str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Unknown kind" in done.stdout
