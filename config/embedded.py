"""The studio on one machine, without any service: web server, CPU worker and GPU worker as three processes.

    python -m config.embedded --port 8000

Makes what is missing (secret key, database, sample project), prints where to go, and stops everything on Ctrl-C. What
was running when it stopped goes on at the next start.
"""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def environment(data: Path, port: int) -> dict[str, str]:
    """Settings of the embedded installation; what is set already stays."""
    data.mkdir(parents=True, exist_ok=True)
    key_file = data / "secret_key"
    if not key_file.exists():
        key_file.touch(mode=0o600)
        key_file.write_text(secrets.token_urlsafe(48))
    defaults = {
        "DATA_DIR": str(data),
        "SECRET_KEY": key_file.read_text().strip(),
        "ALLOWED_HOSTS": "localhost,127.0.0.1",
        "SITE_URL": f"http://localhost:{port}",
        "STATIC_FROM_SOURCE": "1",
        "SAMPLE_SIGN_INS": "1",
        "OPEN_SIGN_UP": "1",
        "LOG_LEVEL": "WARNING",
        "DJANGO_SETTINGS_MODULE": "config.settings",
    }
    return defaults | dict(os.environ)


class Processes:
    """Starts processes, starts them again when they die, stops them together."""

    def __init__(self, env: dict[str, str]) -> None:
        self.env = env
        self.commands: dict[str, list[str]] = {}
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.started: dict[str, float] = {}
        self.stopping = False

    def start(self, name: str, *command: str) -> None:
        self.commands[name] = [sys.executable, *command]
        # A session of its own: Ctrl-C reaches this process alone, which stops the others in order.
        self.running[name] = subprocess.Popen(self.commands[name], cwd=ROOT, env=self.env, start_new_session=True)
        self.started[name] = time.monotonic()

    def watch(self) -> None:
        while not self.stopping:
            time.sleep(0.5)
            for name, process in list(self.running.items()):
                if process.poll() is not None and not self.stopping:
                    print(f"The {name} ended ({process.returncode}); starting it again.", flush=True)
                    time.sleep(max(0.0, 3 - (time.monotonic() - self.started[name])))
                    self.start(name, *self.commands[name][1:])

    def stop(self) -> None:
        self.stopping = True
        for process in self.running.values():
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + 10
        for process in self.running.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 - always our own http address
            return bool(response.status == 200)
    except OSError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("DATA_DIR", ROOT / "var")))
    parser.add_argument("--no-sample", action="store_true", help="Do not make the sample project.")
    options = parser.parse_args()

    env = environment(options.data.resolve(), options.port)
    manage = [sys.executable, "manage.py"]
    subprocess.run([*manage, "migrate", "--verbosity", "0"], cwd=ROOT, env=env, check=True)

    processes = Processes(env)

    def on_signal(*_: object) -> None:
        processes.stopping = True

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    try:
        processes.start(
            "web server", "-m", "daphne", "-b", "127.0.0.1", "-p", str(options.port), "config.asgi:application"
        )
        # The pages come first: both workers are niced, and torch leaves a core to them.
        processes.start("CPU worker", "manage.py", "worker", "--lane", "cpu", "--threads", "1", "--nice", "5")
        processes.start("GPU worker", "manage.py", "worker", "--lane", "gpu", "--nice", "15")
        sign_ins = ""
        if not options.no_sample:
            made = subprocess.run([*manage, "sample_project"], cwd=ROOT, env=env, check=True, capture_output=True)
            sign_ins = made.stdout.decode()
        address = f"http://localhost:{options.port}"
        for _ in range(240):
            if processes.stopping or answers(f"http://127.0.0.1:{options.port}/health/"):
                break
            time.sleep(0.25)
        if not processes.stopping:
            print(f"\n{sign_ins}\nThe studio is open at {address}  (Ctrl-C stops it)\n", flush=True)
        processes.watch()
    finally:
        processes.stop()
        print("Stopped. What was running goes on at the next start.", flush=True)


if __name__ == "__main__":
    main()
