"""Which people each part of the pack may see. Ranges of identity seeds; those of `ALL` never overlap."""

from __future__ import annotations

from dataclasses import dataclass, replace

FEWEST = 12
"""People of a split at any scale: below it there is nobody to be mistaken for."""


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

    def scaled(self, scale: float) -> Split:
        """The split with this share of its people, 0-1, but at least `FEWEST`."""
        return replace(self, identities=min(self.identities, max(FEWEST, round(self.identities * scale))))


GENERATOR = Split("generator", 0, 8000, 10)
CONDITIONING = Split("conditioning", 100_000, 3000, 10)
SCORING = Split("scoring", 200_000, 3000, 10)
AUDIT = Split("audit", 250_000, 3000, 10)
DETECTOR = Split("detector", 300_000, 6000, 1)
FIGURE = Split("figure", 350_000, 2500, 8)
CALIBRATION = Split("calibration", 400_000, 600, 5)
EVALUATION = Split("evaluation", 500_000, 200, 20)
FREE = Split("free", 900_000, 100_000, 0)
"""For sample persons; nothing is trained, calibrated or measured on these."""
ALL = (GENERATOR, CONDITIONING, SCORING, AUDIT, DETECTOR, FIGURE, CALIBRATION, EVALUATION, FREE)

CODEC = Split("codec", GENERATOR.first, 4096, 1)
"""The first picture of the first people of GENERATOR, larger: not people of its own."""
WIDE = Split("wide", 0, 6000, 1)
"""Pictures of two people of GENERATOR each; its seeds number the pictures, not people."""
