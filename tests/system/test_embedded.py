"""The one command that starts everything: what it starts it also stops, and what was running goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.studio import ROOT, Studio
from tests.system.test_crash import make_character, train

SECONDS_TO_STOP = 30


@pytest.fixture
def installation() -> Iterator[Studio]:
    studio = Studio(DATABASE_URL="", REDIS_URL="", S3_BUCKET="")
    try:
        yield studio
    finally:
        studio.stop()


def children(pid: int) -> set[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return {int(child) for task in tasks for child in (task / "children").read_text().split()}


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def started_by(studio: Studio) -> set[int]:
    """The web server and both workers."""
    pid = studio.processes["studio"].pid
    found: set[int] = studio.wait_until(lambda: len(c := children(pid)) == 3 and c, "three processes")
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP], ids=["Ctrl-C", "terminal closed"])
def test_what_was_running_when_it_was_stopped_goes_on_at_the_next_start(
    installation: Studio, tmp_path: Path, number: signal.Signals
) -> None:
    studio = installation
    studio.start_embedded()
    run = train(studio, make_character(studio, tmp_path), steps=40, checkpoint_every=10, sample_every=40)

    def job() -> Any:
        return studio.get(f"/training-runs/{run}")["job"]

    stopped_at = studio.wait_until(lambda: (s := job()["step"]) >= 12 and s, "step 12", 240)
    started = started_by(studio)
    command = studio.processes.pop("studio")
    command.send_signal(number)
    assert command.wait(SECONDS_TO_STOP) == 0
    assert not [pid for pid in started if is_alive(pid)]

    studio.start_embedded()
    studio.wait_until(lambda: job()["state"] == "running", "the run to go on", 120)
    assert job()["checkpoint_step"] >= stopped_at - 1, "a run that is told to stop loses no step"
    studio.wait_until(lambda: job()["state"] == "done", "the training to finish", 240)
    assert [step for step, _ in studio.get(f"/training-runs/{run}")["loss"]] == list(range(1, 41))


def test_nothing_outlives_a_command_that_was_killed(installation: Studio) -> None:
    studio = installation
    studio.start_embedded()
    started = started_by(studio)
    command = studio.processes.pop("studio")
    command.kill()
    command.wait()
    studio.wait_until(lambda: not [pid for pid in started if is_alive(pid)], "the processes to end", SECONDS_TO_STOP)


def test_a_process_that_dies_is_started_again(installation: Studio) -> None:
    studio = installation
    studio.start_embedded()
    before = started_by(studio)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    studio.wait_until(lambda: not before & started_by(studio), "three new processes")
    studio.wait_until(studio._answers, "the web server")


def test_a_port_that_is_taken_is_said_at_once(installation: Studio) -> None:
    studio = installation
    studio.start_web()
    again = subprocess.run(
        [sys.executable, "-m", "config.embedded", "--port", str(studio.port)],
        cwd=ROOT,
        env=studio.env,
        capture_output=True,
        check=False,
    )
    assert again.returncode == 1
    assert f"port {studio.port}" in again.stderr.decode()
    assert not again.stdout
