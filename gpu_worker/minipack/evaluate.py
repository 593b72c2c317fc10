"""Figures of the parts that only training sees: the face detector, and what the codec leaves of a picture.

    python -m gpu_worker.minipack.evaluate --work DIR [--pack DIR]

Whether the pack keeps people the same, follows prompts and states its rates honestly is measured as for any other pack:
`manage.py evaluate mini`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from gpu_worker.contracts import GenerateRequest, IdentityUse, PictureSpec
from gpu_worker.packs import Pack, read_pack
from gpu_worker.pipelines.sd import StableDiffusion
from gpu_worker.scorers.look import Looker

from . import splits
from .codec import to_pixels, to_tensor
from .data import Pixels, group_scene, scene_of
from .export import PACK
from .renderer import face_geometry

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
    def through_codec(self, pictures: Pixels) -> Pixels:
        """What is left of uint8 [N, H, W, 3] when it is encoded and decoded again."""
        vae = self.model.pipe.vae
        return np.concatenate(
            [to_pixels(vae.decode(vae.encode(to_tensor(p[None])).latent_dist.mode()).sample) for p in pictures]
        )


def detection(looker: Looker, images: Pixels, log: Log, count: int = 120) -> None:
    """Recall on portraits, faces counted in scenes, and the keypoint error as a share of the eye distance."""
    split, recall, error = splits.EVALUATION, [], []
    for k in range(0, count * 7, 7):
        truth = face_geometry(*scene_of(split, k), images.shape[1])
        faces = looker.look(np.ascontiguousarray(images[k])).faces
        recall.append(len(faces) == 1)
        if faces:
            a, b = np.array(faces[0].keypoints), np.array(truth.keypoints)
            error.append(np.linalg.norm(a - b, axis=1).mean() / np.linalg.norm(b[0] - b[1]))
    rng, right = np.random.default_rng(77), {0: [], 1: [], 3: []}  # type: ignore[var-annotated]
    for k in range(count):
        number = (0, 1, 3)[k % 3]
        seeds = [int(s) + split.first for s in rng.integers(0, split.identities, number)]
        picture, _ = group_scene(rng, seeds)
        right[number].append(len(looker.look(picture).faces) == number)
    shares = {f"{number} faces": round(float(np.mean(hits)), 3) for number, hits in right.items()}
    log(f"detection: one face in {np.mean(recall):.3f} of portraits, keypoint error {np.mean(error):.3f}, {shares}")


def codec_ceiling(studio: Studio, looker: Looker, images: Pixels, log: Log, count: int = 48) -> None:
    """How like the same person the scoring encoder finds a render that went through the codec: no picture made with it
    can be more."""
    chosen = np.ascontiguousarray(images[: count * splits.EVALUATION.pictures : splits.EVALUATION.pictures])
    cosines = []
    for picture, coded in zip(chosen, studio.through_codec(chosen), strict=True):
        before, after = looker.look(picture).faces, looker.look(coded).faces
        if before and after:
            cosines.append(float(np.dot(before[0].embeddings["scoring"], after[0].embeddings["scoring"])))
    log(f"codec: a face in {len(cosines)} of {count} renders before and after it, mean cosine {np.mean(cosines):.3f}")


def measure(work: Path, pack: Path, *, log: Log = print) -> None:
    """Log all figures. Needs the pictures of `splits.EVALUATION` in `work`."""
    images = np.load(work / f"{splits.EVALUATION.name}.npy", mmap_mode="r")
    looker = Looker(read_pack(pack), ("scoring",), threads=1)
    detection(looker, images, log)
    codec_ceiling(Studio(pack), looker, images, log)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--pack", type=Path, default=PACK)
    parser.add_argument("--threads", type=int, default=1, help="more only pay where nothing else runs")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    measure(options.work, options.pack, log=_log)


def _log(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
