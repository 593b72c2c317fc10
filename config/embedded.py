"""The studio on one machine, without any service: web server, CPU worker and GPU worker as three processes.

    python -m config.embedded --port 8000

Makes what is missing (secret key, database, sample project), prints where to go, and stops everything on Ctrl-C, when
its terminal is closed, or when it is killed itself. What was running when it stopped goes on at the next start.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SECONDS_TO_STOP = 10
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """In a new process: end when this one is gone, even if it was killed and could stop nobody (Linux)."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def environment(data: Path, port: int) -> dict[str, str]:
    """Settings of the embedded installation in the folder `data`; all else that is set already stays."""
    data.mkdir(parents=True, exist_ok=True)
    key_file = data / "secret_key"
    if not key_file.exists() or not key_file.read_text().strip():
        key_file.touch(mode=0o600)
        key_file.write_text(secrets.token_urlsafe(48))
    defaults = {
        "SECRET_KEY": key_file.read_text().strip(),
        "ALLOWED_HOSTS": "localhost,127.0.0.1",
        "STATIC_FROM_SOURCE": "1",
        "SAMPLE_SIGN_INS": "1",
        "OPEN_SIGN_UP": "1",
        "SITE_URL": f"http://localhost:{port}",
        "LOG_LEVEL": "WARNING",
        "DJANGO_SETTINGS_MODULE": "config.settings",
        # What libraries tell their developers is nothing to whoever runs the studio.
        "PYTHONWARNINGS": "ignore",
    }
    return defaults | dict(os.environ) | {"DATA_DIR": str(data)}


class Processes:
    """Starts processes, starts them again when they die, stops them together."""

    def __init__(self, env: dict[str, str]) -> None:
        self.env = env
        self.commands: dict[str, list[str]] = {}
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.started: dict[str, float] = {}
        self.stopping = False

    def start(self, name: str, *command: str, again: bool = True, stdout: int | None = None) -> None:
        """`again`: whenever it ends."""
        if again:
            self.commands[name] = list(command)
        # A session of its own: Ctrl-C reaches this process alone, which stops the others in order.
        self.running[name] = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=self.env,
            stdout=stdout,
            start_new_session=True,
            preexec_fn=end_with_parent,  # noqa: PLW1509 - this process has one thread
        )
        self.started[name] = time.monotonic()

    def has_ended(self, name: str) -> bool:
        return self.running[name].poll() is not None

    def tend(self) -> None:
        """Start those again that died, each three seconds after its last start at the earliest."""
        for name, command in self.commands.items():
            if self.has_ended(name) and time.monotonic() - self.started[name] > 3:
                print(f"The {name} ended ({self.running[name].returncode}); starting it again.", flush=True)
                self.start(name, *command)

    def stop(self) -> None:
        self.stopping = True
        for process in self.running.values():
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + SECONDS_TO_STOP
        for process in self.running.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the web server does
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


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

    if not is_free(options.port):
        sys.exit(f"Something else answers on port {options.port}. Stop it, or choose another: make run PORT=8001")
    env = environment(options.data.resolve(), options.port)
    manage = [sys.executable, "manage.py"]
    subprocess.run([*manage, "migrate", "--verbosity", "0"], cwd=ROOT, env=env, check=True)

    processes = Processes(env)

    def on_signal(*_: object) -> None:
        processes.stopping = True

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, on_signal)
    try:
        run(processes, options.port, sample=not options.no_sample)
    finally:
        processes.stop()
        print("Stopped. What was running goes on at the next start.", flush=True)


def run(processes: Processes, port: int, *, sample: bool) -> None:
    """Open the studio and keep it open until `processes.stopping`."""
    web = ("-m", "daphne", "-v", "0", "-b", "127.0.0.1", "-p", str(port), "config.asgi:application")
    processes.start("web server", *web)
    if sample:
        processes.start("sample project", "manage.py", "sample_project", again=False, stdout=subprocess.PIPE)
    is_open = False
    while not processes.stopping:
        processes.tend()
        ready = not sample or processes.has_ended("sample project")
        if not is_open and ready and answers(f"http://127.0.0.1:{port}/health/"):
            is_open = True
            # The pages come first: both workers start after them and are niced, and torch leaves a core to them.
            processes.start("CPU worker", "manage.py", "worker", "--lane", "cpu", "--threads", "1", "--nice", "5")
            processes.start("GPU worker", "manage.py", "worker", "--lane", "gpu", "--nice", "15")
            sign_ins = said(processes.running["sample project"]) if sample else ""
            print(f"\n{sign_ins}\nThe studio is open at http://localhost:{port}  (Ctrl-C stops it)\n", flush=True)
        time.sleep(0.25)


def said(process: subprocess.Popen[bytes]) -> str:
    """What a process that has ended wrote."""
    return process.communicate()[0].decode()


if __name__ == "__main__":
    main()
