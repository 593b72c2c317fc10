"""How often two different people reach a cosine, measured for the scoring encoder the way the product uses it: real
detector, insightface alignment, on renders and - where the pack has a pipeline - on generated pictures too."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gpu_worker.packs import read_pack
from gpu_worker.scorers.look import Looker

from . import splits
from .data import Pixels, scene_of
from .renderer import caption

RATES = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.0002, 0.0001)
PICTURES = 3
"""Renders used per person."""
Log = Callable[[str], None]
Embeddings = NDArray[np.float64]


def embeddings(looker: Looker, pictures: Pixels, encoder: str) -> tuple[Embeddings, NDArray[np.bool_]]:
    """Embedding of the largest face of each picture [N, 512] (zeros where none was found), and whether one was."""
    out, found = np.zeros((len(pictures), 512)), np.zeros(len(pictures), bool)
    for k, picture in enumerate(pictures):
        faces = looker.look(np.ascontiguousarray(picture)).faces
        if faces and encoder in faces[0].embeddings:
            out[k], found[k] = faces[0].embeddings[encoder], True
    return out, found


def quantiles(cosines: NDArray[np.float64]) -> list[list[float]]:
    """[false-match rate, cosine], strictly rising cosines."""
    table: list[list[float]] = []
    for rate in RATES:
        cosine = round(float(np.quantile(cosines, 1 - rate)), 4)
        if not table or cosine > table[-1][1]:
            table.append([rate, cosine])
    return table


def calibrate(work: Path, pack: Path, *, generated: int = 0, log: Log = print) -> None:
    """Write `calibration.json`: `{encoder: {"identities", "pairs", "impostor_quantiles", ...}}`.

    `generated`: so many people also get a generated portrait each, from their conditioning embedding; their pairs with
    the renders of all others are impostor pairs too.
    """
    split, result = splits.CALIBRATION, {}
    images = np.load(work / f"{split.name}.npy", mmap_mode="r")
    chosen = [p * split.pictures + k for p in range(split.identities) for k in range(PICTURES)]
    looker = Looker(read_pack(pack), ("conditioning", "scoring"), threads=1)
    both = {name: np.zeros((len(chosen), 512)) for name in ("conditioning", "scoring")}
    found = np.zeros(len(chosen), bool)
    for n, k in enumerate(chosen):
        faces = looker.look(np.ascontiguousarray(images[k])).faces
        if faces:
            found[n] = True
            for name, table in both.items():
                table[n] = faces[0].embeddings[name]
    who = np.array([k // split.pictures for k in chosen])
    made, made_who = _generated(pack, images, both["conditioning"], found, who, generated, log)
    for name, table in both.items():
        e, w = table[found], who[found]
        first, second = np.triu_indices(len(e), 1)
        different = w[first] != w[second]
        cosines = (e @ e.T)[first, second][different]
        entry: dict[str, object] = {"identities": len(np.unique(w)), "renders": len(e)}
        if len(made):
            g, ok = embeddings(looker, made, name)
            cross = (g[ok] @ e.T)[made_who[ok][:, None] != w[None]]
            entry["generated"] = int(ok.sum())
            entry["generated_impostor_quantiles"] = quantiles(cross)
            if name == "scoring":  # the stricter of both at every rate decides
                entry["impostor_quantiles"] = _stricter(quantiles(cosines), quantiles(cross))
            cosines = np.concatenate([cosines, cross])
        entry.setdefault("impostor_quantiles", quantiles(cosines))
        entry["pairs"] = len(cosines)
        if name == "scoring":
            result[name] = entry
        log(f"calibrate: {name}: {entry}")
    log(f"calibrate: the detector found a face in {found.mean():.4f} of {len(found)} renders")
    (work / "calibration.json").write_text(json.dumps(result, indent=1))


def _stricter(a: list[list[float]], b: list[list[float]]) -> list[list[float]]:
    other: dict[float, float] = dict(b)  # type: ignore[arg-type]
    table: list[list[float]] = []
    for rate, cosine in a:
        highest = max(cosine, other.get(rate, cosine))
        if not table or highest > table[-1][1]:
            table.append([rate, highest])
    return table


def _generated(
    pack: Path,
    images: Pixels,
    conditioning: Embeddings,
    found: NDArray[np.bool_],
    who: NDArray[np.int64],
    count: int,
    log: Log,
) -> tuple[Pixels, NDArray[np.int64]]:
    if not count:
        return np.zeros((0, 128, 128, 3), np.uint8), np.zeros(0, np.int64)
    from .evaluate import Studio

    studio, people = Studio(pack), [int(p) for p in np.unique(who[found])][:count]
    prompts = [caption(*scene_of(splits.CALIBRATION, p * splits.CALIBRATION.pictures + 4), full=False) for p in people]
    means = [conditioning[(who == p) & found].mean(0) for p in people]
    pictures = studio.draw(prompts, [m / np.linalg.norm(m) for m in means], strength=0.8)
    log(f"calibrate: {len(pictures)} portraits generated")
    return pictures, np.array(people)
