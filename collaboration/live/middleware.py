"""Where in the log a page stands, and which numbers a request has written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse

from collaboration.live import hints, reading
from collaboration.models import Project

HEADER = "Live-Seq"
"""Header of an answer: `<stream>=<number>` of the last event that the request wrote, several separated by commas."""

_NO_PAGES = ("/api/", "/files/")
"""What is answered under these addresses has no socket."""

_ids: dict[str, str] = {}
"""Slug -> id of a project. What is remembered is only ever compared with the project that the page shows."""


class LiveMiddleware:
    """Stands after authentication.

    Before a page is made it reads the heads of its streams (`request.live_heads`): the page may show more than that,
    and never less, so its socket asks for everything after them.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with hints.collected() as written:
            response = self.get_response(request)
        if written:
            response[HEADER] = ",".join(f"{stream}={head}" for stream, head in written.items())
        return response

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: dict[str, Any]) -> None:
        slug = kwargs.get("project")
        if request.method != "GET" or not request.user.is_authenticated or request.path.startswith(_NO_PAGES):
            return
        if request.headers.get("HX-Request") and not request.headers.get("HX-Boosted"):
            return
        streams = [f"person:{request.user.pk}"]
        if isinstance(slug, str) and (id := _id_of(slug)):
            streams.append(f"project:{id}")
        request.live_heads = reading.heads_of(streams)  # type: ignore[attr-defined]


def _id_of(slug: str) -> str | None:
    if slug not in _ids:
        pk = Project.objects.filter(slug=slug).values_list("pk", flat=True).first()
        if pk is None:
            return None
        if len(_ids) > 10_000:
            _ids.clear()
        _ids[slug] = str(pk)
    return _ids[slug]
