"""A review in a browser: stepped through, voted on and decided with keys alone; and without scripts."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from collaboration.models import ReviewItem, Vote
from collaboration.reviews import actions
from collaboration.subjects import target
from tests.browser.conftest import chromium, open_as  # noqa: F401
from tests.characters.conftest import batch_of, mara, pack, paper_packs, stored  # noqa: F401

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.in_browser]


@pytest.fixture
def review(project, alice, mara, batch_of):  # noqa: F811
    faces = list(batch_of(mara, count=3).variations.order_by("index"))
    images = [target("variation", face.pk) for face in faces]
    return actions.create_review(project=project, title="Monday", images=images, actor=alice)


def test_a_review_is_done_with_keys_alone(open_as, review, leo):  # noqa: F811
    page = open_as(leo, f"{review.get_absolute_url()}?at=1")
    title = page.locator(".review-title")
    page.keyboard.press("4")
    expect(page.locator(".vote-mine button[aria-pressed=true]")).to_have_text("Score 4")
    page.keyboard.press("x")
    expect(page.locator(".vote-mine button[aria-pressed=true]")).to_have_count(2)
    page.keyboard.press("y")
    expect(title).to_contain_text("2 of 3")
    expect(page.locator(".review-mark.approved")).to_have_count(1)
    page.keyboard.press("ArrowRight")
    expect(title).to_contain_text("3 of 3")
    page.keyboard.press("k")
    expect(title).to_contain_text("2 of 3")
    assert page.url.endswith("?at=2")
    mine = Vote.objects.get()
    assert (mine.score, mine.verdict) == (4, "reject")
    assert ReviewItem.objects.get(place=0).decision == "approved"


def test_the_same_without_scripts(open_as, review, leo):  # noqa: F811
    page = open_as(leo, f"{review.get_absolute_url()}?at=1", javascript=False, width=390, height=844)
    page.get_by_role("button", name="Score 5").click()
    expect(page.locator(".vote-mine button[aria-pressed=true]")).to_have_text("Score 5")
    page.get_by_role("button", name="Hold").click()
    expect(page.locator(".review-title")).to_contain_text("2 of 3")
    page.get_by_role("link", name="Summary").click()
    expect(page.locator(".summary-line")).to_have_count(3)
    expect(page.locator(".summary-line").first).to_contain_text("Held for later")
