"""Reading whole pictures, faces or not: a figure's embedding, and the attributes that a classifier sees."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gpu_worker.packs import Pack, PackError, verify
from gpu_worker.scorers import picture
from gpu_worker.scorers.sessions import open_session

TOGETHER: Final = 32
"""Pictures in one run of a model."""


class FigureReader:
    """A pack's figure encoder: what the whole figure looks like, for outfits, silhouettes and faces that are none."""

    def __init__(self, pack: Pack, *, threads: int, device: str = "cpu") -> None:
        """Verify the encoder's file and load it. `threads`: at most so many cores. Raises PackError."""
        if pack.figure is None:
            raise PackError(f"The pack {pack.name} has no figure encoder.")
        self._size, self._embedding_size = pack.figure.size, pack.figure.embedding_size
        self._session = _open(pack, pack.figure.file, threads, device)
        outputs = [output.name for output in self._session.get_outputs()]
        if len(outputs) != 1:
            raise PackError(f"{pack.figure.file} of the pack {pack.name} must have one output, not {len(outputs)}.")
        self._name = f"{pack.figure.file} of the pack {pack.name}"

    def embed(self, pictures: Sequence[picture.Pixels]) -> list[tuple[float, ...]]:
        """Per picture (RGB uint8 [H, W, 3], of any sizes) its embedding at unit length; empty where it has no
        direction. Raises PackError where the encoder answers another size than the pack says."""
        found: list[tuple[float, ...]] = []
        for (raw,) in _run(self._session, pictures, self._size):
            if raw.shape[1:] != (self._embedding_size,):
                raise PackError(f"{self._name} gives {raw.shape[1:]} values, not {self._embedding_size}.")
            found += [unit(row) for row in raw]
        return found


class AttributeReader:
    """A pack's attribute classifier: which words describe a picture."""

    def __init__(self, pack: Pack, threads: int, *, device: str = "cpu") -> None:
        """Verify the classifier's file and load it. `threads`: at most so many cores. Raises PackError."""
        if pack.attributes is None:
            raise PackError(f"The pack {pack.name} has no attribute classifier.")
        self._size, self._options = pack.attributes.size, pack.attributes.options
        self._session = _open(pack, pack.attributes.file, threads, device)
        has = {output.name for output in self._session.get_outputs()}
        if lacking := [name for name in self._options if name not in has]:
            raise PackError(
                f"{pack.attributes.file} of the pack {pack.name} has no output {', '.join(lacking)}, "
                "which its pack.json names."
            )
        self._name = f"{pack.attributes.file} of the pack {pack.name}"

    def read(self, pictures: Sequence[picture.Pixels]) -> list[dict[str, tuple[str, float]]]:
        """Per picture (RGB uint8 [H, W, 3], of any sizes): attribute -> its likeliest word and that word's
        probability, 0-1 (softmax of the logits). Raises PackError where the classifier does not fit its options."""
        found: list[dict[str, tuple[str, float]]] = []
        for outputs in _run(self._session, pictures, self._size, list(self._options)):
            columns = {}
            for (name, words), logits in zip(self._options.items(), outputs, strict=True):
                if logits.shape[1:] != (len(words),):
                    raise PackError(f"{self._name} gives {logits.shape[1:]} logits for {name}, not {len(words)}.")
                columns[name] = _likeliest(logits, words)
            found += [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        return found


def unit(raw: NDArray[Any]) -> tuple[float, ...]:
    """A vector at unit length; empty where it has no direction."""
    values = np.asarray(raw, np.float64)
    length = float(np.linalg.norm(values))
    return tuple(map(float, values / length)) if math.isfinite(length) and length > 0 else ()


def _likeliest(logits: NDArray[np.float32], words: Sequence[str]) -> list[tuple[str, float]]:
    shifted = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    shares = shifted / shifted.sum(1, keepdims=True)
    return [(words[k], float(row[k])) for row, k in zip(shares, shares.argmax(1), strict=True)]


def _open(pack: Pack, file: str, threads: int, device: str) -> Any:
    verify(pack, under=[file])
    return open_session(pack.path(file), threads=threads, device=device)


def _run(session: Any, pictures: Sequence[picture.Pixels], side: int, outputs: list[str] | None = None) -> Any:
    """Yield the model's outputs for `TOGETHER` pictures at a time."""
    name = session.get_inputs()[0].name
    for start in range(0, len(pictures), TOGETHER):
        batch = np.stack([picture.square(pixels, side) for pixels in pictures[start : start + TOGETHER]])
        yield session.run(outputs, {name: batch})
