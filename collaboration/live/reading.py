"""What the hub reads from the database. Everything here blocks, and runs on the hub's own threads."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.sessions.backends.base import SessionBase
from django.db.models import Q
from django.http.cookie import parse_cookie
from django.utils.module_loading import import_string

from collaboration.models import Event, Project, Stream, User
from collaboration.permissions import Verb, verbs_of

if TYPE_CHECKING:
    from collections.abc import Iterable

Rights = frozenset[str]
"""Verbs. What one sees depends on nothing else: it is the audience of a fragment."""


def parts(stream: str) -> tuple[str, str]:
    """`project:<id>` -> (kind, key)."""
    kind, _, key = stream.partition(":")
    return kind, key


def person_of(cookies: str) -> User | None:
    """Who is signed in, from the header `Cookie`."""
    key = parse_cookie(cookies).get(settings.SESSION_COOKIE_NAME)
    if not key:
        return None
    store: type[SessionBase] = import_string(f"{settings.SESSION_ENGINE}.SessionStore")
    user = get_user(SimpleNamespace(session=store(key)))  # type: ignore[arg-type]
    return user if isinstance(user, User) and user.is_active else None


def rights_of(user_id: int, stream: str) -> Rights | None:
    """What the person may do now where the stream belongs; None: they may not even see it."""
    return rights_in(stream, [user_id]).get(user_id)


def rights_in(stream: str, user_ids: Collection[int]) -> dict[int, Rights]:
    """Person -> rights, for those that may see the stream."""
    kind, key = parts(stream)
    people = User.objects.filter(pk__in=user_ids, is_active=True)
    if kind == Stream.PERSON:
        return {user.pk: frozenset() for user in people if str(user.pk) == key}
    project = _project(key) if kind == Stream.PROJECT else None
    if project is None:
        return {}
    found = {user.pk: frozenset(str(verb) for verb in verbs_of(user, project)) for user in people}
    return {pk: rights for pk, rights in found.items() if Verb.SEE in rights}


def _project(key: str) -> Project | None:
    try:
        return Project.objects.select_related("studio").filter(pk=UUID(key)).first()
    except ValueError:
        return None


def heads_of(streams: Iterable[str]) -> dict[str, int]:
    """Stream -> the number of its last event; 0 for one in which nothing has happened."""
    streams = list(streams)
    wanted: dict[str, list[str]] = {}
    for stream in streams:
        kind, key = parts(stream)
        wanted.setdefault(kind, []).append(key)
    if not wanted:
        return {}
    where = Q()
    for kind, keys in wanted.items():
        where |= Q(kind=kind, key__in=keys)
    rows = Stream.objects.filter(where).values_list("kind", "key", "head")
    return dict.fromkeys(streams, 0) | {f"{kind}:{key}": head for kind, key, head in rows}


def events_of(stream: str, after: int, *, until: int | None = None, limit: int) -> list[Event]:
    """The next events after number `after`, in order."""
    kind, key = parts(stream)
    rows = Event.objects.filter(stream__kind=kind, stream__key=key, seq__gt=after).select_related("stream", "actor")
    if until is not None:
        rows = rows.filter(seq__lte=until)
    return list(rows.order_by("seq")[:limit])


Version = Mapping[tuple[str, str, str], object]


def states_of(project_ids: Sequence[str], sources: Sequence[Any]) -> dict[str, dict[tuple[str, str, str], object]]:
    """Project id -> (kind, subject kind, subject id) -> version, of what changes without events: progress of jobs."""
    found: dict[str, dict[tuple[str, str, str], object]] = {}
    for source in sources:
        for project_id, key, version in source(project_ids):
            found.setdefault(project_id, {})[key] = version
    return found
