"""Signing in with an API token."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from collaboration.actions import hash_secret
from collaboration.models import ApiToken, User
from collaboration.verbs import Verb

NOTED_EVERY = timedelta(minutes=1)


def user_for_token(secret: str) -> User | None:
    """Return the person whose token has this secret, or None when it is unknown, revoked or expired.

    The user carries `token_scopes`, to which `permissions.verbs_of` narrows what they may. Scopes that no longer exist
    allow nothing. `last_used_at` is written at most once a minute.
    """
    if not secret or len(secret) > 200:
        return None
    now = timezone.now()
    token = (
        ApiToken.objects.select_related("user")
        .filter(secret_hash=hash_secret(secret), revoked_at=None, user__is_active=True)
        .filter(Q(expires_at=None) | Q(expires_at__gt=now))
        .first()
    )
    if token is None:
        return None
    if token.last_used_at is None or token.last_used_at < now - NOTED_EVERY:
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)
    user = token.user
    user.token_scopes = frozenset(verb for verb in Verb if verb in token.scopes)  # type: ignore[attr-defined]
    return user
