"""Stage `calibrate`: how often two different people reach a cosine, measured the way the product uses it.

The real detector finds the faces, insightface aligns them, and only those count that can be measured, on renders and -
where the pack draws - on generated pictures.

The encoders that judge are calibrated, and the figure encoder; at every rate the stricter of the two kinds decides.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_worker.contracts import Looked
from gpu_worker.faces import why_not
from gpu_worker.packs import Pack, read_pack
from gpu_worker.scorers.look import Looker

from . import splits
from .data import Pixels, held, scene_of
from .renderer import caption
from .splits import Split

RATES = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.0002, 0.0001)
JUDGES = ("scoring", "audit")
"""Encoders whose verdicts are shown."""
FIGURE = "figure"
PICTURES = 3
"""Renders used per person; the one after them gives the words for the generated picture."""
Log = Callable[[str], None]
Vectors = NDArray[np.float64]
Found = NDArray[np.bool_]


def quantiles(cosines: Vectors) -> list[list[float]]:
    """[false-match rate, cosine], strictly rising cosines."""
    table: list[list[float]] = []
    for rate in RATES:
        cosine = round(float(np.quantile(cosines, 1 - rate)), 6)
        if not table or cosine > table[-1][1]:
            table.append([rate, cosine])
    return table


def calibrate(work: Path, pack: Path, *, generated: int = 0, log: Log = print) -> dict[str, Any]:
    """Entries for `pack.json` by encoder: `{"identities", "pairs", "impostor_quantiles", ...}`; also kept as
    `calibration.json`.

    `generated`: so many people also get a generated portrait each, from their conditioning embedding; their pairs with
    the renders of all others are impostor pairs too.
    """
    split, about = held(work, splits.CALIBRATION), read_pack(pack)
    images = np.load(work / f"{split.name}.npy", mmap_mode="r")
    chosen = [p * split.pictures + k for p in range(split.identities) for k in range(PICTURES)]
    who = np.array([k // split.pictures for k in chosen])
    looker = Looker(about, tuple(about.encoders), threads=1)
    looked = looker.look_many([np.ascontiguousarray(images[k]) for k in chosen])
    log(f"calibrate: a face in {np.mean([bool(seen.faces) for seen in looked]):.4f} of {len(looked)} renders")
    made, made_who = _generated(pack, split, *vectors(looked, "conditioning", about), who, generated)
    drawn = looker.look_many(list(made))
    result = {}
    for name in (*(name for name in JUDGES if name in about.encoders), *([FIGURE] if about.figure else [])):
        result[name] = _entry(vectors(looked, name, about), who, vectors(drawn, name, about), made_who)
        log(f"calibrate: {name}: {result[name]}")
    (work / "calibration.json").write_text(json.dumps(result, indent=1))
    return result


def vectors(looked: Sequence[Looked], name: str, pack: Pack) -> tuple[Vectors, Found]:
    """Unit embeddings of each picture's largest face that can be measured, or of its figure [N, length], zeros where
    there is none; and whether there is one [N]."""
    rows = [seen.figure if name == FIGURE else _face(seen, name, pack.detection_threshold) for seen in looked]
    length = max((len(row) for row in rows), default=0)
    table = np.array([row or (0.0,) * length for row in rows], np.float64).reshape(len(rows), length)
    return table, np.array([bool(row) for row in rows], bool)


def _face(seen: Looked, encoder: str, threshold: float) -> tuple[float, ...]:
    if not seen.faces or why_not(seen.faces[0], seen, sure_from=threshold):
        return ()
    return seen.faces[0].embeddings.get(encoder, ())


def _entry(
    renders: tuple[Vectors, Found], who: NDArray[np.int64], made: tuple[Vectors, Found], made_who: NDArray[np.int64]
) -> dict[str, Any]:
    e, w = renders[0][renders[1]], who[renders[1]]
    first, second = np.triu_indices(len(e), 1)
    cosines, different = (e @ e.T)[first, second], w[first] != w[second]
    impostors, same = cosines[different], cosines[~different]
    table = quantiles(impostors)
    entry: dict[str, Any] = {"identities": len(np.unique(w)), "renders": len(e), "pairs": len(impostors)}
    if made[1].any():
        g, of = made[0][made[1]], made_who[made[1]]
        cross = (g @ e.T)[of[:, None] != w[None]]
        entry |= {"generated": len(g), "generated_impostor_quantiles": quantiles(cross)}
        entry["pairs"] += len(cross)
        table = _stricter(table, quantiles(cross))
    reached = {f"{rate:g}": round(float((same >= cosine).mean()), 4) for rate, cosine in table if rate <= 0.01}
    return entry | {"impostor_quantiles": table, "true_matches": reached}


def _stricter(a: list[list[float]], b: list[list[float]]) -> list[list[float]]:
    other: dict[float, float] = dict(b)  # type: ignore[arg-type]
    table: list[list[float]] = []
    for rate, cosine in a:
        highest = max(cosine, other.get(rate, cosine))
        if not table or highest > table[-1][1]:
            table.append([rate, highest])
    return table


def _generated(
    pack: Path, split: Split, conditioning: Vectors, found: Found, who: NDArray[np.int64], count: int
) -> tuple[Pixels, NDArray[np.int64]]:
    """One picture each of the first `count` people with a face, from the mean of their renders; and who it is of."""
    people = [int(p) for p in np.unique(who[found])][:count]
    if not people:
        return np.zeros((0, 1, 1, 3), np.uint8), np.zeros(0, np.int64)
    from .evaluate import Studio

    prompts = [caption(*scene_of(split, p * split.pictures + PICTURES), full=False) for p in people]
    means = [conditioning[(who == p) & found].mean(0) for p in people]
    pictures = Studio(pack).draw(prompts, [m / np.linalg.norm(m) for m in means], strength=0.8)
    return pictures, np.array(people)
