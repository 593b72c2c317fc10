"""The only builders of what the partials about characters show: page, answer and live push all use them.

Every builder returns the whole context of one partial; `audience` is the set of verbs of those who will read it.
Nothing here is personal, so one rendering serves everybody with the same verbs.
"""

from __future__ import annotations

from characters.fragments.batches import batch, batch_card, batch_progress, cell, compared, facts
from characters.fragments.characters import card, card_line, profile, readiness
from characters.fragments.history import revision
from characters.fragments.look_alikes import look_alikes
from characters.fragments.measurements import beside, history, measuring, named_in
from characters.fragments.parts import Audience, median_score, picture, score, verified
from characters.fragments.references import reference, references_notices, references_summary
from characters.fragments.sheets import (
    face,
    faces,
    faces_progress,
    sheet,
    sheet_card,
    sheet_cell,
    sheet_head,
    sheet_progress,
)

__all__ = [
    "Audience",
    "batch",
    "batch_card",
    "batch_progress",
    "beside",
    "card",
    "card_line",
    "cell",
    "compared",
    "face",
    "faces",
    "faces_progress",
    "facts",
    "history",
    "look_alikes",
    "measuring",
    "median_score",
    "named_in",
    "picture",
    "profile",
    "readiness",
    "reference",
    "references_notices",
    "references_summary",
    "revision",
    "score",
    "sheet",
    "sheet_card",
    "sheet_cell",
    "sheet_head",
    "sheet_progress",
    "verified",
]
