"""Gates as a reader sees them. What one may do oneself stays apart, so that the rest can be pushed to everybody."""

from __future__ import annotations

from typing import Any

from django.urls import reverse

from collaboration.approvals import queries
from collaboration.approvals.models import Approval, Gate
from collaboration.approvals.queries import Standing
from collaboration.live.fragments import Swap
from collaboration.models import Event, User
from collaboration.permissions import Verb, verbs_of
from collaboration.subjects import Target, subject

ICONS = {
    Gate.APPROVED: "circle-check",
    Gate.LOST: "undo-2",
    Gate.CHANGES: "pencil",
    Gate.ASKED: "hourglass",
    Gate.OPEN: "circle-dashed",
}


def badge(standing: Standing) -> dict[str, str] | None:
    """Context of approvals/_badge.html: the state in a word and a shape; None without gates."""
    if not standing.state:
        return None
    return {"state": standing.state, "words": standing.words, "icon": ICONS[standing.state]}


def step(standing: Standing, url: str) -> dict[str, str] | None:
    """The rung of the readiness ladder; None without gates."""
    states = {
        Gate.APPROVED: "done",
        Gate.LOST: "blocked",
        Gate.CHANGES: "blocked",
        Gate.ASKED: "now",
        Gate.OPEN: "todo",
    }
    if not standing.state:
        return None
    return {"label": standing.words, "state": states[standing.state], "url": url}


def page_url(found: Target) -> str:
    return reverse("approvals:approvals", args=[found.project.slug, found.kind, found.id])


def gates(found: Target) -> dict[str, Any]:
    """Context of approvals/_gates.html: neutral."""
    rows = queries.gates_of(found.kind, found.id)
    latest = queries.latest_revision(found.kind, found.id)
    return {
        "key": f"{found.kind}-{found.id}",
        "gates": [_gate(gate) for gate in rows],
        "standing": badge(queries.standing_of(rows)),
        "revision": latest.number if latest else None,
        "url": page_url(found),
        "mine_url": reverse("approvals:mine", args=[found.project.slug, found.kind, found.id]),
    }


def _gate(gate: Gate) -> dict[str, Any]:
    able = queries.approvers_of(gate)
    said = gate.standing_approvals  # type: ignore[attr-defined]
    return {
        "id": gate.pk,
        "name": gate.name,
        "aspect": gate.aspect,
        "who": queries.who(gate),
        "state": gate.state,
        "words": gate.get_state_display(),
        "icon": ICONS[gate.state],
        "given": min(gate.given, gate.needed),
        "needed": gate.needed,
        "pips": [k < gate.given for k in range(gate.needed)],
        "asked_by": gate.asked_by if gate.state != Gate.APPROVED else None,
        "asked_at": gate.asked_at,
        "said": [
            {
                "person": approval.person,
                "approves": approval.verdict == Approval.APPROVE,
                "note": approval.note,
                "at": approval.given_at,
                "revision": approval.revision.number,
                "counts": approval.person_id in able,
            }
            for approval in said
        ],
        "lost": [
            {
                "person": approval.person,
                "at": approval.ended_at,
                "revision": approval.revision.number,
                "lost_to": approval.lost_to.number if approval.lost_to else None,
                "reason": approval.lost_to.reason if approval.lost_to else "",
            }
            for approval in gate.ended[:3]  # type: ignore[attr-defined]
        ],
    }


def mine(found: Target, user: User) -> dict[str, Any]:
    """Context of approvals/_mine.html: at which gates the person may approve, ask, or change who approves."""
    verbs = verbs_of(user, found.project) if found.is_open else frozenset()
    latest = queries.latest_revision(found.kind, found.id)
    rows = queries.gates_of(found.kind, found.id)
    shown = []
    for gate in rows:
        own = next((a for a in gate.standing_approvals if a.person_id == user.pk), None)  # type: ignore[attr-defined]
        can_approve = found.is_open and queries.may_approve(user, gate)
        args = [found.project.slug, gate.pk]
        shown.append(
            {
                "id": gate.pk,
                "name": gate.name,
                "own": own,
                "approves": own is not None and own.verdict == Approval.APPROVE,
                "approve_url": reverse("approvals:approve", args=args) if can_approve else "",
                "withdraw_url": reverse("approvals:withdraw", args=args) if own is not None else "",
                "ask_url": reverse("approvals:ask", args=args)
                if Verb.EDIT in verbs and gate.state != Gate.APPROVED
                else "",
                "is_asked": gate.asked_at is not None,
                "is_open": gate.state != Gate.APPROVED,
            }
        )
    return {
        "key": f"{found.kind}-{found.id}",
        "gates": [gate for gate in shown if gate["approve_url"] or gate["ask_url"] or gate["withdraw_url"]],
        "revision": latest.number if latest else None,
        "can_set": Verb.APPROVE in verbs,
        "has_gates": bool(rows),
        "url": page_url(found),
        "refresh_url": reverse("approvals:mine", args=[found.project.slug, found.kind, found.id]),
    }


def on_approval(event: Event, audience: frozenset[str]) -> list[Swap]:
    """The gates, wherever their subject is shown, taken from the page anew; what is one's own asks for itself."""
    kind, id = event.subject_kind, event.subject_id
    key = f"{kind}-{id}"
    handler = subject(kind)
    if handler is None:
        return []
    pages = [f"{kind}:{id}", f"approvals:{id}"]
    swaps = [Swap(f"approvals-{key}", how="refetch", page=page) for page in pages]
    swaps += [Swap(f"mine-approvals-{key}", how="refresh", page=page) for page in pages]
    return [*swaps, Swap(f"{kind}-head", how="refetch", page=f"{kind}:{id}")]
