"""Checkpoints that survive a power cut: written beside, synced, then renamed; read back only when every byte is right.

A checkpoint is a folder `step-00000025` with `tensors.safetensors` and `state.json`; the latter holds the digest of the
former, so a damaged one is recognised and an older one taken.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save


@dataclass(frozen=True, slots=True)
class Saved:
    step: int
    """Steps done when it was written."""
    tensors: dict[str, torch.Tensor]
    state: dict[str, Any]


class Checkpoints:
    def __init__(self, directory: Path, keep: int) -> None:
        self.directory, self.keep = directory, keep

    def write(self, saved: Saved) -> None:
        """Write atomically, then remove all but the last `keep`. A checkpoint of the same step is left as it is."""
        self.directory.mkdir(parents=True, exist_ok=True)
        final = self._path(saved.step)
        if final.exists() and _read(final) is not None:
            return
        self._clear_unfinished()
        partial = self.directory / f".partial-{os.getpid()}-{final.name}"
        partial.mkdir()
        body = save(saved.tensors)
        state = {"step": saved.step, "sha256": hashlib.sha256(body).hexdigest(), "state": saved.state}
        _write_synced(partial / "tensors.safetensors", body)
        _write_synced(partial / "state.json", json.dumps(state).encode())
        _sync(partial)
        if final.exists():
            shutil.rmtree(final)
        partial.rename(final)
        _sync(self.directory)
        for step in self.steps()[: -self.keep]:
            shutil.rmtree(self._path(step), ignore_errors=True)

    def newest(self) -> tuple[Saved | None, list[int]]:
        """The newest whole checkpoint, and the steps of newer ones that are damaged."""
        damaged: list[int] = []
        for step in reversed(self.steps()):
            if (saved := _read(self._path(step))) is not None:
                return saved, damaged
            damaged.append(step)
        return None, damaged

    def steps(self) -> list[int]:
        if not self.directory.is_dir():
            return []
        return sorted(int(path.name[5:]) for path in self.directory.glob("step-*") if path.name[5:].isdigit())

    def _path(self, step: int) -> Path:
        return self.directory / f"step-{step:08d}"

    def _clear_unfinished(self) -> None:
        for path in self.directory.glob(".partial-*"):
            shutil.rmtree(path, ignore_errors=True)


def _read(path: Path) -> Saved | None:
    """None if it is damaged."""
    try:
        body = (path / "tensors.safetensors").read_bytes()
        state = json.loads((path / "state.json").read_bytes())
        if hashlib.sha256(body).hexdigest() != state["sha256"]:
            return None
        return Saved(int(state["step"]), load(body), state["state"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_synced(path: Path, body: bytes) -> None:
    with path.open("wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
