"""Run the whole suite on the embedded default, then on PostgreSQL, Redis and S3 what these may change.

    python -m tests.run [--only embedded|services] [pytest arguments ...]

Starts throwaway servers on free ports and stops them. As root it installs the Debian packages that are missing;
otherwise it says which ones to install. A missing tool is an error, never a skipped test.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUCKET = "studio"
DEBIAN = {"postgresql": "postgres", "redis-server": "redis-server", "chromium": "chromium"}


def find(program: str) -> str:
    """Path of a program; PostgreSQL's are kept out of PATH by Debian. Empty when it is not installed."""
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))
    return str(versions[-1]) if versions else shutil.which(program) or ""


def install_missing() -> None:
    missing = [package for package, program in DEBIAN.items() if not find(program)]
    if not missing:
        return
    if os.geteuid() != 0:
        sys.exit(f"The tests need {', '.join(missing)}. Install them: apt-get install {' '.join(missing)}")
    print(f"Installing {', '.join(missing)} ...", flush=True)
    quiet = {"stdout": subprocess.DEVNULL, "env": os.environ | {"DEBIAN_FRONTEND": "noninteractive"}}
    subprocess.run(["apt-get", "update", "-qq"], check=True, **quiet)
    subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], check=True, **quiet)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def wait_for(port: int, name: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    sys.exit(f"{name} did not start.")


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """A PostgreSQL server of its own; yields its DATABASE_URL. It refuses to run as root, so it gets another user."""
    data, port = folder / "postgres", free_port()
    data.mkdir()
    user: str | None = None
    if os.geteuid() == 0:
        user = "postgres"
        folder.chmod(0o755)
        shutil.chown(data, user)
    run = {"user": user, "cwd": str(data), "stdout": subprocess.DEVNULL}
    subprocess.run([find("initdb"), "-D", str(data), "-U", "studio", "-A", "trust", "-E", "UTF8"], check=True, **run)
    options = {
        "port": port,
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "fsync": "off",
        "full_page_writes": "off",
        "synchronous_commit": "off",
        "max_connections": 200,
    }
    flags = [f"--{k}={v}" for k, v in options.items()]
    server = subprocess.Popen([find("postgres"), "-D", str(data), *flags], stderr=subprocess.DEVNULL, **run)
    try:
        wait_for(port, "PostgreSQL")
        yield f"postgres://studio@127.0.0.1:{port}/postgres"
    finally:
        server.terminate()
        server.wait(30)


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[str]:
    """A Redis server of its own; yields its REDIS_URL."""
    port = free_port()
    command = [find("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_for(port, "Redis")
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait(30)


@contextlib.contextmanager
def s3() -> Iterator[str]:
    """moto's S3 server; yields its endpoint."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port, "The S3 server")
        endpoint = f"http://127.0.0.1:{port}"
        import boto3

        client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        client.create_bucket(Bucket=BUCKET)
        yield endpoint
    finally:
        server.terminate()
        server.wait(30)


@contextlib.contextmanager
def services() -> Iterator[dict[str, str]]:
    """The environment of an installation on PostgreSQL, Redis and S3."""
    with tempfile.TemporaryDirectory(prefix="studio-services-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        yield {
            "DATABASE_URL": stack.enter_context(postgres(folder)),
            "REDIS_URL": stack.enter_context(redis(folder)),
            "S3_BUCKET": BUCKET,
            "S3_ENDPOINT_URL": stack.enter_context(s3()),
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }


def run_pytest(env: dict[str, str], arguments: list[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="studio-tests-") as data:
        common = {
            "DATA_DIR": data,
            "DEBUG": "1",
            # Each of two test processes gets a core; torch must not take both.
            "STUDIO_THREADS": "1",
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadfile", *arguments]
        return subprocess.run(command, cwd=ROOT, env=os.environ | common | env, check=False).returncode


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=["embedded", "services"])
    options, arguments = parser.parse_known_args()
    install_missing()
    failed = 0
    if options.only != "services":
        print("— embedded default: SQLite, local files, no services", flush=True)
        failed |= run_pytest({}, arguments)
    if options.only != "embedded":
        print("— PostgreSQL, Redis, S3", flush=True)
        with services() as env:
            failed |= run_pytest(env, arguments)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
