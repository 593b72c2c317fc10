"""Running a request in a process of its own: another environment, and nothing left behind when it dies."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Final

from gpu_worker.contracts import (
    Checkpoint,
    ContractError,
    Done,
    Failed,
    Message,
    Progress,
    Request,
    Stopped,
    dumps,
    message_from_json,
)
from gpu_worker.runner.warm import ASK_EVERY

GRACE: Final = 60.0
"""Seconds a child has to reach its next step after it was asked to stop."""
ROOT: Final = Path(__file__).resolve().parents[2]


def run_in_subprocess(
    request: Request,
    workdir: Path,
    *,
    should_stop: Callable[[], bool],
    python: str = sys.executable,
    env: Mapping[str, str] | None = None,
    grace: float = GRACE,
) -> Iterator[Message]:
    """As `Runner.run`, in `python -m gpu_worker.runner`. `env`: added to this process's environment.

    SIGTERM asks the child to stop at its next step; after `grace` seconds it is killed. When the child dies of itself
    the last message is a retryable Failed. The child stops, too, when this process dies: it watches its standard input.
    """
    workdir = Path(workdir).resolve()
    workdir.mkdir(parents=True, exist_ok=True)
    described = workdir / "request.json"
    described.write_text(dumps(request), encoding="utf-8")
    environment = {**os.environ, **(env or {})}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), environment.get("PYTHONPATH")]))
    with tempfile.TemporaryFile() as errors:
        try:
            child = subprocess.Popen(  # noqa: S603 - our own module, by the interpreter the operator named
                [python, "-m", "gpu_worker.runner", "--watch-stdin", str(described), str(workdir)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                cwd=workdir,
                start_new_session=True,
            )
        except OSError as error:
            yield Failed(
                sentence=f"The interpreter {python} cannot be started. Check the worker's settings.", detail=str(error)
            )
            return
        try:
            yield from _follow(child, errors, should_stop, grace)
        finally:
            _end(child)
            described.unlink(missing_ok=True)


def _follow(
    child: subprocess.Popen[bytes], errors: IO[bytes], should_stop: Callable[[], bool], grace: float
) -> Iterator[Message]:
    lines: queue.Queue[bytes | None] = queue.Queue(maxsize=64)
    threading.Thread(target=_read, args=(child, lines), daemon=True).start()
    stopped_at: float | None = None
    asked, step = 0.0, 0
    while True:
        now = time.monotonic()
        if stopped_at is None and now - asked >= ASK_EVERY:
            asked = now
            if should_stop():
                stopped_at = time.monotonic()
                child.send_signal(signal.SIGTERM)
        if stopped_at is not None and now - stopped_at > grace:
            child.kill()
        try:
            line = lines.get(timeout=ASK_EVERY)
        except queue.Empty:
            continue
        if line is None:
            break
        try:
            message = message_from_json(_json(line))
        except ContractError as error:
            yield Failed(
                sentence="The model process sent something that is no message. Check its environment.",
                detail=f"{error}\n{line[:2000]!r}",
            )
            return
        if isinstance(message, Progress):
            step = message.step
        yield message
        if isinstance(message, Done | Stopped | Failed):
            return
        if isinstance(message, Checkpoint):
            if stopped_at is None and should_stop():
                stopped_at = time.monotonic()
                child.send_signal(signal.SIGTERM)
            _answer(child)
    code = child.wait()
    if stopped_at is not None:
        yield Stopped(step=step)
        return
    errors.seek(max(errors.seek(0, os.SEEK_END) - 8000, 0))
    detail = errors.read().decode(errors="replace")
    how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
    hint = "; that is often too little memory" if code == -signal.SIGKILL else ""
    yield Failed(
        sentence=f"The model process ended {how} before it was done{hint}. Try again.", retryable=True, detail=detail
    )


def _answer(child: subprocess.Popen[bytes]) -> None:
    """Tell the child, which waits at a checkpoint, to go on."""
    try:
        if child.stdin is not None:
            child.stdin.write(b"\n")
            child.stdin.flush()
    except OSError:
        pass  # it is gone; its end will be read


def _read(child: subprocess.Popen[bytes], lines: queue.Queue[bytes | None]) -> None:
    for line in child.stdout or ():
        lines.put(line)
    lines.put(None)


def _json(line: bytes) -> dict[str, object]:
    import json

    try:
        data = json.loads(line)
    except ValueError as error:
        raise ContractError(f"Not JSON: {error}") from None
    if not isinstance(data, dict):
        raise ContractError("Not an object.")
    return data


def _end(child: subprocess.Popen[bytes]) -> None:
    """Leave no process behind."""
    if child.stdin is not None:
        try:
            child.stdin.close()
        except OSError:
            pass
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    if child.stdout is not None:
        child.stdout.close()
