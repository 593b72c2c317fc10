"""What happened, in words that never change. Unknown fields are refused by construction.

Every app declares its events as frozen dataclasses that derive from `Happening`; `record` writes one in the caller's
transaction and gives it the next number of the project's stream.
"""

from __future__ import annotations

import dataclasses
import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, transaction

from collaboration.live import hints
from collaboration.models import Event, Project, Stream, Studio, User

if TYPE_CHECKING:
    from collections.abc import Sequence


_ENCODER = DjangoJSONEncoder()

KINDS: dict[str, type[Happening]] = {}
"""Every kind of event that the loaded apps declare."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """Base of all events. `kind` is `<subject>.<past participle>`; `summary` reads after the actor's name."""

    kind: ClassVar[str]
    topic: ClassVar[str] = ""
    """What the activity feed files it under; without one, the first part of `kind`."""

    def __init_subclass__(cls) -> None:
        if kind := cls.__dict__.get("kind"):
            KINDS[kind] = cls

    def subject(self) -> tuple[str, object]:
        """Return (subject kind, id)."""
        raise NotImplementedError

    def summary(self) -> str:
        raise NotImplementedError


def topics() -> dict[str, list[str]]:
    """Return topic -> kinds of event, both in alphabetical order."""
    found: dict[str, list[str]] = {}
    for kind, cls in sorted(KINDS.items()):
        found.setdefault(cls.topic or kind.partition(".")[0].capitalize(), []).append(kind)
    return dict(sorted(found.items()))


# ---------------------------------------------------------------------------------------------- studios, projects
@dataclass(frozen=True, slots=True, kw_only=True)
class StudioCreated(Happening):
    kind: ClassVar[str] = "studio.created"
    topic: ClassVar[str] = "Project"
    studio_id: uuid.UUID
    name: str

    def subject(self) -> tuple[str, object]:
        return "studio", self.studio_id

    def summary(self) -> str:
        return f"opened the studio {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StudioRenamed(Happening):
    kind: ClassVar[str] = "studio.renamed"
    topic: ClassVar[str] = "Project"
    studio_id: uuid.UUID
    before: str
    after: str

    def subject(self) -> tuple[str, object]:
        return "studio", self.studio_id

    def summary(self) -> str:
        return f"renamed the studio {self.before} to {self.after}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StudioBandsChanged(Happening):
    kind: ClassVar[str] = "studio.bands_changed"
    topic: ClassVar[str] = "Project"
    studio_id: uuid.UUID
    name: str
    excellent: float
    good: float

    def subject(self) -> tuple[str, object]:
        return "studio", self.studio_id

    def summary(self) -> str:
        return f"let scores be good from {self.good:g} and excellent from {self.excellent:g} in {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectCreated(Happening):
    kind: ClassVar[str] = "project.created"
    topic: ClassVar[str] = "Project"
    project_id: uuid.UUID
    name: str

    def subject(self) -> tuple[str, object]:
        return "project", self.project_id

    def summary(self) -> str:
        return f"started the project {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectChanged(Happening):
    kind: ClassVar[str] = "project.changed"
    topic: ClassVar[str] = "Project"
    project_id: uuid.UUID
    name: str
    fields: list[str]

    def subject(self) -> tuple[str, object]:
        return "project", self.project_id

    def summary(self) -> str:
        return f"changed {in_words(self.fields)} of the project"


# --------------------------------------------------------------------------------------------------------- people
@dataclass(frozen=True, slots=True, kw_only=True)
class MemberJoined(Happening):
    """Somebody became a member: by accepting an invitation, being the actor themselves, or added by the actor."""

    kind: ClassVar[str] = "member.joined"
    topic: ClassVar[str] = "People"
    user_id: int
    name: str
    role: str
    invitation_id: uuid.UUID | None = None

    def subject(self) -> tuple[str, object]:
        return "person", self.user_id

    def summary(self) -> str:
        if self.invitation_id:
            return f"accepted an invitation as {self.role}"
        return f"made {self.name} a member as {self.role}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRoleChanged(Happening):
    kind: ClassVar[str] = "member.role_changed"
    topic: ClassVar[str] = "People"
    user_id: int
    name: str
    before: str
    after: str

    def subject(self) -> tuple[str, object]:
        return "person", self.user_id

    def summary(self) -> str:
        return f"made {self.name} {self.after}, before {self.before}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberLeft(Happening):
    kind: ClassVar[str] = "member.left"
    topic: ClassVar[str] = "People"
    user_id: int
    name: str
    role: str
    by_themselves: bool

    def subject(self) -> tuple[str, object]:
        return "person", self.user_id

    def summary(self) -> str:
        return "left the project" if self.by_themselves else f"removed {self.name} from the project"


@dataclass(frozen=True, slots=True, kw_only=True)
class _InvitationHappening(Happening):
    topic: ClassVar[str] = "People"
    invitation_id: uuid.UUID
    role: str

    def subject(self) -> tuple[str, object]:
        return "invitation", self.invitation_id


@dataclass(frozen=True, slots=True, kw_only=True)
class InvitationCreated(_InvitationHappening):
    kind: ClassVar[str] = "invitation.created"

    def summary(self) -> str:
        return f"made an invitation link, role {self.role}"


@dataclass(frozen=True, slots=True, kw_only=True)
class InvitationRevoked(_InvitationHappening):
    kind: ClassVar[str] = "invitation.revoked"

    def summary(self) -> str:
        return f"took back an invitation link, role {self.role}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileChanged(Happening):
    kind: ClassVar[str] = "person.changed"
    topic: ClassVar[str] = "People"
    user_id: int
    before: str
    after: str

    def subject(self) -> tuple[str, object]:
        return "person", self.user_id

    def summary(self) -> str:
        return f"changed their name from {self.before} to {self.after}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _AccountHappening(Happening):
    topic: ClassVar[str] = "People"
    user_id: int
    email: str

    def subject(self) -> tuple[str, object]:
        return "person", self.user_id


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountCreated(_AccountHappening):
    kind: ClassVar[str] = "account.created"

    def summary(self) -> str:
        return f"made an account for {self.email}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountChanged(_AccountHappening):
    kind: ClassVar[str] = "account.changed"
    fields: list[str]

    def summary(self) -> str:
        return f"changed {in_words(self.fields)} of the account {self.email}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _TokenHappening(Happening):
    topic: ClassVar[str] = "People"
    token_id: uuid.UUID
    name: str

    def subject(self) -> tuple[str, object]:
        return "token", self.token_id


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCreated(_TokenHappening):
    kind: ClassVar[str] = "token.created"
    scopes: list[str]

    def summary(self) -> str:
        return f"made the API token {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRevoked(_TokenHappening):
    kind: ClassVar[str] = "token.revoked"

    def summary(self) -> str:
        return f"revoked the API token {self.name}"


# ----------------------------------------------------------------------------------------------- scenes and shots
@dataclass(frozen=True, slots=True, kw_only=True)
class _SceneHappening(Happening):
    topic: ClassVar[str] = "Scenes and shots"
    scene_id: uuid.UUID
    code: str

    def subject(self) -> tuple[str, object]:
        return "scene", self.scene_id


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneCreated(_SceneHappening):
    kind: ClassVar[str] = "scene.created"
    name: str

    def summary(self) -> str:
        return f"added scene {self.code} {self.name}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneChanged(_SceneHappening):
    kind: ClassVar[str] = "scene.changed"
    fields: list[str]

    def summary(self) -> str:
        return f"changed {in_words(self.fields)} of scene {self.code}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneMoved(_SceneHappening):
    kind: ClassVar[str] = "scene.moved"
    direction: str

    def summary(self) -> str:
        return f"moved scene {self.code} {self.direction}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneTrashed(_SceneHappening):
    kind: ClassVar[str] = "scene.trashed"

    def summary(self) -> str:
        return f"deleted scene {self.code}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneRestored(_SceneHappening):
    kind: ClassVar[str] = "scene.restored"

    def summary(self) -> str:
        return f"brought back scene {self.code}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _ShotHappening(Happening):
    topic: ClassVar[str] = "Scenes and shots"
    shot_id: uuid.UUID
    scene: str
    """Code of the scene."""
    code: str

    def subject(self) -> tuple[str, object]:
        return "shot", self.shot_id


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotCreated(_ShotHappening):
    kind: ClassVar[str] = "shot.created"

    def summary(self) -> str:
        return f"added shot {self.scene} {self.code}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotChanged(_ShotHappening):
    kind: ClassVar[str] = "shot.changed"
    fields: list[str]

    def summary(self) -> str:
        return f"changed {in_words(self.fields)} of shot {self.scene} {self.code}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotMoved(_ShotHappening):
    kind: ClassVar[str] = "shot.moved"
    direction: str

    def summary(self) -> str:
        return f"moved shot {self.scene} {self.code} {self.direction}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotTrashed(_ShotHappening):
    kind: ClassVar[str] = "shot.trashed"

    def summary(self) -> str:
        return f"deleted shot {self.scene} {self.code}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotRestored(_ShotHappening):
    kind: ClassVar[str] = "shot.restored"

    def summary(self) -> str:
        return f"brought back shot {self.scene} {self.code}"


# -------------------------------------------------------------------------------------------------------- writing
def in_words(things: list[str]) -> str:
    """`["name", "code", "order"]` -> `name, code and order`."""
    return " and ".join(filter(None, [", ".join(things[:-1]), things[-1]]))


def stream_of(owner: Project | Studio | User) -> tuple[str, str]:
    # isinstance, because the user of a request is a proxy of one.
    kinds = ((Project, Stream.PROJECT), (Studio, Stream.STUDIO), (User, Stream.PERSON))
    return next(kind for cls, kind in kinds if isinstance(owner, cls)), str(owner.pk)


def record(owner: Project | Studio | User, happening: Happening, *, actor: User | None) -> Event:
    """Write one event; see `record_all`."""
    return record_all(owner, [happening], actor=actor)[0]


def record_all(owner: Project | Studio | User, happenings: Sequence[Happening], *, actor: User | None) -> list[Event]:
    """Write events, taking their numbers at once. Call as late as possible in the transaction that made the change:
    the stream's row stays locked until it ends, which is what makes the numbers gap-free and in commit order.
    """
    if not happenings:
        return []
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("An event is written in the transaction of its change.")
    kind, key = stream_of(owner)
    stream_id, head = _advance(kind, key, by=len(happenings))
    hints.announce_on_commit(kind, key, head)
    rows = []
    for seq, happening in enumerate(happenings, head - len(happenings) + 1):
        subject_kind, subject_id = happening.subject()
        rows.append(
            Event(
                stream_id=stream_id,
                seq=seq,
                kind=happening.kind,
                actor=actor,
                subject_kind=subject_kind,
                subject_id=str(subject_id),
                summary=happening.summary()[:300],
                payload=json.loads(_ENCODER.encode(dataclasses.asdict(happening))),
            )
        )
    return Event.objects.bulk_create(rows)


def _advance(kind: str, key: str, *, by: int) -> tuple[int, int]:
    """Take the next `by` numbers of a stream. Returns (its id, its new head)."""
    table = connection.ops.quote_name(Stream._meta.db_table)
    with connection.cursor() as cursor:
        sql = f"UPDATE {table} SET head = head + %s WHERE kind = %s AND key = %s RETURNING id, head"  # noqa: S608
        cursor.execute(sql, [by, kind, key])
        row = cursor.fetchone()
        if row is None:
            Stream.objects.get_or_create(kind=kind, key=key)
            cursor.execute(sql, [by, kind, key])
            row = cursor.fetchone()
    return row[0], row[1]
