"""From a suggestion on a picture to an order for the next one."""

from __future__ import annotations

import re
from dataclasses import replace

from django.core.exceptions import ValidationError
from django.urls import reverse

from characters import orders
from characters.models import Character, Reference, Variation, VariationBatch
from characters.variations import AXES, Settings
from collaboration.annotations import actions as drawings
from collaboration.models import User
from collaboration.subjects import Ordered, target
from gpu_worker import catalog
from gpu_worker.packs import Pack


def improve_variation(variation: Variation, words: str, actor: User) -> Ordered:
    """Order the same picture, with the same seed, and what is suggested. Raises ValidationError."""
    settings = following(orders.settings_of(variation), words, catalog.default_pack())
    return _order(variation.character, settings, actor, revises=variation)


def improve_reference(reference: Reference, words: str, actor: User) -> Ordered:
    """Order a picture of the character as it is suggested. Raises ValidationError."""
    settings = following(Settings(), words, catalog.default_pack())
    return _order(reference.character, settings, actor)


def following(settings: Settings, words: str, pack: Pack) -> Settings:
    """`settings` with the suggestion: what names a choice of the model (an expression, an outfit) replaces the one
    made before; the words as a whole join the free text, less the braces and underscores that are wildcards there."""
    said = " ".join(re.sub(r"[{}|]|__", " ", words).split())
    named = {
        axis: choice
        for axis in AXES
        for choice in sorted(pack.slots.get(axis, ()), key=len)
        if re.search(rf"\b{re.escape(choice)}\b", said, re.IGNORECASE)
    }
    axes = dict(settings.axes) | {axis: (choice,) for axis, choice in named.items()}
    text = ", ".join(part for part in (settings.text.strip(" ,"), said) if part)
    return replace(settings, axes=axes, text=text)


def _order(character: Character, settings: Settings, actor: User, *, revises: Variation | None = None) -> Ordered:
    try:
        batch = orders.order_variations(character=character, settings=settings, actor=actor, revises=revises)
    except ValidationError as error:
        raise ValidationError(error.messages) from None  # the fields are those of a form that is not here
    return Ordered("batch", batch.pk, _url(batch), _note(character, settings, batch))


def _url(batch: VariationBatch) -> str:
    args = [batch.character.project.slug, batch.character_id]
    return reverse("characters:variations", args=args) + f"?batch={batch.pk}"


def _note(character: Character, settings: Settings, batch: VariationBatch) -> str:
    """Words of the suggestion that the model does not know."""
    pack = catalog.pack_named(batch.pack)
    trigger = batch.adapter.trigger if batch.adapter else ""
    unknown = pack.unknown_words(settings.text, known=(trigger,))
    return f"{pack.title} does not know these words: {', '.join(unknown)}." if unknown else ""


def carry_over(variation: Variation) -> None:
    """Put what is still open on the picture that this one is a next version of onto this one."""
    before, after = target("variation", variation.batch.revises_id), target("variation", variation.pk)
    if before is not None and after is not None:
        drawings.carry_over(before=before, after=after)
