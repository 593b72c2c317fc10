"""Figures of the parts that only training sees: the face detector, the encoders and the classifier on renders, what the
codec leaves of a picture, and how long a picture takes.

Whether the pack keeps people the same, follows prompts and states its rates honestly is measured as for any other pack:
`manage.py evaluate mini`.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from gpu_worker.contracts import GenerateRequest, IdentityUse, PictureSpec
from gpu_worker.packs import Pack, read_pack
from gpu_worker.pipelines.sd import StableDiffusion
from gpu_worker.scorers.look import Looker
from gpu_worker.scorers.whole import AttributeReader

from . import splits
from .attributes import labels_of
from .codec import to_pixels, to_tensor
from .data import Pixels, group_scene, held, scene_of
from .encoders import verification
from .renderer import Identity, Scene, face_geometry
from .renderer.scene import SHOTS

Log = Callable[[str], None]
Vector = NDArray[np.float64]


class Studio:
    """Draws with a pack."""

    def __init__(self, pack: Path) -> None:
        self.pack: Pack = read_pack(pack)
        self.model = StableDiffusion()
        self.model.load(self.pack, "cpu")

    def draw(
        self, prompts: Sequence[str], identities: Sequence[Vector], *, strength: float = 0.8, seed: int = 7
    ) -> Pixels:
        """One picture per prompt, uint8 [N, height, width, 3]; `identities`: unit embeddings, one per prompt."""
        groups: dict[bytes, list[int]] = {}  # pictures of one person share a run
        for k, vector in enumerate(identities):
            groups.setdefault(np.asarray(vector).tobytes(), []).append(k)
        width, height = self.pack.sizes[0]
        made: dict[int, Pixels] = {}
        for batch in groups.values():
            request = GenerateRequest(
                pack=str(self.pack.directory),
                pictures=tuple(PictureSpec(index=k, prompt=prompts[k], seed=seed + k) for k in batch),
                width=width,
                height=height,
                steps=int(self.pack.defaults["steps"]),
                guidance=float(self.pack.defaults["guidance"]),
                identity=IdentityUse(embedding=tuple(map(float, identities[batch[0]])), strength=strength),
                batch_size=8,
            )
            for spec, picture, _ in self.model.generate(
                request, should_stop=lambda: False, on_progress=lambda *_: None
            ):
                made[spec.index] = np.asarray(picture.convert("RGB"))
        return np.stack([made[k] for k in range(len(prompts))])

    @torch.no_grad()
    def through_codec(self, pictures: Sequence[Pixels]) -> list[Pixels]:
        """What is left of pictures, uint8 [H, W, 3], when they are encoded and decoded again."""
        vae = self.model.pipe.vae
        return [to_pixels(vae.decode(vae.encode(to_tensor(p[None])).latent_dist.mode()).sample)[0] for p in pictures]


class Renders:
    """Pictures of people whom nothing was trained on, with what is in them."""

    def __init__(self, work: Path) -> None:
        self.split = held(work, splits.EVALUATION)
        self.images = np.load(work / f"{self.split.name}.npy", mmap_mode="r")

    def draw(self, count: int, shots: Sequence[str] = SHOTS) -> tuple[list[Pixels], list[tuple[Identity, Scene]]]:
        """At most `count` pictures of these shots, of as many people as there are."""
        per, people = self.split.pictures, self.split.identities
        order = [p * per + k for k in range(per) for p in range(people)]
        found: list[int] = []
        truth: list[tuple[Identity, Scene]] = []
        for k in order:
            shown = scene_of(self.split, k)
            if shown[1].shot in shots:
                found.append(k)
                truth.append(shown)
            if len(found) == count:
                break
        return [np.ascontiguousarray(self.images[k]) for k in found], truth


def detection(looker: Looker, renders: Renders, log: Log, count: int) -> None:
    """Recall on portraits, faces counted in scenes, and the keypoint error as a share of the eye distance."""
    for shot in SHOTS:
        pictures, truth = renders.draw(count, [shot])
        seen, error = looker.look_many(pictures), []
        for picture, looked, shown in zip(pictures, seen, truth, strict=True):
            if looked.faces:
                a = np.array(looked.faces[0].keypoints)
                b = np.array(face_geometry(*shown, picture.shape[0]).keypoints)
                error.append(np.linalg.norm(a - b, axis=1).mean() / np.linalg.norm(b[0] - b[1]))
        one = sum(len(looked.faces) == 1 for looked in seen)
        told = f", keypoint error {np.median(error):.3f}" if error else ""
        log(f"detection: one face in {one} of {len(seen)} {shot}s{told}")
    rng, right = np.random.default_rng(77), defaultdict(list)
    for k in range(count):
        number = (0, 1, 3)[k % 3]
        seeds = [int(s) + renders.split.first for s in rng.integers(0, renders.split.identities, number)]
        picture, _ = group_scene(rng, seeds)
        right[number].append(len(looker.look(picture).faces) == number)
    shares = {f"{number} faces": round(float(np.mean(hits)), 3) for number, hits in right.items()}
    log(f"detection: counted rightly in scenes {shares}")


def encoders(looker: Looker, renders: Renders, log: Log, people: int, pictures: int = 4) -> None:
    """How well each encoder tells people apart in close-ups, with faces found and aligned as in the product."""
    split, by_person = renders.split, []
    for p in range(min(people, split.identities)):
        rows = [k for k in range(p * split.pictures, (p + 1) * split.pictures) if _is_close_up(split, k)][:pictures]
        seen = looker.look_many([np.ascontiguousarray(renders.images[k]) for k in rows])
        found = [looked.faces[0] for looked in seen if looked.faces]
        if len(found) == pictures:
            by_person.append(found)
    for name in looker.encoders:
        table = torch.tensor([face.embeddings[name] for found in by_person for face in found])
        if len(by_person) > 1:
            log(f"encoders: {name} on {len(by_person)} people: {verification(table, pictures)}")


def _is_close_up(split: splits.Split, index: int) -> bool:
    return scene_of(split, index)[1].shot == SHOTS[0]


def left_by_codec(studio: Studio, looker: Looker, renders: Renders, log: Log, count: int) -> None:
    """What decoding leaves of a render, in decibels and in the eyes of the encoders: no picture made with it can be
    more like the person."""
    pictures, _ = renders.draw(count, SHOTS[:1])
    coded = studio.through_codec(pictures)
    errors = [np.mean((a.astype(float) - b) ** 2) for a, b in zip(pictures, coded, strict=True)]
    log(f"codec: {np.mean(10 * np.log10(255**2 / np.array(errors))):.2f} dB on {len(pictures)} close-ups")
    pairs = [pair for pair in zip(*map(looker.look_many, (pictures, coded)), strict=True) if all(p.faces for p in pair)]
    for name in looker.encoders:
        cosines = [float(np.dot(*(p.faces[0].embeddings[name] for p in pair))) for pair in pairs]
        if cosines:
            log(f"codec: {name}: mean cosine {np.mean(cosines):.3f} before and after it, {len(pairs)} with a face")


def classifier(studio: Studio, renders: Renders, log: Log, count: int) -> None:
    """Share of what the attribute classifier says rightly of close-ups, and of those after the codec."""
    if studio.pack.attributes is None:
        return
    reader = AttributeReader(studio.pack, threads=1)
    pictures, shown = renders.draw(count, SHOTS[:1])
    for what, read in (("renders", pictures), ("coded renders", studio.through_codec(pictures))):
        right = defaultdict(list)
        for (person, scene), words in zip(shown, reader.read(read), strict=True):
            for name, value in labels_of(person, scene).items():
                if name != "hair" or person.hair_style != "bald":
                    right[name].append(words[name][0] == value)
        log(f"classifier: {what}: { {name: round(float(np.mean(hits)), 3) for name, hits in right.items()} }")


def pace(studio: Studio, log: Log, batch: int = 8) -> None:
    """Seconds per picture as a studio asks for them: a batch of one person."""
    adapter = studio.pack.ip_adapter
    who = np.random.default_rng(3).normal(size=adapter.embedding_size if adapter else 1)
    begun = time.perf_counter()
    studio.draw(["portrait of a person"] * batch, [who / np.linalg.norm(who)] * batch)
    told = f"{(time.perf_counter() - begun) / batch:.2f} s a picture in a batch of {batch}"
    log(f"pace: {told}, {torch.get_num_threads()} threads")


def measure(work: Path, pack: Path, *, count: int = 120, log: Log = print) -> None:
    """Log all figures, from about `count` pictures each. Needs those of `splits.EVALUATION` in `work`."""
    renders, studio = Renders(work), Studio(pack)
    looker = Looker(studio.pack, tuple(studio.pack.encoders), threads=1)
    detection(looker, renders, log, count)
    encoders(looker, renders, log, count)
    left_by_codec(studio, looker, renders, log, count // 2)
    classifier(studio, renders, log, count)
    pace(studio, log, min(8, count))
