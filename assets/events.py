"""What happens to stored files beyond what their owners (a character, a training) record themselves."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import ClassVar

from collaboration.events import Happening


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetErased(Happening):
    """The bytes are gone for good. The name is not told again: it may have been a person's."""

    kind: ClassVar[str] = "asset.erased"
    topic: ClassVar[str] = "Files"
    asset_id: uuid.UUID
    asset_kind: str

    def subject(self) -> tuple[str, object]:
        return "asset", self.asset_id

    def summary(self) -> str:
        return f"erased a {'file' if self.asset_kind == 'file' else self.asset_kind} for good"
