"""Annotations on the page of an image, by forms alone; attacks on the addresses behind them; what is pushed live."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from characters import actions as characters
from characters.models import Character, Reference, Variation, VariationBatch
from collaboration import actions as people
from collaboration.annotations import actions, fragments
from collaboration.annotations.models import Annotation
from collaboration.live.fragments import render
from collaboration.models import Event, Project, User
from collaboration.subjects import Target, target
from collaboration.verbs import Role
from tests.characters.conftest import make_variation

In = Callable[[User], Client]
PIN = {"shape": "pin", "geometry": '{"x": 0.25, "y": 0.5}', "kind": "note", "text": "Warmer"}


@pytest.fixture
def create(on: Target) -> str:
    return reverse("annotations:create", args=[on.project.slug, on.kind, on.id])


@pytest.fixture
def note(on: Target, rita: User) -> Annotation:
    return actions.annotate(target=on, actor=rita, shape="pin", geometry={"x": 0.5, "y": 0.5}, text="Warmer light")


def act(note: Annotation, what: str) -> str:
    return reverse("annotations:act", args=[note.project.slug, note.pk, what])


def test_a_form_leads_back_to_what_was_said(client_of: In, on: Target, create: str, rita: User) -> None:
    answer = client_of(rita).post(create, PIN)
    row = Annotation.objects.get()
    assert answer["Location"] == f"{on.url}#annotation-{row.pk}"
    page = client_of(rita).get(on.url).content.decode()
    assert "Warmer" in page
    assert f'id="shape-{row.pk}"' in page


def test_htmx_gets_shapes_threads_and_an_empty_form(sign_in: Callable[..., Client], create: str, rita: User) -> None:
    answer = sign_in(rita, htmx=True).post(create, PIN)
    text = answer.content.decode()
    assert answer.status_code == 200
    assert text.count('hx-swap-oob="outerHTML"') == 2
    assert 'id="compose"' in text
    refused = sign_in(rita, htmx=True).post(create, PIN | {"text": ""})
    assert refused.status_code == 422
    assert "Write what you say" in refused.content.decode()
    assert "&quot;x&quot;: 0.25" in refused.content.decode()


@pytest.mark.parametrize(
    "change",
    [
        {"geometry": '{"x": 1.25, "y": 0.5}'},
        {"geometry": "not json"},
        {"geometry": "[]"},
        {"geometry": '{"x": NaN, "y": 0.5}'},
        {"shape": "star"},
        {"kind": "order"},
        {"version": "00000000-0000-0000-0000-000000000000"},
        {"version": "x"},
        {"id": "x"},
    ],
)
def test_what_does_not_fit_is_refused_with_a_sentence(
    sign_in: Callable[..., Client], create: str, rita: User, change: dict[str, str]
) -> None:
    answer = sign_in(rita, htmx=True).post(create, PIN | change)
    assert answer.status_code == 422
    assert "alert" in answer.content.decode()
    assert not Annotation.objects.exists()


def test_who_may_not(client_of: In, create: str, note: Annotation, vera: User, charlie: User, bob: User) -> None:
    assert client_of(vera).post(create, PIN).status_code == 403
    assert client_of(charlie).post(create, PIN).status_code == 404
    assert client_of(bob).get(create).status_code == 405
    for what in ("reply", "resolve", "reopen", "change", "remove", "restore", "order"):
        assert client_of(charlie).post(act(note, what), {"text": "x"}).status_code == 404, what
        assert client_of(vera).post(act(note, what), {"text": "x"}).status_code == 403, what
        assert client_of(bob).get(act(note, what)).status_code == 405, what
    assert client_of(bob).post(act(note, "change"), {"text": "Hers"}).status_code == 403
    assert client_of(bob).post(act(note, "remove")).status_code == 403
    assert client_of(bob).post(act(note, "explode")).status_code == 404
    note.refresh_from_db()
    assert (note.text, note.removed_at) == ("Warmer light", None)


def test_an_image_of_another_project_under_the_address_of_ones_own(
    client_of: In, on: Target, note: Annotation, bob: User, alice: User
) -> None:
    """Somebody in both projects cannot mix them up, and somebody in one reaches nothing of the other."""
    other = people.create_project(studio=on.project.studio, name="Other", actor=alice)
    people.set_role(project=other, user=bob, role=Role.LEAD, actor=alice)
    wrong = reverse("annotations:create", args=[other.slug, on.kind, on.id])
    assert client_of(bob).post(wrong, PIN).status_code == 404
    assert client_of(bob).post(reverse("annotations:act", args=[other.slug, note.pk, "resolve"])).status_code == 404
    for kind in ("character", "project", "nothing"):
        address = reverse("annotations:create", args=[on.project.slug, kind, on.id])
        assert client_of(bob).post(address, PIN).status_code == 404


def test_script_is_shown_as_words(client_of: In, on: Target, rita: User, make_member: Any) -> None:
    eve = make_member("<script>alert(1)</script>", Role.REVIEWER, on.project)
    evil = '"><img src=x onerror=alert(1)><script>alert(2)</script>'
    actions.annotate(target=on, actor=eve, shape="text", geometry={"x": 0.1, "y": 0.1}, text=evil)
    page = client_of(rita).get(on.url).content.decode()
    assert "<img src=x" not in page
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(2)" in page


def test_a_suggestion_is_ordered_and_carried_over(
    client_of: In, on: Target, image: Variation, rita: User, bob: User
) -> None:
    from characters import suggestions

    row = actions.annotate(target=on, actor=rita, shape="picture", geometry={}, text="happy", kind="suggestion")
    answer = client_of(bob).post(act(row, "order"), follow=True)
    assert "Ordered." in answer.content.decode()
    assert "See what was ordered" in answer.content.decode()
    again = client_of(bob).post(act(row, "order"), follow=True)
    assert "has been ordered already" in again.content.decode()
    batch = VariationBatch.objects.get(revises=image)
    following = make_variation(batch, 0, bob)
    suggestions.carry_over(following)
    after = target("variation", following.pk)
    assert after is not None
    page = client_of(rita).get(after.url).content.decode()
    assert "Carried over from" in page
    assert f"{on.url}#annotation-{row.pk}" in page


def test_what_is_pushed_is_what_a_fresh_page_shows(on: Target, note: Annotation, rita: User, bob: User) -> None:
    """For each deed and each audience; and nothing of the reader in it."""
    ordered = {"target": on, "actor": rita}
    actions.reply(annotation=note, text="@Rita hm", **ordered)
    actions.resolve(annotation=note, **ordered)
    actions.reopen(annotation=note, **ordered)
    actions.change_annotation(annotation=note, text="Cooler", **ordered)
    actions.remove(annotation=note, **ordered)
    actions.restore(annotation=note, **ordered)
    for role in (Role.VIEWER, Role.REVIEWER, Role.ARTIST, Role.LEAD):
        audience = frozenset(map(str, role.verbs))
        for event in Event.objects.filter(kind__startswith="annotation.").select_related("stream"):
            pushed = render([event], audience, {f"{on.kind}:{on.id}"})[f"{on.kind}:{on.id}"]
            assert [swap["target"] for _, swap in pushed] == [f"shapes-{on.kind}-{on.id}", f"threads-{on.kind}-{on.id}"]
            for which, (_, swap) in zip(("shapes", "threads"), pushed, strict=True):
                assert swap["html"] == fragments.rendered(which, on.kind, on.id, role.verbs)
                assert "csrfmiddlewaretoken" not in swap["html"]
                assert "nonce" not in swap["html"]


def test_a_viewer_is_offered_nothing_to_do(client_of: In, on: Target, note: Annotation, vera: User, leo: User) -> None:
    page = client_of(vera).get(on.url).content.decode()
    assert "Warmer light" in page
    assert 'id="compose"' not in page
    assert act(note, "resolve") not in page
    assert 'value="approval"' in client_of(leo).get(on.url).content.decode()


def test_a_page_with_many_costs_no_more_queries(
    client_of: In, on: Target, rita: User, note: Annotation, count_queries: Callable[[Callable[[], Any]], int]
) -> None:
    browser = client_of(rita)
    browser.get(on.url)
    few = count_queries(lambda: browser.get(on.url))
    for k in range(8):
        row = actions.annotate(target=on, actor=rita, shape="picture", geometry={}, text=f"@Rita {k}")
        actions.reply(annotation=row, target=on, actor=rita, text="Yes")
    assert count_queries(lambda: browser.get(on.url)) <= few + 1  # the names of those who are mentioned


def test_a_reference_has_a_page_of_its_own(client_of: In, reference: Reference, vera: User, charlie: User) -> None:
    page = client_of(vera).get(reference.get_absolute_url())
    assert page.status_code == 200
    assert "look 0.png" in page.content.decode()
    assert client_of(charlie).get(reference.get_absolute_url()).status_code == 404
    assert client_of(vera).post(reference.get_absolute_url()).status_code == 405


# ------------------------------------------------------------------------------------------------ palette and keys
def test_characters_are_found_by_name(client_of: In, project: Project, mara: Character, vera: User) -> None:
    url = reverse("collaboration:find", args=[project.slug])
    found = json.loads(client_of(vera).get(url, {"q": "mar"}).content)["found"]
    assert [(f["title"], f["kind"], f["url"]) for f in found] == [("Mara", "Character", mara.get_absolute_url())]
    for nothing in ("", "\0", "x" * 500, "%"):
        assert json.loads(client_of(vera).get(url, {"q": nothing}).content)["found"] == []
    characters.trash_character(character=mara, actor=vera)
    assert json.loads(client_of(vera).get(url, {"q": "mar"}).content)["found"] == []


def test_strangers_find_nothing(client_of: In, project: Project, charlie: User) -> None:
    assert client_of(charlie).get(reverse("collaboration:find", args=[project.slug]), {"q": "m"}).status_code == 404


def test_single_keys_are_switched_off_in_the_profile(client_of: In, vera: User) -> None:
    browser = client_of(vera)
    assert 'data-keys="off"' not in browser.get("/account/profile/").content.decode()
    browser.post("/account/profile/", {"name": "Vera"})
    assert 'data-keys="off"' in browser.get("/account/profile/").content.decode()
    browser.post("/account/profile/", {"name": "Vera", "uses_keys": "on"})
    assert 'data-keys="off"' not in browser.get("/account/profile/").content.decode()
