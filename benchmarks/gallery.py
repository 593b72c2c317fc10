"""The gallery with 1,000, 10,000 and 100,000 characters of ten images each: how long its pages take, and what they ask.

    python -m benchmarks.gallery --json FILE [--sizes 1000 10000 100000] [--databases postgresql sqlite] [--seed N]

Starts a throwaway PostgreSQL and a web server of its own for each database. The figures without a database's name are
those of PostgreSQL. Times are those of the whole page as a signed-in browser gets it, one after the other.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx

from benchmarks import figures, machine
from benchmarks.client import Browser
from benchmarks.installation import free_port
from tests.run import install_missing, postgres

EMAIL = "owner@benchmark.example"
SIZES = (1_000, 10_000, 100_000)
DATABASES = ("postgresql", "sqlite")
WARM_UP = 3
OTHERS = {
    "by_name": "?sort=name",
    "by_importance": "?sort=importance",
    "by_score": "?sort=score",
    "of_a_tag": "?tag=night",
    "trained_only": "?status=trained",
    "searched": "?q=voss",
}
"""Further pages, beside the first one."""
_OWNER = """
import os
from collaboration.models import User
User.objects.create_superuser(os.environ["EMAIL"], os.environ["PASSWORD"], name="Benchmark")
"""


class Installation:
    """A web server on a database of its own."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.port, self.password = free_port(), secrets.token_urlsafe(12)
        kept = {k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "REDIS_URL", "S3_BUCKET")}
        self.env = kept | {
            "DATA_DIR": str(folder),
            "DATABASE_URL": database_url,
            "DEBUG": "0",
            "SECRET_KEY": secrets.token_urlsafe(40),
            "ALLOWED_HOSTS": "127.0.0.1",
            "STATIC_FROM_SOURCE": "1",
            "LOG_LEVEL": "WARNING",
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "EMAIL": EMAIL,
            "PASSWORD": self.password,
        }
        self.url = f"http://127.0.0.1:{self.port}"
        self.run("manage.py", "migrate", "--verbosity", "0")
        self.run("manage.py", "shell", "--verbosity", "0", "-c", _OWNER)

    def run(self, *command: str) -> str:
        done = subprocess.run(
            [sys.executable, *command], cwd=machine.ROOT, env=self.env, check=True, stdout=subprocess.PIPE, text=True
        )
        return done.stdout

    @contextlib.contextmanager
    def serving(self) -> Iterator[tuple[Browser, int]]:
        """Yields a signed-in browser and the server's process id."""
        command = ["-m", "daphne", "-b", "127.0.0.1", "-p", str(self.port), "config.asgi:application"]
        server = subprocess.Popen(
            [sys.executable, *command],
            cwd=machine.ROOT,
            env=self.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            deadline = time.monotonic() + 60
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    if httpx.get(f"{self.url}/health/", timeout=5).status_code == 200:
                        break
                if time.monotonic() > deadline:
                    raise TimeoutError("The web server did not start.")
                time.sleep(0.2)
            browser = Browser(self.url)
            browser.sign_in(EMAIL, self.password)
            yield browser, server.pid
        finally:
            server.terminate()
            server.wait(30)


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far: what a page costs however busy the machine is."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def timed(browser: Browser, path: str, times: int) -> list[float]:
    """Milliseconds of each load, after a few that only warm up."""
    for _ in range(WARM_UP):
        browser.load(path)
    return [browser.load(path)[0] for _ in range(times)]


def measure(installation: Installation, sizes: Sequence[int], seed: int, times: int) -> dict[str, Any]:
    """Size by size, in one database that grows."""
    result: dict[str, Any] = {}
    for size in sizes:
        begun = time.monotonic()
        slug = installation.run("-m", "benchmarks.crowd", "make", str(size), str(seed), EMAIL).split()[-1]
        name = short(size)
        print(f"  {name}: made in {time.monotonic() - begun:.0f} s", flush=True)
        first = f"/projects/{slug}/characters/"
        with installation.serving() as (browser, pid):
            _, page = browser.load(first)
            timed(browser, first, 0)
            before = cpu_seconds(pid)
            spread = figures.spread(timed(browser, first, times))
            result[f"first_page_cpu_ms_{name}"] = round((cpu_seconds(pid) - before) * 1000 / (times + WARM_UP), 1)
            result[f"first_page_p95_ms_{name}"] = spread["p95"]
            result[f"first_page_ms_{name}"] = spread
            result[f"pages_ms_{name}"] = {
                what: figures.spread(timed(browser, first + query, max(10, times // 4)))["p95"]
                for what, query in OTHERS.items()
            }
            result |= windowed(browser, page, name, times)
        asked = installation.run("-m", "benchmarks.crowd", "queries", EMAIL, first)
        result[f"queries_{name}"] = json.loads(asked.splitlines()[-1])[0]
        print(f"  {name}: first page {spread}, {result[f'queries_{name}']} queries", flush=True)
    return result


def windowed(browser: Browser, page: str, name: str, times: int) -> dict[str, Any]:
    """The list of segments, and segments from all over, as the scrolled grid asks for them."""
    found = re.search(r'data-grid="([^"]+)"', page)
    if found is None:
        return {}
    address = found[1].replace("&amp;", "&")
    index = timed(browser, address, 10)
    listing = json.loads(browser.load(address)[1])
    cursors = listing["cursors"]
    addresses = [
        f"{listing['cards']}?{urlencode({'after': after, 'until': until})}"
        for after, until in zip(cursors, [*cursors[1:], ""], strict=True)
    ]
    step = max(1, len(addresses) // times)
    took, cards = [], 0
    for one in addresses[::step][:times]:
        ms, text = browser.load(one)
        took.append(ms)
        cards += text.count("data-item")
    last = browser.load(addresses[-1])[1].count("data-item")
    return {
        f"cards_{name}": listing["total"],
        f"cards_of_last_segment_{name}": last,
        f"segment_list_ms_{name}": figures.spread(index),
        f"segment_ms_{name}": figures.spread(took) | {"cards": cards},
    }


def short(size: int) -> str:
    return f"{size // 1000}k" if size % 1000 == 0 else str(size)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=list(DATABASES))
    parser.add_argument("--times", type=int, default=60, help="Loads of the first page.")
    options = parser.parse_args()
    install_missing()
    result: dict[str, Any] = {**machine.describe(), "load_at_start": os.getloadavg()[0], "seed": options.seed}
    for database in options.databases:
        print(database, flush=True)
        with tempfile.TemporaryDirectory(prefix="gallery-") as name, contextlib.ExitStack() as stack:
            folder = Path(name)
            folder.chmod(0o755)
            url = stack.enter_context(postgres(folder)) if database == "postgresql" else ""
            (folder / "data").mkdir()
            measured = measure(Installation(folder / "data", url), options.sizes, options.seed, options.times)
        if database == options.databases[0]:
            result |= measured
        else:
            result[database] = measured
    figures.write_json(options.json, result)
    rows = [(k, v) for k, v in result.items() if k not in ("versions", "machine", "date", "revision")]
    print(figures.table(rows, "The gallery"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
