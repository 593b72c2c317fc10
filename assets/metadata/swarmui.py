"""SwarmUI: JSON with `sui_image_params` in the same chunk that A1111 uses."""

from __future__ import annotations

from assets.metadata.settings import GenerationSettings, as_dict, as_list, build, parse_json


def read(block: str) -> GenerationSettings | None:
    """Read a `parameters` block; None when it is not SwarmUI's JSON."""
    if not block.lstrip().startswith("{") or "sui_image_params" not in block:
        return None
    values = as_dict(as_dict(parse_json(block)).get("sui_image_params"))
    if not values:
        return None
    weights = as_list(values.get("loraweights"))
    loras = as_list(values.get("loras"))
    scheduler, sampler = values.get("scheduler"), values.get("sampler")
    return build(
        source="swarmui",
        prompt=values.get("prompt"),
        negative_prompt=values.get("negativeprompt"),
        steps=values.get("steps"),
        sampler=f"{sampler} {scheduler}" if isinstance(sampler, str) and isinstance(scheduler, str) else sampler,
        cfg=values.get("cfgscale"),
        seed=values.get("seed"),
        width=values.get("width"),
        height=values.get("height"),
        model=values.get("model"),
        loras=[(name, weights[k] if k < len(weights) else 1.0) for k, name in enumerate(loras)],
        raw=block,
    )
