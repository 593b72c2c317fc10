"""Write how a picture was made into the picture, for other tools and for our own."""

from __future__ import annotations

import io
import json
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from assets.metadata import persona
from assets.metadata.settings import GenerationSettings

PNG_LEVEL = 3
"""zlib effort: level 6 takes four times as long for a tenth less."""


def provenance_png(image: Image.Image, *, parameters: str, provenance: dict[str, Any]) -> bytes:
    """Return a PNG that carries A1111's `parameters` text and our JSON under `persona`.

    `image` is RGB or RGBA in sRGB; its pixels are kept exactly. Raises ValueError when `provenance` holds a number that
    is not finite, TypeError when it holds what JSON cannot say.
    """
    info = PngInfo()
    if parameters:
        info.add_text("parameters", parameters)
    if provenance:
        # JSON escapes are plain ASCII, so the chunk reads the same in any tool.
        info.add_text(persona.KEYWORD, json.dumps(provenance, allow_nan=False, separators=(",", ":")))
    buffer = io.BytesIO()
    bare = image.copy()
    bare.info = {}
    bare.save(buffer, "PNG", pnginfo=info, compress_level=PNG_LEVEL)
    return buffer.getvalue()


def a1111_parameters(settings: GenerationSettings) -> str:
    """Return the settings as A1111's `parameters` text, LoRAs as `<lora:name:weight>` behind the prompt."""
    prompt = settings.prompt
    for lora in settings.loras:
        if f"<lora:{lora.name}:" not in prompt:
            prompt = f"{prompt} <lora:{lora.name}:{lora.weight:g}>".strip()
    lines = [prompt]
    if settings.negative_prompt:
        lines.append(f"Negative prompt: {settings.negative_prompt}")
    values: list[tuple[str, object]] = [("Steps", settings.steps or 0)]
    values += [
        (key, value) for key, value in (("Sampler", settings.sampler), ("CFG scale", _plain(settings.cfg))) if value
    ]
    if settings.seed is not None:
        values.append(("Seed", settings.seed))
    if settings.width and settings.height:
        values.append(("Size", f"{settings.width}x{settings.height}"))
    if settings.model:
        values.append(("Model", settings.model))
    lines.append(", ".join(f"{key}: {_quote(str(value))}" for key, value in values))
    return "\n".join(lines)


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _quote(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if any(c in value for c in ',:"\n') else value
