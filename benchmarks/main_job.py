"""The main job over HTTP: create a character, upload references, train, generate, score.

    python -m benchmarks.main_job --json FILE [--seed N] [--url URL --token TOKEN --email EMAIL --password PASSWORD]

Without `--url` it starts an installation of its own. Everything that is done to it is done through the JSON API with
files from `manage.py sample_references`; only the gallery is loaded as a signed-in person loads it, one page after the
other, while the model trains. The person, the seeds and the prompts follow from `--seed`.

Conditions, each with the same 12 prompts and seeds: `text_only` (words alone), `low` (image prompt), `standard`
(trained adapter and image prompt). Identity is the mean cosine to the held-out references by the scoring encoder.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import figures, machine
from benchmarks.client import Browser, Program, wait
from benchmarks.installation import Access, embedded
from library import people
from library.sign_ins import PASSWORD

REFERENCES = 10
PICTURES = 12
EXTRAS = 60
"""Other characters in the gallery, each with a picture."""
CONDITIONS: dict[str, dict[str, Any]] = {
    "text_only": {"tier": "low", "lora_strength": 0, "image_prompt_strength": 0},
    "low": {"tier": "low", "lora_strength": 0, "image_prompt_strength": 0.6},
    "standard": {"tier": "standard", "lora_strength": 0.7, "image_prompt_strength": 0.6},
}
ENDED = ("done", "failed", "cancelled")


@dataclass(slots=True)
class Case:
    """What is drawn from the seed."""

    seed: int
    person: int = 0
    second_person: int = 0
    first_seed: int = 0
    extras: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        rng = random.Random(self.seed)
        self.person, self.second_person, *self.extras = rng.sample(range(people.OTHERS), 2 + EXTRAS)
        self.first_seed = rng.randrange(2**31)


def paint(folder: Path, *, seed: int, count: int, size: int = 512) -> list[Path]:
    """Files of `sample_references`, as a person would make them."""
    command = [sys.executable, "manage.py", "sample_references", str(folder), f"--count={count}", f"--seed={seed}"]
    env = os.environ | {"DEBUG": "1", "DATA_DIR": str(folder.parent / "unused")}
    subprocess.run([*command, f"--size={size}"], cwd=machine.ROOT, env=env, check=True, stdout=subprocess.DEVNULL)
    return sorted(folder.iterdir())


class MainJob:
    def __init__(self, access: Access, case: Case, folder: Path) -> None:
        self.program = Program(access.url, access.token)
        self.browser = Browser(access.url)
        self.access, self.case, self.folder = access, case, folder
        self.result: dict[str, Any] = {"ok": False}
        self.project = ""

    def run(self) -> dict[str, Any]:
        self.prepare()
        start = time.monotonic()
        character = self.create_and_upload()
        self.train(character)
        for condition in CONDITIONS:
            self.generate(character, condition)
        self.result["total_seconds"] = round(time.monotonic() - start, 1)
        made = [self.result["conditions"][name]["made"] for name in CONDITIONS]
        per_image = [self.result["conditions"][name]["seconds_per_image"] for name in CONDITIONS]
        self.result["generate_seconds_per_image"] = round(statistics.fmean(per_image), 2)
        identities = [self.result[f"identity_{name}"] for name in CONDITIONS]
        self.result["ok"] = made == [PICTURES] * 3 and None not in identities
        return self.result

    # ------------------------------------------------------------------------------------------------- before the clock
    def prepare(self) -> None:
        """A project whose gallery is as full as one in use, and a person signed in to look at it."""
        start = time.monotonic()
        project = self.program.post(
            "/projects", {"name": f"Benchmark {self.case.seed}", "studio_name": f"Benchmark {self.case.seed}"}
        )
        self.project = project["slug"]
        for k, seed in enumerate(self.case.extras):
            files = paint_here(self.folder / f"extra-{k}", seed=seed, count=1, size=256)
            extra = self._create(f"Extra {k + 1:02d}", seed, importance=0.1, tags=["extra"])
            self.program.upload(f"/characters/{extra['id']}/references", files)
        wait(
            lambda: self.program.all(f"/projects/{self.project}/jobs", kind="reference.look"),
            lambda jobs: all(job["state"] in ENDED for job in jobs),
            "the checks of the extras",
            seconds=600,
            every=2,
        )
        self.browser.sign_in(self.access.email, self.access.password)
        _, page = self.browser.load(self._gallery())
        if len(re.findall(r"<img\b", page)) < 20:
            raise RuntimeError("The gallery shows hardly any pictures.")
        self.result["prepare_seconds"] = round(time.monotonic() - start, 1)

    def _gallery(self) -> str:
        return f"/projects/{self.project}/characters/"

    def _create(self, name: str, person: int, **fields: Any) -> dict[str, Any]:
        body = {"name": name, "tier": "standard", **people.describe(person), **fields}
        return dict(self.program.post(f"/projects/{self.project}/characters", body))

    # ---------------------------------------------------------------------------------------------------- the main job
    def create_and_upload(self) -> dict[str, Any]:
        files = paint(self.folder / "references", seed=self.case.person, count=REFERENCES)
        character = self._create("Mara", self.case.person, importance=1.0, tags=["lead"])
        start = time.monotonic()
        answer = self.program.upload(f"/characters/{character['id']}/references", files)
        self.result["upload_seconds"] = round(time.monotonic() - start, 2)
        if answer["refused"]:
            raise RuntimeError(f"References were refused: {answer['refused'][0]['sentence']}")
        references = self._wait_for_checks(character["id"], REFERENCES)
        self.result["checked_seconds"] = round(time.monotonic() - start, 2)
        self.result["references"] = {
            "usable": sum(r["verdict"] in ("pass", "warn") for r in references),
            "held_out": sum(r["is_held_out"] for r in references),
        }
        return character

    def _wait_for_checks(self, character: str, count: int) -> list[Any]:
        return wait(
            lambda: self.program.all(f"/characters/{character}/references"),
            lambda found: len(found) == count and all(r["verdict"] != "checking" for r in found),
            "the checks of the references",
            seconds=300,
            every=0.25,
        )

    def train(self, character: dict[str, Any]) -> None:
        second = self._create("Second", self.case.second_person)
        uploads = paint(self.folder / "second", seed=self.case.second_person, count=3)
        start = time.monotonic()
        run = self.program.post(f"/characters/{character['id']}/training-runs", {"tier": "standard"})
        self.result["training_estimate_seconds"] = run["job"]["estimated_seconds"]
        over = threading.Event()
        gallery = Loads(self.browser, self._gallery(), over)
        gallery.start()
        checked: list[float] = []
        try:
            while True:
                shown = self.program.get(f"/training-runs/{run['id']}")
                if shown["job"]["state"] in ENDED:
                    break
                if uploads and shown["job"]["state"] == "running" and shown["job"]["step"] > 0:
                    checked.append(self._upload_and_wait(second["id"], uploads.pop(0), len(checked) + 1))
                time.sleep(1)
        finally:
            over.set()
            gallery.join()
        self.result["train_seconds"] = round(time.monotonic() - start, 1)
        if shown["job"]["state"] != "done":
            raise RuntimeError(f"The training ended as {shown['job']['state']}: {shown['job']['error']}")
        if gallery.failed is not None:
            raise gallery.failed
        losses = [value for _, value in shown["loss"]]
        self.result |= {
            "gallery_p95_ms_while_training": round(figures.quantile(gallery.milliseconds, 0.95), 1),
            "gallery_ms_while_training": figures.spread(gallery.milliseconds),
            "checked_seconds_while_training": figures.spread(checked, 2),
            "training": {
                "steps": shown["job"]["total"],
                "first_loss": losses[0] if losses else None,
                "last_loss": losses[-1] if losses else None,
                "samples": len(shown["samples"]),
            },
        }

    def _upload_and_wait(self, character: str, file: Path, count: int) -> float:
        """Seconds from the upload's first byte to its verdict."""
        start = time.monotonic()
        self.program.upload(f"/characters/{character}/references", [file])
        self._wait_for_checks(character, count)
        return time.monotonic() - start

    def generate(self, character: dict[str, Any], condition: str) -> None:
        slots = next(p for p in self.program.get("/catalogue")["packs"] if p["is_default"])["slots"]
        body = {"axes": self._axes(slots), "seed": self.case.first_seed, **CONDITIONS[condition]}
        if not body["axes"]:
            body["per_combination"] = PICTURES
        start = time.monotonic()
        ordered = self.program.post(f"/characters/{character['id']}/variation-batches", body)
        job = wait(
            lambda: self.program.get(f"/jobs/{ordered['job']['id']}"),
            lambda j: j["state"] in ENDED,
            f"the pictures of {condition}",
            seconds=900,
        )
        took = time.monotonic() - start
        batch = self.program.get(f"/variation-batches/{ordered['id']}")
        if job["state"] != "done":
            raise RuntimeError(f"The pictures of {condition} ended as {job['state']}: {job['error']}")
        scores = self.program.all(f"/characters/{character['id']}/scores", batch=ordered["id"])
        cosines = [s["cosine"] for s in scores if s["cosine"] is not None]
        self.result[f"identity_{condition}"] = round(statistics.fmean(cosines), 4) if cosines else None
        self.result.setdefault("conditions", {})[condition] = {
            "made": batch["summary"]["made"],
            "scored": len(cosines),
            "median_score": batch["summary"]["median_score"],
            "measured_on_held_out": batch["summary"]["measured_on_held_out"],
            "tier": batch["tier"],
            "seconds": round(took, 1),
            "seconds_per_image": round(took / PICTURES, 2),
            "cosines": [round(c, 4) for c in cosines],
            "seeds": [self.case.first_seed, self.case.first_seed + PICTURES - 1],
        }

    def _axes(self, slots: dict[str, list[str]]) -> dict[str, list[str]]:
        """Three expressions in four places, in the words of the pack; empty for a pack with an open vocabulary."""
        rng = random.Random(self.case.seed)
        wanted = {"expression": 3, "background": 4}
        if any(len(slots.get(axis, ())) < count for axis, count in wanted.items()):
            return {}
        return {axis: rng.sample(slots[axis], count) for axis, count in wanted.items()}


def paint_here(folder: Path, *, seed: int, count: int, size: int) -> list[Path]:
    """The same files as `paint`, without a process for each of sixty."""
    return people.write_references(folder, seed=seed, count=count, size=size)


class Loads(threading.Thread):
    """Loads one page again and again, one request at a time, until `over` is set."""

    PAUSE = 0.4
    """Seconds between two loads: somebody who looks around quickly."""

    def __init__(self, browser: Browser, path: str, over: threading.Event) -> None:
        super().__init__(name="gallery", daemon=True)
        self.browser, self.path, self.over = browser, path, over
        self.milliseconds: list[float] = []
        self.failed: Exception | None = None

    def run(self) -> None:
        try:
            while not self.over.wait(self.PAUSE):
                self.milliseconds.append(self.browser.load(self.path)[0])
        except Exception as error:
            self.failed = error


def report(result: dict[str, Any]) -> str:
    rows: list[tuple[str, object]] = [
        ("machine", result["machine"]),
        ("train", f"{figures.shown(result.get('train_seconds'))} s (bar 240)"),
        ("generate, per image", f"{figures.shown(result.get('generate_seconds_per_image'))} s (bar 5)"),
        ("total", f"{figures.shown(result.get('total_seconds'))} s (bar 480)"),
        ("gallery p95 while training", f"{figures.shown(result.get('gallery_p95_ms_while_training'))} ms (bar 300)"),
        ("upload checked while training", result.get("checked_seconds_while_training")),
        *((f"identity, {name}", result.get(f"identity_{name}")) for name in CONDITIONS),
        ("ok", result["ok"]),
    ]
    return figures.table(rows, "main_job")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, help="Where to write the figures.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--url", help="An installation that runs already, for example http://localhost:8000.")
    parser.add_argument("--token", default="", help="An API token with every scope, for --url.")
    parser.add_argument("--email", default="alice@studio.example", help="Whose token it is, for --url.")
    parser.add_argument("--password", default=PASSWORD, help="For --url; that of the sample project without it.")
    parser.add_argument("--log", type=Path, help="Where the installation's output goes; lost without it.")
    options = parser.parse_args()
    if options.url and not options.token:
        parser.error("--url needs --token: make one under Account, or see the README.")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    about = machine.describe()
    case = Case(options.seed)
    running = (
        nullcontext(Access(options.url.rstrip("/"), options.token, options.email, options.password))
        if options.url
        else embedded(log=options.log)
    )
    result: dict[str, Any] = {"ok": False}
    status = 0
    with tempfile.TemporaryDirectory(prefix="main-job-") as folder, running as access:
        job = MainJob(access, case, Path(folder))
        try:
            result = job.run()
        except Exception as error:
            result = job.result | {"ok": False, "error": f"{type(error).__name__}: {error}"}
            print(result["error"], file=sys.stderr)
            status = 1
        try:
            packs = job.program.get("/catalogue")["packs"]
            result["pack"] = next(f"{p['name']} {p['version']}" for p in packs if p["is_default"])
        except Exception as error:
            print(f"The catalogue cannot be read: {error}", file=sys.stderr)
    result |= about | {"seed": options.seed, "person": case.person, "first_seed": case.first_seed}
    print(report(result))
    if options.json:
        figures.write_json(options.json, result)
    return status


if __name__ == "__main__":
    sys.exit(main())
