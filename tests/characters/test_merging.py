"""Several people change one character at once: nothing that anybody wrote is lost or overwritten unseen."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from characters import actions
from characters.forms import CharacterForm, values_of
from characters.models import Character
from collaboration.merging import merge_text, merge_words
from collaboration.models import Event, Revision, User


def url(character: Character, name: str = "edit") -> str:
    return reverse(f"characters:{name}", args=[character.project.slug, character.pk])


def form_of(character: Character) -> dict[str, Any]:
    """What a browser that opened the form now would send."""
    initial = CharacterForm.for_character(character).initial
    return {k: ("on" if v else "") if isinstance(v, bool) else str(v) for k, v in initial.items()}


def present(character: Character) -> dict[str, Any]:
    return values_of(Character.objects.get(pk=character.pk))


def test_each_keeps_what_the_other_changed(
    client_of: Callable[[User], Client], alice: User, bob: User, mara: Character
) -> None:
    alices, bobs = form_of(mara), form_of(mara)
    client_of(alice).post(url(mara), alices | {"age": "35"})
    answer = client_of(bob).post(url(mara), bobs | {"traits": "blue coat", "tags": "lead, ship"})
    assert answer.status_code == 302
    assert present(mara) | {} == present(mara)
    assert (present(mara)["age"], present(mara)["traits"]) == ("35", "blue coat")
    assert Event.objects.latest("seq").payload["fields"] == ["traits", "tags"]


def test_one_field_twice_shows_both_and_saves_the_rest(
    sign_in: Callable[..., Client], alice: User, bob: User, mara: Character
) -> None:
    bobs = form_of(mara)
    actions.change_character(character=mara, actor=alice, age="35", name="Mara Voss")
    answer = sign_in(bob, htmx=True).post(url(mara), bobs | {"age": "36", "traits": "blue coat"})
    page = answer.content.decode()
    assert answer.status_code == 422
    assert 'value="36"' in page
    assert re.search(r"<b[^>]*>Alice</b> changed this while you were writing: <q[^>]*>35</q>", page)
    assert page.count("changed this while you were writing") == 2  # the form's template of it, and this one
    now = present(mara)
    assert (now["age"], now["traits"], now["name"]) == ("35", "blue coat", "Mara Voss")


def again(page: str, **changes: str) -> dict[str, str]:
    """The fields of a form that was sent back."""
    from html import unescape

    found = dict(re.findall(r'<input type="(?:text|hidden)" name="(\w+)" value="([^"]*)"', page))
    return (
        {k: unescape(v) for k, v in found.items()}
        | {"importance": "0.5", "tier": "low", "has_human_face": "on"}
        | changes
    )


@pytest.mark.parametrize(("button", "kept"), [("keep", "36"), ("take", "35")])
def test_one_click_keeps_either(
    sign_in: Callable[..., Client], alice: User, bob: User, mara: Character, button: str, kept: str
) -> None:
    bobs = form_of(mara)
    actions.change_character(character=mara, actor=alice, age="35")
    client = sign_in(bob, htmx=True)
    page = client.post(url(mara), bobs | {"age": "36"}).content.decode()
    # Saving once more decides nothing.
    assert client.post(url(mara), again(page)).status_code == 422
    assert client.post(url(mara), again(page, **{button: "age"})).status_code == 200
    assert present(mara)["age"] == kept
    assert present(mara)["traits"] == "red coat"


def test_who_keeps_theirs_has_seen_the_value_they_overrule(
    sign_in: Callable[..., Client], alice: User, bob: User, mara: Character
) -> None:
    bobs = form_of(mara)
    actions.change_character(character=mara, actor=alice, age="35")
    client = sign_in(bob, htmx=True)
    page = client.post(url(mara), bobs | {"age": "36"}).content.decode()
    actions.change_character(character=mara, actor=alice, age="37")
    answer = client.post(url(mara), again(page, keep="age"))
    assert answer.status_code == 422
    assert '<q data-changed-to dir="auto">37</q>' in answer.content.decode()
    assert present(mara)["age"] == "37"


def test_descriptions_and_tags_of_both_are_merged(
    client_of: Callable[[User], Client], alice: User, bob: User, mara: Character
) -> None:
    actions.change_character(character=mara, actor=alice, description="Keeper of the light.")
    bobs = form_of(mara)
    actions.change_character(
        character=mara, actor=alice, description="Keeper of the light. She limps.", tags=["lead", "night"]
    )
    answer = client_of(bob).post(url(mara), bobs | {"description": "Old keeper of the light.", "tags": "ship"})
    assert answer.status_code == 302
    assert present(mara)["description"] == "Old keeper of the light. She limps."
    assert present(mara)["tags"] == ["night", "ship"]


def test_an_open_form_asks_who_changed_what(
    client_of: Callable[[User], Client], alice: User, bob: User, vera: User, mara: Character
) -> None:
    since = Revision.objects.filter(subject_id=str(mara.pk)).count()
    actions.change_character(character=mara, actor=alice, age="35")
    answer = client_of(bob).get(url(mara, "values"), {"since": since}).json()
    assert answer["values"]["age"] == "35"
    assert {k: v["by"] for k, v in answer["changed"].items()} == {"age": "Alice"}
    assert client_of(vera).get(url(mara, "values")).status_code == 403


@pytest.mark.parametrize("base", ["", "nonsense", "[1]", "{", json.dumps({"age": {"a": 1}}), "[" * 50_000])
def test_a_broken_base_never_overwrites_unseen(
    client_of: Callable[[User], Client], alice: User, bob: User, mara: Character, base: str
) -> None:
    actions.change_character(character=mara, actor=alice, age="35")
    answer = client_of(bob).post(url(mara), form_of(mara) | {"base": base, "age": "36"})
    if base:
        assert answer.status_code == 422
        assert present(mara)["age"] == "35"
    else:  # a form without a base overwrites, as it always did
        assert present(mara)["age"] == "36"


# ---------------------------------------------------------------------------------------------------------- words
words = st.text(alphabet="ab c🌊é\n", max_size=24)


@given(words, words, words)
def test_a_text_that_one_side_left_alone_is_the_other_side(base: str, mine: str, theirs: str) -> None:
    assert merge_text(base, base, theirs) == theirs
    assert merge_text(base, mine, base) == mine
    assert merge_text(base, mine, mine) == mine


@given(words, words, words)
def test_everything_that_was_added_is_there(base: str, mine: str, theirs: str) -> None:
    merged = merge_text(base, f"{base}<{mine}>", f"[{theirs}]{base}")
    assert merged == f"[{theirs}]{base}<{mine}>"


sets = st.sets(st.sampled_from("abcdef"))


@given(sets, sets, sets)
def test_words_have_what_either_added_and_not_what_either_took(
    base: set[str], mine: set[str], theirs: set[str]
) -> None:
    merged = set(merge_words(base, mine, theirs))
    assert (mine | theirs) - base <= merged
    assert not merged & (base - (mine & theirs))
