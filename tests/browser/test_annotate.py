"""Drawing on an image with the pointer, with clicks alone and with keys alone; talking; and what others see."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from assets import actions as assets
from characters.models import Character, Variation, VariationBatch
from collaboration.annotations import actions
from collaboration.annotations.models import Annotation
from collaboration.models import User
from collaboration.subjects import Target, target
from tests.characters.conftest import batch_of, mara, pack, paper_packs

__all__ = ["assets", "batch_of", "mara", "pack", "paper_packs"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.in_browser]
SHOTS = os.environ.get("SHOTS", "")
expect.set_options(timeout=60_000)  # a busy machine paints slowly


def shot(page: Page, name: str) -> None:
    """A picture for the eye where SHOTS names a folder."""
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"))


@pytest.fixture
def image(mara: Character, batch_of: Callable[..., VariationBatch]) -> Variation:
    return batch_of(mara, count=1, axes={"expression": ("sad",)}).variations.get()


@pytest.fixture
def on(image: Variation) -> Target:
    found = target("variation", image.pk)
    assert found is not None
    return found


def drag(page: Page, start: tuple[float, float], *way: tuple[float, float]) -> None:
    box = page.locator("[data-stage]").first.bounding_box()
    assert box is not None
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, *way)]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=6)
    page.mouse.up()


def click(page: Page, x: float, y: float) -> None:
    drag(page, (x, y))


def say(page: Page, text: str) -> None:
    page.fill("#compose-text", text)
    page.keyboard.press("Control+Enter")
    expect(page.locator(".thread .said").last).to_contain_text(text.split("@", maxsplit=1)[0].strip())


def near(value: Any, wanted: Any, by: float = 0.02) -> bool:
    if isinstance(wanted, dict):
        return value.keys() == wanted.keys() and all(near(value[k], wanted[k], by) for k in wanted)
    return abs(value - wanted) <= by


BOX = {"x": 0.2, "y": 0.3, "w": 0.4, "h": 0.2}
ARROW = {"x1": 0.2, "y1": 0.3, "x2": 0.6, "y2": 0.5}


@pytest.mark.parametrize(
    ("tool", "wanted"), [("rectangle", BOX), ("ellipse", BOX), ("arrow", ARROW), ("pin", {"x": 0.6, "y": 0.5})]
)
@pytest.mark.parametrize("way", ["drag", "clicks", "keys"])
def test_three_ways_to_draw_each_shape(
    open_as: Callable[..., Page], rita: User, on: Target, tool: str, wanted: dict[str, float], way: str
) -> None:
    page = open_as(rita, on.url)
    if way == "keys":
        page.keyboard.press("d")
        page.keyboard.press({"rectangle": "r", "ellipse": "o", "arrow": "a", "pin": "p"}[tool])
        steps = [("ArrowLeft", 6), ("ArrowUp", 4), ("Enter", 1), ("ArrowRight", 8), ("ArrowDown", 4), ("Enter", 1)]
        if tool == "pin":
            steps = [("ArrowRight", 2), ("Enter", 1)]
        for key, times in steps:
            for _ in range(times):
                page.keyboard.press(f"Shift+{key}" if key.startswith("Arrow") else key)
    else:
        page.click(f"[data-tool={tool}]")
        if tool == "pin":
            click(page, 0.6, 0.5)
        elif way == "drag":
            drag(page, (0.2, 0.3), (0.6, 0.5))
        else:
            click(page, 0.2, 0.3)
            click(page, 0.6, 0.5)
    expect(page.locator("#compose-text")).to_be_focused()
    say(page, "Warmer light")
    row = Annotation.objects.get()
    assert row.shape == tool
    assert near(row.geometry, wanted, 0.025), row.geometry
    expect(page.locator(".shapes a.shape")).to_have_count(1)
    expect(page.locator("[data-draft] svg.own")).to_have_count(0)


@pytest.mark.parametrize("way", ["drag", "clicks", "keys"])
def test_a_freehand_line(open_as: Callable[..., Page], rita: User, on: Target, way: str) -> None:
    page = open_as(rita, on.url)
    page.click("[data-tool=freehand]")
    if way == "drag":
        drag(page, (0.2, 0.2), (0.5, 0.6), (0.8, 0.2))
    elif way == "clicks":
        for place in ((0.2, 0.2), (0.5, 0.6), (0.8, 0.2)):
            click(page, *place)
        page.keyboard.press("Enter")
    else:
        for key in ("Enter", "Shift+ArrowRight", " ", "Shift+ArrowDown", " ", "Enter"):
            page.keyboard.press(key)
    say(page, "Along here")
    points = Annotation.objects.get().geometry["points"]
    assert len(points) >= 3
    if way == "clicks":
        assert near(dict(enumerate(points[1])), {0: 0.5, 1: 0.6})


def test_a_thread_with_a_mention_an_answer_and_an_end(
    open_as: Callable[..., Page], rita: User, bob: User, on: Target
) -> None:
    page = open_as(rita, on.url)
    page.click("[data-tool=rectangle]")
    drag(page, (0.2, 0.2), (0.7, 0.6))
    page.keyboard.type("Look here @bo")
    expect(page.locator("[data-people] [role=option]:visible")).to_have_count(1)
    shot(page, "mention-1440")
    page.keyboard.press("Enter")
    page.keyboard.type("please")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".mention")).to_have_text("@Bob")
    assert Annotation.objects.get().text == f"Look here @[{bob.pk}] please"

    other = open_as(bob, on.url)
    other.get_by_role("link", name="Answer").click()
    other.keyboard.type("Like this?")
    other.get_by_role("button", name="Answer").click()
    expect(other.locator(".replies .said")).to_have_text("Like this?")
    assert other.get_by_role("link", name="Edit").count() == 0
    other.get_by_role("button", name="Resolve").click()
    expect(other.locator(".thread.resolved")).to_have_count(1)

    page.reload()
    page.get_by_role("button", name="Reopen").click()
    page.get_by_role("link", name="Edit").click()
    page.click("[data-tool=pin]")
    click(page, 0.9, 0.9)
    page.fill("#compose-text", "There")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".thread > .said")).to_have_text("There")
    row = Annotation.objects.get()
    assert (row.shape, row.resolved_at) == ("pin", None)
    page.get_by_role("button", name="Remove").last.click()
    expect(page.locator(".thread")).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".thread")).to_have_count(1)


def test_a_refused_text_does_not_cost_the_drawing(open_as: Callable[..., Page], rita: User, on: Target) -> None:
    page = open_as(rita, on.url)
    page.click("[data-tool=rectangle]")
    drag(page, (0.2, 0.2), (0.7, 0.6))
    page.fill("#compose-text", " ")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#compose [role=alert]")).to_contain_text("Write what you say")
    expect(page.locator("[data-draft] svg.own")).to_have_count(1)
    say(page, "Here")
    assert Annotation.objects.get().shape == "rectangle"


def test_script_in_words_is_only_words(open_as: Callable[..., Page], rita: User, on: Target) -> None:
    for shape, place in (("text", {"x": 0.2, "y": 0.2}), ("pin", {"x": 0.5, "y": 0.5})):
        actions.annotate(
            target=on,
            actor=rita,
            shape=shape,
            geometry=place,
            text="\"><img src=x onerror='document.title=1'><script>x",
        )
    page = open_as(rita, on.url)
    page.get_by_role("link", name="Edit").first.click()
    expect(page.locator(".thread .said").first).to_contain_text("<script>x")
    assert page.locator("#annotations img, .shapes img, #annotations script").count() == 0
    assert page.title() != "1"


def test_without_a_script_everything_is_said_in_the_form(open_as: Callable[..., Page], rita: User, on: Target) -> None:
    page = open_as(rita, on.url, javascript=False)
    page.select_option("select[name=shape]", "pin")
    page.fill("[name=place_x]", "25")
    page.fill("[name=place_y]", "75")
    page.fill("#compose-text", "Here")
    page.get_by_role("button", name="Add").click()
    assert Annotation.objects.get().geometry == {"x": 0.25, "y": 0.75}
    page.get_by_role("link", name="Answer").click()
    page.fill("#compose-text", "Yes")
    page.get_by_role("button", name="Answer").click()
    expect(page.locator(".replies .said")).to_have_text("Yes")
    page.get_by_role("button", name="Resolve").click()
    expect(page.locator(".thread.resolved")).to_have_count(1)


@pytest.mark.parametrize("width", [1440, 390])
def test_everything_at_once(
    open_as: Callable[..., Page], rita: User, bob: User, leo: User, on: Target, width: int
) -> None:
    """For the eye, and that nothing scrolls sideways."""
    made = [
        ("rectangle", {"x": 0.12, "y": 0.1, "w": 0.3, "h": 0.25}, "note", "The eyes are perfect, keep them. @Bob"),
        ("ellipse", {"x": 0.5, "y": 0.1, "w": 0.35, "h": 0.3}, "suggestion", "Happy, wearing a suit"),
        ("arrow", {"x1": 0.15, "y1": 0.9, "x2": 0.4, "y2": 0.6}, "note", "This edge is too hard"),
        ("freehand", {"points": [[0.6, 0.6], [0.7, 0.72], [0.8, 0.62], [0.9, 0.78]]}, "note", "Softer along here"),
        ("text", {"x": 0.5, "y": 0.92}, "note", "Cooler shadows"),
        ("pin", {"x": 0.86, "y": 0.5}, "approval", ""),
    ]
    people = [rita, bob, leo]
    for k, (shape, place, kind, text) in enumerate(made):
        row = actions.annotate(target=on, actor=people[k % 3], shape=shape, geometry=place, kind=kind, text=text)
        if k == 0:
            actions.reply(annotation=row, target=on, actor=bob, text="Agreed, they are locked now.")
        if k == 2:
            actions.resolve(annotation=row, target=on, actor=leo)
    page = open_as(bob, on.url, width=width)
    expect(page.locator(".thread")).to_have_count(6)
    page.locator(".number").nth(1).click()
    shot(page, f"annotated-{width}")
    if width == 390:
        page.locator("#annotations").scroll_into_view_if_needed()
        page.evaluate("document.querySelector('#annotations').scrollIntoView()")
        shot(page, f"annotated-threads-{width}")
        page.get_by_role("link", name="Answer").first.click()
        shot(page, f"annotated-answer-{width}")
    assert page.evaluate("document.documentElement.scrollWidth") == width
