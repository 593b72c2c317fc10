"""/api/v1: stored files."""

from __future__ import annotations

from typing import Annotated, Any

from django.http.response import HttpResponseBase
from ninja import Query, Router
from pydantic import Field

from assets.delivery import deliver
from assets.models import Asset
from assets.permissions import access_asset
from collaboration.rest.auth import ApiRequest
from collaboration.rest.problems import Problem
from collaboration.rest.schemas import UUID, Answer, datetime

router = Router(tags=["Files"])


class AssetOut(Answer):
    id: UUID
    kind: str = Field(description="`picture`, `adapter` or `file`.", examples=["picture"])
    name: str = Field(description="The file's name as it came, made safe.", examples=["mara-01.jpg"])
    mime: str = Field(examples=["image/jpeg"])
    bytes: int = Field(examples=[184_320])
    width: int | None = Field(description="Pixels; null for what is no picture.", examples=[1024])
    height: int | None = Field(description="Pixels; null for what is no picture.", examples=[1024])
    sha256: str = Field(description="Hex digest of the stored bytes; empty once erased.")
    notes: list[str] = Field(
        description="What was changed on the way in.", examples=[["Removed from the file: camera data."]]
    )
    generation: dict[str, Any] | None = Field(
        description="How the file says it was generated; null where it does not say."
    )
    erased: bool
    file: str = Field(
        description="Address of the file.", examples=["/api/v1/assets/3fa85f64-5717-4562-b3fc-2c963f66afa6/file"]
    )
    created_at: datetime


def address_of(asset_id: object) -> str:
    return f"/api/v1/assets/{asset_id}/file"


def asset_out(asset: Asset) -> AssetOut:
    return AssetOut(
        id=asset.pk,
        kind=asset.kind,
        name=asset.original_name,
        mime=asset.mime,
        bytes=asset.bytes,
        width=asset.width,
        height=asset.height,
        sha256=asset.sha256,
        notes=asset.notes,
        generation=asset.generation,
        erased=asset.erased_at is not None,
        file=address_of(asset.pk),
        created_at=asset.created_at,
    )


@router.get("/assets/{uuid:asset_id}", response=AssetOut, summary="Show what is known of a file")
def asset(request: ApiRequest, asset_id: UUID) -> AssetOut:
    return asset_out(access_asset(request.auth, asset_id))


@router.get("/assets/{uuid:asset_id}/file", response={200: None, 302: None}, summary="Download a file")
def file(
    request: ApiRequest,
    asset_id: UUID,
    size: Annotated[int | None, Query(description="Long side of a thumbnail in pixels: 160, 320, 640 or 1280.")] = None,
) -> HttpResponseBase:
    """The stored file or, with `size`, its thumbnail as WebP.

    May answer by a redirect to a short-lived signed address, which must be followed without the API token. Takes single
    byte ranges and `If-None-Match`.
    """
    found = access_asset(request.auth, asset_id)
    if found.erased_at is not None:
        raise Problem("gone", "This file was erased for good.")
    return deliver(request, found, size)
