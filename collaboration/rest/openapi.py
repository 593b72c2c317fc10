"""What the OpenAPI description says beyond what the schemas know."""

from __future__ import annotations

from typing import Any

from collaboration.rest.problems import MEDIA_TYPE
from collaboration.rest.schemas import ProblemOut

WRITES = ("post", "put", "patch", "delete")
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "maxLength": 100},
    "description": "Of your choice, new for each deed. Sent again within a day, it repeats the answer, not the deed.",
    "example": "3fa85f64-5717-4562-b3fc-2c963f66afa6",
}


def complete(schema: Any) -> Any:
    """Add refusals to every operation and the idempotency key to every write."""
    problem = ProblemOut.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.setdefault("components", {}).setdefault("schemas", {})["Problem"] = problem
    refusal = {
        "description": "A refusal: what is wrong and what to do.",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for path in schema["paths"].values():
        for method, operation in path.items():
            operation["responses"].setdefault("default", refusal)
            if method in WRITES:
                operation.setdefault("parameters", []).append(_KEY)
    return schema
