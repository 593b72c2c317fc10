"""A throwaway installation on this machine, started as `make run` starts one: web server, CPU worker, GPU worker."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.machine import ROOT
from config.embedded import environment

EMAIL = "owner@benchmark.example"
_OURS = ("DATA_DIR", "DEBUG", "DATABASE_URL", "REDIS_URL", "S3_BUCKET", "SECRET_KEY", "DJANGO_SETTINGS_MODULE")
_MAKE_OWNER = """
import os
from collaboration.actions import create_token
from collaboration.models import User
from collaboration.verbs import Verb
user = User.objects.create_user(os.environ["EMAIL"], os.environ["PASSWORD"], name="Benchmark")
print(create_token(user=user, name="Benchmark", scopes=list(Verb), days=1)[1])
"""


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach an installation, as a program and as a person."""

    url: str
    token: str
    email: str
    password: str


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def embedded(*, log: Path | None = None) -> Iterator[Access]:
    """Start one in a folder of its own, make its only person, and stop and erase it at the end."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        port, password = free_port(), secrets.token_urlsafe(12)
        clean = {k: v for k, v in os.environ.items() if k not in _OURS}
        os.environ.clear()
        os.environ.update(clean)
        env = environment(Path(folder), port) | {"EMAIL": EMAIL, "PASSWORD": password, "API_REQUESTS_PER_MINUTE": "0"}
        output = log.open("wb") if log else subprocess.DEVNULL
        manage = [sys.executable, "manage.py"]
        subprocess.run([*manage, "migrate", "--verbosity", "0"], cwd=ROOT, env=env, check=True, stdout=output)
        token = subprocess.run(
            [*manage, "shell", "--verbosity", "0", "-c", _MAKE_OWNER],
            cwd=ROOT,
            env=env,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()[-1]
        studio = subprocess.Popen(
            [sys.executable, "-m", "config.embedded", "--port", str(port), "--data", folder, "--no-sample"],
            cwd=ROOT,
            env=env,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for(url, studio)
            yield Access(url, token, EMAIL, password)
        finally:
            studio.send_signal(signal.SIGTERM)
            try:
                studio.wait(30)
            except subprocess.TimeoutExpired:
                studio.kill()
            if log:
                output.close()  # type: ignore[union-attr]


def _wait_for(url: str, studio: subprocess.Popen[bytes], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if studio.poll() is not None:
            raise RuntimeError("The installation ended while it was starting. Run `make run` to see why.")
        try:
            if httpx.get(f"{url}/health/", timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.2)
    raise RuntimeError(f"The installation did not answer within {seconds:.0f} s.")
