"""Annotations through the API: who may, what is refused, and Web Annotations out and in."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from characters.models import Reference, Variation, VariationBatch
from collaboration.annotations.models import Annotation
from collaboration.models import Event, Project, User
from collaboration.verbs import Verb
from tests.annotations.test_actions import BAD, GOOD
from tests.api.conftest import Api, ok, problem

NOTE = {"shape": "rectangle", "geometry": {"x": 0.1, "y": 0.2, "w": 0.3, "h": 0.4}, "text": "Warmer light"}
Talk = Callable[..., Api]


@pytest.fixture
def path(image: Variation) -> str:
    return f"/images/variation/{image.pk}/annotations"


@pytest.fixture
def note(api: Talk, rita: User, path: str) -> dict[str, Any]:
    return ok(api(rita).post(path, NOTE), 201)


def test_a_thread_from_the_first_word_to_the_last(api: Talk, path: str, rita: User, bob: User, vera: User) -> None:
    note = ok(api(rita).post(path, NOTE | {"text": "Warmer light, @Bob"}), 201)
    assert note["mentioned"] == [bob.pk]
    one = f"/annotations/{note['id']}"
    said = ok(api(bob).post(f"{one}/replies", {"text": "@Rita like this?"}), 201)
    assert [r["text"] for r in said["replies"]] == ["@Rita like this?"]
    assert ok(api(rita).post(f"{one}/resolve"))["resolved_by"]["name"] == "Rita"
    assert ok(api(vera).get(path, open="true"))["items"] == []
    assert ok(api(rita).post(f"{one}/reopen"))["resolved_at"] is None
    shown = ok(api(vera).get(path))
    assert [item["text"] for item in shown["items"]] == ["Warmer light, @Bob"]
    assert shown["version"] == note["version"]
    moved = ok(api(rita).patch(one, {"geometry": NOTE["geometry"] | {"x": 0.5}}))
    assert (moved["geometry"]["x"], moved["text"]) == (0.5, "Warmer light, @Bob")
    assert ok(api(rita).delete(one))["removed_at"]
    assert ok(api(vera).get(path))["items"] == []
    assert ok(api(rita).post(f"{one}/restore"))["removed_at"] is None
    reply = said["replies"][0]["id"]
    assert ok(api(bob).delete(f"/annotations/replies/{reply}"))["replies"] == []


# ------------------------------------------------------------------------------------------------------- who may
def test_roles(api: Talk, path: str, note: dict[str, Any], rita: User, bob: User, vera: User, leo: User) -> None:
    one = f"/annotations/{note['id']}"
    problem(api(vera).post(path, NOTE), 403)
    problem(api(vera).post(f"{one}/replies", {"text": "x"}), 403)
    problem(api(vera).post(f"{one}/resolve"), 403)
    problem(api(rita).post(path, {"kind": "approval"}), 403)
    problem(api(rita).patch(one, {"kind": "approval"}), 403)
    assert ok(api(leo).post(path, {"kind": "approval"}), 201)["text"] == ""
    problem(api(bob).patch(one, {"text": "I said this"}), 403)
    problem(api(leo).patch(one, {"text": "She said this"}), 403)
    problem(api(bob).delete(one), 403)
    problem(api(rita).post(f"{one}/order"), 403)
    problem(api(rita, Verb.SEE).post(path, NOTE), 403)
    assert ok(api(leo).delete(one))["removed_at"]


def test_a_stranger_learns_nothing(
    api: Talk, path: str, note: dict[str, Any], charlie: User, bob: User, image: Variation
) -> None:
    one = f"/annotations/{note['id']}"
    reply = ok(api(bob).post(f"{one}/replies", {"text": "x"}), 201)["replies"][0]["id"]
    stranger = api(charlie)
    for answer in (
        stranger.get(path),
        stranger.post(path, NOTE),
        stranger.get(f"{path}/web"),
        stranger.post(f"{path}/web", {"type": "Annotation"}),
        stranger.get(one),
        stranger.get(f"{one}/web"),
        stranger.patch(one, {"text": "x"}),
        stranger.delete(one),
        stranger.delete(f"/annotations/replies/{reply}"),
        *(
            stranger.post(f"{one}/{what}", {"text": "x"} if what == "replies" else None)
            for what in ("resolve", "reopen", "restore", "order", "replies")
        ),
    ):
        problem(answer, 404)
    problem(api().get(path), 401)
    assert Event.objects.filter(actor=charlie, kind__startswith="annotation").count() == 0


def test_an_image_of_another_project_is_not_annotated(
    api: Talk, elsewhere: Project, image: Variation, path: str
) -> None:
    """By a member of another project: neither the image nor an id of its annotations opens anything."""
    zoe = elsewhere.memberships.get().user
    problem(api(zoe).post(path, NOTE), 404)
    problem(api(zoe).post(f"/images/variation/{uuid.uuid4()}/annotations", NOTE), 404)
    problem(api(zoe).post(f"/images/character/{image.character_id}/annotations", NOTE), 422)


def test_an_id_of_another_project_is_not_taken_over(
    api: Talk, note: dict[str, Any], elsewhere: Project, mara: Any, batch_of: Callable[..., VariationBatch], bob: User
) -> None:
    other = batch_of(mara, count=1).variations.get()
    problem(api(bob).post(f"/images/variation/{other.pk}/annotations", NOTE | {"id": note["id"]}), 422)
    assert Annotation.objects.get().text == "Warmer light"


def test_what_is_in_the_trash_is_only_looked_at(api: Talk, path: str, rita: User, image: Variation, bob: User) -> None:
    from characters import actions

    actions.trash_variation(variation=image, actor=bob)
    assert "trash" in problem(api(rita).post(path, NOTE), 403)["detail"]
    assert ok(api(rita).get(path))["items"] == []


@pytest.mark.parametrize(("shape", "geometry"), BAD)
def test_what_is_outside_the_image_is_refused(api: Talk, path: str, rita: User, shape: str, geometry: Any) -> None:
    answer = api(rita).post(path, {"shape": shape, "geometry": geometry, "text": "x"})
    problem(answer, 400 if "10000" in str(geometry) else 422)  # a number of 400 digits is not even read
    assert not Annotation.objects.exists()


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7|add:1 }}"])
def test_script_comes_back_as_the_text_it_is(api: Talk, path: str, rita: User, text: str) -> None:
    assert ok(api(rita).post(path, {"text": text}), 201)["text"] == text
    document = ok(api(rita).get(f"{path}/web"))
    assert document["items"][0]["body"][0]["value"] == text


def test_a_burst_of_queries_is_constant(
    api: Talk, path: str, rita: User, count_queries: Callable[[Callable[[], Any]], int]
) -> None:
    reader = api(rita)
    ok(reader.post(path, NOTE), 201)
    first = count_queries(lambda: ok(reader.get(path)))
    for _ in range(5):
        made = ok(reader.post(path, NOTE), 201)
        ok(reader.post(f"/annotations/{made['id']}/replies", {"text": "x"}), 201)
    assert count_queries(lambda: ok(reader.get(path))) == first


# ------------------------------------------------------------------------------------------------- suggestions
def test_a_suggestion_is_ordered_once(api: Talk, path: str, rita: User, bob: User, image: Variation) -> None:
    made = ok(api(rita).post(path, {"kind": "suggestion", "text": "happy"}), 201)
    answer = ok(api(bob).post(f"/annotations/{made['id']}/order"), 201)
    batch = VariationBatch.objects.get(revises=image)
    assert str(batch.pk) in answer["annotation"]["ordered"]
    assert "already" in problem(api(bob).post(f"/annotations/{made['id']}/order"), 409)["detail"]


# --------------------------------------------------------------------------------------------- Web Annotations
@pytest.mark.parametrize(("shape", "geometry"), GOOD)
@pytest.mark.parametrize("kind", ["note", "suggestion"])
def test_out_and_in_again_is_the_same(api: Talk, path: str, rita: User, shape: str, geometry: Any, kind: str) -> None:
    talk = api(rita)
    ok(talk.post(path, {"shape": shape, "geometry": geometry, "text": "Warmer\nlight <b>", "kind": kind}), 201)
    answer = talk.get(f"{path}/web")
    assert answer["Content-Type"] == 'application/ld+json; profile="http://www.w3.org/ns/anno.jsonld"'
    page = ok(answer)
    assert (page["@context"], page["type"]) == ("http://www.w3.org/ns/anno.jsonld", "AnnotationPage")
    item = page["items"][0]
    assert item["motivation"] == {"note": "commenting", "suggestion": "editing"}[kind]
    assert item["target"]["source"].startswith("http://testserver/files/")
    ok(talk.post(f"{path}/web", page), 201)
    first, second = ok(talk.get(path))["items"]
    for field in ("shape", "text", "kind"):
        assert first[field] == second[field]
    assert _close(first["geometry"], second["geometry"])


def _close(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_close(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_close, one, other))
    return abs(one - other) < 2e-5


def web(selector: Any = None, **fields: Any) -> dict[str, Any]:
    target: dict[str, Any] = {"source": ""}
    if selector is not None:
        target["selector"] = selector
    return {"type": "Annotation", "body": {"type": "TextualBody", "value": "x"}, "target": target} | fields


def svg(drawn: str, box: str = 'viewBox="0 0 200 100"') -> dict[str, str]:
    return {"type": "SvgSelector", "value": f'<svg xmlns="http://www.w3.org/2000/svg" {box}><g>{drawn}</g></svg>'}


@pytest.mark.parametrize(
    ("selector", "shape", "geometry"),
    [
        ({"type": "FragmentSelector", "value": "xywh=percent:10,20,30,40"}, "rectangle", NOTE["geometry"]),
        (
            {"type": "FragmentSelector", "value": "xywh=pixel:48,24,24,48"},
            "rectangle",
            {"x": 0.5, "y": 0.25, "w": 0.25, "h": 0.5},
        ),
        (
            {"type": "FragmentSelector", "value": "xywh=48,24,24,48"},
            "rectangle",
            {"x": 0.5, "y": 0.25, "w": 0.25, "h": 0.5},
        ),
        ({"type": "PointSelector", "x": 48, "y": 24}, "pin", {"x": 0.5, "y": 0.25}),
        (svg('<rect x="20" y="10" width="100" height="50"/>'), "rectangle", {"x": 0.1, "y": 0.1, "w": 0.5, "h": 0.5}),
        (svg('<circle cx="100" cy="50" r="20"/>'), "ellipse", {"x": 0.4, "y": 0.3, "w": 0.2, "h": 0.4}),
        (svg('<polygon points="0,0 100,0 100,50"/>'), "freehand", {"points": [[0, 0], [0.5, 0], [0.5, 0.5], [0, 0]]}),
        (svg('<path d="M 0 0 L 100 0 100 50 Z"/>'), "freehand", {"points": [[0, 0], [0.5, 0], [0.5, 0.5], [0, 0]]}),
        (svg('<line x1="0" y1="0" x2="48" y2="24"/>', ""), "arrow", {"x1": 0, "y1": 0, "x2": 0.5, "y2": 0.25}),
        (None, "picture", {}),
    ],
)
def test_what_other_programs_draw(api: Talk, path: str, rita: User, selector: Any, shape: str, geometry: Any) -> None:
    ok(api(rita).post(f"{path}/web", web(selector)), 201)
    row = Annotation.objects.get()
    assert row.shape == shape
    assert _close(row.geometry, geometry)


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa">]><svg viewBox="0 0 1 1"><text x="0" y="0">&a;</text></svg>'


@pytest.mark.parametrize(
    "document",
    [
        [],
        "text",
        7,
        {"type": "Note"},
        {"type": "AnnotationPage", "items": []},
        {"type": "AnnotationPage"},
        [web()] * 201,
        web({"type": "FragmentSelector", "value": "xywh=percent:90,0,20,10"}),
        web({"type": "FragmentSelector", "value": "xywh=percent:-1,0,20,10"}),
        web({"type": "FragmentSelector", "value": "xywh=percent:nan,0,20,10"}),
        web({"type": "FragmentSelector", "value": "t=10,20"}),
        web({"type": "PointSelector", "x": 960, "y": 10}),
        web({"type": "PointSelector", "x": None, "y": 10}),
        web({"type": "SvgSelector", "value": BOMB}),
        web({"type": "SvgSelector", "value": "<svg"}),
        web({"type": "SvgSelector", "value": "<svg/>"}),
        web({"type": "SvgSelector", "value": "x" * 200_001}),
        web(svg('<rect x="190" y="0" width="20" height="10"/>')),
        web(svg('<rect transform="scale(9)" x="0" y="0" width="20" height="10"/>')),
        web(svg('<rect x="0" y="0" width="9" height="9"/><rect x="0" y="0" width="9" height="9"/>')),
        web(svg('<path d="M 0 0 C 1 1 2 2 3 3"/>')),
        web(svg('<path d="M 0 0 L 1e400 1"/>')),
        web(svg('<polyline points="0,0 1"/>')),
        web(svg("<circle/>", 'viewBox="0 0 0 0"')),
        web(svg("<script>alert(1)</script>")),
        web({"type": "TextQuoteSelector", "exact": "x"}),
        web(body={"type": "TextualBody", "value": 7}),
        web(body={"type": "TextualBody", "value": "<b>x</b>", "format": "text/html"}),
        web(body={"type": "Video", "id": "http://a"}),
        web(body=[]),
        web(target=[]),
        web(target=["a", "b"]),
        web(target={"source": 7}),
        web(target={"source": "http://testserver/files/00000000-0000-0000-0000-000000000000/"}),
    ],
)
def test_what_is_not_understood_is_refused_with_a_sentence(api: Talk, path: str, rita: User, document: Any) -> None:
    answer = api(rita).post(f"{path}/web", json.dumps(document))
    problem(answer, 422)
    assert not Annotation.objects.exists()


def test_an_approval_of_another_program_needs_the_verb(api: Talk, path: str, rita: User, leo: User) -> None:
    approving = web(motivation="assessing")
    problem(api(rita).post(f"{path}/web", approving), 403)
    ok(api(leo).post(f"{path}/web", approving), 201)
    assert Annotation.objects.get().kind == "approval"


def test_answers_come_along_under_the_name_of_their_writers(api: Talk, path: str, rita: User) -> None:
    body = [
        {"type": "TextualBody", "value": "Warmer", "purpose": "commenting"},
        {"type": "TextualBody", "value": "Yes", "purpose": "replying", "creator": {"type": "Person", "name": "Kim"}},
        {"type": "TextualBody", "value": "done", "purpose": "tagging"},
    ]
    page = ok(api(rita).post(f"{path}/web", [web(body=body), web()]), 201)
    assert [b["value"] for b in page["items"][0]["body"]] == ["Warmer", "Kim: Yes"]
    assert len(page["items"]) == 2


def test_one_bad_among_good_ones_leaves_nothing(api: Talk, path: str, rita: User) -> None:
    bad = web({"type": "FragmentSelector", "value": "xywh=percent:90,0,20,10"})
    problem(api(rita).post(f"{path}/web", [web(), bad]), 422)
    assert not Annotation.objects.exists()


def test_references_are_images_too(api: Talk, rita: User, reference: Reference) -> None:
    path = f"/images/reference/{reference.pk}/annotations"
    ok(api(rita).post(path, NOTE), 201)
    assert ok(api(rita).get(path))["items"][0]["subject_kind"] == "reference"
