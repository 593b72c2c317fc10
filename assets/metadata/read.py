"""Which tool wrote a file's metadata, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from assets.metadata import a1111, comfyui, invokeai, persona, swarmui
from assets.metadata.settings import GenerationSettings

_Reader = Callable[[str], GenerationSettings | None]

# In the order of trust: what says most exactly how the picture was made comes first. Several tools write `parameters`,
# so its content is sniffed before it is taken for A1111's text.
_READERS: tuple[tuple[str, tuple[_Reader, ...]], ...] = (
    (persona.KEYWORD, (persona.read,)),
    ("invokeai_metadata", (invokeai.read,)),
    ("parameters", (swarmui.read, a1111.read)),
    ("UserComment", (swarmui.read, a1111.read)),
    ("prompt", (comfyui.read,)),
    ("sd-metadata", (invokeai.read_old,)),
)
_COMFYUI_EXIF = ("Make", "Model", "ImageDescription")


def read_generation(texts: Mapping[str, str]) -> GenerationSettings | None:
    """Return the settings found in a file's texts, or None.

    `texts` maps PNG keywords and Exif field names (`UserComment`, `Make`, `Model`, `ImageDescription`) to their text.
    Never raises: broken, hostile and unknown content is the same as none.
    """
    texts = {**_unfold_comfyui(texts), **texts}
    for keyword, readers in _READERS:
        block = texts.get(keyword)
        if not block:
            continue
        for read in readers:
            if settings := read(block):
                return settings
    return None


def _unfold_comfyui(texts: Mapping[str, str]) -> dict[str, str]:
    """ComfyUI writes `prompt:{...}` and `workflow:{...}` into Exif fields of WebP files."""
    found: dict[str, str] = {}
    for name in _COMFYUI_EXIF:
        key, separator, value = texts.get(name, "").partition(":")
        if separator and key.lower() in ("prompt", "workflow"):
            found[key.lower()] = value
    return found
