"""Who asks: the bearer of an API token, or the person signed in to the browser that sends the request."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden
from django.middleware.csrf import CsrfViewMiddleware
from ninja.security import APIKeyCookie, HttpBearer

from collaboration.actions import hash_secret
from collaboration.models import ApiToken, User
from collaboration.rest.problems import Problem
from collaboration.tokens import user_for_token


class ApiRequest(HttpRequest):
    """A request that passed `AUTH`."""

    auth: User


def read_token(request: HttpRequest) -> None:
    """Make the bearer of the request's token its user. Raises Problem for a token that opens nothing.

    A request that names a token is never carried out by the session it may carry too.
    """
    authorization = request.headers.get("Authorization", "")
    if not authorization:
        return
    scheme, _, secret = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise Problem("token-unknown", "The header Authorization must read `Bearer ps_...`, with an API token.")
    user = user_for_token(secret.strip())
    if user is None:
        raise Problem(_why_refused(secret.strip()))
    request.user = user
    request.token_user = user  # type: ignore[attr-defined]


def _why_refused(secret: str) -> str:
    token = ApiToken.objects.filter(secret_hash=hash_secret(secret)).first()
    if token is None:
        return "token-unknown"
    # Of a person who was made inactive, every token counts as revoked.
    return "token-expired" if token.state == "expired" else "token-revoked"


class Token(HttpBearer):
    """`Authorization: Bearer ps_...`. What it may do is what its owner may, narrowed to the verbs it was made with."""

    openapi_description = "An API token, made under Account. It may do what its owner may, narrowed to its scopes."

    def __call__(self, request: HttpRequest) -> User | None:
        return getattr(request, "token_user", None)

    def authenticate(self, request: HttpRequest, token: str) -> User | None:  # pragma: no cover - see read_token
        return getattr(request, "token_user", None)


class Session(APIKeyCookie):
    """The signed-in browser; writes carry the CSRF token in the header X-CSRFToken."""

    param_name = settings.SESSION_COOKIE_NAME
    openapi_description = "The session of a signed-in browser. Writes send the CSRF token in the header X-CSRFToken."

    def __call__(self, request: HttpRequest) -> User | None:
        return self.authenticate(request, None)

    def authenticate(self, request: HttpRequest, key: str | None) -> User | None:
        if not request.user.is_authenticated:
            return None
        _check_csrf(request)
        return request.user


class _Csrf(CsrfViewMiddleware):
    """Django's own check, without the page that it would answer with."""

    def _reject(self, request: HttpRequest, reason: str) -> HttpResponse:
        return HttpResponseForbidden(reason)


def _check_csrf(request: HttpRequest) -> None:
    """Raise Problem for a write without the browser's CSRF token."""
    check = _Csrf(lambda _: HttpResponse())
    # Django has passed the API's addresses over: programs with a token send no CSRF token.
    request.csrf_processing_done = False  # type: ignore[attr-defined]
    check.process_request(request)
    if check.process_view(request, lambda _: HttpResponse(), (), {}) is not None:
        raise Problem("csrf")


AUTH = [Token(), Session()]
