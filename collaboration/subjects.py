"""Subjects: what annotations, votes, revisions and the activity feed are about, without importing those above.

The wiring's table SUBJECTS maps a kind to a `Subject`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.core.exceptions import ValidationError

from collaboration.wired import entry

if TYPE_CHECKING:
    from collaboration.models import Project, User


@dataclass(frozen=True, slots=True)
class Ordered:
    """What was ordered to follow a suggestion."""

    kind: str
    """What it is called: `batch`."""
    id: UUID
    url: str
    note: str = ""
    """What the person should know, in a sentence; empty when there is nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """How to deal with one kind of subject; `find` returns None for one that is gone."""

    find: Callable[[str], Any | None]
    url: Callable[[Any], str]
    title: Callable[[Any], str]
    snapshot: Callable[[Any], dict[str, Any]] | None = None
    find_many: Callable[[Sequence[str]], Mapping[str, Any]] | None = None
    """ids -> those found by id, with one query and all that `url`, `title` and `picture` read. For lists."""
    project: Callable[[Any], Project] | None = None
    """The project it belongs to. A kind without it cannot be voted on, annotated or approved."""
    picture: Callable[[Any, int], dict[str, Any] | None] | None = None
    """(found, pixels of the longer side) -> context of components/picture.html; None for one that was erased. Kinds
    with it are images."""
    pages: Callable[[Any], Sequence[str]] | None = None
    """found -> keys of the live pages that show it."""
    aspects: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What of it can be approved, in words -> keys of the snapshot."""
    version: Callable[[Any], UUID | None] | None = None
    """Which image it is now; another image has another version, and what is drawn on one stays with it. None once that
    was erased. Images only."""
    is_open: Callable[[Any], bool] = lambda found: True
    """Whether it can be changed: what is in the trash is only looked at."""
    improve: Callable[[Any, str, User], Ordered] | None = None
    """(found, suggestion in plain words, actor): order another picture that follows it. Raises ValidationError."""


@dataclass(frozen=True, slots=True)
class Target:
    """A subject that was found, with its project: see `permissions.access_target`."""

    kind: str
    id: str
    handler: Subject
    row: Any
    project: Project

    @property
    def title(self) -> str:
        return self.handler.title(self.row)

    @property
    def url(self) -> str:
        return self.handler.url(self.row)

    @property
    def version(self) -> UUID | None:
        return self.handler.version(self.row) if self.handler.version else None

    @property
    def is_open(self) -> bool:
        return self.handler.is_open(self.row)

    def picture(self, pixels: int = 1280) -> dict[str, Any] | None:
        return self.handler.picture(self.row, pixels) if self.handler.picture else None


def target(kind: str, id: object) -> Target | None:
    """The subject and its project, without asking who wants it; None where there is none that has a project."""
    handler = subject(kind)
    if handler is None or handler.project is None:
        return None
    try:
        row = handler.find(str(id))
    except (ValidationError, ValueError):  # no id at all
        return None
    return None if row is None else Target(kind, str(row.pk), handler, row, handler.project(row))


def subject(kind: str) -> Subject | None:
    return entry("SUBJECTS", kind)


def url_of(kind: str, id: str) -> str:
    """Where a subject is shown; empty when it is gone or has no page."""
    handler = subject(kind)
    found = handler.find(id) if handler else None
    return handler.url(found) if handler and found is not None else ""


@dataclass(frozen=True, slots=True)
class Link:
    url: str
    title: str


def links(pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Link]:
    """(kind, id) -> where that subject is shown, for those that have a page and still exist.

    One query for each kind that has `find_many`; one for each subject of the others.
    """
    by_kind: dict[str, set[str]] = {}
    for kind, id in pairs:
        by_kind.setdefault(kind, set()).add(id)
    found = {}
    for kind, ids in by_kind.items():
        handler = subject(kind)
        if handler is None:
            continue
        if handler.find_many is not None:
            rows = handler.find_many(sorted(ids))
        else:
            rows = {id: row for id in sorted(ids) if (row := handler.find(id)) is not None}
        for id, row in rows.items():
            if url := handler.url(row):
                found[kind, id] = Link(url, handler.title(row))
    return found
