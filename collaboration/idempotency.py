"""A repeated request repeats its answer, not its deed.

A request that carries a key (header `Idempotency-Key`, or the field `idempotency_key` of a plain form) is carried out
once for each person and key; see the IETF draft draft-ietf-httpapi-idempotency-key-header-07 for the convention.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from collaboration.models import IdempotencyRecord
from collaboration.pages import refused
from collaboration.rest.middleware import PREFIX
from collaboration.rest.problems import Problem

METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
FIELD = "idempotency_key"
LONGEST_KEY = 100
LARGEST_KEPT_BODY = 256 * 1024
LARGEST_HASHED_BODY = 1024 * 1024
ABANDONED_AFTER = timedelta(minutes=5)
KEPT_FOR = timedelta(hours=24)
_KEPT_HEADERS = (
    "Content-Type",
    "Location",
    "HX-Location",
    "HX-Push-Url",
    "HX-Redirect",
    "HX-Refresh",
    "HX-Replace-Url",
    "HX-Reselect",
    "HX-Reswap",
    "HX-Retarget",
    "HX-Trigger",
    "HX-Trigger-After-Settle",
    "HX-Trigger-After-Swap",
)
_PER_RENDERING = frozenset({FIELD, "csrfmiddlewaretoken"})


class IdempotencyMiddleware:
    """Only answers below 400 are kept: a refusal has changed nothing, so after it the key is free again, and a form
    that was corrected, or a server that has recovered, gets its chance. Stands after authentication.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.method not in METHODS or not (key := key_of(request)) or not (scope := scope_of(request)):
            return self.get_response(request)
        if len(key) > LONGEST_KEY:
            sentence = f"The idempotency key has {len(key):,} characters; at most {LONGEST_KEY} are kept."
            return _refuse(request, 422, sentence)
        if not key.isprintable():
            return _refuse(
                request, 422, "The idempotency key has control characters. Send letters, digits and hyphens."
            )
        fingerprint = fingerprint_of(request)
        record, is_ours = _take(scope, key, fingerprint)
        if not is_ours:
            return _answer_again(request, record, fingerprint)
        try:
            response = self.get_response(request)
        except BaseException:
            _ours(record).delete()
            raise
        if response.status_code >= 400 or response.streaming:
            _ours(record).delete()
        else:
            _keep(record, response)
        return response


def key_of(request: HttpRequest) -> str:
    """The header, else the field of a form that is cheap to read; never one of an upload, which must not be parsed."""
    if header := request.headers.get("Idempotency-Key", "").strip():
        return header
    if request.content_type == "application/x-www-form-urlencoded":
        return request.POST.get(FIELD, "").strip()
    return ""


def scope_of(request: HttpRequest) -> str:
    """Whose keys these are; empty for somebody unknown, for whom keys mean nothing."""
    if request.user.is_authenticated:
        return f"user:{request.user.pk}"
    if authorization := request.headers.get("Authorization"):
        return "authorization:" + hashlib.sha256(authorization.encode()).hexdigest()
    return ""


def fingerprint_of(request: HttpRequest) -> str:
    """What was asked for: method, address and body; of a large or multipart body only its length."""
    digest = hashlib.sha256(f"{request.method} {request.get_full_path()}\n".encode())
    length = request.headers.get("Content-Length", "")
    if request.content_type == "application/x-www-form-urlencoded":
        # A page that was rendered again carries another masked CSRF token for the same request.
        fields = sorted((k, v) for k, v in request.POST.lists() if k not in _PER_RENDERING)
        digest.update(json.dumps(fields).encode())
    elif request.content_type != "multipart/form-data" and length.isdigit() and int(length) <= LARGEST_HASHED_BODY:
        digest.update(request.body)
    else:
        digest.update(length.encode())
    return digest.hexdigest()


def purge_old() -> int:
    """Forget the keys older than a day. Returns how many."""
    return IdempotencyRecord.objects.filter(created_at__lt=timezone.now() - KEPT_FOR).delete()[0]


def _take(scope: str, key: str, fingerprint: str) -> tuple[IdempotencyRecord, bool]:
    """Return the key's record, and whether this request holds it and has to be carried out."""
    now = timezone.now()
    try:
        with transaction.atomic():
            fields = {"scope": scope, "key": key, "fingerprint": fingerprint, "created_at": now}
            return IdempotencyRecord.objects.create(**fields), True
    except IntegrityError:
        pass
    row = IdempotencyRecord.objects.filter(scope=scope, key=key).first()
    if row is None:  # the other request has just failed and let go
        return _take(scope, key, fingerprint)
    if _is_over(row, now):
        stale = IdempotencyRecord.objects.filter(pk=row.pk, created_at=row.created_at, status=row.status)
        if stale.update(created_at=now, fingerprint=fingerprint, status=None, headers={}, body=None):
            row.refresh_from_db()
            return row, True
        row.refresh_from_db()
    return row, False


def _is_over(row: IdempotencyRecord, now: datetime) -> bool:
    """Nobody answers any more, or the day is over for which the answer is promised."""
    return row.created_at < now - (ABANDONED_AFTER if row.status is None else KEPT_FOR)


def _ours(record: IdempotencyRecord) -> QuerySet[IdempotencyRecord]:
    """The record, unless another request has taken it over meanwhile."""
    return IdempotencyRecord.objects.filter(pk=record.pk, created_at=record.created_at, status=None)


def _keep(record: IdempotencyRecord, response: HttpResponse) -> None:
    # An answer marked no-store carries a secret that is shown once: it must not lie in a table for a day.
    is_kept = len(response.content) <= LARGEST_KEPT_BODY and "no-store" not in response.get("Cache-Control", "")
    _ours(record).update(
        status=response.status_code,
        headers={name: response[name] for name in _KEPT_HEADERS if name in response},
        body=response.content if is_kept else None,
    )


def _answer_again(request: HttpRequest, record: IdempotencyRecord, fingerprint: str) -> HttpResponse:
    if record.fingerprint != fingerprint:
        sentence = "This idempotency key was used for another request. Send a new key with each new request."
        return _refuse(request, 422, sentence)
    if record.status is None:
        response = _refuse(request, 409, "This request is still being carried out. Ask again in a moment.")
        response["Retry-After"] = "2"
        return response
    if record.body is None:
        sentence = "This request has been carried out; its answer is not kept. Reload the page to see the result."
        response = _refuse(request, 409, sentence)
    else:
        response = HttpResponse(bytes(record.body), status=record.status, headers=record.headers)
    response["Idempotent-Replayed"] = "true"
    return response


def _refuse(request: HttpRequest, status: int, sentence: str) -> HttpResponse:
    if request.path_info.startswith(PREFIX):
        return Problem("conflict" if status == 409 else "invalid", sentence).response(request)
    if "text/html" in request.headers.get("Accept", "") and "HX-Request" not in request.headers:
        return render(request, "collaboration/refused.html", {"sentence": sentence, "status": status}, status=status)
    return refused(sentence, status=status)
