"""What is one's own: the name, and the keys to the JSON API."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from collaboration import actions
from collaboration.forms import ProfileForm, TokenForm, refused_into
from collaboration.models import ApiToken
from collaboration.requests import AuthenticatedRequest


def tabs(current: str) -> list[dict[str, object]]:
    named = [
        ("Profile", "collaboration:profile"),
        ("Notifications", "notifications:choices"),
        ("API tokens", "collaboration:tokens"),
        ("Password", "account_change_password"),
    ]
    return [{"label": label, "url": reverse(name), "current": name.endswith(current)} for label, name in named]


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def profile(request: AuthenticatedRequest) -> HttpResponse:
    form = ProfileForm(
        request.POST if request.method == "POST" else None,
        initial={"name": request.user.name, "uses_keys": request.user.uses_keys},
    )
    if form.is_bound and form.is_valid():
        with refused_into(form, "name"):
            actions.change_profile(user=request.user, **form.cleaned_data)
            messages.success(request, "Saved.")
            return redirect("collaboration:profile")
    context = {"form": form, "tabs": tabs("profile")}
    return render(request, "collaboration/profile.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def tokens(request: AuthenticatedRequest) -> HttpResponse:
    """A new token's secret stands in the answer to its POST and nowhere else."""
    form = TokenForm(request.POST if request.method == "POST" else None)
    context: dict[str, object] = {"form": form, "tabs": tabs("tokens")}
    status = 200
    if form.is_bound and form.is_valid():
        with refused_into(form):
            token, secret = actions.create_token(user=request.user, **form.cleaned_data)
            context |= {"form": TokenForm(), "token": token, "secret": secret}
            status = 201
    if form.errors:
        status = 422
    context["rows"] = ApiToken.objects.filter(user=request.user)
    response = render(request, "collaboration/tokens.html", context, status=status)
    response["Cache-Control"] = "no-store"
    return response


@require_POST
@login_required
def token_revoke(request: AuthenticatedRequest, token_id: uuid.UUID) -> HttpResponse:
    token = get_object_or_404(ApiToken.objects.select_related("user"), user=request.user, pk=token_id)
    actions.revoke_token(token=token)
    messages.success(request, f"{token.name} opens nothing any more.")
    return redirect("collaboration:tokens")
