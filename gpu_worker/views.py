"""Pages about model packs."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from collaboration.permissions import access_studio
from collaboration.requests import AuthenticatedRequest
from collaboration.views import studios
from gpu_worker import calibration, catalog, queries, reports, routing
from gpu_worker.packs import Pack
from gpu_worker.permissions import access_report

PLACE = ("Catalogue", "gpu_worker:catalogue", False)


@require_safe
@login_required
def catalogue(request: AuthenticatedRequest, studio: str) -> HttpResponse:
    """The packs installed here: their terms, what each is fit for, and what it scores."""
    found = access_studio(request.user, studio)
    packs = [_row(pack) for _, pack in sorted(catalog.installed().items())]
    return render(request, "gpu_worker/catalogue.html", studios.frame(request, found, PLACE[1]) | {"packs": packs})


def _row(pack: Pack) -> dict[str, Any]:
    return {
        "pack": pack,
        "is_default": pack.name == settings.DEFAULT_PACK,
        "domain": "Illustrations" if pack.domain == "illustration" else "Photographs",
        "scores": routing.measures(pack),
        "encoders": [*pack.encoders, *([routing.FIGURE] if pack.figure else [])],
        "calibrations": [_calibration(pack, encoder) for encoder in routing.scores_with(pack)],
        "report": queries.latest_report(pack),
    }


def _calibration(pack: Pack, encoder: str) -> dict[str, Any]:
    """The cosines of the two rates by which scores are scaled, and what they were measured on."""
    quantiles, measured = pack.quantiles(encoder), pack.calibration[encoder]
    return {
        "encoder": routing.ENCODER_WORDS[encoder],
        "hundredth": calibration.threshold(1e-2, quantiles),
        "thousandth": calibration.threshold(1e-3, quantiles),
        "identities": measured.get("identities"),
        "pairs": measured.get("pairs"),
    }


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
