from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from gpu_worker.trainers.checkpoints import Checkpoints, Saved


def saved(step: int) -> Saved:
    return Saved(
        step,
        {"weight": torch.full((3,), float(step)), "rng": torch.arange(4, dtype=torch.uint8)},
        {"losses": [0.5] * step},
    )


def test_what_was_written_is_read(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path / "c", keep=2)
    assert store.newest() == (None, [])
    store.write(saved(3))
    found, damaged = store.newest()
    assert found is not None
    assert (found.step, found.state, damaged) == (3, {"losses": [0.5] * 3}, [])
    assert torch.equal(found.tensors["weight"], torch.full((3,), 3.0))
    assert found.tensors["rng"].dtype == torch.uint8


def test_only_the_last_are_kept(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path, keep=2)
    for step in (5, 10, 100, 95):
        store.write(saved(step))
    assert store.steps() == [95, 100]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000095", "step-00000100"]


@pytest.mark.parametrize("how", ["truncated", "flipped", "no state", "no tensors", "garbage state"])
def test_a_damaged_one_is_passed_over_and_named(tmp_path: Path, how: str) -> None:
    store = Checkpoints(tmp_path, keep=3)
    store.write(saved(5))
    store.write(saved(10))
    tensors, state = tmp_path / "step-00000010" / "tensors.safetensors", tmp_path / "step-00000010" / "state.json"
    body = tensors.read_bytes()
    if how == "truncated":
        tensors.write_bytes(body[:-5])
    elif how == "flipped":
        tensors.write_bytes(body[:-1] + bytes([body[-1] ^ 1]))
    elif how == "no state":
        state.unlink()
    elif how == "no tensors":
        tensors.unlink()
    else:
        state.write_text("[]")
    found, damaged = store.newest()
    assert found is not None
    assert (found.step, damaged) == (5, [10])
    store.write(saved(10))
    assert store.newest()[1] == []


def test_dying_while_writing_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Checkpoints(tmp_path, keep=2)
    store.write(saved(5))

    def die(descriptor: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", die)
        with pytest.raises(KeyboardInterrupt):
            store.write(saved(10))
    found, damaged = store.newest()
    assert found is not None
    assert (found.step, damaged) == (5, [])
    store.write(saved(10))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000005", "step-00000010"]


def test_no_pickle_is_written(tmp_path: Path) -> None:
    Checkpoints(tmp_path, keep=1).write(saved(1))
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} == {".safetensors", ".json"}
