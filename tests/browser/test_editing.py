"""Two people in two browsers change one character at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from characters import actions
from characters.models import Character
from collaboration.models import Project, Revision, User


@pytest.fixture
def mara(project: Project, alice: User) -> Character:
    return actions.create_character(
        project=project,
        actor=alice,
        name="Mara",
        noun="woman",
        age="34",
        traits="red coat",
        tags=["lead"],
        description="Keeper of the light.",
    )


def edit(character: Character) -> str:
    return reverse("characters:edit", args=[character.project.slug, character.pk])


def description(page: Page) -> Any:
    return page.locator("#id_description")


def shared(page: Page) -> None:
    """Wait until the description is written together with others."""
    expect(page.locator("[data-shared-status]")).to_have_text("Saved as you write, together with others.")


def test_a_field_changed_under_somebody_shows_both_values_and_one_click_keeps_either(
    open_as: Callable[..., Page], alice: User, bob: User, mara: Character
) -> None:
    one, other = open_as(alice, edit(mara)), open_as(bob, edit(mara))
    one.locator("#character-form [name=age]").fill("36")
    one.locator("#character-form [name=noun]").fill("keeper")
    other.locator("#character-form [name=age]").fill("35")
    other.locator("#character-form [name=traits]").fill("blue coat")
    other.get_by_role("button", name="Save", exact=True).click()
    expect(other.get_by_text("Mara saved.")).to_be_visible()
    # What was left alone takes over the other's value; what is in dispute keeps what was typed and shows theirs.
    expect(one.locator("#character-form [name=traits]")).to_have_value("blue coat")
    note = one.locator("[data-changed=age]")
    expect(note).to_contain_text("Bob changed this while you were writing")
    expect(note.locator("q")).to_have_text("35")
    expect(one.locator("#character-form [name=age]")).to_have_value("36")
    note.get_by_role("button", name="Keep mine").click()
    expect(note).to_have_count(0)
    one.get_by_role("button", name="Save", exact=True).click()
    expect(one.get_by_text("Mara saved.")).to_be_visible()
    mara.refresh_from_db()
    assert (mara.age, mara.traits, mara.noun) == ("36", "blue coat", "keeper")


def test_who_saves_second_without_having_heard_is_asked_and_loses_nothing(
    open_as: Callable[..., Page], alice: User, bob: User, mara: Character
) -> None:
    one = open_as(alice, edit(mara), javascript=False)
    actions.change_character(character=mara, actor=bob, age="35", traits="blue coat")
    one.locator("#character-form [name=age]").fill("36")
    description(one).fill("Old keeper of the light.")
    one.get_by_role("button", name="Save", exact=True).click()
    expect(one.locator("[data-changed=age] q")).to_have_text("35")
    expect(one.locator("#character-form [name=age]")).to_have_value("36")
    expect(one.locator("#character-form [name=traits]")).to_have_value("blue coat")
    mara.refresh_from_db()
    assert (mara.age, mara.description) == ("35", "Old keeper of the light.")
    one.get_by_role("button", name="Take theirs").click()
    expect(one.get_by_text("Mara saved.")).to_be_visible()
    mara.refresh_from_db()
    assert (mara.age, mara.traits) == ("35", "blue coat")


def test_a_description_is_written_by_two_at_once(
    open_as: Callable[..., Page], alice: User, bob: User, mara: Character
) -> None:
    one, other = open_as(alice, edit(mara)), open_as(bob, edit(mara))
    shared(one)
    shared(other)
    description(one).focus()
    one.keyboard.press("Control+Home")
    description(other).focus()
    other.keyboard.press("Control+End")
    # Letter by letter and in turns, both in the same text.
    for mine, theirs in zip("Old friend 🌊, ", " She limps. 🌧️!", strict=False):
        one.keyboard.insert_text(mine)
        other.keyboard.insert_text(theirs)
    wanted = "Old friend 🌊, Keeper of the light. She limps. 🌧️"
    for page in (one, other):
        expect(description(page)).to_have_value(wanted)
    # The cursor stayed where its owner writes.
    one.keyboard.insert_text("the ")
    other.keyboard.insert_text("!")
    wanted = "Old friend 🌊, the Keeper of the light. She limps. 🌧️!"
    for page in (one, other):
        expect(description(page)).to_have_value(wanted)
    # Undo takes back one's own words only.
    one.keyboard.press("Control+z")
    expect(description(other)).not_to_have_value(wanted)
    assert description(other).input_value().endswith("She limps. 🌧️!")
    for page in (one, other):
        page.locator("#character-form [name=traits]").focus()
    expect(description(one)).to_have_value(description(other).input_value())
    final = description(one).input_value()
    one.wait_for_timeout(500)
    expect(one.locator("[data-shared-status]")).to_have_text("Saved.")
    mara.refresh_from_db()
    assert mara.description == final.strip()
    authors = Revision.objects.filter(subject_id=str(mara.pk), number__gt=1).values_list("author__name", flat=True)
    assert set(authors) <= {"Alice", "Bob"}


def test_what_was_typed_without_a_connection_arrives_later(
    open_as: Callable[..., Page], alice: User, bob: User, mara: Character
) -> None:
    one = open_as(alice, edit(mara))
    shared(one)
    one.context.set_offline(True)
    description(one).focus()
    one.keyboard.press("Control+End")
    one.keyboard.insert_text(" She limps.")
    expect(one.locator("[data-shared-status]")).to_contain_text("Not saved yet")
    actions.change_character(character=mara, actor=bob, description="The keeper of the light.")
    one.context.set_offline(False)
    expect(description(one)).to_have_value("The keeper of the light. She limps.")
    one.locator("#character-form [name=traits]").focus()
    one.wait_for_timeout(500)
    expect(one.locator("[data-shared-status]")).to_have_text("Saved.")
    mara.refresh_from_db()
    assert mara.description == "The keeper of the light. She limps."
