"""Pipelines: one file per model family. The smallest protocol they share is `Pipeline`; nothing here knows Django."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from PIL import Image

    from gpu_worker.contracts import GenerateRequest, Notice, PictureSpec
    from gpu_worker.packs import Pack

Meta = dict[str, Any]
OnProgress = Callable[[int, int, str], None]
"""(done, total, note): work done so far out of all, and what is being done, for a person."""


class Pipeline(Protocol):
    def load(self, pack: Pack, device: str) -> None:
        """Verify and load. Raises RunError."""

    def notices(self, request: GenerateRequest) -> list[Notice]:
        """What the person should know about this request before it runs."""

    def generate(
        self, request: GenerateRequest, *, should_stop: Callable[[], bool], on_progress: OnProgress
    ) -> Iterator[tuple[PictureSpec, Image.Image, Meta]]:
        """Yield pictures as they are finished; ends early, without an error, when `should_stop()` turns true."""

    def unload(self) -> None:
        """Free the memory."""
