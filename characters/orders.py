"""Ordering variations: from settings to a job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from characters import events, profiles, variations
from characters.models import Character, CharacterSheet, IdentityProfile, Preset, Variation, VariationBatch
from characters.variations import Settings
from collaboration import events as log
from collaboration.events import Happening
from collaboration.models import Project, User
from collaboration.names import clean_name
from gpu_worker import actions as jobs
from gpu_worker import catalog, selection
from gpu_worker.models import Adapter, Job
from gpu_worker.selection import Choice

SECONDS_PER_STEP_AND_PICTURE = 0.06


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What an order would make, before it is given."""

    settings: Settings
    """Filled in and checked."""
    choice: Choice
    adapter: Adapter | None
    """None where its strength is 0."""
    plan: list[dict[str, Any]]
    unknown_words: list[str]
    """Words of the prompts that the chosen model does not know."""
    seconds: float
    """Estimated time of the run itself."""


def propose(*, character: Character, settings: Settings) -> Proposal:
    """Work out a batch without ordering it. Raises ValidationError, keyed by field, with sentences."""
    active = Adapter.objects.of("character", character.pk).filter(is_active=True).select_related("file").first()
    profile = IdentityProfile.objects.filter(character=character).first()
    settings = variations.checked(settings, catalog.default_pack())
    try:
        choice = selection.choose(
            project=character.project,
            wanted=settings.tier,
            adapter=active,
            has_profile=profile is not None and profile.is_learnt and settings.image_prompt_strength > 0,
            aim=character.tier,
        )
    except selection.NoModel as error:
        raise ValidationError({"tier": str(error)}) from None
    adapter = choice.adapter if settings.lora_strength > 0 else None
    trigger = adapter.trigger if adapter else ""
    plan = variations.plan(
        settings,
        base_prompt=profile.base_prompt if profile else profiles.base_prompt(character),
        noun=character.noun,
        trigger=trigger,
        pack=choice.pack,
    )
    said = [p["prompt"] for p in plan] + [settings.negative_prompt or ""]
    words = [w for prompt in dict.fromkeys(said) for w in choice.pack.unknown_words(prompt, known=(trigger,))]
    each = _seconds_per_picture(settings, choice)
    seconds = jobs.estimate_seconds("variation.generate", choice.queue, len(plan), each)
    return Proposal(
        settings=settings,
        choice=choice,
        adapter=adapter,
        plan=plan,
        unknown_words=list(dict.fromkeys(words)),
        seconds=seconds,
    )


def order_variations(
    *,
    character: Character,
    settings: Settings,
    actor: User,
    priority: int = 1,
    sheet: CharacterSheet | None = None,
    is_casting: bool = False,
    revises: Variation | None = None,
) -> VariationBatch:
    """Order a batch: of variations, of next versions of one (`revises`), of takes of a `sheet`, or of faces to cast.

    Raises ValidationError, keyed by field, with sentences.
    """
    proposal = propose(character=character, settings=settings)
    choice, plan = proposal.choice, proposal.plan
    with transaction.atomic():
        job = jobs.enqueue(
            kind="variation.generate",
            title=_title(character, len(plan), sheet=sheet, is_casting=is_casting),
            project=character.project,
            actor=actor,
            subject=("character", character.pk),
            arguments={},
            queue=choice.queue,
            units=len(plan),
            priority=priority,
            seconds_per_unit=_seconds_per_picture(proposal.settings, choice),
        )
        batch = VariationBatch.objects.create(
            character=character,
            job=job,
            settings=proposal.settings.as_json(),
            plan=plan,
            tier=choice.tier,
            tier_reason=choice.reason[:300],
            pack=choice.pack.name,
            adapter=proposal.adapter,
            sheet=sheet,
            is_casting=is_casting,
            revises=revises,
            created_by=actor,
        )
        job.arguments = {"batch": str(batch.pk)}
        Job.objects.filter(pk=job.pk).update(arguments=job.arguments)
        log.record(character.project, _ordered(batch), actor=actor)
    return batch


def settings_of(variation: Variation) -> Settings:
    """Those that make this one picture again."""
    axes = {axis: [value] for axis, value in variation.axes.items()}
    kept = variation.batch.settings | {"axes": axes, "per_combination": 1, "seed": variation.seed}
    return Settings.from_json(kept)


def _title(character: Character, count: int, *, sheet: CharacterSheet | None, is_casting: bool) -> str:
    if sheet is not None:
        return f"Character sheet of {character.name}"
    return f"Cast {count} faces for {character.name}" if is_casting else f"Generate {count} of {character.name}"


def _ordered(batch: VariationBatch) -> Happening:
    character, count = batch.character, len(batch.plan)
    if batch.sheet_id is not None:
        return events.SheetOrdered(
            character_id=character.pk, name=character.name, sheet_id=batch.sheet_id, batch_id=batch.pk, count=count
        )
    if batch.is_casting:
        return events.FacesOrdered(character_id=character.pk, name=character.name, batch_id=batch.pk, count=count)
    return events.VariationsOrdered(
        character_id=character.pk, name=character.name, batch_id=batch.pk, count=count, tier=batch.tier
    )


def cancel_batch(*, batch: VariationBatch, actor: User) -> None:
    """Stop making the rest; what is made stays. One that has ended stays as it is."""
    with transaction.atomic():
        before = Job.objects.select_for_update().get(pk=batch.job_id)
        batch.job = jobs.cancel(job=before)
        if (before.state, before.wanted) != (batch.job.state, batch.job.wanted):
            _tell(batch, events.VariationsCancelled, actor)


def retry_batch(*, batch: VariationBatch, actor: User) -> None:
    """Make what is missing of a failed or cancelled batch. Raises NotNow."""
    with transaction.atomic():
        job = Job.objects.select_for_update().get(pk=batch.job_id)
        if job.outputs.count() >= len(batch.plan):
            raise jobs.NotNow("All pictures of this batch have been made.")
        batch.job = jobs.retry(job=job)
        _tell(batch, events.VariationsRetried, actor)


def _tell(batch: VariationBatch, happening: Callable[..., Happening], actor: User) -> None:
    character = batch.character
    told = happening(character_id=character.pk, name=character.name, batch_id=batch.pk)
    log.record(character.project, told, actor=actor)


def _seconds_per_picture(settings: Settings, choice: Choice) -> float:
    return (settings.steps or 0) * SECONDS_PER_STEP_AND_PICTURE * selection.candidates(choice)


# --------------------------------------------------------------------------------------------------------- presets
KEPT = ("axes", "text", "per_combination", "negative_prompt", "steps", "guidance")


def save_preset(*, project: Project, name: str, settings: Settings, actor: User) -> Preset:
    """Keep what is to be varied under a name; saving under the same name replaces.

    Raises ValidationError, keyed by `preset_name` or as `order_variations` does.
    """
    try:
        name = clean_name(name, limit=60, what="name of the preset")
    except ValidationError as error:
        raise ValidationError({"preset_name": error.messages}) from None
    variations.checked(settings, catalog.default_pack())
    kept = {key: value for key, value in settings.as_json().items() if key in KEPT}
    with transaction.atomic():
        preset, _ = Preset.objects.update_or_create(
            project=project, name=name, trashed_at=None, defaults={"settings": kept, "created_by": actor}
        )
        log.record(project, events.PresetSaved(preset_id=preset.pk, name=name), actor=actor)
    return preset


def trash_preset(*, preset: Preset, actor: User) -> None:
    with transaction.atomic():
        if Preset.objects.present().filter(pk=preset.pk).update(trashed_at=timezone.now()):
            log.record(preset.project, events.PresetTrashed(preset_id=preset.pk, name=preset.name), actor=actor)
    preset.refresh_from_db()


def restore_preset(*, preset: Preset, actor: User) -> None:
    """Where its name was given to another one meanwhile, that one stays and nothing happens."""
    with transaction.atomic():
        taken = Preset.objects.present().filter(project=preset.project, name=preset.name)
        if taken.exists():
            return
        if Preset.objects.exclude(trashed_at=None).filter(pk=preset.pk).update(trashed_at=None):
            log.record(preset.project, events.PresetRestored(preset_id=preset.pk, name=preset.name), actor=actor)
    preset.refresh_from_db()
