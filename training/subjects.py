"""Training runs as subjects of events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from collaboration.subjects import Subject
from training.models import TrainingRun


def _runs() -> Any:
    return TrainingRun.objects.present().select_related("character__project", "job")


def _by_id(ids: Sequence[str]) -> Mapping[str, Any]:
    return {str(run.pk): run for run in _runs().filter(pk__in=ids)}


RUN = Subject(
    find=lambda id: _runs().filter(pk=id).first(),
    find_many=_by_id,
    url=lambda run: run.get_absolute_url(),
    title=lambda run: run.character.name,
)
