"""One page works three ways: whole without JavaScript, and region by region with htmx."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django_htmx.http import HttpResponseClientRefresh, trigger_client_event

_KINDS = {"success": "good", "warning": "attention", "error": "problem"}


def render_region(
    request: HttpRequest, page: str, region: str, context: dict[str, Any], *, status: int = 200
) -> HttpResponse:
    """Render `page` or, where htmx asked, only its `region`, with waiting messages as toasts (header `HX-Trigger`)."""
    htmx = request.htmx  # type: ignore[attr-defined]
    if not htmx or htmx.history_restore_request:
        return render(request, page, context, status=status)
    response = with_toasts(request, render(request, region, context, status=status))
    # A boosted form would otherwise leave the address of its POST, which cannot be opened, in the browser's history.
    response["HX-Push-Url"] = "false"
    return response


def with_toasts(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """Let a fragment carry the messages that a whole page would have shown."""
    toasts = [
        {
            "text": str(message),
            "kind": _KINDS.get(message.level_tag, ""),
            "undo_url": message.extra_tags.removeprefix("undo:") if message.extra_tags else "",
        }
        for message in messages.get_messages(request)
    ]
    return trigger_client_event(response, "toasts", {"value": toasts}) if toasts else response


def undone(request: HttpRequest, name: str, *args: object) -> HttpResponse:
    """The answer to an undo, which stands in a toast of any page: htmx loads that page anew, others go to `name`."""
    if request.htmx:  # type: ignore[attr-defined]
        return HttpResponseClientRefresh()
    return redirect(name, *args)


def refused(sentence: str, *, status: int = 422) -> JsonResponse:
    """A problem document (RFC 9457), which the page shows as a toast."""
    problem = {"type": "about:blank", "title": sentence, "status": status, "detail": sentence}
    return JsonResponse(problem, status=status, content_type="application/problem+json")
