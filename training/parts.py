"""Pieces that the contexts of several pages about training share."""

from __future__ import annotations

from typing import Any

from assets.models import Asset
from collaboration.bands import Bands
from gpu_worker.models import Job
from training.models import TrainingSample

STATUS = {Job.RUNNING: "working"}
"""State of a job -> state of the status component, where they differ."""
LABEL = {Job.RUNNING: "Training", Job.DONE: "Trained"}
BUSY = {Job.PAUSE: "Pausing", Job.CANCEL: "Stopping"}


def picture(asset: Asset | None, *, alt: str = "", sizes: str = "") -> dict[str, Any] | None:
    if asset is None or asset.erased_at is not None:
        return None
    return {
        "url": asset.url(320),
        "srcset": asset.srcset,
        "sizes": sizes,
        "width": asset.width,
        "height": asset.height,
        "placeholder": asset.placeholder,
        "alt": alt,
    }


def score(value: float | None, cosine: float | None, reason: str, bands: Bands) -> dict[str, Any]:
    return {
        "value": value,
        "band": bands.of(value) if value is not None else "",
        "reason": reason,
        "detail": f"cosine {cosine:.2f}" if cosine is not None else "",
    }


def sample(row: TrainingSample) -> dict[str, Any]:
    return {
        "place": row.place,
        "picture": picture(row.asset, alt=f"Step {row.step}: {row.prompt}", sizes="(max-width: 720px) 30vw, 160px"),
        "url": row.asset.url(),
        "prompt": row.prompt,
        "seed": row.seed,
        "score": score(row.score, row.cosine, row.no_score_reason, row.run.character.project.studio.bands),
    }
