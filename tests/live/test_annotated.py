"""Two real browsers on one image: what is drawn in one appears in the other, and open annotations arrive on the next
version, marked as carried over."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from characters import suggestions
from characters.models import Character, Variation, VariationBatch
from collaboration.annotations import actions
from collaboration.models import User
from collaboration.subjects import Target, target
from tests.characters.conftest import batch_of, make_variation, mara, pack, paper_packs
from tests.live.test_two_browsers import SECONDS, chromium, open_as, server

__all__ = ["batch_of", "chromium", "mara", "open_as", "pack", "paper_packs", "server"]
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def image(mara: Character, batch_of: Callable[..., VariationBatch]) -> Variation:
    return batch_of(mara, count=1, axes={"expression": ("sad",)}).variations.get()


def found(image: Variation) -> Target:
    on = target("variation", image.pk)
    assert on is not None
    return on


def test_what_one_draws_the_other_sees_and_nothing_typed_is_lost(
    open_as: Callable[..., Page], image: Variation, rita: User, bob: User
) -> None:
    on = found(image)
    actions.annotate(target=on, actor=rita, shape="picture", geometry={}, text="First")
    drawing, watching = open_as(rita, on.url), open_as(bob, on.url)
    watching.get_by_role("link", name="Answer").click()
    watching.keyboard.type("I am still wri")
    drawing.click("[data-tool=rectangle]")
    box = drawing.locator("[data-stage]").bounding_box()
    assert box is not None
    drawing.mouse.move(box["x"] + 20, box["y"] + 20)
    drawing.mouse.down()
    drawing.mouse.move(box["x"] + 120, box["y"] + 90, steps=8)
    expect(watching.locator("[data-draft] svg.guest")).to_have_count(1, timeout=SECONDS)  # while it is being drawn
    drawing.mouse.up()
    drawing.keyboard.type("Here")
    drawing.keyboard.press("Control+Enter")
    for page in (drawing, watching):
        expect(page.locator(".thread")).to_have_count(2, timeout=SECONDS)
        expect(page.locator(".shapes a.shape")).to_have_count(1, timeout=SECONDS)
    assert watching.input_value("#compose-text") == "I am still wri"
    assert watching.evaluate("document.activeElement.id") == "compose-text"
    expect(watching.locator(".thread").last.locator("[data-edit]")).to_be_hidden()
    expect(drawing.locator(".thread").last.locator("[data-edit]")).to_be_visible()


def test_open_annotations_arrive_on_the_next_version(
    open_as: Callable[..., Page], image: Variation, rita: User, bob: User
) -> None:
    on = found(image)
    row = actions.annotate(
        target=on, actor=rita, shape="pin", geometry={"x": 0.5, "y": 0.5}, text="happy", kind="suggestion"
    )
    first = open_as(bob, on.url)
    actions.order_suggestion(annotation=row, target=on, actor=bob)
    expect(first.get_by_role("link", name="See what was ordered")).to_be_visible(timeout=SECONDS)
    following = make_variation(VariationBatch.objects.get(revises=image), 0, bob)
    second = open_as(rita, found(following).url)
    expect(second.locator(".thread")).to_have_count(0)
    suggestions.carry_over(following)
    expect(second.locator(".thread.carried")).to_contain_text("Carried over", timeout=SECONDS)
    expect(second.locator(".shapes a.carried")).to_have_count(1, timeout=SECONDS)
