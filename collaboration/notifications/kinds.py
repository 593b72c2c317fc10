"""What there is to be told of, and how an event becomes it.

The wiring's table NOTICES maps a kind of event to dotted paths of callables `(event) -> [Notice]`. They run in the
worker, in the transaction that makes the notifications.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from collaboration.models import Event, Membership
from collaboration.notifications.models import Choice
from collaboration.verbs import Role, Verb


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    label: str
    help: str
    icon: str
    reach: str = Choice.MINE
    mail: str = Choice.OFF
    """What holds until a person chooses otherwise."""


KINDS: dict[str, Kind] = {
    "mention": Kind(
        label="Mentions",
        help="Somebody names you in an annotation or an answer.",
        icon="message-square",
        mail=Choice.NOW,
    ),
    "approval_asked": Kind(
        label="Approval asked for", help="You may approve, and have not yet.", icon="shield-check", mail=Choice.NOW
    ),
    "approval_given": Kind(
        label="Approval given", help="Somebody approved, or wants changes of, what you asked for.", icon="circle-check"
    ),
    "approval_lost": Kind(
        label="Approval lost",
        help="A change took away what you had approved or asked for.",
        icon="undo-2",
        mail=Choice.DIGEST,
    ),
    "review": Kind(label="Reviews", help="A review is open for you, or one of yours is closed.", icon="list-checks"),
    "rollback": Kind(
        label="Rollbacks", help="Something went back to an earlier revision.", icon="rotate-ccw", reach=Choice.ALL
    ),
    "queued": Kind(label="Work queued", help="Pictures or a training were ordered.", icon="clock", reach=Choice.NONE),
    "started": Kind(label="Work started", help="A machine began with it.", icon="play", reach=Choice.NONE),
    "finished": Kind(label="Work finished", help="What you ordered is done.", icon="check"),
    "failed": Kind(
        label="Work failed", help="What you ordered could not be done.", icon="octagon-x", mail=Choice.DIGEST
    ),
    "model": Kind(
        label="Model chosen",
        help="Which model made it and why; also where a tier fell back to another.",
        icon="cpu",
        reach=Choice.NONE,
    ),
    "budget": Kind(label="Budget", help="A project's budget runs low or is used up.", icon="gauge", mail=Choice.NOW),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    kind: str
    people: Collection[int] = ()
    """Ids of those whom it concerns."""
    words: str = ""
    """A sentence of its own; without one, what the event says."""
    tells_actor: bool = False
    """Whether who did it is told, too: of work that goes on without them."""


Builder = Callable[[Event], list[Notice]]


# ------------------------------------------------------------------------------------------ events of this app
def mention(event: Event) -> list[Notice]:
    people = event.payload.get("mentioned") or []
    return [Notice(kind="mention", people=people)] if people else []


def approval_asked(event: Event) -> list[Notice]:
    return [Notice(kind="approval_asked", people=event.payload["asks"])]


def approval_given(event: Event) -> list[Notice]:
    asked_by = event.payload.get("asked_by")
    return [Notice(kind="approval_given", people=[asked_by] if asked_by else [])]


def approval_lost(event: Event) -> list[Notice]:
    people = {*event.payload["approvers"], event.payload.get("asked_by")} - {None}
    # Also who took it away by a change of their own should know.
    return [Notice(kind="approval_lost", people=people, tells_actor=True)]


def review_created(event: Event) -> list[Notice]:
    """Whoever may vote is asked to look."""
    roles = [role.value for role in Role if Verb.VOTE in role.verbs]
    rows = Membership.objects.filter(project_id=event.stream.key, role__in=roles)
    return [Notice(kind="review", people=set(rows.values_list("user_id", flat=True)))]


def review_closed(event: Event) -> list[Notice]:
    from collaboration.reviews.models import Review

    rows = Review.objects.filter(pk=event.payload["review_id"]).exclude(created_by=None)
    return [Notice(kind="review", people=list(rows.values_list("created_by_id", flat=True)))]


def rollback(event: Event) -> list[Notice]:
    return [Notice(kind="rollback")]
