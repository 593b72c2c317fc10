"""A studio's own score distributions, and what each threshold would flag. For those who administer it."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from characters import distributions, flagged
from characters.fragments import calibration as fragments
from collaboration.actions import set_bands
from collaboration.bands import Bands
from collaboration.forms import BandsForm, refused_into
from collaboration.models import Studio
from collaboration.permissions import access_studio
from collaboration.requests import AuthenticatedRequest
from collaboration.views import studios

PLACE = ("Calibration", "characters:calibration", True)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def calibration(request: AuthenticatedRequest, studio: str) -> HttpResponse:
    """`?excellent=` and `?good=` try other bands; a POST with them adopts them."""
    found = access_studio(request.user, studio, administer=True)
    data = request.POST if request.method == "POST" else request.GET
    form, bands = _wanted(found, data)
    if request.method == "POST" and bands is not None:
        set_bands(studio=found, bands=bands, actor=request.user)
        messages.success(request, f"Good begins at {bands.good:g} and excellent at {bands.excellent:g} from now on.")
        return redirect("characters:calibration", found.slug)
    return _page(request, found, form, bands or found.bands, status=200 if bands else 422)


def _wanted(studio: Studio, data: QueryDict) -> tuple[BandsForm, Bands | None]:
    """The bands that are tried, the studio's own without any; None where they are none."""
    if not {"excellent", "good"} & set(data):
        return BandsForm.of(studio.bands), studio.bands
    form = BandsForm(data)
    if form.is_valid():
        with refused_into(form):
            return form, Bands(**form.cleaned_data)
    return form, None


def _page(request: AuthenticatedRequest, studio: Studio, form: BandsForm, bands: Bands, *, status: int) -> HttpResponse:
    measured = distributions.measure(studio)
    flags = flagged.in_all(studio, bands, fragments.scores(bands))
    rows = flagged.by_character(studio, bands)
    context = studios.frame(request, studio, PLACE[1]) | {
        "form": form,
        "bands": bands,
        "is_current": bands == studio.bands,
        "sample": fragments.sample(measured),
        "has_characters": bool(measured.characters),
        "unmeasured": [{"reason": reason, "count": count} for reason, count in measured.unmeasured],
        "distributions": [fragments.distribution(d, bands, flags) for d in measured.distributions],
        "flags": flags,
        "rows": [
            row | {"url": reverse("characters:detail", args=[row["project"], row["character_id"]])} for row in rows
        ],
        "is_cut": len(rows) == flagged.MOST_ROWS,
    }
    return render(request, "characters/calibration.html", context, status=status)
