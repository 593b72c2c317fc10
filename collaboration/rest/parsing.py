"""Reading bodies and queries, strictly: what the database or a schema would stumble over is refused here."""

from __future__ import annotations

import json
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest
from django.utils.datastructures import MultiValueDict
from ninja.parser import Parser

from collaboration.rest.problems import Problem

_NUL = "A text holds the character U+0000, which nothing here can store. Leave it out."


class StrictParser(Parser):
    def parse_body(self, request: HttpRequest) -> Any:
        return parse_json(request)

    def parse_querydict(self, data: MultiValueDict, list_fields: list[str], request: HttpRequest) -> dict[str, Any]:
        for _, values in data.lists():
            if any(isinstance(value, str) and "\0" in value for value in values):
                raise Problem("unreadable", _NUL)
        return super().parse_querydict(data, list_fields, request)


def parse_json(request: HttpRequest) -> Any:
    """The body as JSON. Raises Problem; NaN and infinities, which JSON does not have, pass on to the schemas."""
    kind = request.content_type or ""
    if kind not in ("application/json", "text/plain", "") and not kind.endswith("+json"):
        raise Problem("unreadable", f"The body is {kind}; this address takes application/json.")
    try:
        body = json.loads(request.body, parse_int=_whole)
    except RequestDataTooBig:
        raise Problem("too-large", "The JSON body is larger than 30 MB. Send files as multipart/form-data.") from None
    except (ValueError, RecursionError) as error:
        what = f" ({error})" if isinstance(error, json.JSONDecodeError) else ""
        raise Problem("unreadable", f"The body is not valid JSON{what}.") from None
    if b"\\u0000" in request.body and _has_nul(body):
        raise Problem("unreadable", _NUL)
    return body


def _whole(digits: str) -> int:
    if len(digits) > 19:
        raise Problem("unreadable", f"A number has {len(digits):,} digits; at most 18 are read.")
    return int(digits)


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_has_nul(k) or _has_nul(v) for k, v in value.items())
    return isinstance(value, list) and any(map(_has_nul, value))
