"""Fetch and authorise in one verb."""

from __future__ import annotations

from uuid import UUID

from django.http import Http404

from collaboration.models import User
from collaboration.permissions import Verb, require
from gpu_worker.models import Adapter
from training.models import CheckpointComparison, TrainingRun


def access_run(user: User, run_id: UUID, *, verb: Verb = Verb.SEE) -> TrainingRun:
    """Return the run, trashed or not, with its character, job and adapter, if `user` may `verb` it.

    Raises Http404 to strangers, who must not learn that it exists, and PermissionDenied to members without the verb.
    """
    run = TrainingRun.objects.with_rows().filter(pk=run_id).first()
    if run is None:
        raise Http404
    require(user, verb, run.character.project)
    return run


def access_comparison(user: User, comparison_id: UUID, *, verb: Verb = Verb.SEE) -> CheckpointComparison:
    """Return the comparison with its job and run. Raises as `access_run`."""
    rows = CheckpointComparison.objects.select_related("job", "run__character__project__studio", "run__job")
    comparison = rows.filter(pk=comparison_id).first()
    if comparison is None:
        raise Http404
    require(user, verb, comparison.run.character.project)
    return comparison


def access_adapter(user: User, adapter_id: UUID, *, verb: Verb = Verb.SEE) -> Adapter:
    """Return a character's adapter that was not erased. Raises as `access_run`."""
    rows = Adapter.objects.select_related("project__studio", "file", "checkpoint")
    adapter = rows.filter(pk=adapter_id, subject_kind="character", erased_at=None).first()
    if adapter is None:
        raise Http404
    require(user, verb, adapter.project)
    return adapter
