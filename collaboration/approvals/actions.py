"""Setting gates, asking, approving, and losing what was approved: one transaction, one event each."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from collaboration import events as log
from collaboration.approvals import events, queries
from collaboration.approvals.models import Approval, Gate
from collaboration.models import Membership, Project, Revision, Stream, User
from collaboration.names import clean_name, clean_text
from collaboration.permissions import Verb, require_scope
from collaboration.subjects import Target, target
from collaboration.verbs import Role

LARGEST_NEED = 20
MOST_GATES = 12


class ChangedSince(ValidationError):
    def __init__(self, title: str) -> None:
        super().__init__(f"{title} was changed after you opened this page. Look at it again.", code="changed_since")


class NotAsked(PermissionDenied):
    def __init__(self) -> None:
        super().__init__("This approval is not yours to give. Ask a lead to name you.")


def _named(gate: Gate, title: str) -> dict[str, Any]:
    """The fields that every event of a gate has."""
    return {
        "subject_kind": gate.subject_kind,
        "subject_id": gate.subject_id,
        "title": title,
        "gate_id": str(gate.pk),
        "gate": gate.name,
    }


def _take_turns(project: Project) -> None:
    """Wait for every change of the project that is being written: their revisions are then to be seen, and theirs see
    this approval. A change takes this lock with its event, and looks for approvals after it."""
    kind, key = log.stream_of(project)
    Stream.objects.select_for_update().filter(kind=kind, key=key).first()


def _title(gate: Gate) -> str:
    found = target(gate.subject_kind, gate.subject_id)
    return found.title if found else "what is gone"


# ----------------------------------------------------------------------------------------------------------- gates
def _clean(subject: Target, fields: dict[str, Any]) -> dict[str, Any]:
    """Raises ValidationError, by field."""
    errors: dict[str, str] = {}
    if "name" in fields:
        try:
            fields["name"] = clean_name(str(fields["name"]), limit=60, what="name of the approval")
        except ValidationError as error:
            errors["name"] = error.messages[0]
    if "aspect" in fields and fields["aspect"] not in subject.handler.aspects:
        errors["aspect"] = f"Choose what is approved: {', '.join(subject.handler.aspects)}."
    if "needed" in fields:
        needed = fields["needed"]
        if isinstance(needed, bool) or not isinstance(needed, int) or not 1 <= needed <= LARGEST_NEED:
            errors["needed"] = f"From 1 to {LARGEST_NEED} people approve."
    if "roles" in fields:
        fields["roles"] = [role.value for role in Role if role.value in fields["roles"]]
    if "people" in fields:
        ids = {person.pk for person in fields["people"]}
        members = set(
            Membership.objects.filter(project=subject.project, user__in=ids).values_list("user_id", flat=True)
        )
        if ids - members:
            errors["people"] = "Only members of the project can approve."
    if errors:
        raise ValidationError(errors)
    return fields


def _refuse_unreachable(gate: Gate, roles: Collection[str], people: Iterable[User]) -> None:
    rows = Membership.objects.filter(project_id=gate.project_id, user__is_active=True)
    named = {person.pk for person in people}
    able = sum(m.role in roles or m.user_id in named for m in rows.only("role", "user_id"))
    if not roles and not named:
        raise ValidationError({"roles": "Choose who approves: a role, people, or both."})
    if able < gate.needed:
        raise ValidationError({"needed": f"Only {able} of those people are in the project."})


def create_gate(
    *,
    subject: Target,
    name: str,
    actor: User,
    aspect: str = "Everything",
    needed: int = 1,
    roles: Collection[str] = (Role.LEAD, Role.OWNER),
    people: Sequence[User] = (),
) -> Gate:
    """Raises ValidationError, by field."""
    fields = {"name": name, "aspect": aspect, "needed": needed, "roles": roles, "people": people}
    cleaned = _clean(subject, fields)
    named = cleaned.pop("people")
    with transaction.atomic():
        _take_turns(subject.project)
        rows = Gate.objects.present().of(subject.kind, subject.id)
        if rows.count() >= MOST_GATES:
            raise ValidationError(f"{subject.title} has {MOST_GATES} approvals already.", code="most")
        gate = Gate(project=subject.project, subject_kind=subject.kind, subject_id=subject.id, **cleaned)
        _refuse_taken(gate)
        _refuse_unreachable(gate, gate.roles, named)
        gate.order = (rows.aggregate(last=Max("order"))["last"] or 0) + 10
        gate.save(force_insert=True)
        gate.people.set(named)
        log.record(subject.project, events.GateCreated(**_named(gate, subject.title)), actor=actor)
    return gate


def change_gate(*, gate: Gate, actor: User, **fields: Any) -> Gate:
    """Change `name`, `aspect`, `needed`, `roles` or `people`; approvals of who may no longer give them do not count.

    Raises ValidationError, by field.
    """
    subject = target(gate.subject_kind, gate.subject_id)
    if subject is None:
        raise ValidationError("What was to be approved is gone.", code="gone")
    cleaned = _clean(subject, fields)
    named = cleaned.pop("people", None)
    with transaction.atomic():
        _take_turns(gate.project)
        gate.refresh_from_db()
        changed = [name for name, value in cleaned.items() if getattr(gate, name) != value]
        for name in changed:
            setattr(gate, name, cleaned[name])
        before = set(gate.people.all())
        if named is not None and set(named) != before:
            changed.append("people")
        if not changed:
            return gate
        _refuse_taken(gate)
        _refuse_unreachable(gate, gate.roles, before if named is None else named)
        gate.save()
        if named is not None:
            gate.people.set(named)
        _count(gate)
        words = [{"needed": "how many approve", "aspect": "what is approved"}.get(name, name) for name in changed]
        log.record(gate.project, events.GateChanged(**_named(gate, subject.title), fields=words), actor=actor)
    return gate


def _refuse_taken(gate: Gate) -> None:
    same = Gate.objects.present().of(gate.subject_kind, gate.subject_id).filter(name__iexact=gate.name)
    if same.exclude(pk=gate.pk).exists():
        raise ValidationError({"name": f"There is an approval “{gate.name}” already."})


def remove_gate(*, gate: Gate, actor: User) -> None:
    """What was approved is kept, should the gate come back."""
    with transaction.atomic():
        if Gate.objects.present().filter(pk=gate.pk).update(removed_at=timezone.now()):
            log.record(gate.project, events.GateRemoved(**_named(gate, _title(gate))), actor=actor)


def restore_gate(*, gate: Gate, actor: User) -> None:
    """Raises ValidationError where another one has its name by now."""
    with transaction.atomic():
        _take_turns(gate.project)
        gate.refresh_from_db()
        if gate.removed_at is None:
            return
        _refuse_taken(gate)
        gate.removed_at = None
        gate.save(update_fields=["removed_at"])
        # Its subject may have changed while nobody looked.
        revision = queries.latest_revision(gate.subject_kind, gate.subject_id)
        lost = _lose(gate, revision, _aspects(gate)) if revision else None
        happenings: list[log.Happening] = [events.GateRestored(**_named(gate, _title(gate)))]
        log.record_all(gate.project, [*happenings, *([lost] if lost else [])], actor=actor)


# ------------------------------------------------------------------------------------------------- asking, approving
def ask_approval(*, gate: Gate, actor: User) -> Gate:
    """Ask those who may approve and have not. Asking again asks them again."""
    with transaction.atomic():
        _take_turns(gate.project)
        gate.refresh_from_db()
        if gate.state == Gate.APPROVED:
            return gate
        said = set(gate.approvals.filter(ended_at=None, verdict=Approval.APPROVE).values_list("person_id", flat=True))
        # Who wanted changes looks again.
        rows = gate.approvals.filter(ended_at=None, verdict=Approval.CHANGES)
        rows.update(ended_at=timezone.now(), ended_how=Approval.REPLACED)
        gate.asked_at, gate.asked_by, gate.state = timezone.now(), actor, Gate.ASKED
        gate.save(update_fields=["asked_at", "asked_by", "state"])
        asks = sorted(queries.approvers_of(gate) - said)
        log.record(gate.project, events.ApprovalAsked(**_named(gate, _title(gate)), asks=asks), actor=actor)
    return gate


def approve(*, gate: Gate, actor: User, revision: int | None = None, note: str = "") -> Approval:
    """Approve what the gate is about, as it is now. `revision`: the number of that which the person looked at.

    Raises NotAsked, and ChangedSince where something that the gate is about was changed after that revision.
    """
    return _say(gate, actor, Approval.APPROVE, revision, note)


def ask_changes(*, gate: Gate, actor: User, note: str, revision: int | None = None) -> Approval:
    """Say what has to change first. Raises as `approve`, and ValidationError without a note."""
    if not note.strip():
        raise ValidationError({"note": "Write what should change."}, code="empty")
    return _say(gate, actor, Approval.CHANGES, revision, note)


def _say(gate: Gate, actor: User, verdict: str, seen: int | None, note: str) -> Approval:
    require_scope(actor, Verb.APPROVE)
    note = clean_text(note, limit=500, what="note")
    with transaction.atomic():
        _take_turns(gate.project)
        gate.refresh_from_db()
        if gate.removed_at is not None or not queries.may_approve(actor, gate):
            raise NotAsked
        now = queries.latest_revision(gate.subject_kind, gate.subject_id)
        if now is None:
            raise ValidationError("There is nothing to approve yet.", code="nothing")
        title = _title(gate)
        if seen is not None and seen != now.number:
            looked_at = Revision.objects.filter(
                subject_kind=gate.subject_kind, subject_id=gate.subject_id, number=seen
            ).first()
            if looked_at is None or _changed(looked_at, now, _aspects(gate)):
                raise ChangedSince(title)
        current = gate.approvals.filter(person=actor, ended_at=None).first()
        if current is not None and (current.verdict, current.note) == (verdict, note):
            return current
        if current is not None:
            current.ended_at, current.ended_how = timezone.now(), Approval.REPLACED
            current.save(update_fields=["ended_at", "ended_how"])
        approval = Approval.objects.create(gate=gate, revision=now, person=actor, verdict=verdict, note=note)
        _count(gate)
        common = _named(gate, title) | {"revision": now.number, "asked_by": gate.asked_by_id}
        if verdict == Approval.APPROVE:
            happening: log.Happening = events.ApprovalGiven(**common, given=gate.given, needed=gate.needed)
        else:
            happening = events.ApprovalRefused(**common, note=note)
        log.record(gate.project, happening, actor=actor)
    return approval


def withdraw(*, gate: Gate, actor: User) -> None:
    """Take back what one said. Who said nothing takes nothing back."""
    with transaction.atomic():
        _take_turns(gate.project)
        gate.refresh_from_db()
        rows = gate.approvals.filter(person=actor, ended_at=None)
        if rows.update(ended_at=timezone.now(), ended_how=Approval.WITHDRAWN):
            _count(gate)
            log.record(gate.project, events.ApprovalWithdrawn(**_named(gate, _title(gate))), actor=actor)


def _count(gate: Gate) -> None:
    """Write what stands: approvals count while the person may still give them."""
    able = queries.approvers_of(gate)
    standing = [a for a in gate.approvals.filter(ended_at=None) if a.person_id in able]
    gate.given = sum(a.verdict == Approval.APPROVE for a in standing)
    if any(a.verdict == Approval.CHANGES for a in standing):
        gate.state = Gate.CHANGES
    elif gate.given >= gate.needed:
        gate.state = Gate.APPROVED
    elif gate.state != Gate.LOST or gate.given:
        gate.state = Gate.ASKED if gate.asked_at else Gate.OPEN
    gate.save(update_fields=["given", "state"])


def recount(project: Project) -> None:
    """After a role has changed or somebody has left: who may approve is another."""
    rows = Gate.objects.present().filter(project=project).exclude(state=Gate.OPEN, given=0)
    for gate in rows.prefetch_related("people"):
        _count(gate)


# ---------------------------------------------------------------------------------------------------------- losing
def _aspects(gate: Gate) -> tuple[str, ...]:
    found = target(gate.subject_kind, gate.subject_id)
    return found.handler.aspects.get(gate.aspect, ()) if found else ()


def _changed(before: Revision, after: Revision, keys: Sequence[str]) -> list[str]:
    return [key for key in keys if before.snapshot.get(key) != after.snapshot.get(key)]


def lose_outdated(*, revisions: Sequence[Revision], actor: User | None) -> None:
    """End the approvals of what these new revisions changed. Call it in their transaction, after their events.

    Who wanted changes still does, until somebody asks again.
    """
    if not revisions:
        return
    by_subject = {(r.subject_kind, r.subject_id): r for r in revisions}
    rows = Gate.objects.present().filter(
        project=revisions[0].project,
        subject_kind__in={kind for kind, _ in by_subject},
        subject_id__in={id for _, id in by_subject},
        approvals__ended_at=None,
        approvals__isnull=False,
    )
    happenings = []
    for gate in rows.distinct():
        revision = by_subject.get((gate.subject_kind, gate.subject_id))
        if revision and (lost := _lose(gate, revision, _aspects(gate))):
            happenings.append(lost)
    log.record_all(revisions[0].project, happenings, actor=actor)


def _lose(gate: Gate, revision: Revision, keys: Sequence[str]) -> events.ApprovalLost | None:
    ended, changed = [], []
    rows = gate.approvals.filter(ended_at=None, verdict=Approval.APPROVE)
    for approval in rows.select_related("revision"):
        if differs := _changed(approval.revision, revision, keys):
            changed += [key for key in differs if key not in changed]
            approval.ended_at, approval.ended_how, approval.lost_to = timezone.now(), Approval.LOST, revision
            approval.save(update_fields=["ended_at", "ended_how", "lost_to"])
            ended.append(approval)
    if not ended:
        return None
    _count(gate)
    if not gate.given and gate.state in (Gate.ASKED, Gate.OPEN):
        gate.state = Gate.LOST
        gate.save(update_fields=["state"])
    words = [key.replace("_", " ") for key in changed]
    approvers = [a.person_id for a in ended]
    return events.ApprovalLost(
        **_named(gate, _title(gate)),
        revision=revision.number,
        changed=words,
        approvers=approvers,
        asked_by=gate.asked_by_id,
    )
