"""What events change on open pages. Each builder hands its work as a function: see `collaboration.live.fragments`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from django.db.models import Q
from django.template.loader import render_to_string

from characters import queries
from characters.fragments.characters import card as card_context
from characters.fragments.references import reference as reference_context
from characters.models import Character, LookAlike, Reference
from collaboration.live.fragments import Swap, project_page, refetched
from collaboration.models import Event
from collaboration.verbs import Verb


def verbs(audience: frozenset[str]) -> frozenset[Verb]:
    return frozenset(Verb(word) for word in audience)


def gallery(event: Event) -> str:
    """The page key of the project's gallery as it opens; with `:some` behind it, filtered or in another order."""
    return f"{event.stream.kind}:{event.stream.key}:gallery"


def card_html(pk: str, audience: frozenset[str]) -> str:
    """One card as the gallery shows it; empty for a character that is gone from it."""
    rows = Character.objects.present().filter(pk=pk).select_related("project__studio")
    character = queries.with_card_data(rows).first()
    if character is None:
        return ""
    context = card_context(
        character,
        verbs(audience),
        project=character.project,
        training=queries.open_trainings([character]).get(str(character.pk)),
        alike=queries.look_alikes_among([character]).get(character.pk, ()),
    )
    return render_to_string("characters/_card.html", {"card": context})


def character_of(event: Event) -> str:
    return event.subject_id if event.subject_kind == "character" else str(event.payload["character_id"])


def _rendered(event: Event, audience: frozenset[str]) -> Callable[[], str]:
    return cache(lambda: card_html(character_of(event), audience))


def card(event: Event, audience: frozenset[str]) -> list[Swap]:
    """The card of the event's character, where it stands."""
    html, target = _rendered(event, audience), f"character-{character_of(event)}"
    return [Swap(target, html, page=gallery(event)), Swap(target, html, page=f"{gallery(event)}:some")]


def first_card(event: Event, audience: frozenset[str]) -> list[Swap]:
    """The card of a character that was changed: the gallery begins with it."""
    html, target = _rendered(event, audience), f"character-{character_of(event)}"
    return [
        Swap("cards", html, how="afterbegin", page=gallery(event)),
        Swap(target, html, page=f"{gallery(event)}:some"),
    ]


def gone(event: Event, audience: frozenset[str]) -> list[Swap]:
    return [*card(event, audience), *bar(event, audience)]


def pages(event: Event, audience: frozenset[str]) -> list[Swap]:
    """The pages of one character: few look at one, and much of them hangs together."""
    page = f"character:{character_of(event)}"
    return refetched(page, "character-notice", "character-head", "tab", "variation-head", "variation-side")


def variation(event: Event, audience: frozenset[str]) -> list[Swap]:
    """The page of a picture that went into the trash, or came back: nothing of it is as it was."""
    return refetched(f"variation:{event.payload['variation_id']}", "content")


def bar(event: Event, audience: frozenset[str]) -> list[Swap]:
    """What the gallery counts; who belongs into a filtered or sorted one, and where; and the trash."""
    return [
        *refetched(gallery(event), "gallery-bar"),
        *refetched(f"{gallery(event)}:some", "gallery"),
        *refetched(project_page(event, "trash"), "content"),
    ]


def alike(event: Event, audience: frozenset[str]) -> list[Swap]:
    """The cards of everybody in the project who looks like the event's character, or did."""
    character = character_of(event)
    rows = LookAlike.objects.filter(Q(first=character) | Q(second=character)).values_list("first", "second")
    others = {str(pk) for pair in rows for pk in pair} - {character}
    found = card(event, audience)
    for other in sorted(others):
        html = cache(lambda pk=other: card_html(pk, audience))
        found += [Swap(f"character-{other}", html, page=page) for page in (gallery(event), f"{gallery(event)}:some")]
        found += refetched(f"character:{other}", "character-head")
    return found


def reference(event: Event, audience: frozenset[str]) -> list[Swap]:
    """One row of the references, as soon as it has been checked."""
    pk = event.payload["reference_id"]

    def html() -> str:
        row = Reference.objects.select_related("asset", "character__project", "added_by").get(pk=pk)
        context = reference_context(row, verbs(audience), slug=row.character.project.slug)
        return render_to_string("characters/_reference.html", {"row": context})

    return [Swap(f"reference-{pk}", html, page=f"character:{character_of(event)}")]


def progress(event: Event, audience: frozenset[str]) -> list[Swap]:
    """A job of the character has come further: its regions ask for themselves."""
    return [Swap("*", how="refresh", page=f"character:{event.subject_id}")]
