"""AUTOMATIC1111's `parameters` text, which Forge, SD.Next, Fooocus and others write too.

Layout: the prompt, a line `Negative prompt: ...` that may go on, and one last line `Steps: 20, Sampler: Euler a, ...`
whose values are quoted as JSON where they hold a comma.
"""

from __future__ import annotations

import json
import re

from assets.metadata.settings import GenerationSettings, build

_NEGATIVE = "Negative prompt:"
_LORA = re.compile(r"<lora:([^:<>\n]{1,200})(?::([^:<>\n]{1,20}))?(?::[^<>\n]{0,40})?>")
_LAST_LINE = re.compile(r"Steps:\s*\d")
_MAX_LINE = 32_768


def read(block: str) -> GenerationSettings | None:
    """Read a `parameters` block; None when it does not look like one."""
    head, values = _split(block)
    if not values and _NEGATIVE not in head:
        return None
    prompt, found, negative = head.partition("\n" + _NEGATIVE)
    if not found and head.startswith(_NEGATIVE):
        prompt, negative = "", head.removeprefix(_NEGATIVE)
    width, _, height = values.get("Size", "").partition("x")
    sampler, schedule = values.get("Sampler", ""), values.get("Schedule type", "")
    if schedule and schedule.lower() not in ("automatic", sampler.lower()):
        sampler = f"{sampler} {schedule}"
    return build(
        source="automatic1111",
        prompt=prompt,
        negative_prompt=negative,
        steps=values.get("Steps"),
        sampler=sampler,
        cfg=values.get("CFG scale") or values.get("Distilled CFG Scale"),
        seed=values.get("Seed"),
        width=width,
        height=height,
        model=values.get("Model") or values.get("Model hash"),
        loras=[(match[1], match[2]) for match in _LORA.finditer(prompt)],
        raw=block,
    )


def _split(block: str) -> tuple[str, dict[str, str]]:
    """Return the prompts and the values of the last line."""
    lines = block.strip().rsplit("\n", 1)
    last = lines[-1].strip()
    if not _LAST_LINE.match(last) or len(last) > _MAX_LINE:
        return block.strip(), {}
    return (lines[0].strip() if len(lines) == 2 else ""), read_values(last)


def read_values(line: str) -> dict[str, str]:
    """Read `Key: value, Key: "quoted, value"` in one pass over the line."""
    values: dict[str, str] = {}
    position = 0
    while position < len(line) and len(values) < 200:
        colon = line.find(":", position)
        if colon < 0:
            break
        key, start = line[position:colon].strip(" ,"), colon + 1
        while start < len(line) and line[start] == " ":
            start += 1
        if line[start : start + 1] == '"':
            end = _closing_quote(line, start)
            value = _unquote(line[start:end])
            position = line.find(",", end)
        else:
            end = line.find(",", start)
            value = line[start:].strip() if end < 0 else line[start:end].strip()
            position = end
        if key and len(key) <= 100:
            values.setdefault(key, value)
        if position < 0:
            break
        position += 1
    return values


def _closing_quote(line: str, start: int) -> int:
    """Return the offset behind the quoted value that starts at `start`."""
    at = start + 1
    while at < len(line):
        if line[at] == "\\":
            at += 2
            continue
        if line[at] == '"':
            return at + 1
        at += 1
    return len(line)


def _unquote(quoted: str) -> str:
    try:
        value = json.loads(quoted)
    except ValueError:
        return quoted.strip('"')
    return value if isinstance(value, str) else quoted
