"""The summary of a review as rows for other programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

from collaboration.models import User
from collaboration.reviews import fragments
from collaboration.reviews.models import Review
from collaboration.reviews.queries import Shown

COLUMNS = (
    "number",
    "image",
    "kind",
    "id",
    "address",
    "decision",
    "decided_by",
    "decided_at",
    "note",
    "voters",
    "mean",
    "median",
    "spread",
    "picks",
    "rejects",
    "dissent",
)


def rows(review: Review, items: list[Shown], user: User, absolute: Callable[[str], str]) -> list[dict[str, Any]]:
    """One dictionary for each image, in their order; votes are null where they are hidden from `user`."""
    found = []
    for shown in items:
        line = fragments.line(shown, user)
        tally = line["tally"]
        found.append(
            {
                "number": line["number"],
                "image": line["title"],
                "kind": line["kind"],
                "id": line["id"],
                "address": absolute(line["url"]) if line["url"] else "",
                "decision": line["decision"],
                "decided_by": line["decided_by"].display_name if line["decided_by"] else "",
                "decided_at": line["decided_at"].isoformat() if line["decided_at"] else "",
                "note": line["note"],
                "voters": line["voters"],
                "mean": round(tally.mean, 2) if tally and tally.mean is not None else None,
                "median": tally.median if tally else None,
                "spread": round(tally.spread, 2) if tally and tally.spread is not None else None,
                "picks": tally.picks if tally else None,
                "rejects": tally.rejects if tally else None,
                "dissent": [vote.voter.display_name for vote in tally.dissenters] if tally else None,
            }
        )
    return found


def _cell(value: Any) -> str:
    """Spreadsheets carry out what begins like a formula: such words get an apostrophe in front."""
    if isinstance(value, list):
        value = ", ".join(value)
    text = "" if value is None else str(value)
    return f"'{text}" if isinstance(value, str) and text[:1] in "=+-@\t\r" and text else text


def as_csv(found: list[dict[str, Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    for row in found:
        writer.writerow([_cell(row[name]) for name in COLUMNS])
    return buffer.getvalue()


def as_json(review: Review, found: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "review": {
            "id": str(review.pk),
            "title": review.title,
            "brief": review.brief,
            "project": review.project.name,
            "is_blind": review.is_blind,
            "created_by": review.created_by.display_name if review.created_by else None,
            "created_at": review.created_at.isoformat(),
            "closed_at": review.closed_at.isoformat() if review.closed_at else None,
        },
        "images": found,
    }
