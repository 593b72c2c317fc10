"""Every write about studios, projects and people: one transaction, one event. Scenes and shots: see `scenes.py`."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from datetime import timedelta

from allauth.account.models import EmailAddress
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.text import slugify

from collaboration import events
from collaboration.approvals.actions import recount
from collaboration.bands import Bands
from collaboration.models import (
    ApiToken,
    Event,
    Invitation,
    Membership,
    Project,
    Stream,
    Studio,
    StudioMembership,
    User,
)
from collaboration.names import clean_name, clean_text
from collaboration.permissions import forget_verbs, verbs_of
from collaboration.verbs import Role, Verb

REMOVAL_IS_UNDONE_WITHIN = timedelta(hours=24)
LONGEST_INVITATION = 90
LONGEST_TOKEN = 365


class LastOwner(ValidationError):
    def __init__(self) -> None:
        super().__init__("A project keeps at least one owner. Make somebody else owner first.", code="last_owner")


class NotRemoved(ValidationError):
    def __init__(self) -> None:
        super().__init__("Nobody was removed who could be brought back. Send an invitation.", code="not_removed")


class InvitationClosed(ValidationError):
    def __init__(self, state: str) -> None:
        sentences = {
            "accepted": "This invitation has been used already.",
            "revoked": "This invitation was taken back.",
            "expired": "This invitation has expired.",
        }
        super().__init__(f"{sentences[state]} Ask for a new link.", code=state)


def hash_secret(secret: str) -> str:
    """Secrets are long and random, so a plain hash keeps them; they are never stored themselves."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def free_slug(name: str, rows: QuerySet) -> str:
    """Return an address made of `name` that none of `rows` has."""
    base = slugify(name)[:50].strip("-") or "untitled"
    taken = set(rows.filter(slug__startswith=base).values_list("slug", flat=True))
    slug, n = base, 2
    while slug in taken:
        slug, n = f"{base}-{n}", n + 1
    return slug


# ---------------------------------------------------------------------------------------------- studios, projects
def create_studio(*, name: str, admin: User) -> Studio:
    name = clean_name(name, what="name of the studio")
    with transaction.atomic():
        studio = Studio(name=name)
        _save_with_free_slug(studio)
        StudioMembership.objects.create(studio=studio, user=admin, is_admin=True)
        Stream.objects.create(kind=Stream.STUDIO, key=str(studio.pk))
        events.record(studio, events.StudioCreated(studio_id=studio.pk, name=name), actor=admin)
    return studio


def rename_studio(*, studio: Studio, name: str, actor: User) -> Studio:
    """The address of the studio stays as it is."""
    name = clean_name(name, what="name of the studio")
    if name == studio.name:
        return studio
    with transaction.atomic():
        before, studio.name = studio.name, name
        studio.save(update_fields=["name"])
        events.record(studio, events.StudioRenamed(studio_id=studio.pk, before=before, after=name), actor=actor)
    return studio


def set_bands(*, studio: Studio, bands: Bands, actor: User) -> Studio:
    """From which scores on pictures are good and excellent, in every project of the studio."""
    if bands == studio.bands:
        return studio
    with transaction.atomic():
        studio.excellent_from, studio.good_from = bands.excellent, bands.good
        studio.save(update_fields=["excellent_from", "good_from"])
        happening = events.StudioBandsChanged(
            studio_id=studio.pk, name=studio.name, excellent=bands.excellent, good=bands.good
        )
        events.record(studio, happening, actor=actor)
    return studio


def create_project(
    *,
    studio: Studio,
    name: str,
    actor: User,
    description: str = "",
    is_commercial: bool = True,
    domain: str = Project.AUTOMATIC,
) -> Project:
    """`actor` becomes its owner."""
    name = clean_name(name)
    description = clean_text(description, limit=4000)
    domain = _clean_domain(domain)
    with transaction.atomic():
        project = Project(studio=studio, name=name, description=description, is_commercial=is_commercial, domain=domain)
        _save_with_free_slug(project)
        Membership.objects.create(project=project, user=actor, role=Role.OWNER)
        StudioMembership.objects.get_or_create(studio=studio, user=actor)
        Stream.objects.create(kind=Stream.PROJECT, key=str(project.pk))
        forget_verbs(actor)
        events.record(project, events.ProjectCreated(project_id=project.pk, name=name), actor=actor)
    return project


def start_project(
    *,
    name: str,
    actor: User,
    studio: Studio | None = None,
    studio_name: str = "",
    description: str = "",
    is_commercial: bool = True,
    domain: str = Project.AUTOMATIC,
) -> Project:
    """Create a project in `studio` or, without one, in a new studio that `actor` administers."""
    with transaction.atomic():
        studio = studio or create_studio(name=studio_name, admin=actor)
        return create_project(
            studio=studio,
            name=name,
            actor=actor,
            description=description,
            is_commercial=is_commercial,
            domain=domain,
        )


def _clean_domain(domain: object) -> str:
    if domain not in dict(Project.DOMAINS):
        raise ValidationError("The domain must be auto, illustration or photograph.", code="domain")
    return str(domain)


def _save_with_free_slug(row: Studio | Project) -> None:
    # Somebody else may take the same address between our look and our insert: then look again.
    for attempt in range(5):
        row.slug = free_slug(row.name, type(row).objects.all())
        try:
            with transaction.atomic():
                row.save(force_insert=True)
        except IntegrityError:
            if attempt == 4:
                raise
        else:
            return


def change_project(*, project: Project, actor: User, **fields: object) -> Project:
    """Change `name`, `description`, `is_commercial` or `domain`. The address of the project stays as it is."""
    if unknown := fields.keys() - {"name", "description", "is_commercial", "domain"}:
        raise TypeError(f"A project has no changeable {', '.join(sorted(unknown))}.")
    if "name" in fields:
        fields["name"] = clean_name(str(fields["name"]))
    if "description" in fields:
        fields["description"] = clean_text(str(fields["description"]), limit=4000)
    if "domain" in fields:
        fields["domain"] = _clean_domain(fields["domain"])
    with transaction.atomic():
        row = Project.objects.select_for_update().get(pk=project.pk)
        changed = [name for name, value in fields.items() if getattr(row, name) != value]
        for name, value in fields.items():
            setattr(project, name, value)
        if changed:
            project.save(update_fields=changed)
            labels = ["commercial use" if name == "is_commercial" else name for name in changed]
            happening = events.ProjectChanged(project_id=project.pk, name=project.name, fields=labels)
            events.record(project, happening, actor=actor)
    return project


# -------------------------------------------------------------------------------------------------------- members
def set_role(
    *, project: Project, user: User, role: Role, actor: User, invitation: Invitation | None = None
) -> Membership:
    """Make `user` a member with `role`, or change the role. Raises LastOwner."""
    role = Role(role)
    with transaction.atomic():
        _keep_an_owner(project, user, role)
        before = Membership.objects.filter(project=project, user=user).values_list("role", flat=True).first()
        membership, _ = Membership.objects.update_or_create(project=project, user=user, defaults={"role": role})
        StudioMembership.objects.get_or_create(studio_id=project.studio_id, user=user)
        forget_verbs(user)
        name = user.display_name
        if before is None:
            joined = events.MemberJoined(
                user_id=user.pk, name=name, role=role, invitation_id=invitation.pk if invitation else None
            )
            events.record(project, joined, actor=actor)
        elif before != role:
            changed = events.MemberRoleChanged(user_id=user.pk, name=name, before=before, after=role)
            events.record(project, changed, actor=actor)
            _close_invitations_by(user, actor=actor)
        recount(project)
    return membership


def remove_member(*, project: Project, user: User, actor: User) -> None:
    """Take `user` out of the project, also when it is the actor who leaves. Raises LastOwner."""
    with transaction.atomic():
        _keep_an_owner(project, user, None)
        membership = Membership.objects.filter(project=project, user=user).first()
        if membership is None:
            return
        membership.delete()
        studio = StudioMembership.objects.filter(studio_id=project.studio_id, user=user, is_admin=False)
        if not Membership.objects.filter(project__studio_id=project.studio_id, user=user).exists():
            studio.delete()
        forget_verbs(user)
        happening = events.MemberLeft(
            user_id=user.pk, name=user.display_name, role=membership.role, by_themselves=user.pk == actor.pk
        )
        events.record(project, happening, actor=actor)
        _close_invitations_by(user, actor=actor)
        recount(project)


def last_removal(project: Project, user: User) -> Event | None:
    """The event by which `user` left the project, while it can still be undone."""
    if Membership.objects.filter(project=project, user=user).exists():
        return None
    kind, key = events.stream_of(project)
    return Event.objects.filter(
        stream__kind=kind,
        stream__key=key,
        kind=events.MemberLeft.kind,
        subject_kind="person",
        subject_id=str(user.pk),
        at__gt=timezone.now() - REMOVAL_IS_UNDONE_WITHIN,
    ).first()


def bring_back_member(*, project: Project, user: User, actor: User) -> Membership:
    """Undo `remove_member`: the former role again. Raises NotRemoved."""
    with transaction.atomic():
        removal = last_removal(project, user)
        if removal is None:
            raise NotRemoved
        return set_role(project=project, user=user, role=Role(removal.payload["role"]), actor=actor)


def is_last_owner(project: Project, user: User) -> bool:
    owners = Membership.objects.filter(project=project, role=Role.OWNER).values_list("user_id", flat=True)
    return set(owners) == {user.pk}


def _keep_an_owner(project: Project, user: User, role: Role | None) -> None:
    if role == Role.OWNER:
        return
    # Locking every owner's row makes two owners who leave at the same moment wait for each other.
    owners = Membership.objects.select_for_update().filter(project=project, role=Role.OWNER).order_by("pk")
    if {o.user_id for o in owners} == {user.pk}:
        raise LastOwner


# ---------------------------------------------------------------------------------------------------- invitations
def create_invitation(*, project: Project, role: Role, actor: User, days: int = 7) -> tuple[Invitation, str]:
    """Return the invitation and the secret of its link, which is shown once and not kept. `days`: 1-90."""
    if not 1 <= days <= LONGEST_INVITATION:
        raise ValidationError(f"An invitation is open for 1 to {LONGEST_INVITATION} days.", code="days")
    secret = secrets.token_urlsafe(24)
    with transaction.atomic():
        invitation = Invitation.objects.create(
            project=project,
            role=Role(role),
            secret_hash=hash_secret(secret),
            created_by=actor,
            expires_at=timezone.now() + timedelta(days=days),
        )
        happening = events.InvitationCreated(invitation_id=invitation.pk, role=role)
        events.record(project, happening, actor=actor)
    return invitation, secret


def revoke_invitation(*, invitation: Invitation, actor: User) -> None:
    """Close the link. One that is closed already stays as it is."""
    with transaction.atomic():
        rows = Invitation.objects.filter(pk=invitation.pk, revoked_at=None, accepted_at=None)
        if rows.update(revoked_at=timezone.now()):
            happening = events.InvitationRevoked(invitation_id=invitation.pk, role=invitation.role)
            events.record(invitation.project, happening, actor=actor)


def _close_invitations_by(user: User, *, actor: User) -> None:
    """Close the links of `user` where they may no longer invite: nobody comes back through a link of their own."""
    inviter = User.objects.get(pk=user.pk)
    rows = Invitation.objects.filter(created_by=inviter, accepted_at=None, revoked_at=None)
    for invitation in rows.filter(expires_at__gt=timezone.now()).select_related("project"):
        if Verb.MEMBERS not in verbs_of(inviter, invitation.project):
            revoke_invitation(invitation=invitation, actor=actor)


def accept_invitation(*, secret: str, user: User) -> Membership:
    """Make `user` a member. Raises InvitationClosed.

    A person whose role already allows as much keeps it, and the link stays open for the one it was meant for.
    """
    with transaction.atomic():
        rows = Invitation.objects.select_for_update(of=("self",)).select_related("project__studio")
        invitation = rows.filter(secret_hash=hash_secret(secret)).first()
        if invitation is None:
            raise InvitationClosed("revoked")
        present = Membership.objects.filter(project=invitation.project, user=user).first()
        if present and Role(present.role).verbs >= Role(invitation.role).verbs:
            return present
        if invitation.state != "open":
            raise InvitationClosed(invitation.state)
        invitation.accepted_by, invitation.accepted_at = user, timezone.now()
        invitation.save(update_fields=["accepted_by", "accepted_at"])
        role = Role(invitation.role)
        return set_role(project=invitation.project, user=user, role=role, actor=user, invitation=invitation)


# ------------------------------------------------------------------------------------------------------- accounts
def create_account(*, email: str, name: str, password: str | None, actor: User) -> User:
    """An operator makes an account for somebody. Without a password they set one by "Forgotten?"."""
    with transaction.atomic():
        user = User.objects.create_user(email, password, name=name)
        events.record(user, events.AccountCreated(user_id=user.pk, email=user.email), actor=actor)
    return user


def change_account(*, user: User, actor: User, **fields: object) -> User:
    """An operator changes `email`, `name`, `is_active`, `is_staff` or `is_superuser` of somebody."""
    if unknown := fields.keys() - {"email", "name", "is_active", "is_staff", "is_superuser"}:
        raise TypeError(f"An account has no changeable {', '.join(sorted(unknown))}.")
    changed = [name for name, value in fields.items() if getattr(user, name) != value]
    if not changed:
        return user
    with transaction.atomic():
        for name in changed:
            setattr(user, name, fields[name])
        user.save(update_fields=changed)
        if "email" in changed:  # the former address must not open the account any more
            EmailAddress.objects.filter(user=user).delete()
        labels = [name.removeprefix("is_") for name in changed]
        events.record(user, events.AccountChanged(user_id=user.pk, email=user.email, fields=labels), actor=actor)
        _close_invitations_by(user, actor=actor)
    return user


# ------------------------------------------------------------------------------------------------------ one's own
def change_profile(*, user: User, name: str, uses_keys: bool | None = None) -> User:
    """`uses_keys`: None leaves it; how one's own pages behave is nobody else's news."""
    name = clean_name(name)
    if uses_keys is not None and uses_keys != user.uses_keys:
        user.uses_keys = uses_keys
        user.save(update_fields=["uses_keys"])
    if name == user.name:
        return user
    with transaction.atomic():
        before, user.name = user.display_name, name
        user.save(update_fields=["name"])
        events.record(user, events.ProfileChanged(user_id=user.pk, before=before, after=name), actor=user)
    return user


def create_token(*, user: User, name: str, scopes: Iterable[Verb | str], days: int | None = 90) -> tuple[ApiToken, str]:
    """Return the token's row and its secret, which is shown once and not kept.

    `scopes` narrow what the token may do below what its owner may; seeing is always among them. `days`: 1-365, or None
    for a token that does not expire.
    """
    name = clean_name(name, limit=80)
    try:
        verbs = {Verb(s) for s in scopes}
    except ValueError as error:
        raise ValidationError(f"A token cannot be allowed that: {error}.", code="scope") from None
    if not verbs:
        raise ValidationError("Choose at least one thing that the token may do.", code="scope")
    if days is not None and not 1 <= days <= LONGEST_TOKEN:
        raise ValidationError(f"A token lasts 1 to {LONGEST_TOKEN} days, or until it is revoked.", code="days")
    secret = "ps_" + secrets.token_urlsafe(32)
    kept = [str(v) for v in Verb if v in verbs | {Verb.SEE}]
    with transaction.atomic():
        token = ApiToken.objects.create(
            user=user,
            name=name,
            hint=secret[:7] + "…",
            secret_hash=hash_secret(secret),
            scopes=kept,
            expires_at=timezone.now() + timedelta(days=days) if days else None,
        )
        events.record(user, events.TokenCreated(token_id=token.pk, name=name, scopes=kept), actor=user)
    return token, secret


def revoke_token(*, token: ApiToken) -> None:
    """From the next request on it opens nothing. One that is revoked already stays as it is."""
    with transaction.atomic():
        if ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now()):
            events.record(token.user, events.TokenRevoked(token_id=token.pk, name=token.name), actor=token.user)
