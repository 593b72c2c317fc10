"""The JSON API, version 1: one instance with the router of every app."""

from __future__ import annotations

import logging
from typing import Any

from django.core.exceptions import (
    ObjectDoesNotExist,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    TooManyFieldsSent,
    TooManyFilesSent,
    ValidationError,
)
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.http.multipartparser import MultiPartParserError
from ninja import NinjaAPI
from ninja import errors as ninja_errors
from ninja.openapi.schema import OpenAPISchema

from assets.api import router as assets
from assets.errors import IntakeError
from characters.api import router as characters
from collaboration.annotations.api import router as drawings
from collaboration.api import router as collaboration
from collaboration.approvals.api import router as approvals
from collaboration.notifications.api import router as notifications
from collaboration.rest import openapi
from collaboration.rest.auth import AUTH
from collaboration.rest.parsing import StrictParser
from collaboration.rest.problems import Problem, from_schema, from_validation, invalid, problem_of_status
from collaboration.rest.reference import ReferencePage
from collaboration.rest.throttling import PerPerson
from collaboration.reviews.api import router as reviews
from collaboration.votes.api import router as votes
from gpu_worker.actions import NotNow
from gpu_worker.api import router as gpu_worker
from training.api import adapter_router as adapters
from training.api import router as training

logger = logging.getLogger(__name__)

DESCRIPTION = """
Everything that the pages can do, for programs. Send an API token, made under Account, with every request:
`Authorization: Bearer ps_...`. A token may do what its owner may, narrowed to the scopes it was made with.

Times are UTC (ISO 8601), durations seconds, lengths pixels, shares and importances 0-1, scores 0-100. A list answers
with `items` and `next`: send `next` as `cursor` for the next page. A write may carry an `Idempotency-Key` of your
choice: sent again within a day, it repeats the answer and not the deed. Refusals are problem documents (RFC 9457) whose
`detail` says what is wrong and what to do.
"""


class StudioApi(NinjaAPI):
    def get_openapi_schema(self, **options: Any) -> OpenAPISchema:
        return openapi.complete(super().get_openapi_schema(**options))


api = StudioApi(
    title="Persona Studio",
    version="1.0.0",
    description=DESCRIPTION.strip(),
    urls_namespace="api",
    docs=ReferencePage(),
    auth=AUTH,
    throttle=PerPerson(),
    parser=StrictParser(),
)
for _router in (
    collaboration,
    votes,
    approvals,
    reviews,
    notifications,
    characters,
    training,
    adapters,
    gpu_worker,
    assets,
    drawings,
):
    api.add_router("", _router)


# -------------------------------------------------------------------------------- refusals, as problem documents
def problem_of(error: Exception) -> Problem:
    """What an exception of the layers below means to a program."""
    match error:
        case Problem():
            return error
        case ninja_errors.HttpError():
            cause = error.__cause__
            return problem_of(cause) if isinstance(cause, Problem) else _of_ninja(error)
        case ninja_errors.ValidationError():
            return from_schema(error.errors)
        case NotNow():
            return from_validation(error, kind="conflict")
        case ValidationError():
            return from_validation(error)
        case IntakeError():
            kind = "too-large" if error.code == "too_large" else "invalid"
            return invalid({"files": [error.sentence]}, kind=kind)
        case Http404() | ObjectDoesNotExist():
            return Problem("not-found")
        case PermissionDenied():
            return Problem("forbidden", str(error))
        case RequestDataTooBig() | TooManyFieldsSent() | TooManyFilesSent():
            return Problem("too-large")
        case SuspiciousOperation() | MultiPartParserError():
            return Problem("unreadable")
        case OperationalError():
            logger.warning("The database did not answer: %s", error)
            return Problem("busy")
    logger.error("A request to the API failed", exc_info=error)
    return Problem("failed")


def _of_ninja(error: ninja_errors.HttpError) -> Problem:
    problem = problem_of_status(error.status_code)
    if isinstance(error, ninja_errors.Throttled) and error.wait is not None:
        problem.detail = f"Too many requests at once. Go on in {error.wait:.0f} seconds."
    return problem


@api.exception_handler(Exception)
def on_error(request: HttpRequest, error: Exception | type[Exception]) -> HttpResponse:
    problem = problem_of(error if isinstance(error, Exception) else error())
    scopes = getattr(getattr(request, "token_user", None), "token_scopes", None)
    if problem.kind == "forbidden" and scopes is not None:
        problem.detail += f" This token has the scopes {', '.join(sorted(scopes))}."
    return problem.response(request)


for _refusal in (Http404, ninja_errors.HttpError, ninja_errors.ValidationError):
    api.add_exception_handler(_refusal, on_error)
