"""Our own chunk: JSON under the keyword `persona`."""

from __future__ import annotations

from assets.metadata.settings import GenerationSettings, as_dict, as_list, build, parse_json

KEYWORD = "persona"


def read(block: str) -> GenerationSettings | None:
    """Read a `persona` block: the keys of `GenerationSettings.to_json`, beside whatever else provenance holds."""
    values = as_dict(parse_json(block))
    if not values:
        return None
    return build(
        source="persona",
        prompt=values.get("prompt"),
        negative_prompt=values.get("negative_prompt"),
        steps=values.get("steps"),
        sampler=values.get("sampler"),
        cfg=values.get("cfg", values.get("guidance")),
        seed=values.get("seed"),
        width=values.get("width"),
        height=values.get("height"),
        model=values.get("model"),
        loras=[
            (entry.get("name"), entry.get("weight"))
            for entry in as_list(values.get("loras"))
            if isinstance(entry, dict)
        ],
        raw=block,
    )
