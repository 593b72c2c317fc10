"""/api/v1: approval gates of characters."""

from __future__ import annotations

from typing import Literal, cast

from django.http import Http404
from ninja import Router, Status
from pydantic import Field

from collaboration.approvals import actions, queries
from collaboration.approvals.models import Gate
from collaboration.models import Membership, User
from collaboration.permissions import Verb, access_target, require
from collaboration.rest.auth import ApiRequest
from collaboration.rest.problems import Problem
from collaboration.rest.schemas import UUID, Answer, Body, PersonOut, datetime, person
from collaboration.subjects import Target, target
from collaboration.verbs import Role

router = Router(tags=["Approvals"])

State = Literal["open", "asked", "approved", "changes", "lost"]


class ApprovalOut(Answer):
    person: PersonOut
    verdict: Literal["approve", "changes"]
    note: str
    revision: int = Field(description="Number of the revision that it was said of.", examples=[12])
    at: datetime


class GateOut(Answer):
    id: UUID
    name: str = Field(examples=["Likeness"])
    aspect: str = Field(description="What is approved: a change of anything else leaves approvals alone.")
    needed: int = Field(description="How many have to approve.", examples=[2])
    roles: list[Role]
    people: list[PersonOut] = Field(description="Who may approve beside those with one of the roles.")
    state: State = Field(description="`lost`: a change took the approval away.")
    given: int = Field(description="Approvals that stand.", examples=[1])
    asked_by: PersonOut | None
    asked_at: datetime | None
    approvals: list[ApprovalOut] = Field(description="What stands.")


class GatesOut(Answer):
    state: State | Literal[""] = Field(description="Of all gates together; empty without any.")
    revision: int | None = Field(description="Number of the latest revision: send it along when you approve.")
    gates: list[GateOut]


class GateIn(Body):
    name: str = Field(examples=["Likeness"])
    aspect: str = Field("Everything", description="`Everything`, `The look`, `The description` or `The model`.")
    needed: int = Field(1, description="1-20.")
    roles: list[Role] = Field(default_factory=lambda: [Role.LEAD, Role.OWNER])
    people: list[int] = Field(default_factory=list, description="Ids of members.")


class GateChangeIn(Body):
    name: str | None = None
    aspect: str | None = None
    needed: int | None = None
    roles: list[Role] | None = None
    people: list[int] | None = None


class SayIn(Body):
    verdict: Literal["approve", "changes"] = "approve"
    note: str = Field("", description="What should change, where changes are wanted.")
    revision: int | None = Field(None, description="What you looked at; refused where it was changed after that.")


def _out(gate: Gate) -> GateOut:
    rows = gate.approvals.filter(ended_at=None).select_related("person", "revision").order_by("given_at")
    return GateOut(
        id=gate.pk,
        name=gate.name,
        aspect=gate.aspect,
        needed=gate.needed,
        roles=[Role(role) for role in gate.roles],
        people=[PersonOut(id=p.pk, name=p.display_name) for p in gate.people.all()],
        state=cast("State", gate.state),
        given=gate.given,
        asked_by=person(gate.asked_by),
        asked_at=gate.asked_at,
        approvals=[
            ApprovalOut(
                person=PersonOut(id=a.person_id, name=a.person.display_name),
                verdict=cast("Literal['approve', 'changes']", a.verdict),
                note=a.note,
                revision=a.revision.number,
                at=a.given_at,
            )
            for a in rows
        ],
    )


def _subject(request: ApiRequest, id: UUID, verb: Verb = Verb.SEE) -> Target:
    return access_target(request.auth, "character", id, verb=verb)


def _gate(request: ApiRequest, id: UUID, verb: Verb = Verb.SEE) -> Gate:
    gate = Gate.objects.present().select_related("project__studio", "asked_by").filter(pk=id).first()
    if gate is None or target(gate.subject_kind, gate.subject_id) is None:
        raise Http404
    require(request.auth, verb, gate.project)
    return gate


def _people(found: Target, ids: list[int]) -> list[User]:
    rows = Membership.objects.filter(project=found.project, user__in=ids).select_related("user")
    people = [m.user for m in rows]
    if len(people) != len(set(ids)):
        raise Problem("invalid", "Only members of the project can approve.")
    return people


@router.get("/characters/{uuid:id}/gates", response=GatesOut, summary="See who must approve a character")
def list_gates(request: ApiRequest, id: UUID) -> GatesOut:
    found = _subject(request, id)
    rows = queries.gates_of(found.kind, found.id)
    latest = queries.latest_revision(found.kind, found.id)
    return GatesOut(
        state=cast("State", queries.standing_of(rows).state),
        revision=latest.number if latest else None,
        gates=[_out(gate) for gate in rows],
    )


@router.post("/characters/{uuid:id}/gates", response={201: GateOut}, summary="Want an approval")
def create_gate(request: ApiRequest, id: UUID, payload: GateIn) -> Status[GateOut]:
    found = _subject(request, id, Verb.APPROVE)
    fields = payload.model_dump() | {"people": _people(found, payload.people)}
    return Status(201, _out(actions.create_gate(subject=found, actor=request.auth, **fields)))


@router.patch("/gates/{uuid:id}", response=GateOut, summary="Change who must approve")
def change_gate(request: ApiRequest, id: UUID, payload: GateChangeIn) -> GateOut:
    gate = _gate(request, id, Verb.APPROVE)
    fields = {name: value for name, value in payload.given().items() if value is not None}
    found = target(gate.subject_kind, gate.subject_id)
    if found is not None and "people" in fields:
        fields["people"] = _people(found, fields["people"])
    return _out(actions.change_gate(gate=gate, actor=request.auth, **fields))


@router.delete("/gates/{uuid:id}", response={204: None}, summary="No longer want an approval")
def remove_gate(request: ApiRequest, id: UUID) -> Status[None]:
    actions.remove_gate(gate=_gate(request, id, Verb.APPROVE), actor=request.auth)
    return Status(204, None)


@router.post("/gates/{uuid:id}/ask", response=GateOut, summary="Ask for an approval")
def ask(request: ApiRequest, id: UUID) -> GateOut:
    return _out(actions.ask_approval(gate=_gate(request, id, Verb.EDIT), actor=request.auth))


@router.put("/gates/{uuid:id}/approval", response=GateOut, summary="Approve, or want changes")
def say(request: ApiRequest, id: UUID, payload: SayIn) -> GateOut:
    gate = _gate(request, id)
    how = actions.approve if payload.verdict == "approve" else actions.ask_changes
    how(gate=gate, actor=request.auth, note=payload.note, revision=payload.revision)
    return _out(gate)


@router.delete("/gates/{uuid:id}/approval", response=GateOut, summary="Take back what you said")
def withdraw(request: ApiRequest, id: UUID) -> GateOut:
    gate = _gate(request, id)
    actions.withdraw(gate=gate, actor=request.auth)
    return _out(gate)
