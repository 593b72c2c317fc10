"""Learning the identity profile from references, and changing its words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction
from django.utils import timezone

from characters import events, profiles, scoring
from characters.actions.recording import lock, named, record, touch
from characters.models import Character, IdentityProfile, Reference
from collaboration import events as log
from collaboration.models import User
from collaboration.names import clean_text
from gpu_worker import catalog
from gpu_worker.contracts import Looked
from gpu_worker.packs import Pack

LONGEST_PROMPT = 600


def learn(character: Character, references: Sequence[Reference], seen: Mapping[Any, Looked], pack: Pack) -> None:
    """Write the profile from references that are not held out, with the character locked.

    Without any of them nothing that was measured stays: of the profile only a base prompt that a person wrote is kept.
    """
    looked = [(r, s) for r in references if (s := seen.get(r.asset_id)) and s.faces]
    looks = [s for _, s in looked]
    if not looks:
        rows = IdentityProfile.objects.filter(character=character)
        rows.filter(is_prompt_edited=False).delete()
        rows.update(centroid=[], spread=0, colours=[], facets=[], learnt_from=[], updated_at=timezone.now())
        return
    centroid, spread = profiles.centroid_and_spread([s.faces[0].embeddings["conditioning"] for s in looks])
    colours = profiles.merge_colours(looks)
    profile, _ = IdentityProfile.objects.update_or_create(
        character=character,
        defaults={
            "pack": pack.name,
            "pack_version": pack.version,
            "centroid": centroid,
            "spread": spread,
            "colours": colours,
            "facets": profiles.facets(character, looks, colours),
            "learnt_from": [str(r.pk) for r, _ in looked],
            "updated_at": timezone.now(),
        },
    )
    if not profile.is_prompt_edited:
        profile.base_prompt = profiles.base_prompt(character)
        profile.save(update_fields=["base_prompt"])


def renew_words(character: Character) -> None:
    """Put changed words of the team into the profile, with the character locked."""
    profile = IdentityProfile.objects.filter(character=character).first()
    if profile is None:
        return
    if profile.is_learnt:
        references = list(character.references.filter(pk__in=profile.learnt_from))
        seen = scoring.readings([r.asset_id for r in references], catalog.default_pack())
        profile.facets = profiles.facets(character, list(seen.values()), profile.colours)
    if not profile.is_prompt_edited:
        profile.base_prompt = profiles.base_prompt(character)
    profile.save(update_fields=["facets", "base_prompt"])


def change_base_prompt(*, character: Character, prompt: str, actor: User) -> IdentityProfile:
    """Empty: back to the prompt built from the character's fields. Raises ValidationError."""
    prompt = " ".join(clean_text(prompt, limit=LONGEST_PROMPT, what="base prompt").split())
    with transaction.atomic():
        row = lock(character)
        profile, before = write_prompt(row, prompt)
        if before != profile.base_prompt:
            touch(row)
            happening = events.BasePromptChanged(**named(row), before=before, after=profile.base_prompt)
            record(row, happening, actor=actor)
    return profile


def write_prompt(character: Character, prompt: str) -> tuple[IdentityProfile, str]:
    """Write a cleaned base prompt, or an empty one for the automatic. Returns (profile, the prompt before)."""
    profile = IdentityProfile.objects.select_for_update().filter(character=character).first() or IdentityProfile(
        character=character, pack=catalog.default_pack().name, centroid=[], spread=0
    )
    before = profile.base_prompt or profiles.base_prompt(character)
    # The words of the automatic prompt, written by hand, are the automatic prompt.
    automatic = profiles.base_prompt(character)
    profile.is_prompt_edited = prompt not in ("", automatic)
    profile.base_prompt = prompt if profile.is_prompt_edited else automatic
    profile.save()
    return profile, before


def note_profile(*, character: Character) -> None:
    """One event when a round of checks has made the profile, not one for each picture."""
    profile = IdentityProfile.objects.filter(character=character).first()
    if profile is not None and profile.is_learnt:
        happening = events.ProfileLearnt(**named(character), references=len(profile.learnt_from))
        log.record(character.project, happening, actor=None)
