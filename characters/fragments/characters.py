"""Cards, readiness and the identity profile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.urls import reverse

from assets.models import file_url
from characters import profiles, scoring
from characters.fragments.parts import Audience, colour_bar, median_score, picture
from characters.models import HOLD_OUT_FROM, Character, IdentityProfile, Reference
from collaboration import bands
from collaboration.approvals import queries as approvals
from collaboration.approvals.fragments import badge as approval_badge
from collaboration.approvals.fragments import step as approval_step
from collaboration.models import Project
from collaboration.verbs import Verb
from gpu_worker import catalog
from gpu_worker.models import Adapter, Job

CARD_SIZES = "(max-width: 720px) 45vw, 240px"


def card(
    character: Character,
    audience: Audience,
    *,
    project: Project,
    training: Job | None = None,
    alike: Sequence[str] = (),
) -> dict[str, Any]:
    """Context of characters/_card.html. `training` is the open training of the character, if there is one; `alike` are
    the names of those it looks like."""
    progress = None
    if training is not None and training.total:
        progress = {
            "value": training.step / training.total,
            "max": 1,
            "label": f"Training of {character.name}",
        }
    shown = picture(character.picture, alt=character.name, size=320, sizes=CARD_SIZES)
    others = [r.asset_id for r in getattr(character, "scrubbed", ()) if r.asset_id != character.picture_id]
    return {
        "id": character.pk,
        "url": reverse("characters:detail", args=[project.slug, character.pk]),
        "picture": shown,
        "name": character.name,
        "meta": card_line(character, training),
        "score": median_score(character, project.studio.bands),
        "progress": progress,
        "approval": _approval(character),
        "badge": f"Looks like {alike[0]}" if alike else "Generated" if _shows_generated(character) else "",
        "scrub": " ".join(file_url(pk, 320) for pk in others) if shown else "",
        "can_select": Verb.EDIT in audience,
    }


def _approval(character: Character) -> dict[str, str] | None:
    if not hasattr(character, "standing"):
        approvals.attach("character", [character])
    return approval_badge(character.standing)  # type: ignore[attr-defined]


def _shows_generated(character: Character) -> bool:
    return any(r.asset_id == character.picture_id for r in getattr(character, "generated_references", ()))


def card_line(character: Character, training: Job | None = None) -> str:
    """The one line of what matters: tier, and how far the character is."""
    tier = character.get_tier_display()
    if training is not None:
        share = training.step / training.total if training.total else 0
        how = f"training {share:.0%}" if training.state == Job.RUNNING else f"training {training.state}"
    elif character.adapter_version:
        how = f"adapter v{character.adapter_version}"
    elif character.references_missing:
        how = f"{character.reference_count} of {character.references_needed} references{generated_among(character)}"
    else:
        how = f"{character.reference_count} references{generated_among(character)}"
    return f"{tier} · {how}"


def generated_among(character: Character) -> str:
    """`, 4 generated`, of the usable references; empty where all were uploaded."""
    count = character.generated_count
    if not count:
        return ""
    return ", generated" if count == character.reference_count else f", {count} generated"


# ------------------------------------------------------------------------------------------------------ readiness
def readiness(character: Character, adapter: Adapter | None, profile: IdentityProfile | None) -> list[dict[str, Any]]:
    """Context of components/ladder.html: what the character has, step by step, and what is missing."""
    slug, needed = character.project.slug, character.references_needed
    enough = character.reference_count >= needed
    references = {
        "label": f"{character.reference_count} of {needed} references{generated_among(character)}",
        "state": "done" if enough else "now" if character.reference_count else "todo",
        "url": reverse("characters:references", args=[slug, character.pk]),
        "note": "" if enough else f"{character.references_missing} more for {character.get_tier_display().lower()}",
    }
    learnt = profile is not None and profile.is_learnt
    identity = {"label": "Identity learnt" if learnt else "Identity", "state": "done" if learnt else "todo"}
    if adapter is not None:
        trained = {"label": f"Adapter v{adapter.version}", "state": "done"}
    elif character.status == Character.TRAINING:
        trained = {"label": "Training", "state": "now"}
    else:
        trained = {"label": "Adapter", "state": "todo"}
    steps = [references, identity, trained]
    if character.score is not None:
        band = character.project.studio.bands.of(character.score)
        state = "blocked" if band == "review" else "done"
        steps.append({"label": f"Same person: {character.score:.0f}, {bands.WORDS[band].lower()}", "state": state})
    standing = approvals.standings("character", [character.pk])[str(character.pk)]
    approval = approval_step(standing, reverse("approvals:approvals", args=[slug, "character", character.pk]))
    return [*steps, approval] if approval else steps


def spread_in_words(profile: IdentityProfile) -> str:
    """How alike the references are: 1 - mean cosine to their mean."""
    if len(profile.learnt_from) < 2:
        return "One reference only, so it is not known how much the face varies."
    if profile.spread < 0.12:
        return "Tight: the references show one face, very much alike."
    if profile.spread < 0.28:
        return "Normal: the same face in different views."
    return "Wide: the references differ a lot. Look for one that shows somebody else."


def profile(character: Character, found: IdentityProfile | None, audience: Audience) -> dict[str, Any]:
    """Context of characters/_profile.html."""
    learnt_from: list[Reference] = []
    if found is not None:
        learnt_from = list(character.references.filter(pk__in=found.learnt_from).select_related("asset"))
    automatic = profiles.base_prompt(character)
    prompt = found.base_prompt if found and found.base_prompt else automatic
    return {
        "character": character,
        "profile": found if found is not None and found.is_learnt else None,
        "spread": spread_in_words(found) if found and found.is_learnt else "",
        "swatches": colour_bar(found.colours) if found else [],
        "prompt": prompt,
        "is_edited": bool(found and found.is_prompt_edited),
        "automatic_prompt": automatic,
        "unknown_words": catalog.default_pack().unknown_words(prompt),
        "pack": catalog.default_pack(),
        "learnt_from": [picture(r.asset, size=160, alt="Reference") for r in learnt_from],
        "learnt_words": _learnt_words(character, learnt_from),
        "measured_by": scoring.route_of(character).reason,
        "action": reverse("characters:base_prompt", args=[character.project.slug, character.pk]),
        "can_edit": Verb.EDIT in audience,
    }


def _learnt_words(character: Character, learnt_from: Sequence[Reference]) -> str:
    held_out = character.references.usable().filter(is_held_out=True).count()
    count = f"{len(learnt_from)} reference{'' if len(learnt_from) == 1 else 's'}"
    if held_out:
        return f"Learnt from {count}. {held_out} more are held out, to measure with."
    if learnt_from and all(r.is_generated for r in learnt_from):
        what = "a generated picture" if len(learnt_from) == 1 else f"{len(learnt_from)} generated pictures"
        return f"Learnt from {what}. Uploaded references take {'its' if len(learnt_from) == 1 else 'their'} place."
    return f"Learnt from {count}. From {HOLD_OUT_FROM} uploaded ones on, some are held out to measure with."
