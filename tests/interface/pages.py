"""Pages on which the scripts of the interface are tried, with a server that can be told how to answer.

No database: what happened is kept in `seen`, and `answers` says what comes next.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import include, path

from config import styleguide

seen: list[dict[str, Any]] = []
answers: deque[Callable[[HttpRequest], HttpResponse]] = deque()


def page(request: HttpRequest) -> HttpResponse:
    """One template of tests/interface/templates inside the frame."""
    context = styleguide.context() | {
        "trial": f"{request.GET['body']}.html",
        "words": request.GET.get("words", ""),
        "moment": datetime.now(UTC) - timedelta(minutes=4, seconds=5),
        "numbers": range(1, 9),
        "rows": [],
    }
    return render(request, "page.html", context)


def answer(request: HttpRequest) -> HttpResponse:
    """Note the request and give the next answer of `answers`, or a plain one."""
    files = request.FILES.getlist("files")
    seen.append(
        {
            "method": request.method,
            "key": request.headers.get("Idempotency-Key", "") or request.POST.get("idempotency_key", ""),
            "token": request.headers.get("X-CSRFToken", "") or request.POST.get("csrfmiddlewaretoken", ""),
            "fields": {k: v for k, v in request.POST.items() if k not in ("csrfmiddlewaretoken", "idempotency_key")},
            "files": [(f.name, f.read()) for f in files],
        }
    )
    if answers:
        return answers.popleft()(request)
    return HttpResponse('<p id="answer">Saved</p>')


def row(request: HttpRequest) -> HttpResponse:
    """What the assets app answers to one file."""
    name = request.FILES["files"].name
    context = {"row": {"id": len(seen), "name": name, "size": 10, "state": "accepted", "checks": []}}
    return render(request, "components/upload_row.html", context)


def status(code: int, body: str = "") -> Callable[[HttpRequest], HttpResponse]:
    return lambda request: HttpResponse(body, status=code)


def error_page(code: int) -> Callable[[HttpRequest], HttpResponse]:
    return lambda request: render(request, f"errors/{code}.html", status=code)


urlpatterns = [
    path("styleguide/", styleguide.styleguide),
    path("page/", page),
    path("answer/", answer),
    path("accounts/", include("allauth.urls")),
]
