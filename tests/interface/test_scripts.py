"""What the scripts promise, tried in a browser."""

from __future__ import annotations

import json
import re
import time

import pytest
from django.http import HttpRequest, HttpResponse
from playwright.sync_api import Browser, Page, Route, expect

from tests.interface.pages import answers, error_page, row, seen, status

pytestmark = pytest.mark.in_browser

UUID = re.compile(r"^[0-9a-f-]{36}$")


def test_the_style_guide_breaks_no_policy_and_does_not_scroll_sideways(page: Page) -> None:
    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 844})
        page.goto("/styleguide/")
        expect(page.locator("#cards .card")).to_have_count(8)
        assert page.evaluate("document.documentElement.scrollWidth") == width


# ------------------------------------------------------------------------------------------------ idempotency
def test_a_retry_after_a_broken_server_carries_the_same_key_and_a_new_submit_another(page: Page) -> None:
    answers.extend([status(503), status(200, "<p>Saved</p>")])
    page.goto("/page/?body=forms")
    page.fill("#live input", "Mara")
    page.click("#live button")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#place")).to_contain_text("Saved")
    page.click("#live button")
    expect(page.locator("#place")).to_contain_text("Saved")
    page.wait_for_function("() => !document.querySelector('#live').dataset.inFlight")
    first, retry, new = (request["key"] for request in seen[:3])
    assert UUID.match(first)
    assert first == retry
    assert new != first


def test_a_changed_form_is_another_request(page: Page) -> None:
    answers.extend([status(503), status(503)])
    page.goto("/page/?body=forms")
    page.fill("#live input", "Mara")
    page.click("#live button")
    expect(page.locator("[data-toast]")).to_have_count(1)
    page.fill("#live input", "Mara Voss")
    page.click("#live button")
    expect(page.locator("[data-toast]")).to_have_count(2)
    assert [request["fields"]["name"] for request in seen] == ["Mara", "Mara Voss"]
    assert seen[0]["key"] != seen[1]["key"]


def test_a_double_click_sends_once(page: Page) -> None:
    page.goto("/page/?body=forms")
    page.fill("#plain input", "once")
    page.dblclick("#plain button")
    page.wait_for_url("**/answer/")
    assert len(seen) == 1
    assert UUID.match(seen[0]["key"])
    assert seen[0]["fields"] == {"word": "once", "verb": "send"}


def test_a_plain_form_without_a_token_gets_one(page: Page) -> None:
    page.goto("/page/?body=forms")
    page.fill("#plain input", "x")
    page.click("#plain button")
    page.wait_for_url("**/answer/")
    assert len(seen[0]["token"]) == 64


# ------------------------------------------------------------------------------------------------ answers that differ
def test_a_refused_form_is_swapped_and_gets_the_focus(page: Page) -> None:
    answers.append(status(422, '<label>Name <input id="again" aria-invalid="true"></label>'))
    page.goto("/page/?body=forms")
    page.click("#live button")
    expect(page.locator("#again")).to_be_focused()


def test_a_write_that_fails_keeps_the_form_and_says_why(page: Page) -> None:
    answers.append(error_page(403))
    page.goto("/page/?body=forms")
    page.fill("#live input", "Mara")
    page.click("#live button")
    expect(page.locator("[data-toast]")).to_contain_text("You may not do this")
    expect(page.locator("#live input")).to_have_value("Mara")
    expect(page.locator("#place")).to_have_text("Nothing yet")


def test_a_problem_document_is_read_out(page: Page) -> None:
    problem = {"title": "Too few", "detail": "Training needs 5 references; there are 3."}
    answers.append(
        lambda request: HttpResponse(json.dumps(problem), status=409, content_type="application/problem+json")
    )
    page.goto("/page/?body=forms")
    page.click("#live button")
    expect(page.locator("[data-toast]")).to_contain_text(problem["detail"])


def test_a_region_that_cannot_be_read_shows_the_error_in_its_place(page: Page) -> None:
    answers.append(error_page(404))
    page.goto("/page/?body=forms")
    page.click("#region button")
    expect(page.locator("#region [data-error-panel]")).to_contain_text("There is nothing here")
    assert page.locator("#region html, #region .brand").count() == 0


def test_a_lost_connection_offers_a_retry(page: Page) -> None:
    page.goto("/page/?body=forms")
    page.context.set_offline(True)
    page.fill("#live input", "Mara")
    page.click("#live button")
    expect(page.locator("[data-toast]")).to_contain_text("cannot be reached")
    page.context.set_offline(False)
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#answer")).to_have_text("Saved")
    assert seen[0]["fields"] == {"name": "Mara"}


def test_a_toast_from_the_server_offers_undo(page: Page) -> None:
    def trash(request: HttpRequest) -> HttpResponse:
        toast = {"text": "Moved to the trash", "kind": "good", "undo_url": "/answer/?undo"}
        return HttpResponse("<p>Gone</p>", headers={"HX-Trigger": json.dumps({"toast": toast})})

    answers.append(trash)
    page.goto("/page/?body=forms")
    page.click("#live button")
    page.locator("[data-toast]").get_by_role("button", name="Undo").click()
    expect(page.locator("[data-toast]")).to_have_count(0)
    assert [request["method"] for request in seen] == ["POST", "POST"]
    assert seen[1]["key"] != seen[0]["key"]


def test_text_of_a_toast_is_text(page: Page) -> None:
    toast = {"text": "<img src=x> & more"}
    answers.append(lambda r: HttpResponse("", headers={"HX-Trigger": json.dumps({"toasts": [toast]})}))
    page.goto("/page/?body=forms")
    page.click("#live button")
    expect(page.locator("[data-toast]")).to_contain_text("<img src=x> & more")


# ------------------------------------------------------------------------------------------------ refreshing
def part(text: str, live: bool = True, code: int = 200) -> str:
    attributes = 'data-refresh-url="/answer/" data-refresh-seconds="0.1"' if live else "data-done"
    return f'<div id="live" {attributes}><p>{text}</p><label>Note <input class="input" name="note"></label></div>'


def test_a_region_refreshes_itself_until_it_is_done(page: Page) -> None:
    answers.extend([status(200, part("Second")), status(200, part("Last", live=False))])
    page.goto("/page/?body=poll")
    expect(page.locator("#live")).to_contain_text("Last")
    page.wait_for_timeout(500)
    assert len(seen) == 2


def test_286_stops_it(page: Page) -> None:
    answers.append(status(286, part("Over")))
    page.goto("/page/?body=poll")
    expect(page.locator("#live")).to_contain_text("Over")
    page.wait_for_timeout(500)
    assert len(seen) == 1


def test_what_is_being_edited_is_not_replaced(page: Page) -> None:
    answers.extend([status(200, part("Second", live=False))])
    page.route("**/answer/", lambda route: route.abort())  # what a slow browser asks before the field has the focus
    page.goto("/page/?body=poll")
    page.locator("#live input").focus()
    page.unroute("**/answer/")
    page.keyboard.type("half a sen")
    page.wait_for_timeout(700)
    expect(page.locator("#live input")).to_have_value("half a sen")
    assert seen == []
    page.locator("#content").focus()
    expect(page.locator("#live")).to_contain_text("Second")


def test_an_answer_that_comes_while_one_edits_waits_too(page: Page) -> None:
    answers.extend([status(286, part("Late", live=False)), status(200, part("Later", live=False))])
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/answer/", hold, times=1)
    page.goto("/page/?body=poll")
    until = time.monotonic() + 30
    while not held and time.monotonic() < until:
        page.wait_for_timeout(20)
    page.locator("#live input").focus()
    page.keyboard.type("half a sen")
    with page.expect_response("**/answer/"):
        held[0].continue_()
    page.wait_for_timeout(300)
    expect(page.locator("#live input")).to_have_value("half a sen")
    page.locator("#content").focus()
    expect(page.locator("#live")).to_contain_text("Later")


def test_a_broken_refresh_is_quiet_and_goes_on(page: Page) -> None:
    answers.extend([error_page(500), status(200, part("Back", live=False))])
    page.goto("/page/?body=poll")
    expect(page.locator("#live")).to_contain_text("Back")
    expect(page.locator("[data-toast]")).to_have_count(0)


# ------------------------------------------------------------------------------------------------ drafts
def test_what_was_typed_is_back_after_a_closed_tab_and_gone_after_saving(page: Page) -> None:
    page.goto("/page/?body=draft")
    page.fill("#draft input[name=name]", "Mara")
    page.fill("#draft textarea", "Keeper of the light")
    page.check("#draft input[name=lead]")
    page.fill("#draft input[name=secret]", "hush")
    page.goto("about:blank")
    page.goto("/page/?body=draft")
    expect(page.locator("#draft input[name=name]")).to_have_value("Mara")
    expect(page.locator("#draft textarea")).to_have_value("Keeper of the light")
    expect(page.locator("#draft input[name=lead]")).to_be_checked()
    expect(page.locator("#draft input[name=secret]")).to_have_value("")
    assert "hush" not in page.evaluate("JSON.stringify(localStorage)")
    page.click("#draft [type=submit]")
    expect(page.locator("#answer")).to_have_text("Saved")
    page.goto("/page/?body=draft&words=Mara")
    expect(page.locator("#draft textarea")).to_have_value("")
    expect(page.locator(".draft-note")).to_have_count(0)


def test_a_draft_can_be_discarded(page: Page) -> None:
    page.goto("/page/?body=draft&words=Noor")
    page.fill("#draft input[name=name]", "Mara")
    page.goto("about:blank")
    page.goto("/page/?body=draft&words=Noor")
    page.get_by_role("button", name="Discard it").click()
    expect(page.locator("#draft input[name=name]")).to_have_value("Noor")
    page.reload()
    expect(page.locator(".draft-note")).to_have_count(0)


def test_a_refused_save_keeps_the_draft(page: Page) -> None:
    answers.append(status(422, "<p>No</p>"))
    page.goto("/page/?body=draft")
    page.fill("#draft input[name=name]", "Mara")
    page.click("#draft [type=submit]")
    expect(page.locator("#place")).to_have_text("No")
    page.goto("/page/?body=draft")
    expect(page.locator("#draft input[name=name]")).to_have_value("Mara")


# ------------------------------------------------------------------------------------------------ selecting, keys
def test_shift_selects_a_range_and_escape_lets_go(page: Page) -> None:
    page.goto("/page/?body=grid")
    picks = page.locator("[data-pick]")
    bar = page.locator(".selection")
    expect(bar).to_be_hidden()
    picks.nth(1).click()
    picks.nth(4).click(modifiers=["Shift"])
    expect(bar).to_contain_text("4 selected")
    page.keyboard.press("Control+a")
    expect(bar).to_contain_text("8 selected")
    page.keyboard.press("Escape")
    expect(bar).to_be_hidden()
    assert picks.evaluate_all("all => all.filter((pick) => pick.checked).length") == 0


def test_keys_walk_select_and_vote_on_the_focused_item(page: Page) -> None:
    page.goto("/page/?body=grid")
    page.keyboard.press("j")
    expect(page.locator("#card-1 a")).to_be_focused()
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.closest('[data-item]').id") != "card-1"
    page.keyboard.press("ArrowUp")
    expect(page.locator("#card-1 a")).to_be_focused()
    page.keyboard.press("x")
    expect(page.locator("#card-1 [data-pick]")).to_be_checked()
    page.keyboard.press("4")
    expect(page.locator("#card-1 .stars input").nth(3)).to_be_checked()
    page.keyboard.press("j")
    expect(page.locator("#card-2 a")).to_be_focused()
    page.keyboard.press("k")
    expect(page.locator("#card-1 a")).to_be_focused()


def test_keys_are_listed_and_can_be_switched_off(page: Page) -> None:
    page.goto("/page/?body=grid")
    page.evaluate(
        """() => {
          const pressed = document.querySelector("#pressed");
          document.querySelector("#generate").onclick = () => (pressed.value += "g");
        }"""
    )
    page.keyboard.press("g")
    expect(page.locator("#pressed")).to_have_text("g")
    page.keyboard.press("?")
    expect(page.locator("#keys-sheet")).to_contain_text("Generate")
    page.uncheck("[data-keys-switch]")
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("j")
    expect(page.locator("#pressed")).to_have_text("g")
    assert page.evaluate("document.activeElement.closest('[data-item]')") is None


def test_typing_is_not_taken_for_keys(page: Page) -> None:
    page.goto("/page/?body=grid")
    page.keyboard.press("/")
    expect(page.locator("[data-search] input")).to_be_focused()
    page.keyboard.type("jx?")
    expect(page.locator("[data-search] input")).to_have_value("jx?")
    expect(page.locator("#keys-sheet")).to_be_hidden()


def test_everything_is_found_by_name(page: Page) -> None:
    page.goto("/page/?body=grid")
    page.keyboard.press("Control+k")
    search = page.locator("#palette input")
    expect(search).to_be_focused()
    page.keyboard.type("jx?")
    expect(search).to_have_value("jx?")
    expect(page.locator("[data-palette-none]")).to_be_visible()
    expect(page.locator("#keys-sheet")).to_be_hidden()
    search.fill("keys")
    option = page.locator("#palette [role=option]").first
    expect(option).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")
    expect(page.locator("#palette")).to_be_hidden()
    expect(page.locator("#keys-sheet")).to_be_visible()


# ------------------------------------------------------------------------------------------------ uploading
def files(*names: str, size: int = 10) -> list[dict[str, object]]:
    return [{"name": name, "mimeType": "text/plain", "buffer": name.encode().ljust(size)} for name in names]


def test_each_file_is_sent_alone_and_its_row_becomes_the_servers(page: Page) -> None:
    answers.extend([row] * 5)
    page.goto("/page/?body=upload")
    page.set_input_files("input[type=file]", files("a.png", "b.png", "c.png", "d.png", "e.png"))
    expect(page.locator(".upload.accepted")).to_have_count(5)
    expect(page.locator("[data-upload-words]")).to_have_text("5 of 5 uploaded")
    assert sorted(name for request in seen for name, _ in request["files"]) == [
        "a.png",
        "b.png",
        "c.png",
        "d.png",
        "e.png",
    ]
    assert len({request["key"] for request in seen}) == 5
    assert all(len(request["token"]) == 64 for request in seen)
    # The rows stand in the order in which the files were chosen, whichever came first.
    assert page.locator(".upload bdi").all_text_contents() == ["a.png", "b.png", "c.png", "d.png", "e.png"]


def test_one_that_fails_leaves_the_others_alone_and_is_retried_with_its_key(page: Page) -> None:
    answers.extend([error_page(500), row, row])
    page.goto("/page/?body=upload")
    page.set_input_files("input[type=file]", files("only.png"))
    expect(page.locator(".upload")).to_contain_text("Something broke on our side")
    page.set_input_files("input[type=file]", files("other.png"))
    expect(page.locator(".upload.accepted")).to_have_count(1)
    page.get_by_role("button", name="Retry", exact=True).click()
    expect(page.locator(".upload.accepted")).to_have_count(2)
    by_name = {}
    for request in seen:
        by_name.setdefault(request["files"][0][0], []).append(request["key"])
    assert len(by_name["only.png"]) == 2
    assert len(set(by_name["only.png"])) == 1
    assert by_name["other.png"][0] not in by_name["only.png"]


def test_too_large_and_empty_files_are_refused_before_they_are_sent(page: Page) -> None:
    page.goto("/page/?body=upload")
    page.set_input_files(
        "input[type=file]",
        [*files("big.png", size=1_200_000), {"name": "none.png", "mimeType": "image/png", "buffer": b""}],
    )
    expect(page.locator(".upload").nth(0)).to_contain_text("1.2 MB; at most 1.0 MB")
    expect(page.locator(".upload").nth(1)).to_contain_text("This file is empty")
    assert seen == []
    expect(page.get_by_role("button", name="Retry", exact=True)).to_have_count(0)


def test_a_hostile_name_is_text(page: Page) -> None:
    answers.append(row)
    page.goto("/page/?body=upload")
    name = "<img src=x onerror=alert(1)>\u202egnp.exe.png"
    page.set_input_files("input[type=file]", files(name))
    expect(page.locator(".upload.accepted bdi")).to_have_count(1)
    assert page.locator(".upload bdi img").count() == 0


def test_pictures_can_be_dropped_anywhere_on_the_page(page: Page) -> None:
    answers.append(row)
    page.goto("/page/?body=upload")
    drop = """() => {
      const transfer = new DataTransfer();
      transfer.items.add(new File(["x"], "dropped.png", { type: "image/png" }));
      const options = { bubbles: true, cancelable: true, dataTransfer: transfer };
      const fire = (kind) => document.querySelector(".top").dispatchEvent(new DragEvent(kind, options));
      fire("dragenter");
      const veiled = document.querySelector(".drop-veil") !== null;
      fire("dragover");
      fire("drop");
      return [veiled, document.querySelector(".drop-veil") === null];
    }"""
    assert page.evaluate(drop) == [True, True]
    expect(page.locator(".upload.accepted")).to_contain_text("dropped.png")


# ------------------------------------------------------------------------------------------------ comparing
def view(page: Page) -> dict[str, str]:
    return page.evaluate(
        """() => {
          const style = document.querySelector("[data-compare]").style;
          const names = ["--x", "--y", "--z", "--wipe"];
          return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(name)]));
        }"""
    )


def test_compare_is_fully_usable_with_keys(page: Page) -> None:
    page.goto("/page/?body=compare")
    compare = page.locator("[data-compare]")
    page.locator("[data-stage]").focus()
    for key, mode in (("w", "wipe"), ("d", "difference"), ("b", "blend"), ("s", "side"), ("f", "flip")):
        page.keyboard.press(key)
        expect(compare).to_have_attribute("data-mode", mode)
    expect(page.locator("[data-pane=b]")).to_be_hidden()
    page.keyboard.press("f")
    expect(page.locator("[data-pane=b]")).to_be_visible()
    page.keyboard.press("+")
    page.keyboard.press("ArrowLeft")
    assert view(page)["--z"] == "1.25"
    assert view(page)["--x"] == "40px"
    page.keyboard.press("0")
    assert view(page)["--z"] == "1"
    assert view(page)["--x"] == "0px"
    page.keyboard.press("w")
    page.keyboard.press("]")
    assert view(page)["--wipe"] == "52%"


def test_the_point_under_the_pointer_stays_when_zooming(page: Page) -> None:
    page.goto("/page/?body=compare")
    box = page.locator("[data-pane=a]").bounding_box()
    assert box
    x, y = box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.75
    page.locator("[data-stage]").focus()
    page.mouse.move(x, y)
    page.mouse.wheel(0, -600)
    zoom = float(view(page)["--z"])
    assert zoom > 1.5
    # Seen from the centre, a fixed point p obeys shift = p - p * zoom.
    centre = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    for axis, at, middle in (("--x", x, centre[0]), ("--y", y, centre[1])):
        assert float(view(page)[axis].removesuffix("px")) == pytest.approx((at - middle) * (1 - zoom), abs=0.5)


def test_dragging_wipes(page: Page) -> None:
    page.goto("/page/?body=compare")
    page.locator("[data-stage]").focus()
    page.keyboard.press("w")
    box = page.locator("[data-stage]").bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + 50)
    page.mouse.up()
    assert float(view(page)["--wipe"].removesuffix("%")) == pytest.approx(20, abs=1)


# ------------------------------------------------------------------------------------------------ small things
def test_days_are_those_of_the_reader(chromium: Browser, interface_server: str) -> None:
    """Twelve hours ahead, one day of UTC is two, and what is loaded later joins the day it belongs to."""
    context = chromium.new_context(base_url=interface_server, timezone_id="Pacific/Majuro")
    page = context.new_page()
    page.clock.set_fixed_time("2026-01-31T13:00:00Z")
    page.goto("/page/?body=days")
    place = page.locator("[data-days]")
    expect(place.locator("h2")).to_have_text(["Today", "Yesterday"])
    expect(place.locator(".feed").nth(0).locator("li")).to_have_text(["13 h", "12 h"], use_inner_text=True)
    expect(place.locator(".feed").nth(1).locator("li")).to_have_text(["11 h"], use_inner_text=True)
    answers.append(
        lambda request: HttpResponse(
            "<h2>Friday</h2><ul class='feed'><li>1 h <time datetime='2026-01-31T01:00:00Z'></time></li></ul>"
            "<h2>Thursday</h2><ul class='feed'><li>old <time datetime='2026-01-29T01:00:00Z'></time></li></ul>"
        )
    )
    page.click("text=Show earlier")
    expect(place.locator("h2")).to_have_text(["Today", "Yesterday", "Thursday, January 29, 2026"])
    expect(place.locator(".feed").nth(1).locator("li")).to_have_text(["11 h", "1 h"], use_inner_text=True)
    context.close()


def test_times_are_relative_and_exact_on_hover(page: Page) -> None:
    page.goto("/page/?body=time")
    moment = page.locator("#content time")
    expect(moment).to_have_text("4 minutes ago")
    assert str(page.evaluate("new Date().getFullYear()")) in (moment.get_attribute("title") or "")


def test_a_menu_closes_with_escape_and_gives_the_focus_back(page: Page) -> None:
    page.goto("/page/?body=time")
    summary = page.locator("#content summary")
    summary.focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator("#content .sheet .item").first).to_be_focused()
    page.keyboard.press("Escape")
    expect(summary).to_be_focused()
    expect(page.locator("#content .sheet")).to_be_hidden()


def test_a_dialog_opens_and_closes(page: Page) -> None:
    page.goto("/page/?body=time")
    page.click("#opener")
    expect(page.locator("#trial")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#trial")).to_be_hidden()
    expect(page.locator("#opener")).to_be_focused()


def test_the_surround_is_remembered_before_the_first_paint(page: Page) -> None:
    page.goto("/page/?body=time")
    page.click(".you summary")
    page.check("[data-surround-choice][value=black]", force=True)
    page.goto("/page/?body=time", wait_until="commit")
    expect(page.locator("html")).to_have_attribute("data-surround", "black")
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(0, 0, 0)"


def test_a_sample_sign_in_fills_the_form(page: Page) -> None:
    page.goto("/accounts/login/")
    fields = page.locator("#sign-in input:not([type=hidden])")
    page.evaluate(
        """() => document.querySelector("main").insertAdjacentHTML("beforeend",
        `<button id="sample" type="button" data-fills="#sign-in"
                 data-fill-login="bob@example.com" data-fill-password="pass">Bob</button>`)"""
    )
    page.click("#sample")
    expect(fields.nth(0)).to_have_value("bob@example.com")
    expect(fields.nth(1)).to_have_value("pass")
    expect(page.locator("#sign-in [type=submit]")).to_be_focused()
