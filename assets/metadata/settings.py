"""Generation settings in one vocabulary, whoever wrote them."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_PROMPT = 16_384
MAX_NAME = 300
MAX_LORAS = 50
MAX_RAW_BYTES = 64 * 1024
MAX_JSON_BYTES = 2 * 1024 * 1024

_KEPT_CONTROLS = {"\n", "\t"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraUse:
    name: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationSettings:
    """What a picture was made with. Fields that the file does not tell are empty or None.

    Texts hold no control characters but line breaks and tabs, and no lone surrogates, so any database takes them.
    """

    source: str
    """`persona`, `automatic1111`, `swarmui`, `comfyui`, `invokeai`."""
    prompt: str = ""
    negative_prompt: str = ""
    steps: int | None = None
    """1-10,000."""
    sampler: str = ""
    cfg: float | None = None
    """Guidance scale, 0-1,000."""
    seed: int | None = None
    """0 .. 2**64 - 1."""
    width: int | None = None
    """Pixels, 1-65,535."""
    height: int | None = None
    model: str = ""
    loras: tuple[LoraUse, ...] = ()
    raw: str = ""
    """The block it was read from, cut at 64 KB of UTF-8."""

    def __bool__(self) -> bool:
        """Whether the file told anything one could use."""
        return bool(
            self.prompt or self.negative_prompt or self.steps or self.sampler or self.seed is not None or self.model
        )

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-safe dict; `from_json` is its inverse."""
        return {
            "source": self.source,
            "prompt": self.prompt,
            "negative_prompt": self.negative_prompt,
            "steps": self.steps,
            "sampler": self.sampler,
            "cfg": self.cfg,
            "seed": self.seed,
            "width": self.width,
            "height": self.height,
            "model": self.model,
            "loras": [{"name": lora.name, "weight": lora.weight} for lora in self.loras],
            "raw": self.raw,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> GenerationSettings:
        return build(
            source=text(data.get("source"), 40) or "persona",
            prompt=data.get("prompt"),
            negative_prompt=data.get("negative_prompt"),
            steps=data.get("steps"),
            sampler=data.get("sampler"),
            cfg=data.get("cfg"),
            seed=data.get("seed"),
            width=data.get("width"),
            height=data.get("height"),
            model=data.get("model"),
            loras=[
                (entry.get("name"), entry.get("weight"))
                for entry in as_list(data.get("loras"))
                if isinstance(entry, dict)
            ],
            raw=data.get("raw"),
        )


def build(
    *,
    source: str,
    prompt: object = "",
    negative_prompt: object = "",
    steps: object = None,
    sampler: object = "",
    cfg: object = None,
    seed: object = None,
    width: object = None,
    height: object = None,
    model: object = "",
    loras: list[tuple[object, object]] | None = None,
    raw: object = "",
) -> GenerationSettings:
    """Return settings from untrusted values: wrong types and impossible numbers become empty."""
    uses: dict[str, float] = {}
    for name, weight in (loras or [])[:MAX_LORAS]:
        if cleaned := text(name, MAX_NAME):
            value = number(weight, -100, 100)
            uses.setdefault(cleaned, 1.0 if value is None else value)
    return GenerationSettings(
        source=source,
        prompt=text(prompt, MAX_PROMPT),
        negative_prompt=text(negative_prompt, MAX_PROMPT),
        steps=integer(steps, 1, 10_000),
        sampler=text(sampler, MAX_NAME),
        cfg=number(cfg, 0, 1000),
        seed=integer(seed, 0, 2**64 - 1),
        width=integer(width, 1, 65_535),
        height=integer(height, 1, 65_535),
        model=text(model, MAX_NAME),
        loras=tuple(LoraUse(name=name, weight=weight) for name, weight in uses.items()),
        raw=trim(text(raw, MAX_RAW_BYTES), MAX_RAW_BYTES),
    )


def text(value: object, limit: int) -> str:
    """Return at most `limit` characters without controls and lone surrogates; anything but a string is empty."""
    if not isinstance(value, str):
        return ""
    kept = (
        c
        for c in value[: 2 * limit].replace("\r\n", "\n")
        if c in _KEPT_CONTROLS or unicodedata.category(c) not in ("Cc", "Cs")
    )
    return "".join(kept).strip()[:limit].strip()


def trim(value: str, limit: int) -> str:
    """Return `value` cut to `limit` bytes of UTF-8, never inside a character."""
    return value.encode("utf-8", "ignore")[:limit].decode("utf-8", "ignore")


def number(value: object, low: float, high: float) -> float | None:
    """Return a finite number within `low` .. `high`, from a number or its text; None otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and not re.fullmatch(
        r"[-+]?\d{0,30}(\.\d{0,30})?(e[-+]?\d{1,3})?", value.strip(), re.ASCII | re.IGNORECASE
    ):
        return None
    try:
        result = float(value)
    except (ValueError, OverflowError):
        return None
    return result if math.isfinite(result) and low <= result <= high else None


def integer(value: object, low: int, high: int) -> int | None:
    """Return a whole number within `low` .. `high`, exactly (seeds exceed what a float holds); None otherwise."""
    if isinstance(value, str) and re.fullmatch(r"[-+]?\d{1,30}", value.strip(), re.ASCII):
        value = int(value)
    if isinstance(value, bool):
        return None
    if not isinstance(value, int):
        as_float = number(value, -1e15, 1e15)
        if as_float is None or as_float != int(as_float):
            return None
        value = int(as_float)
    return value if low <= value <= high else None


def as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def as_dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def parse_json(block: str) -> Any:
    """Parse an untrusted JSON block; None when it is broken, nested too deeply, or longer than 2 MB."""
    if len(block) > MAX_JSON_BYTES:
        return None
    try:
        return json.loads(block)
    except (ValueError, RecursionError):
        return None
