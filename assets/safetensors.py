"""Is a file really safetensors? Judged by its structure, so nothing executable hides behind the name."""

from __future__ import annotations

import json
import math
from typing import IO, Any

from assets.errors import IntakeError

_MAX_HEADER = 16 * 1024 * 1024
_MAX_TENSORS = 100_000
_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
    "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8,
}  # fmt: skip


def check(file: IO[Any], size: int) -> dict[str, str]:
    """Check the header of a safetensors file of `size` bytes and return its metadata.

    The tensors must fill the file exactly, as the format demands. Raises IntakeError (`not_safetensors`).
    """
    file.seek(0)
    start = file.read(8)
    length = int.from_bytes(start, "little")
    if start[:2] in (b"PK", b"\x80\x02", b"\x80\x04"):
        raise _refused("This is a pickled checkpoint, which can run programs. Convert it to safetensors.")
    if len(start) < 8 or not 2 <= length <= min(_MAX_HEADER, size - 8):
        raise _refused()
    try:
        header = json.loads(file.read(length))
    except (ValueError, RecursionError):
        raise _refused() from None
    if not isinstance(header, dict) or len(header) > _MAX_TENSORS:
        raise _refused()
    metadata = header.pop("__metadata__", {})
    spans = sorted(_span(tensor) for tensor in header.values())
    position = 0
    for begin, end in spans:
        if begin != position:
            raise _refused()
        position = end
    if position != size - 8 - length:
        raise _refused("This safetensors file ends before its tensors do, or carries something behind them.")
    return {str(k): v for k, v in metadata.items() if isinstance(v, str)} if isinstance(metadata, dict) else {}


def _span(tensor: Any) -> tuple[int, int]:
    try:
        (begin, end), shape, width = tensor["data_offsets"], tensor["shape"], _BYTES[tensor["dtype"]]
        if all(isinstance(n, int) and n >= 0 for n in (begin, end, *shape)) and end - begin == width * math.prod(shape):
            return begin, end
    except (KeyError, TypeError, ValueError):
        pass
    raise _refused()


def _refused(sentence: str = "This is not a safetensors file. Only safetensors weights are taken.") -> IntakeError:
    return IntakeError("not_safetensors", sentence)
