"""People in texts. Somebody writes `@Alice Moreau`; what is kept is `@[7]`, so that the mention survives a new name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from collaboration.models import Project, User

_KEPT = re.compile(r"@\[(\d{1,18})\]")
_GONE = "somebody"


def people_of(project: Project) -> list[User]:
    """Those who can be mentioned, by name: the members of the project."""
    rows = User.objects.filter(memberships__project=project, is_active=True)
    return sorted(rows, key=lambda user: (user.display_name.casefold(), user.pk))


def handles(people: Iterable[User]) -> dict[int, str]:
    """id -> what is written after the @: the name, or the address where several have that name."""
    people = list(people)
    names = [person.display_name.casefold() for person in people]
    return {p.pk: p.display_name if names.count(p.display_name.casefold()) == 1 else p.email for p in people}


def read(text: str, project: Project) -> tuple[str, set[int]]:
    """Return (the text as it is kept, ids of those mentioned). `@` before anything else is just a sign.

    A first name does where only one of the people has it. Who is no member cannot be mentioned, by no way of writing.
    """
    if "@" not in text:
        return text, set()
    by_name: dict[str, set[int]] = {}
    members = people_of(project)
    for person in members:
        name = person.display_name.casefold()
        for word in {name, name.split()[0] if name.split() else name, person.email.casefold()}:
            by_name.setdefault(word, set()).add(person.pk)
    ids = {person.pk for person in members}
    words = sorted((w for w, owners in by_name.items() if len(owners) == 1), key=len, reverse=True)
    found: set[int] = set()

    def kept(match: re.Match[str]) -> str:
        pk = int(match["id"]) if match["id"] else next(iter(by_name[match["name"].casefold()]))
        if pk not in ids:
            return f"@{_GONE}"
        found.add(pk)
        return f"@[{pk}]"

    names = "|".join(map(re.escape, words)) or r"(?!)"
    pattern = re.compile(rf"(?<!\w)@(?:\[(?P<id>\d{{1,18}})\]|(?P<name>{names})(?!\w))", re.IGNORECASE)
    return pattern.sub(kept, text), found


def ids_in(texts: Iterable[str]) -> set[int]:
    return {int(pk) for text in texts for pk in _KEPT.findall(text)}


def names_in(texts: Iterable[str]) -> dict[int, str]:
    """The present names of all who are mentioned, with one query, or none."""
    ids = ids_in(texts)
    return {u.pk: u.display_name for u in User.objects.filter(pk__in=ids)} if ids else {}


def plain(text: str, names: Mapping[int, str]) -> str:
    """The text with names: for forms, mails and other programs."""
    return _KEPT.sub(lambda m: f"@{names.get(int(m[1]), _GONE)}", text)


def html(text: str, names: Mapping[int, str]) -> SafeString:
    """The text for a page, each mention as an element of its own; everything else is escaped."""
    parts: list[SafeString] = []
    end = 0
    for match in _KEPT.finditer(text):
        name = names.get(int(match[1]), _GONE)
        mention = format_html('<b class="mention" data-person="{}">@{}</b>', match[1], name)
        parts += [format_html("{}", text[end : match.start()]), mention]
        end = match.end()
    parts.append(format_html("{}", text[end:]))
    return format_html_join("", "{}", ((part,) for part in parts))


def without(text: str) -> str:
    """The text less its mentions: what is asked of a model."""
    return " ".join(_KEPT.sub(" ", text).split())
