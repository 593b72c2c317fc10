"""axe-core finds nothing serious on the main pages (WCAG 2.2 A and AA)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page

from characters.models import Character, Variation, VariationBatch
from collaboration.annotations import actions
from collaboration.models import User
from collaboration.subjects import Target, target
from tests.characters.conftest import add, batch_of, mara, pack, paper_packs, see, stored

__all__ = ["add", "batch_of", "mara", "pack", "paper_packs", "see", "stored"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.in_browser]
AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
RUN = """() => axe.run(document, {
  resultTypes: ["violations"],
  runOnly: {type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]},
})"""


@pytest.fixture
def image(mara: Character, batch_of: Callable[..., VariationBatch]) -> Variation:
    return batch_of(mara, count=2, axes={"expression": ("sad",)}).variations.order_by("index")[0]


def serious(page: Page) -> list[tuple[str, str]]:
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate(RUN)["violations"]
    return [
        (violation["id"], violation["nodes"][0]["html"][:200])
        for violation in found
        if violation["impact"] in ("serious", "critical")
    ]


def test_the_main_pages_have_no_serious_violation(
    open_as: Callable[..., Page], alice: User, rita: User, mara: Character, image: Variation, add: Callable[..., list]
) -> None:
    reference = add(mara, 3)[0]
    on: Target | None = target("variation", image.pk)
    assert on is not None
    for shape, place in (("text", {"x": 0.2, "y": 0.2}), ("rectangle", {"x": 0.2, "y": 0.2, "w": 0.2, "h": 0.2})):
        made = actions.annotate(target=on, actor=rita, shape=shape, geometry=place, text="Warmer", kind="suggestion")
    actions.reply(annotation=made, target=on, actor=alice, text="Yes, @Rita")
    other = image.batch.variations.exclude(pk=image.pk).get()
    film, one = f"/projects/{mara.project.slug}/", mara.get_absolute_url()
    paths = [
        "/projects/",
        f"{film}characters/",
        one,
        f"{one}references/",
        f"{one}sheets/",
        f"{one}variations/",
        f"{one}history/",
        on.url,
        reference.get_absolute_url(),
        f"{film}characters/compare/?selected={image.pk}&selected={other.pk}",
        f"{film}reviews/",
        f"{film}training/",
        f"{film}activity/",
        f"{film}people/",
        f"{film}settings/",
        "/account/profile/",
    ]
    page = open_as(alice, paths[0], bypass_csp=True)  # axe measures with styles of its own
    page.emulate_media(reduced_motion="reduce")  # and what is fading in has no contrast yet
    found = {}
    for path in paths:
        answer = page.goto(path)
        assert answer is not None
        assert answer.status == 200, path
        if bad := serious(page):
            found[path] = bad
    page.goto(on.url)
    for key, dialog in (("Control+k", "#palette"), ("?", "#keys-sheet")):
        page.keyboard.press(key)
        page.locator(dialog).wait_for()
        if bad := serious(page):
            found[dialog] = bad
        page.keyboard.press("Escape")
        page.locator(dialog).wait_for(state="hidden")
    assert found == {}
