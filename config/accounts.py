"""How people sign up: openly only where the installation allows it, otherwise with an invitation in hand."""

from __future__ import annotations

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.http import HttpRequest

from collaboration.queries import invitation_for
from collaboration.views.invitations import SESSION_KEY


class AccountAdapter(DefaultAccountAdapter):
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        if settings.OPEN_SIGN_UP:
            return True
        invitation = invitation_for(request.session.get(SESSION_KEY, ""))
        return invitation is not None and invitation.state == "open"
