"""Pages about model packs."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.views.decorators.http import require_safe

from collaboration.requests import AuthenticatedRequest
from gpu_worker import reports
from gpu_worker.permissions import access_report


@require_safe
@login_required
def report(request: AuthenticatedRequest, pack: str, version: str) -> HttpResponse:
    """The evaluation of a pack: a page that was written once and brings its own stylesheet and pictures, so it has a
    policy of its own, which allows these and nothing else."""
    try:
        html = access_report(request.user, pack, version).page.read_text(encoding="utf-8")
    except OSError:
        raise Http404 from None
    response = HttpResponse(html)
    policy = reports.content_security_policy(html)
    response["Content-Security-Policy"] = f"{policy}; frame-ancestors 'none'; sandbox"
    return response
