"""InvokeAI: `invokeai_metadata` (from 3.0 on) and `sd-metadata` (2.x)."""

from __future__ import annotations

import re

from assets.metadata.settings import GenerationSettings, as_dict, as_list, build, parse_json

_NEGATIVE = re.compile(r"\[([^\[\]]{0,4000})\]")


def read(block: str) -> GenerationSettings | None:
    """Read an `invokeai_metadata` block."""
    values = as_dict(parse_json(block))
    if not values:
        return None
    return build(
        source="invokeai",
        prompt=values.get("positive_prompt"),
        negative_prompt=values.get("negative_prompt"),
        steps=values.get("steps"),
        sampler=values.get("scheduler"),
        cfg=values.get("cfg_scale", values.get("guidance")),
        seed=values.get("seed"),
        width=values.get("width"),
        height=values.get("height"),
        model=_name(values.get("model")),
        loras=[
            (_name(entry.get("model") or entry.get("lora")), entry.get("weight"))
            for entry in as_list(values.get("loras"))
            if isinstance(entry, dict)
        ],
        raw=block,
    )


def read_old(block: str) -> GenerationSettings | None:
    """Read an `sd-metadata` block, in which the negative prompt stands in square brackets inside the prompt."""
    values = as_dict(parse_json(block))
    image = as_dict(values.get("image"))
    if not image:
        return None
    prompt = image.get("prompt")
    if isinstance(prompt, list):
        prompt = ", ".join(p["prompt"] for p in prompt[:50] if isinstance(p, dict) and isinstance(p.get("prompt"), str))
    prompt = prompt if isinstance(prompt, str) else ""
    negatives = [match[1].strip() for match in _NEGATIVE.finditer(prompt)]
    return build(
        source="invokeai",
        prompt=_NEGATIVE.sub("", prompt),
        negative_prompt=", ".join(negatives),
        steps=image.get("steps"),
        sampler=image.get("sampler"),
        cfg=image.get("cfg_scale"),
        seed=image.get("seed"),
        width=image.get("width"),
        height=image.get("height"),
        model=values.get("model_weights"),
        raw=block,
    )


def _name(model: object) -> object:
    """Return the name of a model, which three versions wrote in three ways."""
    if isinstance(model, dict):
        return model.get("name") or model.get("model_name") or model.get("key")
    return model
