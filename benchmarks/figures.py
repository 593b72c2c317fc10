"""Measuring and showing."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def quantile(values: Sequence[float], q: float) -> float:
    """The smallest value that at least a share `q` of the values does not exceed; nan without any."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(q * len(values)) - 1)]


def spread(values: Sequence[float], digits: int = 1) -> dict[str, float | int]:
    """Count, median, p95 and maximum."""
    return {
        "count": len(values),
        "p50": round(quantile(values, 0.5), digits),
        "p95": round(quantile(values, 0.95), digits),
        "max": round(max(values, default=math.nan), digits),
    }


def table(rows: Sequence[tuple[str, object]], title: str) -> str:
    """Rows of (what, how much) as text."""
    width = max(len(name) for name, _ in rows)
    return "\n".join([title, "-" * len(title), *(f"{name:<{width}}  {shown(value)}" for name, value in rows)])


def shown(value: object) -> str:
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:,.3f}".rstrip("0").rstrip(".")
    if isinstance(value, dict):
        return ", ".join(f"{k} {shown(v)}" for k, v in value.items())
    return "-" if value is None else str(value)


def write_json(path: Path, result: dict[str, Any]) -> None:
    """As strict JSON: what could not be measured is null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_strict(result), indent=2, allow_nan=False) + "\n")


def _strict(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(k): _strict(v) for k, v in value.items()}
    return [_strict(v) for v in value] if isinstance(value, list | tuple) else value
