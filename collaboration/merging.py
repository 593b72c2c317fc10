"""Merging what two people changed at once: each property by itself, in the order in which the server got it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from difflib import SequenceMatcher
from typing import Any

from pycrdt import Doc, Text

from collaboration.models import User


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """Two people gave one property two values, and one of them has not seen the other's."""

    field: str
    mine: Any
    theirs: Any
    """The one that is kept until somebody decides."""
    by: User | None
    """Who wrote theirs; None where nobody knows."""
    at: datetime | None

    @property
    def author(self) -> str:
        return self.by.display_name if self.by else "Somebody"


def merge_words(base: Iterable[str], mine: Iterable[str], theirs: Iterable[str]) -> list[str]:
    """A set of words with what both added and without what either took away. There is no conflict between words."""
    base, mine, theirs = set(base), set(mine), set(theirs)
    return sorted((theirs | (mine - base)) - (base - mine))


def merge_text(base: str, mine: str, theirs: str) -> str:
    """Both changes of one text, as two people who typed them at once would see them merged: by a CRDT."""
    if mine in (base, theirs):
        return theirs
    if theirs == base:
        return mine
    begin = _document(base)
    # Of two who wrote at the same place, the one whose change came first stands first.
    right, left = _fork(begin, theirs, author=1), _fork(begin, mine, author=2)
    right.apply_update(left.get_update())
    return str(right.get("text", type=Text))


def rewrite(text: Text, wanted: str) -> None:
    """Make a shared text say `wanted` by the smallest changes, so that others' cursors and changes stay in place.

    Positions in a shared text are bytes of UTF-8.
    """
    now = str(text)
    # What is alike at both ends needs no search, which takes n * m steps.
    head = _alike(now, wanted)
    tail = _alike(now[head:][::-1], wanted[head:][::-1])
    old, new = now[head : len(now) - tail], wanted[head : len(wanted) - tail]
    changes = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    for what, *places in reversed(changes):
        if what == "equal":
            continue
        a, b, c, d = (place + head for place in places)
        start = len(now[:a].encode())
        end = start + len(now[a:b].encode())
        if end > start:
            del text[start:end]
        if d > c:
            text.insert(start, wanted[c:d])


def _alike(one: str, other: str) -> int:
    """How many characters both begin with."""
    differ = (k for k, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(differ, min(len(one), len(other)))


def _document(text: str) -> Doc:
    doc: Doc = Doc(client_id=0)
    doc["text"] = shared = Text()
    shared.insert(0, text)
    return doc


def _fork(doc: Doc, wanted: str, *, author: int) -> Doc:
    copy: Doc = Doc(client_id=author)
    copy.apply_update(doc.get_update())
    rewrite(copy.get("text", type=Text), wanted)
    return copy
