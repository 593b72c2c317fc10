"""What trainings made of a reference: said before it is erased, and erased with it as far as nobody needs it."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.db.models import Q
from django.urls import reverse

from assets.models import Asset
from characters.derivations import Derived
from characters.models import Reference
from gpu_worker.models import Adapter, Job
from training.models import ComparisonPicture, TrainingCheckpoint, TrainingRun, TrainingSample


def trained_with(adapter_ids: Sequence[UUID]) -> set[str]:
    """Ids of the references that any of the adapters has learnt from."""
    came_of_it = Q(adapter__in=adapter_ids) | Q(checkpoints__adapter__in=adapter_ids)
    rows = TrainingRun.objects.filter(came_of_it).values_list("references", flat=True)
    return {entry["id"] for references in rows for entry in references}


def run_of(adapter: Adapter) -> TrainingRun | None:
    """The training that the adapter came of."""
    rows = TrainingRun.objects.with_rows().filter(Q(adapter=adapter) | Q(checkpoints__adapter=adapter))
    return rows.first()


def adapters_of(runs: Sequence[TrainingRun]) -> dict[UUID, list[Adapter]]:
    """Run -> the versions that came of it and were not erased, the oldest first."""
    found: dict[UUID, dict[UUID, Adapter]] = {run.pk: {} for run in runs}
    present = Adapter.objects.filter(erased_at=None).order_by("version")
    for adapter in present.filter(training_run__in=runs).select_related("training_run"):
        found[adapter.training_run.pk][adapter.pk] = adapter
    for adapter in present.filter(checkpoint__run__in=runs).select_related("checkpoint"):
        found[adapter.checkpoint.run_id][adapter.pk] = adapter
    return {pk: sorted(adapters.values(), key=lambda a: a.version) for pk, adapters in found.items()}


def runs_with(asset_id: UUID) -> list[TrainingRun]:
    """All trainings that take or took the picture, of every character that has it, those in the trash too."""
    owners = Reference.objects.filter(asset=asset_id).values("character")
    rows = TrainingRun.objects.with_rows().filter(character__in=owners).order_by("created_at")
    return [run for run in rows if any(r["asset"] == str(asset_id) for r in run.references)]


def has_erased_picture(run: TrainingRun) -> bool:
    return Asset.objects.filter(pk__in=[r["asset"] for r in run.references]).exclude(erased_at=None).exists()


def of(reference: Reference) -> list[Derived]:
    """Fills the slot `reference.derived`."""
    runs = runs_with(reference.asset_id)
    versions = adapters_of(runs)
    found = [one for run in runs if (one := _unfinished(run, reference))]
    if spare := _spare_checkpoints(runs):
        found.append(
            Derived(
                title="A checkpoint of a training" if spare == 1 else f"{spare} checkpoints of trainings",
                note="Kept to choose from, and used for nothing yet. They are erased with it.",
                goes=True,
            )
        )
    found += [_adapter(run, adapter, reference) for run in runs for adapter in versions[run.pk]]
    count = TrainingSample.objects.filter(run__in=runs, asset__erased_at=None).count()
    count += ComparisonPicture.objects.filter(comparison__run__in=runs, asset__erased_at=None).count()
    if count:
        found.append(
            Derived(
                title="One sample picture" if count == 1 else f"{count} sample pictures",
                note="Made while a model was trained with it. They stay.",
            )
        )
    return found


def _unfinished(run: TrainingRun, reference: Reference) -> Derived | None:
    if not run.job.has_ended:
        title, note = "A training under way", "It is cancelled, and what it has learnt so far is erased."
    elif run.job.state != Job.DONE and run.job.checkpoint_step:
        title, note = "An unfinished training", "What it had learnt is erased; it cannot be continued."
    else:
        return None
    return Derived(title=title + _whose(run, reference), note=note, url=run.get_absolute_url(), goes=True)


def _spare_checkpoints(runs: Sequence[TrainingRun]) -> int:
    """How many are kept that became no version, or whose version is erased."""
    kept = TrainingCheckpoint.objects.filter(run__in=runs, file__erased_at=None).exclude(file=None)
    return kept.exclude(adapter__isnull=False, adapter__erased_at=None).count()


def _adapter(run: TrainingRun, adapter: Adapter, reference: Reference) -> Derived:
    active = " New pictures are made with it." if adapter.is_active else ""
    return Derived(
        title=f"Adapter v{adapter.version}{_whose(run, reference)}",
        note=f"It was trained with this picture and keeps what it learnt, unless you erase it too.{active}",
        url=run.get_absolute_url(),
        erase_url=reverse("training:adapter_erase", args=[run.character.project.slug, adapter.pk]),
        erase_label=f"Erase v{adapter.version}",
    )


def _whose(run: TrainingRun, reference: Reference) -> str:
    return "" if run.character_id == reference.character_id else f" of {run.character.name}"


def without_caption(run: TrainingRun, asset_id: UUID) -> list[dict[str, str]]:
    """The run's references, where nothing is said of the picture any more."""
    return [r | {"caption": ""} if r["asset"] == str(asset_id) else r for r in run.references]
