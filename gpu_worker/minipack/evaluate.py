"""Measure the pack through the product's own code: stock pipeline, insightface, LoRA trainer.

    python -m gpu_worker.minipack.evaluate --work DIR [--pack DIR] [--people 24] [--lora 2]

Prints detection, verification, prompt adherence, identity per condition and seconds per picture. Identity is judged by
the scoring encoder only, on people no model was trained on; its thresholds come from the pack's calibration.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from gpu_worker.contracts import AdapterUse, GenerateRequest, IdentityUse, PictureSpec, TrainingPicture, TrainRequest
from gpu_worker.packs import Pack, digest_of, read_pack
from gpu_worker.pipelines.sd import StableDiffusion
from gpu_worker.scorers.look import Looker
from gpu_worker.trainers.lora import LoraTrainer

from . import attributes, splits
from .calibrate import embeddings
from .codec import to_pixels, to_tensor
from .data import Pixels, group_scene, scene_of
from .export import PACK
from .renderer import PLACEHOLDER, Identity, Scene, caption, face_geometry, identity, nuisance, render
from .renderer.scene import BACKGROUNDS, COLOURS, EXPRESSIONS, OUTFITS

Log = Callable[[str], None]
Vector = NDArray[np.float64]


class Studio:
    """Draws with a pack."""

    def __init__(self, pack: Path) -> None:
        self.pack: Pack = read_pack(pack)
        self.model = StableDiffusion()
        self.model.load(self.pack, "cpu")

    def draw(
        self,
        prompts: Sequence[str],
        identities: Sequence[Vector] | None = None,
        *,
        strength: float = 0.8,
        adapter: AdapterUse | None = None,
        seed: int = 7,
    ) -> Pixels:
        """One picture per prompt, uint8 [N, 128, 128, 3]; `identities`: unit embeddings, one per prompt."""
        batches = [[k] for k in range(len(prompts))] if identities is not None else [list(range(len(prompts)))]
        if identities is not None:  # pictures of one person share a run
            groups: dict[bytes, list[int]] = {}
            for k, vector in enumerate(identities):
                groups.setdefault(np.asarray(vector).tobytes(), []).append(k)
            batches = list(groups.values())
        made: dict[int, Pixels] = {}
        for batch in batches:
            use = None
            if identities is not None:
                use = IdentityUse(embedding=tuple(map(float, identities[batch[0]])), strength=strength)
            request = GenerateRequest(
                pack=str(self.pack.directory),
                pictures=tuple(PictureSpec(index=k, prompt=prompts[k], seed=seed + k) for k in batch),
                width=128,
                height=128,
                steps=int(self.pack.defaults["steps"]),
                guidance=float(self.pack.defaults["guidance"]),
                adapter=adapter,
                identity=use,
                batch_size=8,
            )
            for spec, picture, _ in self.model.generate(
                request, should_stop=lambda: False, on_progress=lambda *_: None
            ):
                made[spec.index] = np.asarray(picture.convert("RGB"))
        return np.stack([made[k] for k in range(len(prompts))])

    @torch.no_grad()
    def through_codec(self, pictures: Pixels) -> Pixels:
        """What is left of uint8 [N, 128, 128, 3] when it is encoded and decoded again."""
        vae = self.model.pipe.vae
        return np.concatenate(
            [to_pixels(vae.decode(vae.encode(to_tensor(p[None])).latent_dist.mode()).sample) for p in pictures]
        )


class Judge:
    """Knows the evaluation people by ten of their renders each."""

    def __init__(self, work: Path, pack: Path, people: int) -> None:
        self.split, self.work, self.pack = splits.EVALUATION, work, read_pack(pack)
        self.images = np.load(work / f"{self.split.name}.npy", mmap_mode="r")
        self.looker = Looker(self.pack, ("conditioning", "scoring"), threads=1)
        self.net = attributes.load(work)
        self.people = list(range(people))
        gallery_people, per = 100, self.split.pictures
        shown = self.images[: gallery_people * per].reshape(gallery_people, per, *self.images.shape[1:])[:, 10:15]
        gallery, _ = embeddings(self.looker, shown.reshape(-1, *self.images.shape[1:]), "scoring")
        self.gallery = gallery.reshape(gallery_people, 5, -1)
        table = dict(self.pack.quantiles("scoring"))
        self.strict, self.loose = table.get(0.001, 1.0), table.get(0.01, 1.0)

    def references(self, person: int, count: int) -> Vector:
        """Conditioning embeddings of the first renders of a person [count, 512]."""
        first = person * self.split.pictures
        found, ok = embeddings(self.looker, self.images[first : first + count], "conditioning")
        return found[ok]

    def identity(self, pictures: Pixels, who: Sequence[int]) -> dict[str, float]:
        """Mean cosine to other pictures of the person, rank-1 among 100 people, share above the 1e-2 and 1e-3
        thresholds; a picture without a face counts as zero."""
        e, found = embeddings(self.looker, pictures, "scoring")
        own = np.array([(self.gallery[p] @ v).mean() for v, p in zip(e, who, strict=True)])
        mean = self.gallery.mean(1)
        mean /= np.linalg.norm(mean, axis=1, keepdims=True)
        first = (e @ mean.T).argmax(1) == np.array(who)
        figures = {"cosine": own.mean(), "rank-1": (first & found).mean(), ">1e-2": (own > self.loose).mean()}
        figures |= {">1e-3": (own > self.strict).mean(), "faces": found.mean()}
        return {name: round(float(value), 3) for name, value in figures.items()}

    def prompts(self, pictures: Pixels, wanted: Sequence[tuple[Identity, Scene]]) -> dict[str, float]:
        seen, truth = attributes.read(self.net, pictures), [attributes.labels_of(*w) for w in wanted]
        return {
            name: round(float(np.mean([a[name] == b[name] for a, b in zip(seen, truth, strict=True)])), 3)
            for name in attributes.OPTIONS
        }


def asked(people: Sequence[int], per: int, seed: int = 99) -> list[tuple[Identity, Scene]]:
    """Calm frontal scenes to ask for, with all expressions, outfits, colours and places in turn."""
    rng, out = np.random.default_rng(seed), []
    for n, person in enumerate(people):
        for k in range(per):
            j = n * per + k
            scene = dataclasses.replace(
                nuisance(rng, calm=True),
                yaw=0.0,
                pitch=0.0,
                expression=EXPRESSIONS[j % len(EXPRESSIONS)],
                outfit=OUTFITS[j % len(OUTFITS)],
                colour=list(COLOURS)[j % len(COLOURS)],
                background=BACKGROUNDS[j % len(BACKGROUNDS)],
                light="soft light",
            )
            out.append((identity(splits.EVALUATION.first + person), scene))
    return out


# ------------------------------------------------------------------------------------------------- measuring
def detection(judge: Judge, log: Log, count: int = 120) -> None:
    """Recall on portraits, faces counted in scenes, and the keypoint error as a share of the eye distance."""
    recall, error = [], []
    for k in range(0, count * 7, 7):
        truth = face_geometry(*scene_of(judge.split, k), judge.images.shape[1])
        faces = judge.looker.look(np.ascontiguousarray(judge.images[k])).faces
        recall.append(len(faces) == 1)
        if faces:
            a, b = np.array(faces[0].keypoints), np.array(truth.keypoints)
            error.append(np.linalg.norm(a - b, axis=1).mean() / np.linalg.norm(b[0] - b[1]))
    rng, right = np.random.default_rng(77), {0: [], 1: [], 3: []}  # type: ignore[var-annotated]
    for k in range(count):
        number = (0, 1, 3)[k % 3]
        seeds = [int(s) + splits.EVALUATION.first for s in rng.integers(0, 200, number)]
        picture, _ = group_scene(rng, seeds)
        right[number].append(len(judge.looker.look(picture).faces) == number)
    shares = {f"{number} faces": round(float(np.mean(hits)), 3) for number, hits in right.items()}
    log(f"detection: one face in {np.mean(recall):.3f} of portraits, keypoint error {np.mean(error):.3f}, {shares}")


def verification(judge: Judge, log: Log) -> None:
    from .encoders import verification as figures

    per, people = 6, 100
    index = [p * judge.split.pictures + k for p in range(people) for k in range(per)]
    for name in ("conditioning", "scoring"):
        e, found = embeddings(judge.looker, judge.images[index], name)
        values = figures(torch.tensor(e[: len(index)]).float(), per)
        log(f"verification, {name} encoder, {people} people: {values}, faces {found.mean():.3f}")


def conditions(studio: Studio, judge: Judge, log: Log, sheets: Path | None) -> None:
    """Identity and prompt adherence by what the prompt holds."""
    people, per = judge.people, 2
    wanted = asked(people, per)
    who = [p for p in people for _ in range(per)]
    painted = np.stack([render(*w, 128) for w in wanted])
    log(f"ceiling, true renders: {judge.identity(painted, who)} {judge.prompts(painted, wanted)}")
    coded = studio.through_codec(painted)
    log(f"ceiling, true renders through the codec: {judge.identity(coded, who)} {judge.prompts(coded, wanted)}")
    log(f"floor, other people: {judge.identity(painted, [people[(p + 1) % len(people)] for p in who])}")
    full, bare = [caption(*w) for w in wanted], [caption(*w, full=False) for w in wanted]
    one = {p: judge.references(p, 1) for p in people}
    five = {p: judge.references(p, 5) for p in people}

    def mean(table: dict[int, Vector]) -> list[Vector]:
        out = []
        for p in who:
            vector = table[p].mean(0) if len(table[p]) else np.zeros(512)
            out.append(vector / max(float(np.linalg.norm(vector)), 1e-9))
        return out

    runs: list[tuple[str, list[str], list[Vector] | None, float]] = [
        ("text without traits", bare, None, 0.0),
        ("text with all traits", full, None, 0.0),
        ("1 reference, text without traits", bare, mean(one), 0.8),
        ("5 references, text without traits", bare, mean(five), 0.8),
        ("5 references, text without traits, strength 0.6", bare, mean(five), 0.6),
        ("5 references, text without traits, strength 1", bare, mean(five), 1.0),
        ("5 references, text with all traits", full, mean(five), 0.8),
    ]
    for name, prompts, vectors, strength in runs:
        begun = time.perf_counter()
        pictures = studio.draw(prompts, vectors, strength=strength)
        pace = (time.perf_counter() - begun) / len(pictures)
        log(f"{name}: {judge.identity(pictures, who)} {judge.prompts(pictures, wanted)} {pace:.2f} s/picture")
        if sheets:
            save_sheet(pictures[:32], 8, sheets / f"{name.replace(' ', '_').replace(',', '')}.png")


def lora(
    studio: Studio, judge: Judge, log: Log, *, people: Sequence[int], changes: dict[str, Any] | None = None
) -> None:
    """Train the standard recipe on ten renders of each person; identity before and after, with the image prompt."""
    recipe = {**dict(judge.pack.recipes["standard"] or {}), **(changes or {})}
    before_all, after_all, alone_all, wanted_all, who_all = [], [], [], [], []
    for person in people:
        who = identity(judge.split.first + person)
        trigger = f"{PLACEHOLDER} {who.noun}"
        with tempfile.TemporaryDirectory() as folder:
            pictures = []
            for k in (*range(10),):
                index = person * judge.split.pictures + k
                path = Path(folder) / f"{k}.png"
                Image.fromarray(judge.images[index]).save(path)
                e, ok = embeddings(judge.looker, judge.images[index : index + 1], "conditioning")
                text = caption(*scene_of(judge.split, index), full=False).replace(f"a {who.noun}", f"a {trigger}")
                pictures.append(
                    TrainingPicture(path=str(path), caption=text, embedding=tuple(map(float, e[0])) if ok[0] else None)
                )
            request = TrainRequest(
                pack=str(judge.pack.directory), pictures=tuple(pictures), trigger=PLACEHOLDER, seed=1,
                checkpoint_dir=str(Path(folder) / "checkpoints"), **recipe,
            )  # fmt: skip
            begun = time.perf_counter()
            messages = list(LoraTrainer(request, judge.pack, "cpu", Path(folder)).run(lambda: False))
            seconds, path = time.perf_counter() - begun, Path(folder) / "adapter.safetensors"
            wanted = asked([person], 8, seed=500 + person)
            plain = [caption(*w, full=False) for w in wanted]
            marked = [text.replace(f"a {who.noun}", f"a {trigger}") for text in plain]
            vectors = judge.references(person, 10)
            mean = vectors.mean(0) / np.linalg.norm(vectors.mean(0))
            use = AdapterUse(path=str(path), sha256=digest_of(path), strength=1.0)
            before = studio.draw(plain, [mean] * len(plain), strength=0.8)
            after = studio.draw(marked, [mean] * len(plain), strength=0.8, adapter=use)
            alone = studio.draw(marked, adapter=use)
            size, own = path.stat().st_size / 1e6, [person] * len(wanted)
            log(f"LoRA of person {person}: {seconds:.0f} s, {size:.1f} MB, ended with {type(messages[-1]).__name__}")
            log(f"  before {judge.identity(before, own)}, after {judge.identity(after, own)}")
            before_all.append(before)
            after_all.append(after)
            alone_all.append(alone)
            wanted_all += wanted
            who_all += [person] * len(wanted)
    for name, made in (("image prompt", before_all), ("image prompt and LoRA", after_all), ("LoRA alone", alone_all)):
        pictures_made = np.concatenate(made)
        log(f"{name}: {judge.identity(pictures_made, who_all)} {judge.prompts(pictures_made, wanted_all)}")


def save_sheet(pictures: Pixels, columns: int, path: Path, scale: int = 1) -> None:
    """A grid of pictures as one PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        np.concatenate(list(pictures[k : k + columns]), 1)
        for k in range(0, len(pictures) // columns * columns, columns)
    ]
    sheet = Image.fromarray(np.concatenate(rows, 0))
    sheet.resize((sheet.width * scale, sheet.height * scale), Image.Resampling.BICUBIC).save(path)


def measure(
    work: Path,
    pack: Path,
    *,
    people: int = 24,
    loras: int = 2,
    parts: Sequence[str] = ("faces", "conditions", "lora"),
    recipe: dict[str, Any] | None = None,
    sheets: Path | None = None,
    log: Log = print,
) -> None:
    """Log all figures. Needs the classifier of `attributes.train` in `work`."""
    judge, studio = Judge(work, pack, people), Studio(pack)
    if "faces" in parts:
        detection(judge, log)
        verification(judge, log)
    if "conditions" in parts:
        conditions(studio, judge, log, sheets)
        for size in (1, 8):
            begun = time.perf_counter()
            studio.draw(["portrait of a woman, happy"] * size)
            log(f"{(time.perf_counter() - begun) / size:.2f} s per picture, {size} at once")
    if "lora" in parts and loras:
        lora(studio, judge, log, people=range(60, 60 + loras), changes=recipe)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--pack", type=Path, default=PACK)
    parser.add_argument("--people", type=int, default=24)
    parser.add_argument("--lora", type=int, default=2, help="on how many people to try the LoRA recipe")
    parser.add_argument("--threads", type=int, default=1, help="more only pay where nothing else runs")
    parser.add_argument("--sheets", type=Path, help="folder for sheets of the pictures")
    parser.add_argument("--recipe", type=json.loads, default={}, help="JSON: fields of the recipe to change")
    parser.add_argument("--only", choices=["faces", "conditions", "lora"], nargs="*")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    attributes.train(options.work, minutes=3, log=_log)
    measure(
        options.work,
        options.pack,
        people=options.people,
        loras=options.lora,
        parts=options.only or ("faces", "conditions", "lora"),
        recipe=options.recipe,
        sheets=options.sheets,
        log=_log,
    )


def _log(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
