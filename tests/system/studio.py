"""A whole installation for a test: its own data folder, database, web server and workers, as real processes."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx

from tests.run import free_port

ROOT = Path(__file__).resolve().parent.parent.parent

MAKE_OWNER = """
from collaboration.actions import create_project, create_studio, create_token
from collaboration.models import User
from collaboration.verbs import Verb
user = User.objects.create_superuser("owner@example.com", "correct horse battery", name="Olga Owner")
studio = create_studio(name="Northlight", admin=user)
project = create_project(studio=studio, name="The Crossing", actor=user)
print(create_token(user=user, name="test", scopes=list(Verb))[1], project.slug)
"""


class Studio:
    """Processes are those of production where the environment names services, of the embedded default otherwise."""

    def __init__(self, **env: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="studio-system-")
        self.port = free_port()
        self.env = os.environ | {
            "DATA_DIR": self._folder.name,
            "DEBUG": "0",
            "SECRET_KEY": secrets.token_urlsafe(40),
            "ALLOWED_HOSTS": "127.0.0.1",
            "STATIC_FROM_SOURCE": "1",
            "LOG_LEVEL": "WARNING",
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "JOB_LEASE_SECONDS": "6",
            **env,
        }
        self.with_services = bool(self.env.get("REDIS_URL"))
        if self.env.get("DATABASE_URL"):
            self.env["DATABASE_URL"] = _new_database(self.env["DATABASE_URL"])
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.manage("migrate", "--verbosity", "0")
        self.token, self.project = self.manage("shell", "--no-imports", "-c", MAKE_OWNER).split()[-2:]
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}/api/v1",
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=60,
        )

    def manage(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments], cwd=ROOT, env=self.env, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    # ---------------------------------------------------------------------------------------------- processes
    def _start(self, name: str, *command: str) -> None:
        self.processes[name] = subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, env=self.env, start_new_session=True
        )

    def start_web(self) -> None:
        self._start("web", "-m", "daphne", "-b", "127.0.0.1", "-p", str(self.port), "config.asgi:application")
        self.wait_until(self._answers, "the web server")

    def _answers(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/health/", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def start_worker(self, lane: str) -> None:
        if not self.with_services:
            self._start(lane, "manage.py", "worker", "--lane", lane)
            return
        queues = ["cpu"] if lane == "cpu" else ["gpu_low", "gpu_standard", "gpu_high"]
        self._start(
            lane, "-m", "dramatiq", "config.messages", "--processes", "1", "--threads", "1", "--queues", *queues
        )

    def start(self) -> None:
        self.start_web()
        self.start_worker("cpu")
        self.start_worker("gpu")

    def start_embedded(self) -> None:
        """All of it by the one command of the README, without the sample project."""
        self._start("studio", "-m", "config.embedded", "--port", str(self.port), "--no-sample")
        self.wait_until(self._answers, "the studio")

    def kill(self, *names: str) -> None:
        """SIGKILL to the whole process group: nothing can be tidied up."""
        for name in names:
            process = self.processes.pop(name)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def stop(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.client.close()
        self._folder.cleanup()

    # ----------------------------------------------------------------------------------------------------- API
    def get(self, path: str, **parameters: Any) -> Any:
        answer = self.client.get(path, params=parameters)
        assert answer.is_success, answer.text
        return answer.json()

    def post(self, path: str, body: Any = None, **more: Any) -> Any:
        answer = self.client.post(path, json=body, **more) if body is not None else self.client.post(path, **more)
        assert answer.is_success, answer.text
        return answer.json()

    def wait_until(self, true: Callable[[], Any], what: str, seconds: float = 120) -> Any:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := true():
                return found
            time.sleep(0.2)
        raise AssertionError(f"Waited {seconds:.0f} s for {what}.")


def _new_database(url: str) -> str:
    import psycopg

    name = f"system_{secrets.token_hex(6)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
