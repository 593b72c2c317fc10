"""Who of the cast looks like whom: measured whenever the references of a character change, dismissed by a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from characters import events, scoring
from characters.actions.recording import lock, named, record
from characters.models import Character, LookAlike, Reference, ScoringMean
from collaboration import events as log
from collaboration.models import User
from collaboration.names import clean_text
from gpu_worker import calibration
from gpu_worker.contracts import Looked
from gpu_worker.packs import Pack

ALIKE_RATE = 0.05
"""Two characters are told apart with care from the cosine on that one pair of strangers in twenty reaches."""
LONGEST_REASON = 300


def compare_with_cast(
    character: Character, usable: Sequence[Reference], seen: Mapping[Any, Looked], pack: Pack
) -> None:
    """Write how the character looks to what scores it, and whom of the project it resembles; with it locked.

    `seen`: the readings of `usable` by `pack`. The product of two means is the mean cosine of all pairs of references,
    which is what the pack's quantiles are about. Where nothing changed, what a person dismissed stays dismissed.
    """
    route = scoring.route_of(character)
    if route.pack is not None and not route.compares(pack):
        seen = scoring.readings([r.asset_id for r in usable], route.pack)
    found = [
        (str(r.pk), e) for r in usable if (s := seen.get(r.asset_id)) and (e := scoring.embedding_of(s, route.encoder))
    ]
    if route.pack is None or not found:
        ScoringMean.objects.filter(character=character).delete()
        LookAlike.objects.of(character).delete()
        return
    values: dict[str, Any] = {
        "pack": route.pack.name,
        "pack_version": route.pack.version,
        "encoder": route.encoder,
        "references": sorted(pk for pk, _ in found),
    }
    if ScoringMean.objects.filter(character=character, **values).exists():
        return
    mean = np.mean([e for _, e in found], axis=0)
    values["vector"] = [round(float(v), 6) for v in mean]
    ScoringMean.objects.update_or_create(character=character, defaults=values)
    LookAlike.objects.of(character).delete()
    others = ScoringMean.objects.filter(
        character__project=character.project_id,
        pack=route.pack.name,
        pack_version=route.pack.version,
        encoder=route.encoder,
    ).exclude(character=character)
    quantiles = route.pack.quantiles(route.encoder)
    least = calibration.threshold(ALIKE_RATE, quantiles)
    alike = []
    for other, vector in others.values_list("character_id", "vector"):
        cosine = float(mean @ np.asarray(vector))
        if cosine >= least:
            first, second = sorted((character.pk, other), key=str)
            rate = calibration.false_match_rate(cosine, quantiles)
            alike.append(LookAlike(first_id=first, second_id=second, cosine=round(cosine, 4), false_match_rate=rate))
    # The other of a pair may be compared at the same moment; then the pair is there already.
    LookAlike.objects.bulk_create(alike, ignore_conflicts=True)


def note_look_alikes(*, character: Character) -> None:
    """One event when a round of checks has found some that were not told of yet."""
    with transaction.atomic():
        rows = LookAlike.objects.of(character).open().filter(is_told=False).select_related("first", "second")
        found = list(rows)
        if found:
            LookAlike.objects.filter(pk__in=[row.pk for row in found]).update(is_told=True)
            names = sorted(row.other(character).name for row in found)
            log.record(character.project, events.LookAlikesFound(**named(character), others=names), actor=None)


def dismiss_look_alike(*, look_alike: LookAlike, character: Character, reason: str, actor: User) -> LookAlike:
    """Say why two that look alike are no trouble; it comes back when the references of either change.

    `character`: the one of them about whom it is said. Raises ValidationError.
    """
    reason = " ".join(clean_text(reason, limit=LONGEST_REASON, what="reason").split())
    if not reason:
        raise ValidationError({"reason": "Write why this is no trouble: they are twins, or never share a scene."})
    with transaction.atomic():
        row, other = lock(character), look_alike.other(character)
        look_alike.dismissed_at, look_alike.dismissed_by, look_alike.dismissed_reason = timezone.now(), actor, reason
        look_alike.save(update_fields=["dismissed_at", "dismissed_by", "dismissed_reason"])
        record(row, events.LookAlikeDismissed(**named(row), other=other.name, reason=reason), actor=actor)
    return look_alike


def restore_look_alike(*, look_alike: LookAlike, character: Character, actor: User) -> LookAlike:
    """Warn again. `character`: the one of them about whom it is said."""
    with transaction.atomic():
        row, other = lock(character), look_alike.other(character)
        if look_alike.dismissed_at is not None:
            look_alike.dismissed_at, look_alike.dismissed_by, look_alike.dismissed_reason = None, None, ""
            look_alike.save(update_fields=["dismissed_at", "dismissed_by", "dismissed_reason"])
            record(row, events.LookAlikeRestored(**named(row), other=other.name), actor=actor)
    return look_alike
