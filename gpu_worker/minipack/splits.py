"""Which identities each part of the pack may see. Ranges of seeds that never overlap."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Split:
    name: str
    first: int
    """Seed of the first identity."""
    identities: int
    pictures: int
    """Per identity."""

    def seeds(self) -> range:
        return range(self.first, self.first + self.identities)


GENERATOR = Split("generator", 0, 6000, 8)
CONDITIONING = Split("conditioning", 100_000, 3000, 10)
SCORING = Split("scoring", 200_000, 3000, 10)
DETECTOR = Split("detector", 300_000, 6000, 1)
CALIBRATION = Split("calibration", 400_000, 400, 5)
EVALUATION = Split("evaluation", 500_000, 200, 20)
FREE = Split("free", 900_000, 100_000, 0)
"""For sample persons; nothing is trained, calibrated or measured on these."""
ALL = (GENERATOR, CONDITIONING, SCORING, DETECTOR, CALIBRATION, EVALUATION, FREE)
