"""The evaluation itself: people are drawn, pictures made tier by tier, looked at, and counted.

Everything goes through `runner.Runner` with the requests of `contracts`, as in the studio. Encoders that took part in
making a picture do not judge it: the *audit* encoder does where the pack has one, and the *scoring* encoder beside it.
A picture is *verified* at a false-match rate when the mean of its cosines to the held-out pictures of its person, which
is what the studio scores, reaches the cosine that the pack states for that rate. A picture without a face that can be
measured is not verified.
"""

from __future__ import annotations

import dataclasses
import functools
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from gpu_worker import calibration, copies, faces, keypoints, prompts
from gpu_worker.contracts import (
    AdapterUse,
    Done,
    Face,
    Failed,
    GenerateRequest,
    IdentityUse,
    Looked,
    LookRequest,
    Output,
    PictureSpec,
    Progress,
    Request,
    RunError,
    Stopped,
    TrainingPicture,
    TrainRequest,
    looked_from_json,
)
from gpu_worker.evaluation import cast as casting
from gpu_worker.evaluation import figures, statistics
from gpu_worker.evaluation.cast import Cast, Person, Picture
from gpu_worker.evaluation.figures import RATES, Made, Strangers, Subject, says
from gpu_worker.packs import Pack, PackError, verify
from gpu_worker.runner import Runner
from gpu_worker.runner.warm import thread_count

if TYPE_CHECKING:
    from gpu_worker.scorers.whole import AttributeReader

CONDITIONING: Final = "conditioning"
JUDGES: Final = ("audit", "scoring")
"""Encoders that judge, the first that a pack has before the others."""
LOOKED_AT_ONCE: Final = 60
CLOSING_SECONDS: Final = 20.0
"""Kept for counting and writing the report."""

Tell = Callable[[str], None]
Vectors = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    name: str
    title: str
    identity: bool = False
    """An image prompt from the references."""
    control: bool = False
    """The identity ControlNet, and the best of several by the conditioning encoder."""
    adapter: bool = False
    """A LoRA that was trained on the references."""

    def why_not(self, pack: Pack) -> str:
        """Why the pack does not offer it; empty where it does."""
        if pack.pipeline is None:
            return "The pack makes no pictures."
        if self.adapter and not pack.recipes.get("standard"):
            return "The pack has no recipe for training an adapter."
        if self.control and pack.controlnet is None:
            return "The pack has no identity ControlNet."
        if self.identity and pack.ip_adapter is None and not self.adapter:
            return "The pack takes no image prompt."
        return ""


TIERS: Final = (
    Tier(name="text_only", title="Text only"),
    Tier(name="low", title="Low", identity=True),
    Tier(name="standard", title="Standard", identity=True, adapter=True),
    Tier(name="high", title="High", identity=True, control=True),
    Tier(name="high_adapted", title="High with adapter", identity=True, control=True, adapter=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to measure, and within which time."""

    seed: int = 0
    identities: int = 40
    """People of whom pictures are made."""
    adapted: int = 12
    """How many of them also get an adapter."""
    strangers: int = 500
    """Other people, used for nothing but the encoders and their stated rates."""
    prompts: int = 4
    """Pictures of each person in each tier."""
    references: int = 8
    held_out: int = 4
    stranger_pictures: int = 3
    train_seconds: float = 30.0
    """At most so long for each adapter: the pack's recipe is cut to the steps that fit."""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the pack's recipe to replace; with `steps`, they are not cut to `train_seconds`."""
    steps: int | None = None
    """Denoising steps; None: the pack's own."""
    fixed: Mapping[str, str] = field(default_factory=lambda: {"shot": "close-up"})
    """Slot -> value that every prompt asks for. Faces are compared in close-ups, as on a character's page."""
    minutes: float | None = 25.0
    """Stop making pictures when the time is up; None: never."""


@dataclass(slots=True, kw_only=True)
class Result:
    figures: dict[str, Any]
    """JSON-safe."""
    subjects: list[Subject]
    made: list[Made]
    distributions: dict[str, list[float]]
    """Tier -> cosines by the encoder that judges; `impostors` holds those to other people."""
    shows_references: bool
    """Whether pictures of these people may be shown."""


@contextmanager
def evaluating(pack: Pack, cast: Cast, plan: Plan, *, tell: Tell, runner: Runner | None = None) -> Iterator[Result]:
    """Measure a pack; the pictures exist while the context does. Raises RunError where it cannot be done."""
    own = runner is None
    runner = runner or Runner()
    try:
        with tempfile.TemporaryDirectory(prefix="evaluation-") as folder:
            yield _Evaluation(pack, cast, plan, runner, Path(folder), tell).run()
    finally:
        if own:
            runner.close()


class _Evaluation:
    def __init__(self, pack: Pack, cast: Cast, plan: Plan, runner: Runner, folder: Path, tell: Tell) -> None:
        self.pack, self.cast, self.plan, self.runner, self.folder, self.tell = pack, cast, plan, runner, folder, tell
        self.judges = [name for name in JUDGES if name in pack.encoders]
        self.begun = time.monotonic()
        self.seconds: dict[str, float] = defaultdict(float)
        self.notes: list[str] = []
        self.runs = 0
        self.recipe: dict[str, Any] = {}
        self.train_seconds: list[float] = []
        self.estimate: float | None = None

    def run(self) -> Result:
        with self._timed("files verified"):
            verify(self.pack)
        if not self.judges:
            raise PackError(
                f"The pack {self.pack.name} has no encoder that judges ({' or '.join(JUDGES)}), so nothing can be "
                "measured."
            )
        with self._timed("people painted"):
            people, others = self.cast.draw(self.plan.identities, self.plan.strangers)
        strangers = self._look_at_strangers(others)
        thresholds = self._thresholds(strangers)
        subjects = self._subjects(people)
        made = self._make(subjects)
        with self._timed("judging"):
            self._judge(made, subjects)
        with self._timed("statistics"):
            told = self._figures(subjects, made, strangers, thresholds)
            spread = figures.distributions(made, subjects, self.judges[0])
        told["seconds"] = self._seconds()
        return Result(
            figures=told,
            subjects=subjects,
            made=made,
            distributions=spread,
            shows_references=self.cast.may_show_references,
        )

    # ------------------------------------------------------------------------------------------------- running
    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        begun = time.monotonic()
        try:
            yield
        finally:
            self.seconds[part] += time.monotonic() - begun

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.begun

    def _run(self, request: Request) -> tuple[Path, list[Output], list[Progress]]:
        """Where its files are, its outputs, and its progress. Raises RunError."""
        self.runs += 1
        folder = self.folder / f"run-{self.runs:04d}"
        outputs, progress = [], []
        for message in self.runner.run(request, folder, should_stop=lambda: False):
            if isinstance(message, Output):
                outputs.append(message)
            elif isinstance(message, Progress):
                progress.append(message)
            elif isinstance(message, Failed):
                error = RunError(message.sentence)
                error.add_note(message.detail)
                raise error
            elif isinstance(message, Done | Stopped):
                break
        return folder, outputs, progress

    def _face(self, seen: Looked) -> Face | None:
        """The largest face, where the studio would score it."""
        if not seen.faces or faces.why_not(seen.faces[0], seen, sure_from=self.pack.detection_threshold):
            return None
        return seen.faces[0]

    def _look(self, pictures: Sequence[Path], encoders: Sequence[str]) -> list[Looked]:
        request = LookRequest(
            pack=str(self.pack.directory.resolve()), pictures=tuple(map(str, pictures)), encoders=tuple(encoders)
        )
        _, outputs, _ = self._run(request)
        seen = {output.index: looked_from_json(output.data) for output in outputs}
        if missing := [path.name for k, path in enumerate(pictures) if k not in seen]:
            raise RunError(f"These pictures cannot be read: {', '.join(missing[:5])}. Take them out of the folder.")
        return [seen[k] for k in range(len(pictures))]

    # -------------------------------------------------------------------------------------------------- people
    @property
    def encoders(self) -> list[str]:
        return [name for name in (CONDITIONING, *self.judges) if name in self.pack.encoders]

    def _look_at_strangers(self, people: Sequence[Person]) -> Strangers:
        seen: list[Looked] = []
        whose: list[int] = []
        pictures: list[Picture] = []
        with self._timed("people painted"):
            for k, person in enumerate(people):
                found = self.cast.pictures(
                    person, casting.STRANGER, self.plan.stranger_pictures, self.folder / "strangers"
                )
                pictures += found
                whose += [k] * len(found)
        with self._timed("encoders"):
            for start in range(0, len(pictures), LOOKED_AT_ONCE):
                seen += self._look([p.path for p in pictures[start : start + LOOKED_AT_ONCE]], self.encoders)
                self.tell(f"Encoders: {len(seen)} of {len(pictures)} pictures of {len(people)} people looked at")
        compared = [self._face(looked) for looked in seen]
        return Strangers.of(seen, compared, whose, [picture.labels for picture in pictures], self.encoders)

    def _subjects(self, people: Sequence[Person]) -> list[Subject]:
        drawn = casting.ask(len(people), self.plan.prompts, self._slots(), seed=self.plan.seed)
        subjects = []
        for person, asked in zip(people, drawn, strict=True):
            with self._timed("people painted"):
                references = self.cast.pictures(
                    person, casting.REFERENCES, self.plan.references, self.folder / "references"
                )
                held_out = self.cast.pictures(person, casting.HELD_OUT, self.plan.held_out, self.folder / "held-out")
            with self._timed("references"):
                seen = self._look([p.path for p in references + held_out], self.encoders)
            learnt = [f for looked in seen[: len(references)] if (f := self._face(looked))]
            held = [f for looked in seen[len(references) :] if (f := self._face(looked))]
            if not learnt or not held:
                self.notes.append(f"{person.key} was left out: no face was found to learn from or to judge with.")
                continue
            subjects.append(
                Subject(
                    person=self._with_traits(person, references),
                    references=references,
                    seen=seen[: len(references)],
                    truth={judge: np.array([f.embeddings[judge] for f in held]) for judge in self.judges},
                    centroid=_centroid([f.embeddings[CONDITIONING] for f in learnt if CONDITIONING in f.embeddings]),
                    asked=asked,
                )
            )
        if not subjects:
            raise casting.CastError("In none of the pictures of these people a face was found. Choose others.")
        return subjects

    def _slots(self) -> dict[str, Sequence[str]]:
        """What prompts ask for, held at one value where the plan says so."""
        slots: Mapping[str, Sequence[str]] = self.pack.slots
        if self.pack.vocabulary is None and not slots:
            slots = casting.OPEN_SLOTS
        held = {slot: (value,) for slot, value in self.plan.fixed.items() if value in slots.get(slot, ())}
        return {slot: held.get(slot, tuple(values)) for slot, values in slots.items() if slot in prompts.ORDER}

    def _with_traits(self, person: Person, references: Sequence[Picture]) -> Person:
        """Where nobody knows the person's traits, those that the classifier sees in most of the references."""
        if person.attributes or self.pack.attributes is None:
            return person
        read = self._read([picture.path for picture in references])
        names = [name for name in self.pack.attributes.options if name not in self.pack.slots]
        common = {name: Counter(row[name] for row in read).most_common(1)[0][0] for name in names}
        return dataclasses.replace(person, attributes=common)

    def _read(self, paths: Sequence[Path]) -> list[dict[str, str]]:
        """The word of each attribute that the pack's classifier sees in each picture."""
        from gpu_worker.scorers.picture import read_picture

        found: list[dict[str, str]] = []
        for start in range(0, len(paths), LOOKED_AT_ONCE):
            pixels = [read_picture(path) for path in paths[start : start + LOOKED_AT_ONCE]]
            found += [{name: word for name, (word, _) in row.items()} for row in self._reader.read(pixels)]
        return found

    @functools.cached_property
    def _reader(self) -> AttributeReader:
        from gpu_worker.scorers.whole import AttributeReader

        return AttributeReader(self.pack, threads=thread_count())

    # ------------------------------------------------------------------------------------------------- pictures
    def _make(self, subjects: list[Subject]) -> list[Made]:
        """Pictures of one person after the other in every tier, so that a run that ends early has measured all tiers on
        fewer people."""
        offered = [tier for tier in TIERS if not tier.why_not(self.pack)]
        made: list[Made] = []
        costs: dict[bool, list[float]] = {True: [], False: []}
        needs_adapter = any(tier.adapter for tier in offered)
        adapted = [needs_adapter and _is_adapted(k, len(subjects), self.plan.adapted) for k in range(len(subjects))]
        for who, subject in enumerate(subjects):
            if self._time_is_up(costs, adapted[who]):
                left = len(subjects) - who
                self.notes.append(
                    f"The time ({self.plan.minutes:g} minutes) was up after {who} of {len(subjects)} people; {left} "
                    "were left out in every tier."
                )
                del subjects[who:]
                break
            begun = time.monotonic()
            adapter = self._train(subject, who) if adapted[who] else None
            for tier in offered:
                if not tier.adapter or adapter is not None:
                    with self._timed(_part(tier)):
                        made += self._generate(tier, subject, who, adapter)
            costs[adapted[who]].append(time.monotonic() - begun)
            self._forecast(costs, adapted[who + 1 :], who + 1, len(subjects))
        return made

    def _time_is_up(self, costs: Mapping[bool, Sequence[float]], is_adapted: bool) -> bool:
        if self.plan.minutes is None or not any(costs.values()):
            return False
        left = self.plan.minutes * 60 - CLOSING_SECONDS - self.elapsed
        return _typical(costs, is_adapted) > left

    def _forecast(self, costs: Mapping[bool, Sequence[float]], rest: Sequence[bool], done: int, of: int) -> None:
        ahead = sum(_typical(costs, kind) for kind in rest) + CLOSING_SECONDS
        if self.estimate is None:
            self.estimate = self.elapsed + ahead
        self.tell(f"Pictures: {done} of {of} people, about {ahead / 60:.1f} minutes left")

    def _generate(self, tier: Tier, subject: Subject, who: int, adapter: AdapterUse | None) -> list[Made]:
        pack, defaults = self.pack, self.pack.defaults
        width, height = self._size()
        said = [self._prompt(subject, asked, tier) for asked in subject.asked]
        seeds = np.random.default_rng((self.plan.seed, 0x5EED, subject.person.number)).integers(2**32, size=len(said))
        control = pack.controlnet if tier.control else None
        shape = None
        if control is not None:
            frontal = [face for seen in subject.seen if (face := self._face(seen)) and keypoints.is_frontal(face)]
            shape = keypoints.shape_of(frontal)
        identity = None
        if tier.identity and subject.centroid and pack.ip_adapter is not None:
            identity = IdentityUse(
                embedding=subject.centroid,
                strength=self._identity_strength(),
                control=control.strength if control else 0.0,
            )
        request = GenerateRequest(
            pack=str(pack.directory.resolve()),
            pictures=tuple(
                PictureSpec(
                    index=k,
                    prompt=text,
                    seed=int(seed),
                    keypoints=keypoints.where(control, text, width, height, shape) if control else (),
                )
                for k, (text, seed) in enumerate(zip(said, seeds, strict=True))
            ),
            negative_prompt=str(defaults.get("negative_prompt", "")),
            width=width,
            height=height,
            steps=self._steps(),
            guidance=float(defaults.get("guidance", 7.0)),
            adapter=adapter if tier.adapter else None,
            identity=identity,
            batch_size=8,
            best_of=control.best_of if control and identity else 1,
            encoders=tuple(self.judges),
        )
        folder, outputs, _ = self._run(request)
        looked = {output.index: looked_from_json(output.data["look"]) for output in outputs}
        return [
            Made(
                tier=tier.name,
                who=who,
                number=output.index,
                prompt=said[output.index],
                seed=int(seeds[output.index]),
                asked=subject.asked[output.index],
                path=folder / output.path,
                seen=looked[output.index],
                face=self._face(looked[output.index]),
            )
            for output in outputs
        ]

    def _prompt(self, subject: Subject, asked: Mapping[str, str], tier: Tier) -> str:
        person = subject.person
        base = prompts.base_prompt(noun=person.noun, age=person.age, traits=person.traits)
        if tier.adapter:
            base = prompts.with_trigger(base, prompts.PLACEHOLDER, person.noun)
        return ", ".join([base, *prompts.phrases(asked, self.pack)])

    def _size(self) -> tuple[int, int]:
        return self.pack.sizes[0] if self.pack.sizes else (self.pack.resolution, self.pack.resolution)

    def _steps(self) -> int:
        return self.plan.steps or int(self.pack.defaults.get("steps", 25))

    def _identity_strength(self) -> float:
        return float(self.pack.defaults.get("identity_strength", 0.6))

    def _adapter_strength(self) -> float:
        return float(self.pack.defaults.get("adapter_strength", 0.7))

    # -------------------------------------------------------------------------------------------------- adapters
    def _train(self, subject: Subject, who: int) -> AdapterUse:
        if not self.recipe:
            with self._timed("recipe cut to the time"):
                self.recipe = self._cut(subject)
        begun = time.monotonic()
        with self._timed("adapters trained"):
            folder, outputs, _ = self._run(self._training(subject, self.recipe, seed=who))
        self.train_seconds.append(time.monotonic() - begun)
        adapter = next(output for output in outputs if output.kind == "adapter")
        return AdapterUse(path=str(folder / adapter.path), sha256=adapter.sha256, strength=self._adapter_strength())

    def _cut(self, subject: Subject) -> dict[str, Any]:
        """The pack's recipe with as many steps as the time for one adapter holds, by the pace of a few steps here."""
        recipe = dict(self.pack.recipes["standard"] or {}) | dict(self.plan.recipe)
        if "targets" in recipe:
            recipe["targets"] = tuple(recipe["targets"])
        if "steps" in self.plan.recipe:
            return recipe
        tried, begun = 4, time.monotonic()
        _, _, progress = self._run(self._training(subject, recipe | {"steps": tried}, seed=0))
        whole = time.monotonic() - begun
        pace = next((p.values["steps_per_second"] for p in reversed(progress) if "steps_per_second" in p.values), 1.0)
        fitting = int((self.plan.train_seconds * 0.9 - max(whole - tried / pace, 0.0)) * pace)
        recipe["steps"] = int(np.clip(fitting, 2, recipe.get("steps", 100)))
        return recipe

    def _training(self, subject: Subject, recipe: Mapping[str, Any], *, seed: int) -> TrainRequest:
        head = prompts.opening(noun=subject.person.noun, trigger=prompts.PLACEHOLDER, pack=self.pack)
        pictures = []
        for picture, seen in zip(subject.references, subject.seen, strict=True):
            embedding = seen.faces[0].embeddings.get(CONDITIONING) if seen.faces else None
            caption = ", ".join(part for part in (head, picture.said) if part)
            pictures.append(TrainingPicture(path=str(picture.path), caption=caption, embedding=embedding))
        settings = {"checkpoint_every": 20_000, "sample_every": 20_000} | {
            name: value for name, value in recipe.items() if name not in ("checkpoint_every", "sample_every")
        }
        return TrainRequest(
            pack=str(self.pack.directory.resolve()),
            pictures=tuple(pictures),
            trigger=prompts.PLACEHOLDER,
            samples=(),
            encoders=(),
            seed=seed,
            **settings,
        )

    # -------------------------------------------------------------------------------------------------- judging
    def _judge(self, made: list[Made], subjects: Sequence[Subject]) -> None:
        for picture in made:
            subject = subjects[picture.who]
            if picture.face is not None:
                for judge in self.judges:
                    mine = np.array(picture.face.embeddings[judge])
                    picture.cosines[judge] = float((subject.truth[judge] @ mine).mean())
            shown = [copies.Shown(reference=str(k), seen=seen) for k, seen in enumerate(subject.seen)]
            nearest = copies.nearest(picture.seen, picture.face, shown, encoder=self.judges[-1])
            picture.is_copy = nearest is not None and nearest.is_copy
        if self.pack.attributes is None or not made:
            return
        for picture, read in zip(made, self._read([m.path for m in made]), strict=True):
            person = subjects[picture.who].person
            picture.followed = {
                slot: says(read[slot], slot, value) for slot, value in picture.asked.items() if slot in read
            }
            picture.kept = {
                name: says(read[name], name, value) for name, value in person.attributes.items() if name in read
            }

    def _thresholds(self, strangers: Strangers) -> dict[str, dict[float, float]]:
        """Judge -> false-match rate -> cosine: as the pack states it, else as measured on the strangers."""
        found: dict[str, dict[float, float]] = {}
        for judge in self.judges:
            if self.pack.calibration.get(judge):
                stated = self.pack.quantiles(judge)
                found[judge] = {rate: calibration.threshold(rate, stated) for rate in RATES.values()}
            elif len(impostors := strangers.pairs(judge)[1]):
                found[judge] = {rate: statistics.threshold_at(rate, impostors) for rate in RATES.values()}
                self.notes.append(f"The pack states no rates for its encoder {judge}; its own were measured here.")
            else:
                raise PackError(
                    f"The pack {self.pack.name} states no false-match rates for its encoder {judge}, and there are no "
                    "other people to measure them on. Give a folder with more people."
                )
        return found

    # -------------------------------------------------------------------------------------------------- figures
    def _figures(
        self,
        subjects: Sequence[Subject],
        made: Sequence[Made],
        strangers: Strangers,
        thresholds: Mapping[str, Mapping[float, float]],
    ) -> dict[str, Any]:
        pack, plan = self.pack, self.plan
        by_identity = {tier.name for tier in TIERS if tier.identity}
        tiers: dict[str, Any] = {}
        for tier in TIERS:
            mine = [m for m in made if m.tier == tier.name]
            spent = self.seconds.get(_part(tier), 0.0)
            why_not = tier.why_not(pack) or ("" if mine else "No picture was made in this run.")
            tiers[tier.name] = {"title": tier.title} | (
                {"offered": False, "reason": why_not}
                if why_not
                else figures.tier_figures(mine, self.judges, thresholds, seconds=spent)
            )
        return {
            "pack": {
                "name": pack.name,
                "title": pack.title,
                "version": pack.version,
                "sha256": pack.sha256,
                "architecture": pack.architecture,
                "domain": pack.domain,
                "resolution": pack.resolution,
            },
            "seed": plan.seed,
            "people": {
                "source": self.cast.source,
                "subjects": len(subjects),
                "adapted": len(self.train_seconds),
                "others": strangers.people,
            },
            "judge": self.judges[0],
            "judges": self.judges,
            "measures_attributes": pack.attributes is not None,
            "settings": {
                "prompts_per_identity": plan.prompts,
                "references": plan.references,
                "held_out": plan.held_out,
                "steps": self._steps(),
                "guidance": float(pack.defaults.get("guidance", 7.0)),
                "image_prompt_strength": self._identity_strength(),
                "adapter_strength": self._adapter_strength(),
                "control_strength": pack.controlnet.strength if pack.controlnet else None,
                "best_of": pack.controlnet.best_of if pack.controlnet else None,
                "size": list(self._size()),
                "fixed": {slot: value for slot, value in plan.fixed.items() if slot in pack.slots},
                "recipe": {k: list(v) if isinstance(v, tuple) else v for k, v in self.recipe.items()},
                "recipe_steps_of_the_pack": (pack.recipes.get("standard") or {}).get("steps"),
                "train_seconds": [round(s, 1) for s in self.train_seconds],
            },
            "encoders": {name: figures.encoder_figures(strangers, name) for name in self.encoders},
            "thresholds": {
                judge: {name: round(thresholds[judge][rate], 4) for name, rate in RATES.items()}
                for judge in self.judges
            },
            "stated_vs_measured_fmr": figures.calibration_figures(
                strangers,
                [m for m in made if m.tier in by_identity],
                thresholds,
                [judge for judge in self.judges if pack.calibration.get(judge)],
            ),
            "tiers": tiers,
            "notes": self.notes,
        }

    def _seconds(self) -> dict[str, Any]:
        return {
            "estimated": None if self.estimate is None else round(self.estimate, 1),
            "parts": {part: round(seconds, 1) for part, seconds in self.seconds.items()},
            "total": round(self.elapsed, 1),
        }


def _part(tier: Tier) -> str:
    return f"pictures, {tier.title.lower()}"


def _is_adapted(place: int, people: int, adapted: int) -> bool:
    """Whether the person at this place gets an adapter: the first one, and the others spread evenly behind."""
    wanted = min(adapted, people)
    return wanted > 0 and (place * wanted) // people != ((place - 1) * wanted) // people


def _typical(costs: Mapping[bool, Sequence[float]], is_adapted: bool) -> float:
    """Seconds that one more person takes: the median of those before."""
    known = costs[is_adapted] or costs[not is_adapted]
    return float(np.median(known)) if known else 0.0


def _centroid(embeddings: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """The renormalised mean; empty without any."""
    if not embeddings:
        return ()
    total = np.asarray(embeddings, np.float64).sum(0)
    return tuple(float(v) for v in total / np.linalg.norm(total))
