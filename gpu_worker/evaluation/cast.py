"""Who a pack is measured on: painted people, or people from a folder of pictures.

Every choice follows from a seed. Painted people come from the range that no training and no calibration has touched
(`splits.FREE`), without those of the sample project; people of a folder are the operator's word for it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
from PIL import Image

from gpu_worker.contracts import RunError
from gpu_worker.packs import words

if TYPE_CHECKING:
    from gpu_worker.minipack.renderer import Scene

PICTURES: Final = frozenset({".png", ".jpg", ".jpeg", ".webp"})
KEPT_FOR_THE_SAMPLE_PROJECT: Final = 100
REFERENCES, HELD_OUT, STRANGER = "references", "held-out", "stranger"
"""What a picture is for: to make pictures from, to judge those with, or to stand for somebody else."""
_STREAM: Final = {REFERENCES: 1, HELD_OUT: 2, STRANGER: 3}


class CastError(RunError):
    """There are not the people to measure with. The text says what is needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    key: str
    """Names the person in the report: `person 512,204`, or the folder's name."""
    noun: str = "person"
    age: str = ""
    traits: tuple[str, ...] = ()
    """What the team would write of them, in words."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """True value of each attribute that stays the same in all their pictures; empty where nobody knows."""
    number: int = 0
    """The painted person's seed, or the place of the folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    path: Path
    said: str = ""
    """What a caption says of it beside who it is."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """What is known to be in it: attribute -> value."""


class Cast(Protocol):
    source: str
    """For a reader: where the people come from."""
    may_show_references: bool

    def draw(self, subjects: int, strangers: int) -> tuple[list[Person], list[Person]]:
        """So many people to make pictures of, and so many others; fewer where there are not enough. Raises
        CastError where there is nobody."""

    def pictures(self, person: Person, part: str, count: int, folder: Path) -> list[Picture]:
        """At most `count` pictures of a person; those of different parts never overlap. `folder`: where new files may
        go."""


# ------------------------------------------------------------------------------------------------------- painted
class Painted:
    """People of the mini pack's renderer, painted as close-ups of `size` x `size` pixels."""

    may_show_references = True

    def __init__(self, *, seed: int, size: int, vocabulary: Collection[str] | None = None) -> None:
        """`vocabulary`: of the pack that is measured. Pictures show nothing that it has no word for; None: anything."""
        self.seed, self.size, self.vocabulary = seed, size, vocabulary
        self.source = "painted people whom no training and no calibration has seen"

    def draw(self, subjects: int, strangers: int) -> tuple[list[Person], list[Person]]:
        from gpu_worker.minipack.splits import FREE

        rng = np.random.default_rng((self.seed, 0xE7A1))
        free = FREE.identities - KEPT_FOR_THE_SAMPLE_PROJECT
        if subjects + strangers > free:
            raise CastError(f"At most {free:,} people can be painted. Ask for fewer.")
        drawn = KEPT_FOR_THE_SAMPLE_PROJECT + rng.choice(free, subjects + strangers, replace=False)
        people = [self._person(int(number)) for number in drawn]
        return people[:subjects], people[subjects:]

    @staticmethod
    def _person(number: int) -> Person:
        from gpu_worker.minipack import people
        from gpu_worker.minipack.attributes import labels_of
        from gpu_worker.minipack.renderer import Scene

        who = people.sample_person(number)
        told = people.describe(who)
        labels = labels_of(who, Scene())
        unseen = {"hair"} if who.hair_style == "bald" else set()
        lasting = {n: value for n, value in labels.items() if not hasattr(Scene(), n) and n not in unseen}
        return Person(
            key=f"person {number:,}",
            noun=who.noun,
            age=who.age,
            traits=(str(told["hair"]), str(told["skin"]), str(told["eyes"]), *map(str, told["traits"])),
            attributes=lasting,
            number=number,
        )

    def pictures(self, person: Person, part: str, count: int, folder: Path) -> list[Picture]:
        from gpu_worker.minipack import people
        from gpu_worker.minipack.attributes import labels_of
        from gpu_worker.minipack.renderer import render, scene_words

        who = people.sample_person(person.number)
        rng = np.random.default_rng((self.seed, person.number, _STREAM[part]))
        folder.mkdir(parents=True, exist_ok=True)
        found = []
        for k in range(count):
            scene = self._scene(rng)
            path = folder / f"{person.number:06d}-{part}-{k:02d}.png"
            pixels = render(who, scene, self.size, supersample=2 if self.size > 128 else 3)
            Image.fromarray(pixels).save(path, compress_level=1)
            labels = {**labels_of(who, scene), **({"pose": scene.pose} if scene.pose else {})}
            said = ", ".join(filter(self._knows, scene_words(scene)))
            found.append(Picture(path=path, said=said, labels=labels))
        return found

    def _scene(self, rng: np.random.Generator) -> Scene:
        from gpu_worker.minipack.renderer import Scene, nuisance

        plain = Scene()
        drawing = None if self._knows("drawing") else plain.drawing
        while True:
            scene = nuisance(rng, shot=plain.shot, drawing=drawing)
            if self._knows(f"{scene.expression} {scene.outfit} {scene.colour} {scene.background} {scene.light}"):
                return scene

    def _knows(self, phrase: str) -> bool:
        return self.vocabulary is None or all(word in self.vocabulary for word in words(phrase))


# -------------------------------------------------------------------------------------------------------- folders
class Folders:
    """One folder for each person, named as they are to be called in the report.

    A text file beside a picture, of the same name, holds its caption (the convention of trainers); `person.txt` holds
    how the team would describe the person: a noun on the first line, a trait on each further one.
    """

    may_show_references = False

    def __init__(self, directory: Path, *, seed: int, held_out: int) -> None:
        """`held_out`: how many pictures of a person are kept to judge with, at most a half of them."""
        self.directory, self.seed, self._held_out = directory, seed, held_out
        self.source = "people from a folder of pictures; their own pictures are not copied into this report"

    def draw(self, subjects: int, strangers: int) -> tuple[list[Person], list[Person]]:
        if not self.directory.is_dir():
            raise CastError(f"{self.directory} is not a folder. It must hold one folder of pictures for each person.")
        people = sorted(path for path in self.directory.iterdir() if path.is_dir() and self._files(path))
        order = np.random.default_rng((self.seed, 0xF01D)).permutation(len(people))
        shuffled = [people[k] for k in order]
        # At least half of them stay others: somebody must be there to be mistaken for.
        with_enough = [path for path in shuffled if len(self._files(path)) >= 2][: min(subjects, -(-len(people) // 2))]
        if not with_enough:
            raise CastError(
                f"{self.directory} holds no folder with at least two pictures. Put the pictures of each person into "
                "a folder of their own."
            )
        others = [path for path in shuffled if path not in with_enough][:strangers]
        return [self._person(path) for path in with_enough], [self._person(path) for path in others]

    @staticmethod
    def _files(path: Path) -> list[Path]:
        return sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURES)

    @staticmethod
    def _person(path: Path) -> Person:
        described = path / "person.txt"
        lines = described.read_text(encoding="utf-8").splitlines() if described.exists() else []
        noun, *traits = [line.strip() for line in lines if line.strip()] or ["person"]
        return Person(key=path.name, noun=noun, traits=tuple(traits))

    def pictures(self, person: Person, part: str, count: int, folder: Path) -> list[Picture]:
        files = self._files(self.directory / person.key)
        order = np.random.default_rng((self.seed, len(files))).permutation(len(files))
        shuffled = [files[k] for k in order]
        kept = min(self._held_out, len(shuffled) // 2)
        chosen = {HELD_OUT: shuffled[:kept], REFERENCES: shuffled[kept:], STRANGER: shuffled}[part]
        return [Picture(path=path, said=_caption(path)) for path in chosen[:count]]


def _caption(path: Path) -> str:
    beside = path.with_suffix(".txt")
    return " ".join(beside.read_text(encoding="utf-8").split()) if beside.exists() else ""


# -------------------------------------------------------------------------------------------------------- prompts
OPEN_SLOTS: Final[Mapping[str, Sequence[str]]] = {
    "expression": ("neutral", "happy", "sad", "angry", "surprised"),
    "outfit": ("suit", "hoodie", "striped shirt", "leather jacket"),
    "colour": ("red", "blue", "green", "white", "black"),
    "background": ("a studio", "a park", "a city street at night", "a kitchen", "the desert"),
    "light": ("soft light", "warm evening light", "dim light", "side light"),
    "pose": ("facing the camera", "looking left", "looking right", "looking up", "looking down"),
}
"""What is asked of packs that name no choices of their own."""


def ask(people: int, per_person: int, slots: Mapping[str, Sequence[str]], *, seed: int) -> list[list[dict[str, str]]]:
    """What each picture of each person is to show: one value for every slot.

    Each slot goes through its values in a new shuffle again and again, apart from the other slots, so that all values
    are asked for equally often.
    """
    total = people * per_person
    columns: dict[str, list[str]] = {}
    for k, (slot, values) in enumerate(sorted(slots.items())):
        rng = np.random.default_rng((seed, 0xA5C, k))
        rounds = -(-total // max(len(values), 1))
        columns[slot] = [str(v) for _ in range(rounds) for v in rng.permutation(list(values))][:total]
    asked = [{slot: column[n] for slot, column in columns.items()} for n in range(total)]
    return [asked[k * per_person : (k + 1) * per_person] for k in range(people)]
