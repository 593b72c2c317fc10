"""ComfyUI: the executed graph in `prompt`, followed back from its sampler."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from assets.metadata.settings import MAX_PROMPT, GenerationSettings, as_dict, build, parse_json

_MAX_NODES = 5_000
_MAX_VISITS = 2_000
_TEXT_INPUTS = ("text", "text_g", "text_l", "t5xxl", "clip_l", "prompt", "positive", "string", "value", "wildcard_text")
_SAMPLERS = ("KSampler", "SamplerCustom", "SamplerCustomAdvanced")


def read(block: str) -> GenerationSettings | None:
    """Read a `prompt` block (node id -> class_type and inputs)."""
    graph = {str(key): node for key, node in as_dict(parse_json(block)).items() if isinstance(node, dict)}
    if not graph or len(graph) > _MAX_NODES or not any("class_type" in node for node in graph.values()):
        return None
    sampler = _first_sampler(graph)
    if sampler is None:
        return build(source="comfyui", prompt=_first_text(graph), raw=block)
    positive, negative = _conditionings(graph, sampler)
    return build(
        source="comfyui",
        prompt=_text_behind(graph, positive),
        negative_prompt=_text_behind(graph, negative),
        steps=_value(graph, sampler, ("steps",)),
        sampler=_sampler_name(graph, sampler),
        cfg=_value(graph, sampler, ("cfg", "guidance")),
        seed=_value(graph, sampler, ("seed", "noise_seed")),
        width=_value(graph, sampler, ("width",)),
        height=_value(graph, sampler, ("height",)),
        model=_value(graph, sampler, ("ckpt_name", "unet_name", "model_name")),
        loras=list(_loras(graph, sampler)),
        raw=block,
    )


def _inputs(node: dict[str, Any]) -> dict[str, Any]:
    return as_dict(node.get("inputs"))


def _linked(graph: dict[str, Any], value: object) -> str | None:
    """Return the node a link `[id, output]` points at."""
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str | int) and str(value[0]) in graph:
        return str(value[0])
    return None


def _upstream(graph: dict[str, Any], start: str) -> Iterator[str]:
    """Yield a node and all it depends on, nearest first, each once."""
    waiting, seen = [start], {start}
    for key in waiting:
        if len(seen) > _MAX_VISITS:
            return
        yield key
        for value in _inputs(graph[key]).values():
            linked = _linked(graph, value)
            if linked is not None and linked not in seen:
                seen.add(linked)
                waiting.append(linked)


def _samples(class_type: str) -> bool:
    """`KSamplerSelect` only names a sampler."""
    return class_type.startswith(_SAMPLERS) and "Select" not in class_type


def _first_sampler(graph: dict[str, Any]) -> str | None:
    """Return the first pass: the sampler that no other sampler feeds; it carries the picture's composition."""
    samplers = [key for key, node in graph.items() if _samples(str(node.get("class_type", "")))]
    known = set(samplers)
    for key in samplers[:20]:
        if not any(other != key and other in known for other in _upstream(graph, key)):
            return key
    return samplers[0] if samplers else None


def _conditionings(graph: dict[str, Any], sampler: str) -> tuple[str | None, str | None]:
    for key in _upstream(graph, sampler):
        inputs = _inputs(graph[key])
        positive = _linked(graph, inputs.get("positive")) or _linked(graph, inputs.get("conditioning"))
        if positive is not None:
            return positive, _linked(graph, inputs.get("negative"))
    return None, None


def _text_behind(graph: dict[str, Any], start: str | None) -> str:
    """Return the nearest text that flows into a conditioning."""
    if start is None:
        return ""
    return next((text for key in _upstream(graph, start) if (text := _text_of(graph[key]))), "")


def _text_of(node: dict[str, Any]) -> str:
    """Return what a node that holds a prompt says; empty for other nodes."""
    inputs = _inputs(node)
    found: list[str] = []
    for name in _TEXT_INPUTS:
        value = inputs.get(name)
        if isinstance(value, str) and value.strip() and value not in found:
            found.append(value[:MAX_PROMPT])
    kind = str(node.get("class_type"))
    return "\n".join(found) if "Text" in kind or "tring" in kind or "clip" in inputs else ""


def _first_text(graph: dict[str, Any]) -> str:
    return next((text for node in graph.values() if (text := _text_of(node))), "")


def _value(graph: dict[str, Any], start: str, names: tuple[str, ...]) -> object:
    """Return the nearest plain value of one of these inputs."""
    for key in _upstream(graph, start):
        inputs = _inputs(graph[key])
        for name in names:
            value = inputs.get(name)
            if isinstance(value, str | int | float):
                return value
            linked = _linked(graph, value)
            if linked is not None:
                for inner in ("value", "seed", "int", "float"):
                    plain = _inputs(graph[linked]).get(inner)
                    if isinstance(plain, str | int | float):
                        return plain
    return None


def _sampler_name(graph: dict[str, Any], sampler: str) -> str:
    name, scheduler = _value(graph, sampler, ("sampler_name",)), _value(graph, sampler, ("scheduler",))
    return " ".join(part for part in (name, scheduler) if isinstance(part, str))


def _loras(graph: dict[str, Any], sampler: str) -> Iterator[tuple[object, object]]:
    for key in _upstream(graph, sampler):
        inputs = _inputs(graph[key])
        if isinstance(inputs.get("lora_name"), str):
            yield inputs["lora_name"], inputs.get("strength_model", inputs.get("strength"))
