"""Live collaboration: 500 pages on one gallery and 20 others, real server processes on PostgreSQL and Redis.

    python -m benchmarks.live --json FILE [--sockets 500] [--others 20] [--seconds 60] [--writes 5] [--seed N]

Four parts. Steady: mixed writes, and how long each takes from its row to each page. Storm: all web processes are killed
and come back. Chaos (the set test at full size): writes go on while the subscribers of Redis are killed, Redis
restarts, a web process is killed and a client is stopped; afterwards every page has heard all that was acknowledged,
once. Browsers: from the change in one to the paint in another, on these services and on the embedded default.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx

from benchmarks import figures, machine
from benchmarks.installation import embedded, free_port
from tests.run import find, install_missing, postgres, wait_for

EMAIL = "owner@benchmark.example"
_OWNER = """
import os
from collaboration.actions import create_token
from collaboration.models import User
from collaboration.verbs import Verb
user = User.objects.create_superuser(os.environ["EMAIL"], os.environ["PASSWORD"], name="Benchmark")
print(create_token(user=user, name="Benchmark", scopes=list(Verb), days=1)[1])
"""
_PEOPLE = """
import json, sys
from importlib import import_module
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from characters.models import Character
from collaboration.models import Membership, Project, User
project = Project.objects.get(slug={slug!r})
roles = ["viewer", "artist", "viewer", "lead"]
store = import_module(settings.SESSION_ENGINE).SessionStore
keys = []
for n in range({count}):
    user = User(email=f"{{project.slug}}-{{n}}@benchmark.example", name=f"Person {{n}}", password="!")
    user.save()
    Membership.objects.create(project=project, user=user, role=roles[n % len(roles)])
    session = store()
    session[SESSION_KEY], session[BACKEND_SESSION_KEY] = str(user.pk), settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    keys.append(f"{{settings.SESSION_COOKIE_NAME}}={{session.session_key}}")
rows = Character.objects.filter(project=project).order_by("name").values_list("pk", flat=True)[:200]
print(json.dumps({{"project": str(project.pk), "cookies": keys, "characters": [str(pk) for pk in rows]}}))
"""
_LOG = """
import json
from collaboration.models import Event
rows = Event.objects.filter(stream__key={key!r}).order_by("seq").values_list("seq", "at", "payload")
print(json.dumps([[seq, at.timestamp(), payload.get("name", "")] for seq, at, payload in rows]))
"""


class Redis:
    """A server that can be restarted on its port."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [find("redis-server"), "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self.process = subprocess.Popen([*command, "--dir", str(self.folder)], stdout=subprocess.DEVNULL)
        wait_for(self.port, "Redis")

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(30)
            self.process = None

    def kill_subscribers(self) -> None:
        import redis

        redis.Redis.from_url(self.url).execute_command("CLIENT", "KILL", "TYPE", "pubsub")


class Site:
    """Web processes of one installation. Without services: one, on SQLite."""

    def __init__(self, folder: Path, *, database_url: str = "", redis_url: str = "", processes: int = 1) -> None:
        self.password = secrets.token_urlsafe(12)
        ours = ("DATABASE_URL", "REDIS_URL", "S3_BUCKET", "DJANGO_SETTINGS_MODULE", "SECRET_KEY", "DATA_DIR")
        self.env = {k: v for k, v in os.environ.items() if k not in ours} | {
            "DATA_DIR": str(folder),
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "DEBUG": "0",
            "SECRET_KEY": secrets.token_urlsafe(40),
            "ALLOWED_HOSTS": "127.0.0.1",
            "STATIC_FROM_SOURCE": "1",
            "LOG_LEVEL": "CRITICAL",
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "API_REQUESTS_PER_MINUTE": "0",
            "EMAIL": EMAIL,
            "PASSWORD": self.password,
        }
        self.ports = [free_port() for _ in range(processes)]
        self.webs: list[subprocess.Popen[bytes] | None] = [None] * processes
        self.run("manage.py", "migrate", "--verbosity", "0")
        self.token = self.shell(_OWNER).split()[-1]

    def run(self, *command: str) -> str:
        command = (sys.executable, *command)
        done = subprocess.run(command, cwd=machine.ROOT, env=self.env, check=True, stdout=subprocess.PIPE, text=True)
        return done.stdout

    def shell(self, code: str) -> str:
        return self.run("manage.py", "shell", "--verbosity", "0", "-c", code)

    def url(self, k: int = 0) -> str:
        return f"http://127.0.0.1:{self.ports[k]}"

    def start(self, *which: int) -> None:
        """Start these web processes, all without any, and wait until they answer."""
        chosen = which or tuple(range(len(self.ports)))
        for k in chosen:
            command = [
                "-m",
                "daphne",
                "-v",
                "0",
                "-b",
                "127.0.0.1",
                "-p",
                str(self.ports[k]),
                "config.asgi:application",
            ]
            self.webs[k] = subprocess.Popen(
                [sys.executable, *command], cwd=machine.ROOT, env=self.env, stderr=subprocess.DEVNULL
            )
        deadline = time.monotonic() + 120
        for k in chosen:
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    if httpx.get(f"{self.url(k)}/health/", timeout=5).status_code == 200:
                        break
                if time.monotonic() > deadline:
                    raise TimeoutError("The web server did not start.")
                time.sleep(0.05)

    def kill(self, k: int) -> None:
        """As when the power fails."""
        process = self.webs[k]
        if process is not None:
            process.kill()
            process.wait(30)

    def stop(self) -> None:
        for k in range(len(self.webs)):
            self.kill(k)

    def resident(self) -> float:
        """KiB of all web processes."""
        total = 0
        for process in self.webs:
            if process is not None:
                status = Path(f"/proc/{process.pid}/status").read_text()
                total += next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
        return float(total)

    def people(self, slug: str, count: int) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.shell(_PEOPLE.format(slug=slug, count=count)).splitlines()[-1])
        return found | {"stream": f"project:{found['project']}", "slug": slug}

    def log(self, project: str) -> list[tuple[int, float, str]]:
        """(number, moment, name of the character) of every event of the project."""
        return [tuple(row) for row in json.loads(self.shell(_LOG.format(key=project)).splitlines()[-1])]


class Crowd:
    """A process of open pages."""

    def __init__(self, site: Site, pages: Sequence[dict[str, Any]], *, pause: float = 0.01) -> None:
        self.count = len(pages)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.sockets"],
            cwd=machine.ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._tell(json.dumps({"ports": site.ports, "pages": list(pages), "pause": pause}))

    def _tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def status(self) -> dict[str, Any]:
        self._tell("status")
        return self._answer()

    def wait(self, heads: dict[str, int] | None = None, seconds: float = 120) -> float:
        """Until all are connected and, with `heads`, have seen so much. Returns after how many seconds."""
        began = time.monotonic()
        while time.monotonic() < began + seconds:
            now = self.status()
            seen = all(now["lowest"].get(stream, head) >= head for stream, head in (heads or {}).items())
            if now["ready"] == self.count and seen:
                return time.monotonic() - began
            time.sleep(0.05)
        raise TimeoutError(
            f"After {seconds:.0f} s {now['ready']} of {self.count} are connected: {now['lowest']}, {heads}"
        )

    def report(self) -> dict[str, Any]:
        self._tell("report")
        answer = self._answer()
        self.process.wait(30)
        return answer

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(30)


class Writer(threading.Thread):
    """Writes at a pace through the API, whatever breaks meanwhile: what has no answer is sent again with its key."""

    def __init__(self, site: Site, film: dict[str, Any], per_second: float, seed: int) -> None:
        super().__init__(daemon=True)
        self.site, self.film, self.pace = site, film, 1 / per_second
        self.random = random.Random(f"{seed}{film['slug']}")
        self.acknowledged: list[str] = []
        self.lasted: list[float] = []
        self.done = threading.Event()
        self.errors: list[str] = []

    def run(self) -> None:
        next_at = time.monotonic()
        with httpx.Client(headers={"Authorization": f"Bearer {self.site.token}"}, timeout=20) as client:
            while not self.done.is_set():
                self.write(client)
                next_at = max(next_at + self.pace, time.monotonic() - 1)
                self.done.wait(max(0.0, next_at - time.monotonic()))

    def write(self, client: httpx.Client) -> None:
        token = f"W{uuid.UUID(int=self.random.getrandbits(128)).hex[:16]}"
        pk = self.random.choice(self.film["characters"])
        what = self.random.random()
        request: tuple[str, str, dict[str, Any]]
        if what < 0.1:
            request = ("POST", f"/api/v1/projects/{self.film['slug']}/characters", {"name": token})
        else:
            body: dict[str, Any] = (
                {"name": token} if what < 0.7 else {"name": token, "tags": [self.random.choice("abcdef")]}
            )
            request = ("PATCH", f"/api/v1/characters/{pk}", body)
        key, began = uuid.uuid4().hex, time.monotonic()
        for turn in range(400):
            if self.done.is_set() and turn:
                return
            web = self.site.url((turn + len(self.acknowledged)) % len(self.site.ports))
            try:
                method, path, body = request
                answer = client.request(method, web + path, json=body, headers={"Idempotency-Key": key})
            except httpx.HTTPError:
                time.sleep(0.1)
                continue
            if answer.status_code < 300:
                self.acknowledged.append(token)
                self.lasted.append(time.monotonic() - began)
                return
            self.errors.append(f"{answer.status_code} {answer.text[:120]}")
            time.sleep(0.1)

    def finish(self) -> None:
        self.done.set()
        self.join(300)


def pages_of(film: dict[str, Any], keys: Sequence[str] = ("gallery",)) -> list[dict[str, Any]]:
    shown = [f"{film['stream']}:{key}" for key in keys]
    return [{"cookie": cookie, "stream": film["stream"], "pages": shown} for cookie in film["cookies"]]


def audit(log: Sequence[tuple[int, float, str]], pages: Sequence[dict[str, Any]], first: int) -> dict[str, int]:
    """What the pages heard against the log from number `first` on: nothing missing, nothing twice, in order."""
    expected = [seq for seq, _, _ in log if seq > first]
    return {
        "missing": sum(len(set(expected) - set(page["seqs"])) for page in pages),
        "duplicates": sum(len(page["seqs"]) - len(set(page["seqs"])) for page in pages),
        "disordered": sum(page["seqs"] != sorted(page["seqs"]) for page in pages),
        "gaps": sum(page["gaps"] for page in pages),
        "resets": sum(page["resets"] for page in pages),
    }


# ---------------------------------------------------------------------------------------------------------- the parts
def steady(
    site: Site, films: Sequence[dict[str, Any]], seconds: float, writes: Sequence[float], seed: int
) -> dict[str, Any]:
    """Writes at a pace to several projects, each shown by its people; then a storm: every web process dies."""
    before = site.resident()
    crowd = Crowd(site, [page for film in films for page in pages_of(film)])
    try:
        connected = crowd.wait(seconds=300)
        kib = (site.resident() - before) / crowd.count
        start = {film["stream"]: site.log(film["project"])[-1][0] for film in films}
        writers = [Writer(site, film, pace, seed) for film, pace in zip(films, writes, strict=True)]
        for writer in writers:
            writer.start()
        time.sleep(seconds)
        for writer in writers:
            writer.finish()
        logs = {film["stream"]: site.log(film["project"]) for film in films}
        heads = {stream: log[-1][0] for stream, log in logs.items()}
        crowd.wait(heads)
        for k in range(len(site.ports)):
            site.kill(k)
        site.start()
        storm = crowd.wait(heads, seconds=180)
        report = crowd.report()
    finally:
        crowd.kill()
    at = {(stream, seq): moment for stream, log in logs.items() for seq, moment, _ in log}
    took = [
        1000 * (moment - at[stream, seq])
        for stream, seq, moments in report["heard"]
        if seq > start[stream]
        for moment in moments
    ]
    audits = [
        audit(logs[stream], [page for page in report["pages"] if page["stream"] == stream], start[stream])
        for stream in logs
    ]
    total = {key: sum(one[key] for one in audits) for key in audits[0]}
    return {
        "sockets": crowd.count,
        "writes_per_second": round(sum(len(w.acknowledged) for w in writers) / seconds, 2),
        "delivered_p50_ms": round(figures.quantile(took, 0.5), 1),
        "delivered_p95_ms": round(figures.quantile(took, 0.95), 1),
        "delivered_p99_ms": round(figures.quantile(took, 0.99), 1),
        "deliveries": len(took),
        "gaps": total["gaps"] + total["missing"],
        "duplicates": total["duplicates"],
        "disordered": total["disordered"],
        "resets": total["resets"],
        "write_p95_ms": round(1000 * figures.quantile([s for w in writers for s in w.lasted], 0.95), 1),
        "refused_writes": sum(len(w.errors) for w in writers),
        "refusals": sorted({e for w in writers for e in w.errors})[:3],
        "connected_seconds": round(connected, 1),
        "reconnect_storm_seconds": round(storm, 2),
        "kib_per_socket": round(kib, 1),
    }


def chaos(
    site: Site, film: dict[str, Any], seconds: float, writers: int, seed: int, redis: Redis | None = None
) -> dict[str, Any]:
    """The set test. `seconds`: how long writes go on; the last person of the film is the client that is stopped."""
    crowd = Crowd(site, pages_of(film)[:-1])
    sleeper = Crowd(site, pages_of(film)[-1:])
    try:
        crowd.wait(seconds=300)
        sleeper.wait()
        start = site.log(film["project"])[-1][0]
        threads = [Writer(site, film, 2.5, seed + n) for n in range(writers)]
        for thread in threads:
            thread.start()
        sleeper.process.send_signal(signal.SIGSTOP)
        step = seconds / 5
        time.sleep(step)
        if redis is not None:
            redis.kill_subscribers()
        time.sleep(step)
        if redis is not None:
            redis.stop()
            time.sleep(min(2.0, step))
            redis.start()
        time.sleep(step)
        site.kill(len(site.ports) - 1)
        site.start(len(site.ports) - 1)
        time.sleep(step)
        sleeper.process.send_signal(signal.SIGCONT)
        time.sleep(step)
        for thread in threads:
            thread.finish()
        log = site.log(film["project"])
        heads = {film["stream"]: log[-1][0]}
        crowd.wait(heads)
        sleeper.wait(heads)
        pages = crowd.report()["pages"] + sleeper.report()["pages"]
    finally:
        crowd.kill()
        sleeper.process.send_signal(signal.SIGCONT)
        sleeper.kill()
    acknowledged = [token for thread in threads for token in thread.acknowledged]
    written = [name for seq, _, name in log if seq > start]
    lost = sorted(set(acknowledged) - set(written))
    return audit(log, pages, start) | {
        "lost": lost[:5],
        "pages": len(pages),
        "acknowledged": len(acknowledged),
        "acknowledged_and_not_logged": len(set(acknowledged) - set(written)),
        "written_twice": len([name for name in written if name in set(acknowledged)]) - len(set(acknowledged)),
        "reconnections": sum(page["connections"] - 1 for page in pages),
    }


_WATCH = """(token) => {
  window.painted ??= {};
  const look = () => {
    for (const name of document.querySelectorAll("#cards .name .text"))
      if (name.textContent.startsWith("T") && !window.painted[name.textContent]) {
        const text = name.textContent;
        window.painted[text] = -1;
        requestAnimationFrame(() => setTimeout(() => { window.painted[text] = Date.now(); }, 0));
      }
  };
  const all = { subtree: true, childList: true, characterData: true };
  new MutationObserver(look).observe(document.getElementById("cards"), all);
}"""
_CHANGE = """async ([path, token, name]) => {
  const began = Date.now();
  const answer = await fetch(path, { method: "PATCH", body: JSON.stringify({ name }),
    headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" } });
  return [began, answer.status];
}"""


@contextlib.contextmanager
def two_browsers(url: str, cookies: Sequence[str], path: str) -> Iterator[tuple[Any, Any]]:
    from playwright.sync_api import sync_playwright

    executable = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        pages = []
        browsers = [playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"]) for _ in cookies]
        for browser, cookie in zip(browsers, cookies, strict=True):
            context = browser.new_context(base_url=url)
            name, _, value = cookie.partition("=")
            context.add_cookies([{"name": name, "value": value, "url": url}])
            page = context.new_page()
            page.set_default_timeout(120_000)
            page.goto(path)
            page.wait_for_selector("body[data-live-state=open]")
            pages.append(page)
        yield pages[0], pages[1]
        for browser in browsers:
            browser.close()


def painted(url: str, cookies: Sequence[str], slug: str, pk: str, token: str, times: int) -> list[float]:
    """Milliseconds from just before one browser sends a change to the frame in which another has painted it."""
    found = []
    with two_browsers(url, cookies, f"/projects/{slug}/characters/") as (one, other):
        other.evaluate(_WATCH)
        for n in range(times + 3):
            name = f"T{n} {secrets.token_hex(4)}"
            began, status = one.evaluate(_CHANGE, [f"/api/v1/characters/{pk}", token, name])
            if status != 200:
                raise RuntimeError(f"The change was refused: {status}")
            deadline = time.monotonic() + 20
            while (moment := other.evaluate("(name) => window.painted[name] ?? 0", name)) <= 0:
                if time.monotonic() > deadline:
                    raise TimeoutError("The other browser never painted it.")
                time.sleep(0.02)
            found.append(float(moment - began))
            time.sleep(0.25)
    return found[3:]  # the first ones warm up


def painted_embedded(times: int) -> list[float]:
    """The same on `make run`: SQLite, one web process, no Redis; the workers idle beside it."""
    with embedded() as access, httpx.Client(base_url=access.url, timeout=60) as client:
        api = {"Authorization": f"Bearer {access.token}"}
        film = {"name": "Film", "studio_name": "Northlight"}
        project = client.post("/api/v1/projects", json=film, headers=api).raise_for_status().json()
        path = f"/api/v1/projects/{project['slug']}/characters"
        pk = client.post(path, json={"name": "Mara"}, headers=api).json()["id"]
        cookies = [sign_in(access.url, access.email, access.password) for _ in range(2)]
        return painted(access.url, cookies, project["slug"], pk, access.token, times)


def sign_in(url: str, email: str, password: str) -> str:
    from benchmarks.client import Browser

    browser = Browser(url)
    browser.sign_in(email, password)
    return f"sessionid={browser.http.cookies['sessionid']}"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sockets", type=int, default=500)
    parser.add_argument("--others", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--writes", type=float, default=5)
    parser.add_argument("--processes", type=int, default=2, help="Web processes.")
    parser.add_argument("--times", type=int, default=40, help="Changes between the browsers.")
    parser.add_argument("--parts", nargs="+", default=["steady", "chaos", "browsers", "embedded"])
    options = parser.parse_args()
    install_missing()
    result: dict[str, Any] = {**machine.describe(), "load_at_start": os.getloadavg()[0], "seed": options.seed}
    with tempfile.TemporaryDirectory(prefix="live-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        redis = Redis(folder)
        redis.start()
        stack.callback(redis.stop)
        (folder / "data").mkdir()
        database = stack.enter_context(postgres(folder))
        site = Site(folder / "data", database_url=database, redis_url=redis.url, processes=options.processes)
        stack.callback(site.stop)
        slugs = [
            site.run("-m", "benchmarks.crowd", "make", n, str(options.seed), EMAIL).split()[-1] for n in ("300", "40")
        ]
        films = [site.people(slugs[0], options.sockets), site.people(slugs[1], options.others)]
        site.start()
        if "steady" in options.parts:
            result |= steady(site, films, options.seconds, [options.writes, 1.0], options.seed)
            print(figures.table(list(result.items()), "Steady"), flush=True)
        if "browsers" in options.parts:
            cookies = films[0]["cookies"][1:4:2]
            took = painted(site.url(), cookies, slugs[0], films[0]["characters"][0], site.token, options.times)
            result |= {"painted_p95_ms": figures.quantile(took, 0.95), "painted_ms": figures.spread(took)}
        if "chaos" in options.parts:
            result["chaos"] = chaos(site, films[0], max(40.0, options.seconds), 2, options.seed, redis)
            print(figures.table(list(result["chaos"].items()), "Chaos"), flush=True)
    if "embedded" in options.parts:
        took = painted_embedded(options.times)
        result |= {"embedded_p95_ms": figures.quantile(took, 0.95), "embedded_ms": figures.spread(took)}
    result["load_at_end"] = os.getloadavg()[0]
    figures.write_json(options.json, result)
    print(figures.table([(k, v) for k, v in result.items() if k not in ("versions", "machine")], "Live"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
