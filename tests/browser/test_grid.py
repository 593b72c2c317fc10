"""A gallery of any length is one grid that scrolls to its end."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from characters import actions
from characters.models import Character
from collaboration.models import Project, User

pytestmark = pytest.mark.in_browser

COUNT = 1_000


@pytest.fixture
def crowd(project: Project) -> Project:
    Character.objects.bulk_create(
        Character(project=project, name=f"N{n:04}", importance=(COUNT - n) / COUNT) for n in range(COUNT)
    )
    return project


def gallery(project: Project, query: str = "?sort=name") -> str:
    return reverse("characters:gallery", args=[project.slug]) + query


def seen(page: Page) -> list[str]:
    """Names of the cards in view, in their order."""
    return page.evaluate(
        """() => [...document.querySelectorAll("#cards > [data-item]")].filter((card) => {
            const box = card.getBoundingClientRect();
            return box.bottom > 60 && box.top < innerHeight;
        }).map((card) => card.querySelector(".name .text").textContent)"""
    )


def bones(page: Page) -> int:
    return page.locator("#cards > .bone-card").count()


def scroll(page: Page, share: float) -> None:
    page.evaluate("(share) => scrollTo(0, share * (document.documentElement.scrollHeight - innerHeight))", share)
    page.wait_for_timeout(120)
    expect(page.locator("#cards > .bone-card")).to_have_count(0)


def names(first: int, last: int) -> list[str]:
    return [f"N{n:04}" for n in range(first, last + 1)]


def test_it_scrolls_to_the_end_and_back_with_only_what_is_near_in_the_page(
    open_as: Callable[..., Page], vera: User, crowd: Project
) -> None:
    page = open_as(vera, gallery(crowd))
    expect(page.locator("#cards.windowed")).to_be_visible()
    expect(page.locator("[data-pages]")).to_be_hidden()
    scroll(page, 0)
    assert seen(page)[:10] == names(0, 9)
    height = page.evaluate("document.documentElement.scrollHeight")
    for share in (0.1, 0.37, 0.5, 0.81):
        scroll(page, share)
        shown = seen(page)
        assert len(shown) > 10
        assert shown == names(int(shown[0][1:]), int(shown[-1][1:]))
        assert abs(int(shown[0][1:]) / COUNT - share) < 0.03
        assert page.locator("#cards > li").count() <= 300
    scroll(page, 1)
    shown = seen(page)
    assert shown == names(int(shown[0][1:]), COUNT - 1)
    assert page.evaluate("document.documentElement.scrollHeight") == height
    scroll(page, 0)
    assert seen(page)[:10] == names(0, 9)
    # Every card is said to be the n-th of all.
    first = page.locator("#cards > [data-item]").first
    expect(first).to_have_attribute("aria-posinset", "1")
    expect(first).to_have_attribute("aria-setsize", str(COUNT))


def test_what_is_selected_stays_selected_far_away(open_as: Callable[..., Page], bob: User, crowd: Project) -> None:
    page = open_as(bob, gallery(crowd))
    expect(page.locator("#cards.windowed")).to_be_visible()
    scroll(page, 0)
    page.get_by_label("Select N0003").check()
    scroll(page, 1)
    page.get_by_label("Select N0999").check()
    expect(page.locator("[data-selection-count]")).to_have_text("2")
    page.get_by_role("button", name="Move to trash").click()
    expect(page.get_by_text("2 characters moved to the trash.")).to_be_visible()
    assert set(Character.objects.exclude(trashed_at=None).values_list("name", flat=True)) == {"N0003", "N0999"}


def test_another_order_and_another_size_of_cards_are_laid_out_anew(
    open_as: Callable[..., Page], vera: User, crowd: Project
) -> None:
    page = open_as(vera, gallery(crowd, "?sort=importance"))
    expect(page.locator("#cards.windowed")).to_be_visible()
    scroll(page, 0.5)
    before = seen(page)
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(400)
    expect(page.locator("#cards > .bone-card")).to_have_count(0)
    after = seen(page)
    assert after[0] in before
    assert after == names(int(after[0][1:]), int(after[-1][1:]))
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.evaluate("scrollTo(0, 0)")
    page.get_by_role("searchbox", name="Search characters").fill("N09")
    expect(page.locator("#cards > [data-item]").first).to_contain_text("N0900")
    expect(page.locator("#cards.windowed")).to_be_visible()
    scroll(page, 1)
    assert seen(page)[-1] == "N0999"


def test_back_from_a_character_one_is_where_one_was(open_as: Callable[..., Page], vera: User, crowd: Project) -> None:
    page = open_as(vera, gallery(crowd))
    expect(page.locator("#cards.windowed")).to_be_visible()
    scroll(page, 0.7)
    before = seen(page)
    page.locator(f"#cards > [data-item]:has-text('{before[8]}') > a").click()
    page.wait_for_url("**/characters/*-*/")
    page.go_back()
    expect(page.locator("#cards.windowed")).to_be_visible()
    page.wait_for_timeout(400)
    expect(page.locator("#cards > .bone-card")).to_have_count(0)
    assert before[8] in seen(page)


def test_who_changes_while_others_scroll_is_shown_once(
    open_as: Callable[..., Page], vera: User, bob: User, crowd: Project
) -> None:
    page = open_as(vera, gallery(crowd))
    expect(page.locator("#cards.windowed")).to_be_visible()
    actions.trash_character(character=Character.objects.get(name="N0500"), actor=bob)
    actions.change_character(character=Character.objects.get(name="N0501"), name="N0001b", actor=bob)
    scroll(page, 1)
    assert seen(page)[-1] == "N0999"
    scroll(page, 0)
    assert seen(page)[:4] == ["N0000", "N0001", "N0001b", "N0002"]
    scroll(page, 0.5)
    shown = seen(page)
    assert "N0499" in shown
    assert "N0500" not in shown
    assert "N0501" not in shown


def test_without_scripts_there_are_pages(open_as: Callable[..., Page], vera: User, crowd: Project) -> None:
    page = open_as(vera, gallery(crowd), javascript=False)
    assert page.locator("#cards > [data-item]").count() == 30
    page.get_by_role("link", name="Next").click()
    expect(page.locator("#cards > [data-item]").first).to_contain_text("N0030")
    page.get_by_role("link", name="Previous").click()
    expect(page.locator("#cards > [data-item]").first).to_contain_text("N0000")
