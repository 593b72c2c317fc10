"""What an event changes on pages that are open: the wiring's table LIVE names who renders it.

LIVE maps a kind of event (or `*`, every kind) to dotted paths of callables

    def card(event: Event, audience: frozenset[str]) -> list[Swap]

A callable makes its list without asking the database, and hands the work as a function in `Swap.html`: it is called
only where somebody shows the page, and once for several events of a burst that change the same element.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from collaboration.models import Event
from collaboration.wired import entries

log = logging.getLogger(__name__)

How = Literal["outerHTML", "innerHTML", "beforeend", "afterbegin", "delete", "refresh", "refetch"]
"""
outerHTML, innerHTML    the element becomes what is rendered, keeping focus, ticks and pictures that stay;
                        nothing rendered: the element goes
beforeend, afterbegin   a child more; one with its id that is already there is replaced (beforeend) or moved to the
                        front (afterbegin)
delete                  the element goes
refresh                 the element asks for itself at its data-refresh-url (`*`: all that have one and data-live)
refetch                 the element is taken from the page, loaded anew: for what few look at and much would render
"""

_OF_STATE = frozenset({"outerHTML", "innerHTML", "delete", "refresh", "refetch"})


@dataclass(frozen=True, slots=True)
class Swap:
    """One change to an open page. `html` is neutral: nothing of the reader, no token, no local time."""

    target: str
    """Id of the element."""
    html: str | Callable[[], str] = ""
    how: How = "outerHTML"
    page: str = ""
    """Which pages: `project:<id>` is every page of the project, `project:<id>:gallery`, `character:<id>`,
    `variation:<id>`, `person:<id>`; see `data-live-pages` in templates/base.html."""

    @property
    def key(self) -> tuple[str, str] | None:
        """Swaps of state with one key replace each other; None for what is added and never left out."""
        if self.how not in _OF_STATE:
            return None
        return self.page, self.target.removeprefix("#")

    def rendered(self) -> dict[str, str]:
        """{target, how, html}, as the socket sends it."""
        html = self.html() if callable(self.html) else self.html
        return {"target": self.target.removeprefix("#"), "how": self.how, "html": html}


def refetched(page: str, *targets: str) -> list[Swap]:
    """These elements of a page, taken from it anew."""
    return [Swap(target, how="refetch", page=page) for target in targets]


def project_page(event: Event, name: str = "") -> str:
    """`project:<id>:<name>` of the project in whose stream the event stands; without a name every page of it."""
    return ":".join(filter(None, (event.stream.kind, event.stream.key, name)))


def swaps_of(event: Event, audience: frozenset[str]) -> list[Swap]:
    """What the wiring says about one event. A builder that fails is logged, and the others still speak."""
    found: list[Swap] = []
    # What is no event but a state (number 0) is not in the feed either.
    for build in (*entries("LIVE", event.kind), *(entries("LIVE", "*") if event.seq else ())):
        try:
            found += build(event, audience)
        except Exception:
            log.exception("The live fragment %s failed for event %s", build.__qualname__, event.kind)
    return found


Rendered = dict[str, list[tuple[int, dict[str, str]]]]
"""Page -> (number of the event, swap as sent), in order."""


def render(events: Sequence[Event], audience: frozenset[str], pages: Collection[str]) -> Rendered:
    """Render what `events` change on `pages`, each element once: as it is now, with the last event that names it."""
    wanted: list[tuple[int, Swap]] = []
    for event in events:
        wanted += [(event.seq, swap) for swap in swaps_of(event, audience) if swap.page in pages]
    last = {swap.key: place for place, (_, swap) in enumerate(wanted)}
    found: Rendered = {}
    for place, (seq, swap) in enumerate(wanted):
        if swap.key is not None and last[swap.key] != place:
            continue
        try:
            found.setdefault(swap.page, []).append((seq, swap.rendered()))
        except Exception:
            log.exception("Rendering %s for event %s failed", swap.target, seq)
    return found


def as_messages(
    events: Iterable[Event], rendered: Mapping[str, Sequence[tuple[int, dict[str, str]]]], pages: Collection[str]
) -> list[dict[str, Any]]:
    """Events as the socket sends them to who shows `pages`: every one, most of them without any swap."""
    by_seq: dict[int, list[dict[str, str]]] = {}
    for page in sorted(rendered.keys() & set(pages)):
        for seq, swap in rendered[page]:
            by_seq.setdefault(seq, []).append(swap)
    return [
        {
            "seq": event.seq,
            "kind": event.kind,
            "actor": event.actor_id,
            "by": event.actor.display_name if event.actor else "",
            "subject": [event.subject_kind, event.subject_id],
            "summary": event.summary,
            "swaps": by_seq.get(event.seq, []),
        }
        for event in events
    ]
