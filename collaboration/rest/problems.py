"""Refusals of the API as problem documents (RFC 9457), each with a sentence that a person can act on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS
from django.core.exceptions import ValidationError as DjangoValidationError
from django.http import HttpRequest, HttpResponse, JsonResponse

MEDIA_TYPE = "application/problem+json"
DOCS = "/api/v1/docs"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem, by which programs tell them apart: `type` is `/api/v1/docs#problem-<its name>`."""

    status: int
    title: str
    detail: str
    """What is said when nothing more exact is known."""


KINDS: dict[str, Kind] = {
    "unreadable": Kind(400, "The request cannot be read", "Send the body as JSON (UTF-8) or as multipart/form-data."),
    "signed-out": Kind(
        401,
        "Not signed in",
        "Sign in, or send an API token: `Authorization: Bearer ps_...`. Tokens are made under Account.",
    ),
    "token-unknown": Kind(
        401, "Unknown token", "There is no such API token. Copy it again, or make a new one under Account."
    ),
    "token-revoked": Kind(401, "Revoked token", "This API token was revoked. Make a new one under Account."),
    "token-expired": Kind(401, "Expired token", "This API token has expired. Make a new one under Account."),
    "forbidden": Kind(403, "Not allowed", "You may not do this here. Ask a lead or the owner of the project."),
    "csrf": Kind(
        403,
        "Missing CSRF token",
        "A signed-in browser must send its CSRF token in the header X-CSRFToken. Programs use an API token instead.",
    ),
    "not-found": Kind(404, "Not found", "There is nothing at this address, or you are no member of its project."),
    "method": Kind(
        405, "Method not allowed", "This address does not take this method. The header Allow lists those it takes."
    ),
    "conflict": Kind(409, "Does not fit the present state", "This does not fit the present state. Look at it again."),
    "gone": Kind(410, "Erased", "This was erased for good."),
    "too-large": Kind(413, "Too large", "The request is too large. Send fewer or smaller files at once."),
    "invalid": Kind(422, "Something is not right", "Something in the request is not right."),
    "too-many-requests": Kind(
        429, "Too many requests", "Too many requests at once. Wait a moment and go on more slowly."
    ),
    "failed": Kind(
        500, "Our mistake", "Something went wrong on our side and was written to the log. Nothing was changed."
    ),
    "busy": Kind(503, "Busy", "The database is busy. Try again in a moment."),
}
_BY_STATUS = {kind.status: name for name, kind in reversed(KINDS.items())} | {401: "signed-out", 403: "forbidden"}


class Problem(Exception):
    """A refusal. `kind` is one of `KINDS`; `errors` maps fields, by their path in the request, to sentences."""

    def __init__(
        self,
        kind: str,
        detail: str = "",
        *,
        errors: Mapping[str, Sequence[str]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.kind = kind
        self.detail = detail or KINDS[kind].detail
        self.errors = {field: list(sentences) for field, sentences in (errors or {}).items()}
        self.headers = dict(headers or {})
        super().__init__(self.detail)

    def document(self, path: str) -> dict[str, Any]:
        """The problem of a request to `path`, JSON-safe."""
        kind = KINDS[self.kind]
        document: dict[str, Any] = {
            "type": f"{DOCS}#problem-{self.kind}",
            "title": kind.title,
            "status": kind.status,
            "detail": self.detail,
            "instance": path[:500],
        }
        if self.errors:
            document["errors"] = self.errors
        return document

    def response(self, request: HttpRequest) -> HttpResponse:
        kind = KINDS[self.kind]
        headers = self.headers
        if kind.status == 401:
            error = "" if self.kind == "signed-out" else ', error="invalid_token"'
            headers = {"WWW-Authenticate": f'Bearer realm="studio"{error}', **headers}
        elif kind.status == 503:
            headers = {"Retry-After": "2", **headers}
        return JsonResponse(self.document(request.path), status=kind.status, content_type=MEDIA_TYPE, headers=headers)


def problem_of_status(status: int) -> Problem:
    """The problem that a bare status means."""
    if kind := _BY_STATUS.get(status):
        return Problem(kind)
    phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else ""
    return Problem("unreadable" if status < 500 else "failed", f"{phrase}.".lstrip(".") if phrase else "")


def invalid(errors: Mapping[str, Sequence[str]], *, kind: str = "invalid") -> Problem:
    """A problem about fields. Its sentence says all that is wrong."""
    sentences = list(dict.fromkeys(sentence for several in errors.values() for sentence in several))
    by_field = {field: several for field, several in errors.items() if field != NON_FIELD_ERRORS}
    return Problem(kind, " ".join(sentences)[:2000], errors=by_field)


def from_validation(error: DjangoValidationError, *, kind: str = "invalid") -> Problem:
    """What an action refused."""
    if hasattr(error, "error_dict"):
        return invalid(error.message_dict, kind=kind)
    return invalid({NON_FIELD_ERRORS: error.messages}, kind=kind)


# -------------------------------------------------------------------------------------- what the schemas refused
def from_schema(errors: Iterable[Mapping[str, Any]]) -> Problem:
    """What pydantic found (ninja's ValidationError), in sentences instead of its terms."""
    by_field: dict[str, list[str]] = {}
    for error in errors:
        field = _field(error["loc"])
        sentence = _sentence(field, error)
        if sentence not in by_field.setdefault(field or NON_FIELD_ERRORS, []):
            by_field[field or NON_FIELD_ERRORS].append(sentence)
    return invalid(by_field)


def _field(place: Sequence[Any]) -> str:
    """`("body", "payload", "axes", "pose", 0)` -> `axes.pose.0`: the second is our own name of a whole body."""
    parts = [str(part) for part in place]
    return ".".join(parts[2:] if parts[:1] in (["body"], ["form"], ["file"]) and len(parts) > 1 else parts[1:])


def _sentence(field: str, error: Mapping[str, Any]) -> str:
    kind, context = error["type"], error.get("ctx") or {}
    name = f"`{field}`" if field else "The body"
    known = {
        "missing": f"{name} is missing.",
        "extra_forbidden": f"{name} is not known here. Check its spelling.",
        "finite_number": f"{name} must be a finite number, not NaN or infinity.",
        "string_unicode": f"{name} is not valid Unicode.",
        "string_type": f"{name} must be a string.",
        "bool_type": f"{name} must be true or false.",
        "bool_parsing": f"{name} must be true or false.",
        "int_type": f"{name} must be a whole number.",
        "int_parsing": f"{name} must be a whole number.",
        "int_parsing_size": f"{name} is too large a number.",
        "int_from_float": f"{name} must be a whole number.",
        "float_type": f"{name} must be a number.",
        "float_parsing": f"{name} must be a number.",
        "list_type": f"{name} must be a list.",
        "dict_type": f"{name} must be an object.",
        "model_type": f"{name} must be an object.",
        "model_attributes_type": f"{name} must be an object.",
        "uuid_parsing": f"{name} must be an id such as 3fa85f64-5717-4562-b3fc-2c963f66afa6.",
        "uuid_type": f"{name} must be an id such as 3fa85f64-5717-4562-b3fc-2c963f66afa6.",
        "datetime_parsing": f"{name} must be a time such as 2026-01-31T12:00:00Z.",
    }
    if kind in known:
        return known[kind]
    if kind in ("greater_than_equal", "less_than_equal", "greater_than", "less_than"):
        word, key = {
            "greater_than_equal": ("at least", "ge"),
            "less_than_equal": ("at most", "le"),
            "greater_than": ("more than", "gt"),
            "less_than": ("less than", "lt"),
        }[kind]
        return f"{name} must be {word} {context[key]:,}."
    if kind in ("string_too_long", "too_long"):
        what = "characters" if kind == "string_too_long" else "entries"
        return f"{name} is too long: at most {context['max_length']:,} {what} fit."
    if kind in ("string_too_short", "too_short"):
        return f"{name} is empty." if context["min_length"] == 1 else f"{name} is too short."
    if kind in ("literal_error", "enum"):
        return f"{name} must be {context['expected']}."
    message = str(error["msg"]).removeprefix("Value error, ").rstrip(".")
    return f"{name}: {message}." if kind != "value_error" else f"{message}."
