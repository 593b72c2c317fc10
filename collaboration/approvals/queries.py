"""How far approvals are, and who may give them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Prefetch

from collaboration.approvals.models import Approval, Gate
from collaboration.models import Membership, Project, Revision, User
from collaboration.verbs import Role

URGENCY = (Gate.LOST, Gate.CHANGES, Gate.ASKED, Gate.OPEN)
"""Of several gates, the state that matters most."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The gates of one subject taken together."""

    state: str
    """One of Gate's; empty without gates."""
    passed: int = 0
    gates: int = 0
    given: int = 0
    needed: int = 0

    @property
    def words(self) -> str:
        if self.state == Gate.APPROVED:
            return "Approved"
        if self.state in (Gate.LOST, Gate.CHANGES):
            return dict(Gate.STATES)[self.state]
        if not self.state:
            return ""
        return (
            f"Approved by {self.given} of {self.needed}"
            if self.gates == 1
            else f"{self.passed} of {self.gates} approvals"
        )


def standing_of(gates: Iterable[Gate]) -> Standing:
    gates = list(gates)
    if not gates:
        return Standing("")
    states = {gate.state for gate in gates}
    state = next((s for s in URGENCY if s in states), Gate.APPROVED)
    passed = sum(gate.state == Gate.APPROVED for gate in gates)
    given = sum(min(gate.given, gate.needed) for gate in gates)
    return Standing(state, passed, len(gates), given, sum(gate.needed for gate in gates))


def standings(kind: str, ids: Iterable[object]) -> Mapping[str, Standing]:
    """Subject id -> standing, for every id, with one query."""
    wanted = [str(id) for id in ids]
    found: dict[str, list[Gate]] = {id: [] for id in wanted}
    rows = Gate.objects.present().filter(subject_kind=kind, subject_id__in=wanted)
    for gate in rows.only("subject_id", "state", "given", "needed") if wanted else ():
        found[gate.subject_id].append(gate)
    return {id: standing_of(gates) for id, gates in found.items()}


def attach(kind: str, rows: Iterable[Any]) -> None:
    """Give each row its `standing`."""
    rows = list(rows)
    found = standings(kind, [row.pk for row in rows])
    for row in rows:
        row.standing = found[str(row.pk)]


def gates_of(kind: str, id: object) -> list[Gate]:
    """With `standing_approvals`, those that stand, the people who may approve by name, and `ended`, the last few that
    do not."""
    current = Approval.objects.filter(ended_at=None).select_related("person", "revision").order_by("given_at")
    gates: list[Gate] = list(
        Gate.objects.present()
        .of(kind, id)
        .select_related("asked_by")
        .prefetch_related("people", Prefetch("approvals", current, to_attr="standing_approvals"))
    )
    for gate in gates:
        gate.ended = []  # type: ignore[attr-defined]
    by_id = {gate.pk: gate for gate in gates}
    rows = Approval.objects.filter(gate__in=gates, ended_how=Approval.LOST).select_related(
        "person", "revision", "lost_to"
    )
    for approval in rows.order_by("-ended_at")[:20]:
        by_id[approval.gate_id].ended.append(approval)  # type: ignore[attr-defined]
    return gates


def latest_revision(kind: str, id: object) -> Revision | None:
    return Revision.objects.filter(subject_kind=kind, subject_id=str(id)).order_by("-number").first()


def approvers_of(gate: Gate) -> set[int]:
    """Ids of the members who may approve at it."""
    rows = Membership.objects.filter(project_id=gate.project_id, user__is_active=True)
    named = {person.pk for person in gate.people.all()}
    return {m.user_id for m in rows.only("user_id", "role") if m.role in gate.roles or m.user_id in named}


def may_approve(user: User, gate: Gate) -> bool:
    return user.pk in approvers_of(gate)


def who(gate: Gate) -> str:
    """`2 of: leads, Rita`."""
    names = [f"{role}s" for role in gate.roles if role in set(Role)]
    names += sorted(person.display_name for person in gate.people.all())
    return f"{gate.needed} of: {', '.join(names)}" if gate.needed > 1 else ", ".join(names)


def waiting_for(user: User, project: Project, *, limit: int = 50) -> list[Gate]:
    """Gates at which the person is asked and has not answered, the oldest question first."""
    rows = Gate.objects.present().filter(project=project, state__in=[Gate.ASKED, Gate.LOST])
    rows = rows.exclude(asked_at=None).exclude(approvals__in=Approval.objects.filter(person=user, ended_at=None))
    found = rows.order_by("asked_at").select_related("asked_by").prefetch_related("people")[:limit]
    role = Membership.objects.filter(project=project, user=user).values_list("role", flat=True).first()
    return [gate for gate in found if role and (role in gate.roles or user in gate.people.all())]
