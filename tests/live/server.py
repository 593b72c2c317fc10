"""daphne as a process of its own, on the database of the tests: what they write reaches it as a worker's would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from django.conf import settings
from django.db import connection

from tests.run import free_port

ROOT = Path(__file__).resolve().parent.parent.parent


class Server:
    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        env = os.environ | {
            "DJANGO_SETTINGS_MODULE": "tests.live.served",
            "DATA_DIR": str(settings.DATA_DIR),
            "SERVED_DATABASE": str(connection.settings_dict["NAME"]),
            "DEBUG": "1",
            "SECRET_KEY": settings.SECRET_KEY,
            "MODEL_PACKS": ",".join(str(folder) for folder in settings.MODEL_PACKS),
            "PYTHONWARNINGS": "ignore",
        }
        command = ["-m", "daphne", "-v", "0", "-b", "127.0.0.1", "-p", str(self.port), "config.asgi:application"]
        self.process = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=env, start_new_session=True)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            assert self.process.poll() is None, "The web server ended"
            try:
                urllib.request.urlopen(f"{self.url}/health/", timeout=2).close()  # noqa: S310 - our own address
                return
            except (urllib.error.URLError, TimeoutError, ConnectionError):
                time.sleep(0.2)
        raise TimeoutError("The web server did not start")

    def kill(self) -> None:
        """As when the power fails."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)
