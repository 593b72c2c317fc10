"""What events change on open pages. Each builder hands its work as a function: see `collaboration.live.fragments`."""

from __future__ import annotations

from django.template.loader import render_to_string

from characters import queries
from characters.fragments.characters import card as card_context
from characters.models import Character
from collaboration.live.fragments import Swap
from collaboration.models import Event
from collaboration.verbs import Verb


def _audience(audience: frozenset[str]) -> frozenset[Verb]:
    return frozenset(Verb(word) for word in audience)


def gallery(event: Event) -> str:
    """The page key of the project's gallery."""
    return f"{event.stream.kind}:{event.stream.key}:gallery"


def card_html(pk: str, audience: frozenset[str]) -> str:
    """One card as the gallery shows it; empty for a character that is gone from it."""
    rows = Character.objects.present().filter(pk=pk).select_related("project__studio")
    character = queries.with_card_data(rows).first()
    if character is None:
        return ""
    context = card_context(
        character,
        _audience(audience),
        project=character.project,
        training=queries.open_trainings([character]).get(str(character.pk)),
        alike=queries.look_alikes_among([character]).get(character.pk, ()),
    )
    return render_to_string("characters/_card.html", {"card": context})


def card(event: Event, audience: frozenset[str]) -> list[Swap]:
    """The card of the event's character."""
    pk = event.subject_id
    return [Swap(f"character-{pk}", lambda: card_html(pk, audience), page=gallery(event))]


def new_card(event: Event, audience: frozenset[str]) -> list[Swap]:
    pk = event.subject_id
    return [Swap("cards", lambda: card_html(pk, audience), how="afterbegin", page=gallery(event))]
