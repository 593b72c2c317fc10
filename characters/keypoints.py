"""The faces that tell the proportions of a character."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from characters.checks import main_face
from characters.models import Reference
from characters.scoring import readings
from gpu_worker.contracts import Face
from gpu_worker.keypoints import is_frontal
from gpu_worker.packs import Pack


def faces_of(reference_ids: Sequence[Any], pack: Pack) -> list[Face]:
    """The faces of references that look straight ahead, as the pack saw them."""
    assets = Reference.objects.filter(pk__in=reference_ids).values_list("asset_id", flat=True)
    found = (main_face(seen) for seen in readings(list(assets), pack).values())
    return [face for face in found if face is not None and is_frontal(face)]
