"""Files under the application's own, access-checked addresses."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponseBase
from django.views.decorators.http import require_safe

from assets.delivery import deliver
from assets.permissions import access_asset


@require_safe
def file(request: HttpRequest, asset_id: UUID) -> HttpResponseBase:
    return deliver(request, access_asset(request.user, asset_id))  # type: ignore[arg-type]


@require_safe
def thumbnail(request: HttpRequest, asset_id: UUID, size: int) -> HttpResponseBase:
    return deliver(request, access_asset(request.user, asset_id), size)  # type: ignore[arg-type]
