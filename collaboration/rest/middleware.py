"""Around every request to the API: who asks, and that every refusal is a problem document."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers

from collaboration.rest import auth
from collaboration.rest.problems import MEDIA_TYPE, Problem, problem_of_status

PREFIX = "/api/"


class ApiMiddleware:
    """Stands after the session's authentication and before idempotency: a token that opens nothing any more must not
    be given a kept answer either.

    Refusals from outside the API's own code (an unknown address, a wrong method, a request that is too large) become
    problem documents here.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith(PREFIX):
            return self.get_response(request)
        try:
            auth.read_token(request)
        except Problem as refusal:
            return _for_the_asker(refusal.response(request))
        response = self.get_response(request)
        if response.status_code >= 400 and response.get("Content-Type") != MEDIA_TYPE:
            allowed = {"Allow": response["Allow"]} if "Allow" in response else {}
            problem = problem_of_status(response.status_code)
            problem.headers |= allowed
            response = problem.response(request)
        return _for_the_asker(response)


def _for_the_asker(response: HttpResponse) -> HttpResponse:
    patch_vary_headers(response, ["Authorization", "Cookie"])
    return response
