"""What a comparison of checkpoints says: figures of each step, which one is proposed and why, signs of over-training.

The rule. Identity counts where at least half of a step's pictures could be measured. A step is considered when it
follows the prompts at most `ADHERENCE_SLACK` worse than the step that follows them best, and when its pictures differ
from each other at least `DIVERSITY_KEPT` times as much as those of the most varied step; what could not be measured
bars nobody. Of those considered the one with the highest mean identity is proposed; where others reach it within `TIE`
points, the earliest of them, for it was trained least.
"""

from __future__ import annotations

import itertools
import operator
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

ADHERENCE_SLACK: Final = 0.10
DIVERSITY_KEPT: Final = 0.80
TIE: Final = 1.0
"""Points of identity."""
FALL: Final = 5.0
"""Points of identity lost towards the end that are worth a sentence."""

FIGURE, HASH = "figure", "hash"
"""How pictures are told apart: by the pack's encoder of whole figures, or by their perceptual hashes."""
BITS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What was measured in one picture of a step."""

    score: float | None
    """Identity, 0-100."""
    asked: Mapping[str, str]
    """Attribute -> the word in its prompt."""
    seen: Mapping[str, str]
    """Attribute -> the word that the classifier finds; empty where there is none."""
    figure: Sequence[float] = ()
    """Unit length; empty where the pack has no such encoder."""
    perceptual_hash: str = ""
    """16 hex digits; see `contracts.Looked`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The figures of one step."""

    step: int
    pictures: int
    scored: int
    """Pictures in which identity could be measured."""
    identity: float | None
    """0-100: the mean of those."""
    adherence: float | None
    """0-1: share of what was asked that a classifier finds in the pictures; None where none looks."""
    diversity: float | None
    """Mean distance between two pictures of the step; None for fewer than two. By `distance`: 1 - cosine of the figures
    (0-2), or share of the bits in which perceptual hashes differ (0-1)."""
    distance: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Measured:
        return cls(**data)

    @property
    def can_be_judged(self) -> bool:
        return self.identity is not None and 2 * self.scored >= self.pictures


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    step: int | None
    """None where nothing can be proposed."""
    reason: str
    concerns: Sequence[str]


def measure(steps: Mapping[int, Sequence[Picture]]) -> list[Measured]:
    """Step -> its pictures, each of another prompt and seed; in order of the steps."""
    everything = [picture for pictures in steps.values() for picture in pictures]
    distance, between = _distance(everything)
    return [
        Measured(
            step=step,
            pictures=len(pictures),
            scored=sum(p.score is not None for p in pictures),
            identity=_mean([p.score for p in pictures if p.score is not None], 1),
            adherence=_adherence(pictures),
            diversity=_mean([between(a, b) for a, b in itertools.combinations(pictures, 2)], 4) if between else None,
            distance=distance,
        )
        for step, pictures in sorted(steps.items())
    ]


def _distance(pictures: Sequence[Picture]) -> tuple[str, Callable[[Picture, Picture], float] | None]:
    """One measure for all, so that the steps can be compared."""
    if pictures and all(p.figure for p in pictures):
        return FIGURE, lambda a, b: 1 - sum(map(operator.mul, a.figure, b.figure))
    if pictures and all(p.perceptual_hash for p in pictures):
        return HASH, lambda a, b: (int(a.perceptual_hash, 16) ^ int(b.perceptual_hash, 16)).bit_count() / BITS
    return "", None


def _adherence(pictures: Sequence[Picture]) -> float | None:
    told = [
        picture.seen[name] == word
        for picture in pictures
        for name, word in picture.asked.items()
        if name in picture.seen
    ]
    return _mean([float(is_so) for is_so in told], 4)


def _mean(values: Sequence[float], digits: int) -> float | None:
    return round(statistics.fmean(values), digits) if values else None


# ---------------------------------------------------------------------------------------------------------- proposing
def propose(measured: Sequence[Measured], *, is_held_out: bool) -> Verdict:
    """`is_held_out`: whether identity was measured against references that the training never saw."""
    concerns = [*_over_training(measured), *([] if is_held_out else [_NOT_HELD_OUT])]
    judged = [m for m in measured if m.can_be_judged]
    if not judged:
        reason = (
            "No step is proposed: identity could be measured in too few of the pictures. "
            "Look at them and choose one yourself."
        )
        return Verdict(step=None, reason=reason, concerns=[c for c in concerns if c != _NOT_HELD_OUT])
    considered = [m for m in judged if not _bars(m, measured)]
    if not considered:
        reason = (
            "No step is proposed: none of them both follows the prompts and keeps its pictures varied. "
            "Look at them and choose one yourself."
        )
        return Verdict(step=None, reason=reason, concerns=concerns)
    highest = max(_identity(m) for m in considered)
    chosen = next(m for m in considered if _identity(m) >= highest - TIE)
    return Verdict(step=chosen.step, reason=_reason(chosen, considered, judged, measured), concerns=concerns)


_NOT_HELD_OUT = (
    "There are no references that were held out from the training, so identity was measured against pictures that the "
    "adapter learnt from. That favours later steps: look closely at the pictures."
)


def _identity(measured: Measured) -> float:
    return measured.identity if measured.identity is not None else 0.0


def _highest(measured: Sequence[Measured], name: str) -> tuple[float, int] | None:
    """Of a figure: its highest value and the first step that reaches it; None where no step has it."""
    found = [(value, m.step) for m in measured if (value := getattr(m, name)) is not None]
    return max(found, key=lambda pair: (pair[0], -pair[1]), default=None)


def _bars(one: Measured, measured: Sequence[Measured]) -> list[str]:
    """Why a step is not considered, in words that follow its number."""
    found = []
    adherence, diversity = _highest(measured, "adherence"), _highest(measured, "diversity")
    if adherence and one.adherence is not None and one.adherence < adherence[0] - ADHERENCE_SLACK:
        found.append(f"follows the prompts less ({one.adherence:.0%} against {adherence[0]:.0%})")
    if diversity and one.diversity is not None and one.diversity < DIVERSITY_KEPT * diversity[0]:
        found.append(f"makes pictures that are more alike ({one.diversity:.2f} against {diversity[0]:.2f})")
    return found


def _reason(
    chosen: Measured, considered: Sequence[Measured], judged: Sequence[Measured], measured: Sequence[Measured]
) -> str:
    nearest = max(judged, key=_identity)
    if _identity(nearest) > _identity(chosen) + TIE:
        why = " and ".join(_bars(nearest, measured))
        rest = f"the most of those considered; step {nearest.step:,} reaches {_identity(nearest):.0f}, but {why}"
    elif len(considered) == 1:
        rest = "and the only one that keeps to the prompts and stays varied"
    elif _identity(nearest) > _identity(chosen):
        rest = f"and no later step is nearer to the person by more than {TIE:.0f} point"
    else:
        rest = "the most of all"
    return f"Step {chosen.step:,} is proposed: its identity is {_identity(chosen):.0f} on average, {rest}."


def _over_training(measured: Sequence[Measured]) -> list[str]:
    """What falls towards the last step, in sentences."""
    if len(measured) < 2:
        return []
    last, found = measured[-1], []
    adherence, diversity = _highest(measured, "adherence"), _highest(measured, "diversity")
    if adherence and last.adherence is not None and last.adherence < adherence[0] - ADHERENCE_SLACK:
        found.append(
            f"The prompts are followed less towards the end: {adherence[0]:.0%} at step {adherence[1]:,}, "
            f"{last.adherence:.0%} at step {last.step:,}. That is a sign of over-training."
        )
    if diversity and last.diversity is not None and last.diversity < DIVERSITY_KEPT * diversity[0]:
        found.append(
            f"The pictures become more alike towards the end: they differ by {diversity[0]:.2f} at step "
            f"{diversity[1]:,} and by {last.diversity:.2f} at step {last.step:,}. That is a sign of over-training."
        )
    best = max((m for m in measured if m.can_be_judged), key=_identity, default=None)
    if best and last.can_be_judged and _identity(last) < _identity(best) - FALL:
        found.append(
            f"Identity falls again after step {best.step:,}: {_identity(best):.0f} there, {_identity(last):.0f} at "
            f"step {last.step:,}. Fewer steps, or a lower learning rate, would do."
        )
    return found
