"""Measuring variations: as they are made, and any of them again."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from characters import events, queries, scoring
from characters.actions.references import accept_reading
from characters.measuring import Measured, measure
from characters.models import Character, Measurement, Reference, Variation
from collaboration import events as log
from collaboration.models import User
from gpu_worker import actions as jobs
from gpu_worker import catalog, contracts
from gpu_worker.contracts import Looked
from gpu_worker.models import Job, Reading
from gpu_worker.packs import Pack

MEASURE_TOGETHER = 48
"""Pictures one job measures; more make another job."""


def order_measurement(
    *, character: Character, variations: Iterable[Variation], actor: User | None
) -> tuple[list[Job], int]:
    """Have variations of one character looked at and measured again; what was measured before stays readable.

    References that the measuring model has not looked at are looked at first. Returns the jobs, and how many pictures
    they measure: those that are waiting to be measured already are not ordered twice. Raises ValidationError.
    """
    route = scoring.route_of(character)
    if route.pack is None:
        raise ValidationError(route.reason)
    wanted = [v for v in variations if v.trashed_at is None and v.asset.erased_at is None]
    if not wanted:
        raise ValidationError("Select at least one picture first.")
    with transaction.atomic():
        waiting = queries.being_measured(character)
        ids = list(dict.fromkeys(str(v.pk) for v in wanted if str(v.pk) not in waiting))
        parts = [ids[k : k + MEASURE_TOGETHER] for k in range(0, len(ids), MEASURE_TOGETHER)]
        unseen = _not_looked_at(character, route.pack) if parts else []
        made = [
            jobs.enqueue(
                kind="variation.measure",
                title=f"Measure {len(part)} of {character.name}",
                project=character.project,
                actor=actor,
                subject=("character", character.pk),
                arguments={
                    "pack": route.pack.name,
                    "references": unseen if k == 0 else [],
                    "variations": part,
                    "asked_by": actor.pk if actor else None,
                },
                queue=Job.CPU,
                units=len(part) + (len(unseen) if k == 0 else 0),
            )
            for k, part in enumerate(parts)
        ]
        if made:
            happening = events.MeasurementOrdered(character_id=character.pk, name=character.name, count=len(ids))
            log.record(character.project, happening, actor=actor)
    return made, len(ids)


def _not_looked_at(character: Character, pack: Pack) -> list[str]:
    usable = character.references.usable().filter(asset__erased_at=None)
    seen = Reading.objects.filter(
        asset__in=usable.values("asset"), pack=pack.name, pack_version=pack.version
    ).values_list("asset_id", flat=True)
    return [str(pk) for pk in usable.exclude(asset__in=list(seen)).values_list("pk", flat=True)]


def stop_measuring(*, character: Character, actor: User) -> int:
    """Stop what has not been measured yet. Returns how many jobs were stopped."""
    with transaction.atomic():
        stopped = [jobs.cancel(job=job) for job in queries.open_measurements(character)]
        if stopped:
            happening = events.MeasurementCancelled(character_id=character.pk, name=character.name)
            log.record(character.project, happening, actor=actor)
    return len(stopped)


# ---------------------------------------------------------------------------------------------------- answers
def measure_variation(*, variation: Variation, seen: Looked | None, asked_by: User | None = None) -> Variation:
    """Measure a picture by what the pack that scores its character saw in it, and keep the measurement, in the caller's
    transaction."""
    route = scoring.route_of(variation.character)
    measured = measure(
        seen,
        scoring.enrolment_of(variation.character, route.pack),
        route,
        known=scoring.known_to([variation.batch])[variation.batch_id],
        itself=variation.asset.sha256,
    )
    return keep_measurement(variation=variation, measured=measured, asked_by=asked_by)


def keep_measurement(*, variation: Variation, measured: Measured, asked_by: User | None = None) -> Variation:
    """Add a measurement; the variation shows the latest one."""
    variation.score, variation.cosine = measured.score.value, measured.score.cosine
    variation.no_score_reason = measured.score.reason
    variation.measured_against = measured.score.against
    variation.findings = measured.findings.as_json() if measured.findings else {}
    variation.measured_at = timezone.now()
    names = ["score", "cosine", "no_score_reason", "measured_against", "findings", "measured_at"]
    variation.save(update_fields=names)
    Measurement.objects.create(
        variation=variation, asked_by=asked_by, **{name: getattr(variation, name) for name in names}
    )
    return variation


def accept_look(*, job: Job, index: int, seen: dict[str, Any]) -> None:
    """Keep what was seen in one picture of a measuring job, and measure it. Raises ContractError."""
    looked = contracts.looked_from_json(seen)
    references, pack = job.arguments["references"], catalog.pack_named(job.arguments["pack"])
    if index < len(references):
        if pack.name == catalog.default_pack().name:
            accept_reading(reference_id=references[index], seen=seen)
        else:
            reference = Reference.objects.select_related("asset").filter(pk=references[index]).first()
            if reference is not None and reference.asset.erased_at is None:
                _keep_reading(reference.asset_id, pack, seen)
        return
    pk = job.arguments["variations"][index - len(references)]
    rows = Variation.objects.present().select_related("asset", "batch__job", "character__project")
    variation = rows.filter(pk=pk, asset__erased_at=None).first()
    if variation is None:  # in the trash meanwhile
        return
    _keep_reading(variation.asset_id, pack, seen)
    asked_by = User.objects.filter(pk=job.arguments["asked_by"]).first()
    is_asked = scoring.route_of(variation.character).compares(pack)
    measure_variation(variation=variation, seen=looked if is_asked else None, asked_by=asked_by)


def _keep_reading(asset_id: Any, pack: Pack, seen: dict[str, Any]) -> None:
    Reading.objects.update_or_create(
        asset_id=asset_id, pack=pack.name, pack_version=pack.version, defaults={"seen": seen, "at": timezone.now()}
    )


def note_measured(*, job: Job) -> None:
    """What follows when a measuring job has ended, in the transaction that ends it."""
    character = Character.objects.select_related("project").filter(pk=job.subject_id).first()
    if character is None:
        return
    show_median(character)
    least = len(job.arguments["references"])
    happening = events.MeasurementFinished(
        character_id=character.pk,
        name=character.name,
        count=job.outputs.filter(index__gte=least).count(),
        of=len(job.arguments["variations"]),
        state=job.state,
    )
    log.record(character.project, happening, actor=None)


def show_median(character: Character) -> None:
    """On the card: of the latest batch that has scores. An older one may end after it."""
    scored = Variation.objects.present().filter(character=character).exclude(score=None)
    latest = scored.order_by("-batch__created_at", "-batch_id").values("batch_id")[:1]
    scores: Sequence[float] = [
        s for s in scored.filter(batch_id__in=latest).values_list("score", flat=True) if s is not None
    ]
    if scores:
        Character.objects.filter(pk=character.pk).update(score=round(statistics.median(scores), 1))
