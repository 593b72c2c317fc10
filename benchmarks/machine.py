"""What a figure was measured on."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from gpu_worker import machine
from gpu_worker.machine import usable_cores

__all__ = ["ROOT", "describe", "usable_cores"]

ROOT = Path(__file__).resolve().parent.parent


def describe() -> dict[str, Any]:
    """Date, processor, memory, versions and the revision of the code."""
    return machine.describe() | {"revision": _revision()}


def _revision() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"
