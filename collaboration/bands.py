"""The bands into which a studio sorts identity scores: excellent, good, and what a person should look at."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from django.core.exceptions import ValidationError

Band = Literal["excellent", "good", "review"]
WORDS: dict[Band, str] = {"excellent": "Excellent", "good": "Good", "review": "Needs review"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bands:
    """From which score (0-100) on a picture is excellent, and from which it is good. What is below needs review; what
    is not is *verified*. By the scale of scores, one stranger in a hundred reaches 70, and one in a thousand 85."""

    excellent: float = 85.0
    good: float = 70.0

    def __post_init__(self) -> None:
        """Raises ValidationError unless 0 < good < excellent < 100."""
        errors = {}
        for name in ("excellent", "good"):
            value = getattr(self, name)
            is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if not (is_number and 0 < value < 100):
                errors[name] = f"“{name.capitalize()}” must begin at a score above 0 and below 100."
        if not errors and not self.good < self.excellent:
            errors["good"] = "“Good” must begin at a lower score than “Excellent”."
        if errors:
            raise ValidationError(errors)

    def of(self, score: float) -> Band:
        return "excellent" if score >= self.excellent else "good" if score >= self.good else "review"
