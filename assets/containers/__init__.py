"""Picture files taken apart without trusting them.

Each module reads one format's structure with bounds of its own and answers a `Container`: the size from the header,
metadata within limits, and bytes that hold nothing but the picture. Only those bytes reach a decoder, because decoders
trust counts and lengths that a hostile file can set (text that unpacks a thousandfold, thousands of tags that all
point at the same 50 MB, comments that are appended one block at a time).
"""

from __future__ import annotations

from assets.containers.container import Container
from assets.containers.sniff import open_container

__all__ = ["Container", "open_container"]
