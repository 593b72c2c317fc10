"""What changed in each revision of a character, in words and in pictures."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from difflib import SequenceMatcher
from typing import Any

from django.urls import reverse

from assets.models import Asset
from characters.fragments.parts import picture
from characters.history import LABELS
from characters.models import Character, Reference, Variation
from collaboration.models import Revision
from collaboration.revisions import Change, changes

TEXTS = ("name", "description", "noun", "age", "traits", "base_prompt")
PICTURES = ("picture", "references", "picked")
SHOWN = 12
"""Pictures of one change that are shown; more are counted."""


class Pictures:
    """The assets that snapshots name, found with three queries for any number of them."""

    def __init__(self, snapshots: Iterable[Mapping[str, Any]]) -> None:
        named: dict[str, set[str]] = {key: set() for key in PICTURES}
        for snapshot in snapshots:
            for key in ("references", "picked"):
                named[key].update(snapshot.get(key) or ())
            if snapshot.get("picture"):
                named["picture"].add(snapshot["picture"])
        self.found: dict[str, dict[str, Any]] = {
            "picture": {str(a.pk): a for a in Asset.objects.filter(pk__in=named["picture"])},
            "references": {
                str(r.pk): r.asset for r in Reference.objects.filter(pk__in=named["references"]).select_related("asset")
            },
            "picked": {
                str(v.pk): v.asset for v in Variation.objects.filter(pk__in=named["picked"]).select_related("asset")
            },
        }

    def shown(self, key: str, ids: Collection[str], size: int = 160) -> list[dict[str, Any] | None]:
        """None stands for a picture that was erased."""
        return [picture(self.found[key].get(pk), size=size, alt=LABELS[key]) for pk in list(ids)[:SHOWN]]


def revision(
    row: Revision,
    earlier: Revision | None,
    pictures: Pictures,
    *,
    character: Character,
    now: Mapping[str, Any],
) -> dict[str, Any]:
    """Context of characters/_revision.html. `now` is the present snapshot."""
    args = [character.project.slug, character.pk, row.number]
    done = changes(earlier.snapshot if earlier else None, row.snapshot)
    return {
        "number": row.number,
        "author": row.author,
        "at": row.at,
        "reason": row.reason,
        "changes": [_change(c, pictures, differs_now=now.get(c.key) != c.after) for c in done],
        "is_first": earlier is None,
        "is_present": all(now.get(key) == value for key, value in row.snapshot.items() if key != "trashed"),
        "url": reverse("characters:revision", args=args),
        "roll_back_url": reverse("characters:revision_roll_back", args=args),
        "undo_url": reverse("characters:revision_undo", args=args),
    }


def _change(change: Change, pictures: Pictures, *, differs_now: bool) -> dict[str, Any]:
    found = {"key": change.key, "label": LABELS.get(change.key, change.key), "differs_now": differs_now}
    if change.key in TEXTS:
        return found | {"kind": "text", "segments": words_diff(change.before or "", change.after or "")}
    if change.key == "picture":
        shown = [pictures.shown("picture", [pk]) if pk else [None] for pk in (change.before, change.after)]
        return found | {"kind": "picture", "before": shown[0][0], "after": shown[1][0]}
    if change.key in ("references", "picked"):
        before, after = set(change.before or ()), set(change.after or ())
        added = [pk for pk in change.after or () if pk not in before]
        removed = [pk for pk in change.before or () if pk not in after]
        return found | {
            "kind": "pictures",
            "added": pictures.shown(change.key, added),
            "removed": pictures.shown(change.key, removed),
            "more_added": max(0, len(added) - SHOWN),
            "more_removed": max(0, len(removed) - SHOWN),
        }
    if change.key == "tags":
        before, after = set(change.before or ()), set(change.after or ())
        return found | {"kind": "words", "added": sorted(after - before), "removed": sorted(before - after)}
    return found | {
        "kind": "value",
        "before": _word(change.key, change.before),
        "after": _word(change.key, change.after),
    }


def _word(key: str, value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".") or "0"
    if key == "adapter_version":
        return f"v{value}"
    return str(value)


def words_diff(before: str, after: str) -> list[dict[str, str]]:
    """[{kind: "same" | "gone" | "new", text}], word by word; what is gone stands before what came for it."""
    old, new = _words(before), _words(after)
    segments = []
    for what, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if what == "equal":
            segments.append({"kind": "same", "text": "".join(old[a:b])})
            continue
        if b > a:
            segments.append({"kind": "gone", "text": "".join(old[a:b])})
        if d > c:
            segments.append({"kind": "new", "text": "".join(new[c:d])})
    return segments


def _words(text: str) -> list[str]:
    return re.findall(r"\s+|\w+|[^\w\s]", text)
