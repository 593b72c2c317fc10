"""From what was seen to figures: encoders, stated rates, tiers and strata, each with its interval."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gpu_worker.contracts import Face, Looked
from gpu_worker.evaluation import statistics
from gpu_worker.evaluation.cast import Person, Picture
from gpu_worker.evaluation.statistics import Estimate

Vectors = NDArray[np.float64]

RATES: Final = {"1e-2": 1e-2, "1e-3": 1e-3}
"""Name -> false-match rate."""
STRATA: Final = ("light", "pose", "expression", "drawing", "shot")
"""Slots by which figures are told apart, where the pack has them."""
FACTOR: Final = 2.0
"""A stated rate holds when the measured one is within this factor of it."""


@dataclass(slots=True, kw_only=True)
class Subject:
    """A person of whom pictures are made, and what was seen of them."""

    person: Person
    references: list[Picture]
    seen: list[Looked]
    """The references."""
    truth: dict[str, Vectors]
    """Encoder -> embeddings of the held-out pictures [N, 512]."""
    centroid: tuple[float, ...]
    """Mean of the references by the conditioning encoder, unit length; empty for a pack without one."""
    asked: list[dict[str, str]]
    """Slot -> value for each picture that is to be made."""


@dataclass(slots=True, kw_only=True)
class Made:
    """A picture that was made, and how it was judged."""

    tier: str
    who: int
    """Place of the subject."""
    number: int
    """Place in the subject's prompts: the same number has the same seed in every tier."""
    prompt: str
    seed: int
    asked: dict[str, str]
    path: Path
    seen: Looked
    face: Face | None
    """The largest, where identity can be measured on it."""
    cosines: dict[str, float] = field(default_factory=dict)
    """Encoder -> mean cosine to the held-out pictures of the person; empty without `face`."""
    followed: dict[str, bool] = field(default_factory=dict)
    """Slot -> whether the classifier sees what was asked for."""
    kept: dict[str, bool] = field(default_factory=dict)
    """Trait -> whether the classifier sees that of the person."""
    is_copy: bool = False


def says(seen: str, slot: str, wanted: str) -> bool:
    """Whether the word a classifier gave means what was wanted: `ink` is an `ink drawing`."""
    return wanted in (seen, f"{seen} {slot}")


# -------------------------------------------------------------------------------------------------- other people
@dataclass(slots=True, kw_only=True)
class Strangers:
    """Pictures of people who serve for nothing but the encoders and their stated rates."""

    whose: NDArray[np.intp]
    """Person of each picture with a face that can be measured [N]."""
    embeddings: dict[str, Vectors]
    """Encoder -> [N, 512]."""
    labels: list[Mapping[str, str]]
    """What each of the N pictures shows."""
    people: int
    looked_at: int
    without_face: int

    @classmethod
    def of(
        cls,
        seen: Sequence[Looked],
        faces: Sequence[Face | None],
        whose: Sequence[int],
        labels: Sequence[Mapping[str, str]],
        encoders: Sequence[str],
    ) -> Strangers:
        """`faces`: of each picture, the one that is compared."""
        kept = [k for k, face in enumerate(faces) if face is not None and all(e in face.embeddings for e in encoders)]
        people = sorted({whose[k] for k in kept})
        place = {person: k for k, person in enumerate(people)}
        return cls(
            whose=np.array([place[whose[k]] for k in kept], np.intp),
            embeddings={e: np.array([faces[k].embeddings[e] for k in kept] or np.zeros((0, 1))) for e in encoders},  # type: ignore[union-attr]
            labels=[labels[k] for k in kept],
            people=len(people),
            looked_at=len(seen),
            without_face=sum(not looked.faces for looked in seen),
        )

    @property
    def membership(self) -> Vectors:
        """[N, people]: 1 where the picture is of the person."""
        return np.eye(self.people)[self.whose]

    def pairs(self, encoder: str) -> tuple[Vectors, Vectors, NDArray[np.intp], NDArray[np.intp]]:
        """Cosines of pairs of one person, of pairs of two, and the pictures of the former."""
        e = self.embeddings[encoder]
        first, second = np.triu_indices(len(e), 1)
        same = self.whose[first] == self.whose[second]
        cosines = (e @ e.T)[first, second]
        return cosines[same], cosines[~same], first[same], second[same]

    def impostor_rate(self, encoder: str, threshold: float) -> Estimate:
        """How many pairs of two people reach the threshold."""
        e, member = self.embeddings[encoder], self.membership
        between = 1 - np.eye(self.people)
        counts = member.sum(0)
        hits = member.T @ (e @ e.T >= threshold) @ member * between
        return statistics.pair_rate(hits, np.outer(counts, counts) * between, same_people=True)

    def generated_rate(self, encoder: str, threshold: float, made: Sequence[Made], *, as_scored: bool) -> Estimate:
        """How many pairs of a picture made of one person and a picture of another reach it; `as_scored`: of a picture
        made and another person, by the mean of the cosines to all of their pictures."""
        rows = [(m.who, m.face.embeddings[encoder]) for m in made if m.face is not None]
        if not rows or not self.people:
            return statistics.NOTHING
        who = np.unique([w for w, _ in rows], return_inverse=True)[1]
        mine, member = np.eye(who.max() + 1)[who], self.membership
        cosines, counts = np.array([v for _, v in rows]) @ self.embeddings[encoder].T, member.sum(0)
        if as_scored:
            hits, pairs = mine.T @ (cosines @ member / counts >= threshold), np.outer(mine.sum(0), np.ones(self.people))
        else:
            hits, pairs = mine.T @ (cosines >= threshold) @ member, np.outer(mine.sum(0), counts)
        return statistics.pair_rate(hits, pairs, same_people=False)


def encoder_figures(strangers: Strangers, encoder: str) -> dict[str, Any]:
    """How well an encoder tells people apart: at thresholds that these very pairs give."""
    genuine, impostors, first, second = strangers.pairs(encoder)
    told: dict[str, Any] = {
        "people": strangers.people,
        "pictures": len(strangers.whose),
        "no_face_rate": round(strangers.without_face / max(strangers.looked_at, 1), 5),
    }
    if not len(genuine) or not len(impostors):
        return told | {"reason": "There are too few pictures of other people to compare."}
    owner = strangers.whose[first]
    strictest = 1.0
    for name, rate in RATES.items():
        strictest = statistics.threshold_at(rate, impostors)
        accepted = _by_person(owner, genuine >= strictest, strangers.people)
        told[f"tmr_at_fmr_{name.replace('-', '')}"] = statistics.mean(accepted).as_json()
    told |= {
        "equal_error_rate": round(statistics.equal_error_rate(genuine, impostors), 5),
        "genuine_mean": round(float(genuine.mean()), 4),
        "impostor_mean": round(float(impostors.mean()), 4),
        "roc": [[round(x, 7), round(y, 5)] for x, y in statistics.roc(genuine, impostors)],
        "strata": {},
    }
    for slot in STRATA:
        values = sorted({labels[slot] for labels in strangers.labels if slot in labels})
        shown = np.array([labels.get(slot, "") for labels in strangers.labels])
        rows = {}
        for value in values:
            meant = (shown[first] == value) | (shown[second] == value)
            rows[value] = statistics.mean(
                _by_person(owner[meant], genuine[meant] >= strictest, strangers.people)
            ).as_json()
        if len(rows) > 1:
            told["strata"][slot] = rows
    return told


def _by_person(owner: NDArray[np.intp], values: NDArray[Any], people: int) -> list[list[float]]:
    groups: list[list[float]] = [[] for _ in range(people)]
    for person, value in zip(owner.tolist(), values.tolist(), strict=True):
        groups[person].append(float(value))
    return groups


def calibration_figures(
    strangers: Strangers, made: Sequence[Made], thresholds: Mapping[str, Mapping[float, float]], stated: Sequence[str]
) -> dict[str, Any]:
    """Stated and measured rates of false matches. `made`: pictures made from a person's references."""
    told: dict[str, Any] = {}
    for encoder in stated:
        told[encoder] = {}
        for name, rate in RATES.items():
            threshold = thresholds[encoder][rate]
            kinds = {
                "renders": strangers.impostor_rate(encoder, threshold),
                "generated": strangers.generated_rate(encoder, threshold, made, as_scored=False),
                "generated_as_scored": strangers.generated_rate(encoder, threshold, made, as_scored=True),
            }
            told[encoder][name] = {"cosine": round(threshold, 4), "stated": rate} | {
                kind: found.as_json() | {"holds": statistics.within_a_factor(found, rate, FACTOR)}
                for kind, found in kinds.items()
            }
    return told


# --------------------------------------------------------------------------------------------------------- tiers
def tier_figures(
    made: Sequence[Made],
    judges: Sequence[str],
    thresholds: Mapping[str, Mapping[float, float]],
    *,
    seconds: float,
) -> dict[str, Any]:
    """Figures of one tier; verified, cosine and strata by the first of `judges`. `seconds`: spent on its pictures."""
    first = judges[0]

    def over(value: Callable[[Made], Sequence[float]], among: Sequence[Made] = made) -> dict[str, Any]:
        groups: dict[int, list[float]] = defaultdict(list)
        for m in among:
            groups[m.who].extend(value(m))
        return statistics.mean(list(groups.values())).as_json()

    def verified(judge: str, name: str) -> Callable[[Made], Sequence[float]]:
        cosine = thresholds[judge][RATES[name]]
        return lambda m: [float(m.cosines.get(judge, -1.0) >= cosine)]

    def cosine(judge: str) -> Callable[[Made], Sequence[float]]:
        return lambda m: [m.cosines[judge]] if judge in m.cosines else []

    def one_of(table: str, key: str) -> Callable[[Made], Sequence[float]]:
        return lambda m: [float(getattr(m, table)[key])] if key in getattr(m, table) else []

    def told(among: Sequence[Made]) -> dict[str, Any]:
        return {
            "verified_at_fmr_1e2": over(verified(first, "1e-2"), among),
            "verified_at_fmr_1e3": over(verified(first, "1e-3"), among),
            "mean_cosine": over(cosine(first), among),
            "adherence": over(lambda m: [float(v) for v in m.followed.values()], among),
        }

    slots = sorted({slot for m in made for slot in m.followed})
    traits = sorted({name for m in made for name in m.kept})
    return {
        "offered": True,
        "identities": len({m.who for m in made}),
        "pictures": len(made),
        **told(made),
        "traits_kept": over(lambda m: [float(v) for v in m.kept.values()]),
        "copy_paste": over(lambda m: [float(m.is_copy)]),
        "no_face_rate": over(lambda m: [float(not m.seen.faces)]),
        "not_measurable": over(lambda m: [float(bool(m.seen.faces) and not m.cosines)]),
        "seconds_per_picture": round(seconds / len(made), 3) if made else None,
        "by_encoder": {
            judge: {
                "verified_at_fmr_1e2": over(verified(judge, "1e-2")),
                "verified_at_fmr_1e3": over(verified(judge, "1e-3")),
                "mean_cosine": over(cosine(judge)),
            }
            for judge in judges
        },
        "adherence_by": {slot: over(one_of("followed", slot)) for slot in slots},
        "traits_by": {name: over(one_of("kept", name)) for name in traits},
        "strata": {
            slot: {value: told([m for m in made if m.asked.get(slot) == value]) for value in values}
            for slot in STRATA
            if len(values := sorted({m.asked[slot] for m in made if slot in m.asked})) > 1
        },
    }


def distributions(made: Sequence[Made], subjects: Sequence[Subject], judge: str) -> dict[str, list[float]]:
    """Cosines by tier, and under `impostors` those of pictures made of one person to the pictures of another."""
    found: dict[str, list[float]] = defaultdict(list)
    for m in made:
        if judge in m.cosines:
            found[m.tier].append(m.cosines[judge])
            other = subjects[(m.who + 1) % len(subjects)]
            if m.face is not None and len(subjects) > 1:
                found["impostors"].append(float((other.truth[judge] @ np.array(m.face.embeddings[judge])).mean()))
    return dict(found)
