"""The reference of the API as a page: rendered by the server from the OpenAPI description, without scripts."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from ninja import NinjaAPI
from ninja.openapi.docs import DocsBase

from collaboration.rest.problems import KINDS
from collaboration.verbs import WORDS


class ReferencePage(DocsBase):
    def render_page(self, request: HttpRequest, api: NinjaAPI, **kwargs: Any) -> HttpResponse:
        schema = api.get_openapi_schema(path_params=kwargs)
        context = {
            "info": schema["info"],
            "introduction": _prose(schema["info"]["description"]),
            "groups": _groups(schema),
            "problems": KINDS,
            "scopes": WORDS,
            "openapi_url": self.get_openapi_url(api, kwargs),
        }
        return render(request, "collaboration/reference.html", context)


def _groups(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """Operations by tag, in the order of the description."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            tag = (operation.get("tags") or ["Other"])[0]
            groups.setdefault(tag, []).append(_operation(schema, path, method, operation))
    return [{"name": tag, "operations": operations} for tag, operations in groups.items()]


def _prose(text: str) -> list[SafeString]:
    """Paragraphs, with what stands between backticks as code."""
    return [_code(" ".join(paragraph.split())) for paragraph in text.split("\n\n") if paragraph.strip()]


def _code(text: str) -> SafeString:
    parts = [format_html("<code>{}</code>" if k % 2 else "{}", part) for k, part in enumerate(text.split("`"))]
    return format_html_join("", "{}", ((part,) for part in parts))


def _operation(schema: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> dict[str, Any]:
    bodies: dict[str, Any] = operation.get("requestBody", {}).get("content", {})
    answers = [
        {"status": status, "rows": _rows(schema, _content(answer)), "example": _example_text(schema, _content(answer))}
        for status, answer in operation["responses"].items()
        if status != "default"
    ]
    return {
        "id": operation["operationId"],
        "method": method.upper(),
        "path": path,
        "summary": operation.get("summary", ""),
        "description": _prose(operation.get("description", "")),
        "parameters": [_parameter(schema, p) for p in operation.get("parameters", [])],
        "bodies": [
            {
                "type": media_type,
                "rows": _rows(schema, body.get("schema")),
                "example": _example_text(schema, body.get("schema")) if media_type == "application/json" else "",
            }
            for media_type, body in bodies.items()
        ],
        "answers": answers,
    }


def _content(answer: dict[str, Any]) -> Any:
    kinds: list[dict[str, Any]] = list(answer.get("content", {}).values())
    return kinds[0].get("schema") if kinds else None


def _parameter(schema: dict[str, Any], parameter: dict[str, Any]) -> dict[str, Any]:
    shape = parameter.get("schema", {})
    return {
        "name": parameter["name"],
        "place": parameter["in"],
        "type": _type(schema, shape),
        "required": parameter.get("required", False),
        "default": _shown(shape.get("default")),
        "description": _code(parameter.get("description") or shape.get("description", "")),
    }


def _resolve(schema: dict[str, Any], shape: Any) -> dict[str, Any]:
    """Follow `$ref` and the wrapping that nullable fields and defaults bring."""
    shape = shape or {}
    if "$ref" in shape:
        found = schema["components"]["schemas"][shape["$ref"].rpartition("/")[2]]
        return {**found, **{k: v for k, v in shape.items() if k != "$ref"}}
    if len(shape.get("allOf", [])) == 1:
        return _resolve(schema, shape["allOf"][0])
    return dict(shape)


def _rows(schema: dict[str, Any], shape: Any) -> list[dict[str, Any]]:
    """The fields of an object, with those of a list's entries."""
    resolved = _resolve(schema, shape)
    if "items" in resolved and "properties" not in resolved:
        resolved = _resolve(schema, resolved["items"])
    required = set(resolved.get("required", ()))
    return [
        {
            "name": name,
            "type": _type(schema, field),
            "required": name in required,
            "default": _shown(field.get("default")),
            "description": _code("" if "$ref" in field else field.get("description", "")),
        }
        for name, field in resolved.get("properties", {}).items()
    ]


def _shown(value: Any) -> str:
    return "" if value in (None, "", [], {}) else json.dumps(value, ensure_ascii=False)


def _type(schema: dict[str, Any], shape: dict[str, Any]) -> str:
    if "$ref" in shape:
        found = _resolve(schema, shape)
        return (
            _type(schema, found)
            if len(found.get("enum", ())) in range(1, 8)
            else str(found.get("title", shape["$ref"].rpartition("/")[2]))
        )
    if "anyOf" in shape:
        return " or ".join(dict.fromkeys(_type(schema, option) for option in shape["anyOf"]))
    if len(shape.get("allOf", [])) == 1:
        return _type(schema, shape["allOf"][0])
    if "enum" in shape:
        return ", ".join(map(str, shape["enum"]))
    if "const" in shape:
        return str(shape["const"])
    if shape.get("type") == "array":
        return f"list of {_type(schema, shape.get('items', {}))}"
    words = {
        "integer": "whole number",
        "boolean": "true or false",
        "null": "null",
        "object": "object",
        "string": "text",
    }
    word = words.get(shape.get("type", ""), shape.get("type", "anything"))
    if shape.get("format") in ("uuid", "date-time", "binary"):
        word = {"uuid": "id", "date-time": "time", "binary": "file"}[shape["format"]]
    least, most = shape.get("minimum"), shape.get("maximum")
    if least is not None and most is not None:
        word += f", {least:g}-{most:g}"
    return word


def _example_text(schema: dict[str, Any], shape: Any) -> str:
    if not shape:
        return ""
    return json.dumps(_example(schema, shape), indent=2, ensure_ascii=False)


def _example(schema: dict[str, Any], shape: dict[str, Any], depth: int = 0) -> Any:
    """An instance made of the examples and defaults of the fields."""
    own = shape.get("examples")
    if own:
        return own[0]
    resolved = _resolve(schema, shape)
    if resolved.get("examples"):
        return resolved["examples"][0]
    if "default" in resolved and resolved["default"] not in (None, "", [], {}):
        return resolved["default"]
    if "anyOf" in resolved:
        return _example(schema, resolved["anyOf"][0], depth)
    if "enum" in resolved:
        return resolved["enum"][0]
    kind = resolved.get("type")
    if kind == "object" or "properties" in resolved:
        if depth > 4:
            return {}
        return {name: _example(schema, field, depth + 1) for name, field in resolved.get("properties", {}).items()}
    if kind == "array":
        return [] if depth > 4 else [_example(schema, resolved.get("items", {}), depth + 1)]
    if kind == "string":
        formats = {"uuid": "3fa85f64-5717-4562-b3fc-2c963f66afa6", "date-time": "2026-01-31T12:00:00Z"}
        return formats.get(resolved.get("format", ""), "")
    return {"integer": 1, "number": 0.5, "boolean": True}.get(kind or "")
