"""Answer with a stored file: streamed from a local folder, or by a redirect to a short-lived signed address."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from typing import IO, Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.utils.http import content_disposition_header

from assets.limits import SIZES
from assets.models import Asset
from assets.storing import storage

_FOREVER = "private, max-age=31536000, immutable"
_SIGNED_SECONDS = 300
_CHUNK = 256 * 1024
_WHOLE = 2 * 1024 * 1024
"""Up to here a file is answered in one piece."""
_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")
_EXTENSIONS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}


def deliver(request: HttpRequest, asset: Asset, size: int | None = None) -> HttpResponseBase:
    """Answer GET or HEAD with the file, or with its thumbnail of that size. Access was checked by the caller.

    410 for an erased file; 304 and single byte ranges (206, 416) as RFC 9110 has them. Raises Http404 for a size that
    is not one of `SIZES`, and for a thumbnail of what is no picture.
    """
    if size is not None and (size not in SIZES or not asset.is_picture):
        raise Http404
    if asset.erased_at is not None:
        return HttpResponse("This file was erased.\n", content_type="text/plain", status=410)
    key, mime = (asset.key, asset.mime) if size is None else (asset.thumbnail_key(size), "image/webp")
    # The hash is of the stored picture; a thumbnail follows from it and from its own name.
    etag = f'"{asset.sha256}"' if size is None else f'"{key.rpartition("/")[2]}"'
    if etag in request.headers.get("If-None-Match", ""):
        response: HttpResponseBase = HttpResponse(status=304)
    elif getattr(storage(), "querystring_auth", False):
        return _redirect(asset, key, mime)
    else:
        response = _stream(request, key, mime, etag)
    response["ETag"] = etag
    if response.status_code != 416:
        response["Cache-Control"] = _FOREVER
    response["X-Content-Type-Options"] = "nosniff"
    response["Cross-Origin-Resource-Policy"] = "same-origin"
    response["Content-Disposition"] = _disposition(asset, mime)
    return response


def _disposition(asset: Asset, mime: str) -> str:
    """Pictures are shown, everything else is saved; the name ends as the content does."""
    name = asset.original_name
    if extension := _EXTENSIONS.get(mime):
        name = f"{name.rpartition('.')[0] or name}.{extension}"
    return content_disposition_header(not asset.is_picture, name) or "attachment"


def _redirect(asset: Asset, key: str, mime: str) -> HttpResponse:
    parameters = {
        "ResponseContentType": mime,
        "ResponseContentDisposition": _disposition(asset, mime),
        "ResponseCacheControl": _FOREVER,
    }
    response = HttpResponseRedirect(storage().url(key, parameters=parameters, expire=_SIGNED_SECONDS))  # type: ignore[call-arg]
    # Browsers may reuse the redirect for as long as its signature surely holds.
    response["Cache-Control"] = f"private, max-age={_SIGNED_SECONDS // 2}"
    return response


def _stream(request: HttpRequest, key: str, mime: str, etag: str) -> HttpResponseBase:
    try:
        file = storage().open(key, "rb")
    except FileNotFoundError:
        raise Http404 from None
    total = file.size
    span = _span(request, total, etag)
    if span is None:
        file.close()
        return HttpResponse(status=416, headers={"Content-Range": f"bytes */{total}"})
    start, end = span
    length = end - start
    response: HttpResponseBase
    if request.method == "HEAD" or length <= _WHOLE:
        body = b""
        if request.method != "HEAD":
            file.seek(start)
            body = file.read(length)
        file.close()
        response = HttpResponse(body, content_type=mime)
    else:
        file.seek(start)
        chunks = _chunks_async(file, length) if isinstance(request, ASGIRequest) else _chunks(file, length)
        response = StreamingHttpResponse(chunks, content_type=mime)
        response._resource_closers.append(file.close)  # type: ignore[attr-defined]
    response["Content-Length"] = str(length)
    response["Accept-Ranges"] = "bytes"
    if (start, end) != (0, total):
        response.status_code = 206
        response["Content-Range"] = f"bytes {start}-{end - 1}/{total}"
    return response


def _span(request: HttpRequest, total: int, etag: str) -> tuple[int, int] | None:
    """Return (start, end) of the bytes asked for; all of them without a usable range; None when it cannot be met."""
    match = _RANGE.fullmatch(request.headers.get("Range", "").strip())
    if not match or not (match[1] or match[2]) or request.headers.get("If-Range", etag) != etag:
        return 0, total
    if not match[1]:
        length = min(int(match[2]), total)
        return (total - length, total) if length else None
    start, end = int(match[1]), int(match[2]) + 1 if match[2] else total
    if start >= total:
        return None
    return (0, total) if end <= start else (start, min(end, total))


def _chunks(file: IO[Any], length: int) -> Iterator[bytes]:
    while length > 0 and (chunk := file.read(min(_CHUNK, length))):
        length -= len(chunk)
        yield chunk


async def _chunks_async(file: IO[Any], length: int) -> AsyncIterator[bytes]:
    read = sync_to_async(file.read, thread_sensitive=False)
    while length > 0 and (chunk := await read(min(_CHUNK, length))):
        length -= len(chunk)
        yield chunk
