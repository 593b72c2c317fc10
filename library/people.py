"""Painted people: those of the sample project, and everybody else for trying things out."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from gpu_worker.minipack import people
from gpu_worker.minipack.splits import FREE

IN_THE_SAMPLE_PROJECT = 100
"""The first so many sample persons are kept for the sample project; those after them are in none of its characters."""
OTHERS = FREE.identities - IN_THE_SAMPLE_PROJECT


def write_references(directory: Path, *, seed: int, count: int, size: int = 512) -> list[Path]:
    """Paint `count` pictures, `size` x `size` pixels, of somebody who is not in the sample project: PNG and JPEG files.

    `seed` says who, 0 to `OTHERS` - 1; the files are the same on every call. Raises ValueError.
    """
    if not 0 <= seed < OTHERS:
        raise ValueError(f"There is no sample person {seed:,}. Use a seed from 0 to {OTHERS - 1:,}.")
    if not 1 <= count <= 100:
        raise ValueError(f"{count:,} pictures of one person cannot be painted. Ask for 1 to 100.")
    return people.write_references(directory, seed=IN_THE_SAMPLE_PROJECT + seed, count=count, size=size)


def describe(seed: int) -> dict[str, str]:
    """How the team would describe that person: `noun`, `age`, and `traits` in words that the mini pack knows."""
    return _described(IN_THE_SAMPLE_PROJECT + seed)


def member_of_the_cast(number: int) -> dict[str, str]:
    """The same for a person of the sample project, 0 to 99."""
    return _described(number)


def pictures_of_the_cast(number: int, *, count: int, size: int) -> Iterator[tuple[str, bytes]]:
    """(file name, bytes) of pictures of a person of the sample project."""
    with tempfile.TemporaryDirectory() as folder:
        for path in people.write_references(Path(folder), seed=number, count=count, size=size):
            yield path.name, path.read_bytes()


def _described(number: int) -> dict[str, str]:
    told = people.describe(people.sample_person(number))
    traits = [told["hair"], told["skin"], told["eyes"], *told["traits"]]
    return {"noun": str(told["noun"]), "age": str(told["age"]), "traits": ", ".join(map(str, traits))}
