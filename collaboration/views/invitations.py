"""What a person sees who opens an invitation."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from collaboration.actions import InvitationClosed, accept_invitation
from collaboration.permissions import verbs_of
from collaboration.queries import invitation_for
from collaboration.verbs import ROLE_WORDS, Role, Verb

SESSION_KEY = "invitation"
"""Its secret in the session: while it is open, so is signing up to this visitor (see the account adapter)."""


@require_http_methods(["GET", "HEAD", "POST"])
def invitation(request: HttpRequest, secret: str) -> HttpResponse:
    """Shown to everybody who holds the link, signed in or not; accepted by whoever is signed in."""
    found = invitation_for(secret)
    if found is None:
        raise Http404
    film, refusal = found.project, ""
    is_member = Verb.SEE in verbs_of(request.user, film)
    if request.method == "POST" and request.user.is_authenticated:
        try:
            membership = accept_invitation(secret=secret, user=request.user)
        except InvitationClosed as error:
            refusal = error.messages[0]
        else:
            request.session.pop(SESSION_KEY, None)
            messages.success(request, f"You are {membership.role} in {film.name}.")
            return redirect(film)
    elif found.state != "open" and not is_member:
        refusal = InvitationClosed(found.state).messages[0]
    if not request.user.is_authenticated and found.state == "open":
        request.session[SESSION_KEY] = secret
    context = {
        "invitation": found,
        "project": film,
        "role_words": ROLE_WORDS[Role(found.role)],
        "is_member": is_member,
        "refusal": refusal,
    }
    status = 422 if request.method == "POST" and refusal else 410 if refusal else 200
    response = render(request, "collaboration/invitation.html", context, status=status)
    response["Cache-Control"] = "no-store"
    return response
