"""Annotations: what they are, what happens to them, and how they pass from one version of an image to the next."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from assets import actions as assets
from characters import suggestions
from characters.models import Character, Variation, VariationBatch
from collaboration.annotations import actions, mentions, queries, shapes
from collaboration.annotations.models import Annotation
from collaboration.models import Event, User
from collaboration.subjects import Target, target
from tests.characters.conftest import make_variation

GOOD: list[tuple[str, dict[str, Any]]] = [
    ("picture", {}),
    ("pin", {"x": 0.25, "y": 1}),
    ("rectangle", {"x": 0.1, "y": 0.2, "w": 0.9, "h": 0.3}),
    ("ellipse", {"x": 0.1, "y": 0.2, "w": 0.5, "h": 0.3}),
    ("arrow", {"x1": 0.1, "y1": 0.2, "x2": 0.5, "y2": 0.3}),
    ("freehand", {"points": [[0, 0], [0.5, 0.5], [1, 0.25]]}),
    ("text", {"x": 0.1, "y": 0.9}),
]
BAD: list[tuple[str, Any]] = [
    ("pin", {"x": 1.01, "y": 0.5}),
    ("pin", {"x": -0.5, "y": 0.5}),
    ("pin", {"x": float("nan"), "y": 0.5}),
    ("pin", {"x": float("inf"), "y": 0.5}),
    ("pin", {"x": 10**400, "y": 0.5}),
    ("pin", {"x": "0.5", "y": 0.5}),
    ("pin", {"x": True, "y": 0.5}),
    ("pin", {"x": 0.5}),
    ("pin", {"x": 0.5, "y": 0.5, "script": "x"}),
    ("pin", [0.5, 0.5]),
    ("rectangle", {"x": 0.9, "y": 0.2, "w": 0.2, "h": 0.3}),
    ("rectangle", {"x": 0.9, "y": 0.2, "w": 0, "h": 0.3}),
    ("rectangle", {"x": 0.5, "y": 0.2, "w": -0.2, "h": 0.3}),
    ("arrow", {"x1": 0.1, "y1": 0.2, "x2": 0.1, "y2": 0.2}),
    ("freehand", {"points": [[0, 0]]}),
    ("freehand", {"points": [[0, 0], [0, 0]]}),
    ("freehand", {"points": [[0, 0], [2, 0]]}),
    ("freehand", {"points": [[0, 0], [0, 0, 0]]}),
    ("freehand", {"points": [[k / 2001, 0] for k in range(2001)]}),
    ("star", {"x": 0.5, "y": 0.5}),
]


@pytest.mark.parametrize(("shape", "geometry"), GOOD)
def test_each_shape_is_one_row_bound_to_the_image(on: Target, rita: User, shape: str, geometry: Any) -> None:
    made = actions.annotate(target=on, actor=rita, shape=shape, geometry=geometry, text="Warmer light")
    row = Annotation.objects.get()
    assert (row.pk, row.version, row.number, row.shape) == (made.pk, on.version, 1, shape)
    assert row.geometry == geometry
    event = Event.objects.get(kind="annotation.created")
    assert (event.subject_kind, event.subject_id, event.summary) == ("variation", on.id, "left note 1 on Mara 1")


@pytest.mark.parametrize(("shape", "geometry"), BAD)
def test_what_is_not_on_the_image_is_refused(on: Target, rita: User, shape: str, geometry: Any) -> None:
    with pytest.raises(ValidationError) as refusal:
        actions.annotate(target=on, actor=rita, shape=shape, geometry=geometry, text="Warmer light")
    assert refusal.value.messages[0].endswith(".")
    assert not Annotation.objects.exists()


share = st.floats(0, 1)


@given(x=share, y=share, w=share, h=share)
def test_a_box_that_is_taken_lies_on_the_image(x: float, y: float, w: float, h: float) -> None:
    try:
        kept = shapes.checked("rectangle", {"x": x, "y": y, "w": w, "h": h})
    except ValidationError:
        assert w < 0.0021 or h < 0.0021 or x + w > 1 or y + h > 1
    else:
        assert kept["x"] + kept["w"] <= 1 + 1e-9
        assert kept["y"] + kept["h"] <= 1 + 1e-9
        assert shapes.checked("rectangle", kept) == kept


def test_numbers_are_never_given_twice(on: Target, rita: User) -> None:
    first = actions.annotate(target=on, actor=rita, shape="picture", geometry={}, text="One")
    actions.remove(annotation=first, target=on, actor=rita)
    second = actions.annotate(target=on, actor=rita, shape="picture", geometry={}, text="Two")
    assert (first.number, second.number) == (1, 2)
    assert [a.number for a in queries.annotations_on(on)] == [2]
    actions.restore(annotation=first, target=on, actor=rita)
    assert [a.number for a in queries.annotations_on(on)] == [1, 2]


def test_the_same_id_again_changes_nothing_and_another_persons_is_refused(on: Target, rita: User, bob: User) -> None:
    fields: dict[str, Any] = {"target": on, "shape": "picture", "geometry": {}, "text": "One", "id": uuid.uuid4()}
    assert actions.annotate(actor=rita, **fields).pk == actions.annotate(actor=rita, **fields).pk
    with pytest.raises(ValidationError, match="taken"):
        actions.annotate(actor=bob, **fields)
    assert Event.objects.filter(kind="annotation.created").count() == 1


def test_what_was_drawn_on_another_image_is_not_bound_to_this_one(on: Target, rita: User) -> None:
    with pytest.raises(ValidationError, match="another image"):
        actions.annotate(target=on, actor=rita, shape="picture", geometry={}, text="x", version=uuid.uuid4())


@pytest.mark.parametrize(
    ("kind", "shape", "text", "sentence"),
    [
        ("note", "picture", "  ", "Write what you say"),
        ("suggestion", "picture", "", "Write what you suggest"),
        ("approval", "text", "", "Write"),
        ("order", "picture", "x", "a note, a suggestion or an approval"),
        ("note", "picture", "x" * 4001, "at most 4,000"),
        ("note", "picture", "a\u202eb", "invisible control characters"),
    ],
)
def test_words_are_checked(on: Target, rita: User, kind: str, shape: str, text: str, sentence: str) -> None:
    geometry = {"x": 0.5, "y": 0.5} if shape == "text" else {}
    with pytest.raises(ValidationError, match=sentence):
        actions.annotate(target=on, actor=rita, shape=shape, geometry=geometry, text=text, kind=kind)


def test_changes_touch_only_what_is_given(on: Target, rita: User) -> None:
    row = actions.annotate(target=on, actor=rita, shape="pin", geometry={"x": 0.5, "y": 0.5}, text="One")
    actions.change_annotation(annotation=row, target=on, actor=rita, geometry={"x": 0.25, "y": 0.5})
    actions.change_annotation(annotation=row, target=on, actor=rita, text="Two")
    row.refresh_from_db()
    assert (row.geometry, row.text) == ({"x": 0.25, "y": 0.5}, "Two")
    assert [e.payload["fields"] for e in Event.objects.filter(kind="annotation.changed").order_by("seq")] == [
        ["geometry"],
        ["text"],
    ]
    actions.change_annotation(annotation=row, target=on, actor=rita, text="Two")
    assert Event.objects.filter(kind="annotation.changed").count() == 2


def test_resolving_twice_tells_once(on: Target, rita: User, bob: User) -> None:
    row = actions.annotate(target=on, actor=rita, shape="picture", geometry={}, text="One")
    for person in (bob, rita):
        actions.resolve(annotation=row, target=on, actor=person)
    row.refresh_from_db()
    assert row.resolved_by == bob
    actions.reopen(annotation=row, target=on, actor=rita)
    kinds = Event.objects.filter(kind__startswith="annotation.re").order_by("seq").values_list("kind", flat=True)
    assert list(kinds) == ["annotation.resolved", "annotation.reopened"]


def test_a_removed_annotation_is_not_answered(on: Target, rita: User) -> None:
    row = actions.annotate(target=on, actor=rita, shape="picture", geometry={}, text="One")
    actions.remove(annotation=row, target=on, actor=rita)
    with pytest.raises(ValidationError, match="removed"):
        actions.reply(annotation=row, target=on, actor=rita, text="Two")
    with pytest.raises(ValidationError, match="removed"):
        actions.resolve(annotation=row, target=on, actor=rita)


# -------------------------------------------------------------------------------------------------------- mentions
def test_people_are_mentioned_by_name_and_outlive_it(on: Target, rita: User, bob: User, leo: User) -> None:
    text = f"@Bob, see @LEO and mail x@bob.example; not @bobby, not @{'Zoe'}"
    row = actions.annotate(target=on, actor=rita, shape="picture", geometry={}, text=text)
    assert set(row.mentioned.all()) == {bob, leo}
    assert Event.objects.get(kind="annotation.created").payload["mentioned"] == sorted([bob.pk, leo.pk])
    bob.name = "Robert"
    bob.save()
    shown = mentions.plain(row.text, mentions.names_in([row.text]))
    assert shown == "@Robert, see @Leo and mail x@bob.example; not @bobby, not @Zoe"


def test_a_first_name_is_enough_where_one_has_it(
    on: Target, rita: User, make_member: Callable[..., User], bob: User
) -> None:
    from collaboration.verbs import Role

    alex = make_member("alex", Role.ARTIST, on.project)
    alex.name = "Alex Kim"
    alex.save()
    assert mentions.read("hi @alex!", on.project) == (f"hi @[{alex.pk}]!", {alex.pk})
    assert mentions.read("hi @Alex Kim!", on.project) == (f"hi @[{alex.pk}]!", {alex.pk})
    bob.name = "Alex Berg"
    bob.save()
    assert mentions.read("hi @alex!", on.project) == ("hi @alex!", set())
    assert mentions.read("hi @alex@example.com!", on.project) == (f"hi @[{alex.pk}]!", {alex.pk})


def test_a_stranger_cannot_be_mentioned_by_number(on: Target, rita: User, charlie: User) -> None:
    kept, mentioned = mentions.read(f"@[{charlie.pk}] @[999999999]", on.project)
    assert kept == "@somebody @somebody"
    assert mentioned == set()


def test_script_in_a_text_and_in_a_name_is_only_text(bob: User) -> None:
    shown = mentions.html(f"<script>x</script> @[{bob.pk}] & more", {bob.pk: "<img src=x onerror=y>"})
    assert "<script" not in shown
    assert "<img" not in shown
    assert "&lt;script&gt;" in shown


# ------------------------------------------------------------------------------------- from one version to the next
@pytest.fixture
def suggestion(on: Target, rita: User, bob: User) -> Annotation:
    text = "@Bob she should be happy, wearing a suit"
    place = {"x": 0.25, "y": 0.25, "w": 0.5, "h": 0.5}
    return actions.annotate(target=on, actor=rita, shape="rectangle", geometry=place, text=text, kind="suggestion")


def test_a_suggestion_becomes_an_order_for_the_same_picture(
    on: Target, suggestion: Annotation, image: Variation, bob: User
) -> None:
    row, note = actions.order_suggestion(annotation=suggestion, target=on, actor=bob)
    batch = VariationBatch.objects.get(revises=image)
    assert row.became_id == str(batch.pk)
    assert batch.settings["seed"] == image.seed
    assert batch.settings["axes"] == {"expression": ["happy"], "outfit": ["suit"]}
    assert "she should be happy, wearing a suit" in batch.plan[0]["prompt"]
    assert "Bob" not in batch.plan[0]["prompt"]
    assert note.startswith("Paper pack does not know these words: ")
    with pytest.raises(ValidationError, match="already"):
        actions.order_suggestion(annotation=suggestion, target=on, actor=bob)
    assert VariationBatch.objects.filter(revises=image).count() == 1


def test_a_note_is_not_ordered(on: Target, rita: User, bob: User) -> None:
    row = actions.annotate(target=on, actor=rita, shape="picture", geometry={}, text="One")
    with pytest.raises(ValidationError, match="Only a suggestion"):
        actions.order_suggestion(annotation=row, target=on, actor=bob)


def test_what_is_open_is_carried_over_once_and_marked(
    on: Target, suggestion: Annotation, image: Variation, bob: User, leo: User
) -> None:
    note = actions.annotate(target=on, actor=bob, shape="pin", geometry={"x": 0.5, "y": 0.5}, text="Keep this")
    done = actions.annotate(target=on, actor=bob, shape="picture", geometry={}, text="Done")
    actions.resolve(annotation=done, target=on, actor=bob)
    actions.annotate(target=on, actor=leo, shape="picture", geometry={}, kind="approval")
    actions.reply(annotation=note, target=on, actor=leo, text="Yes")
    actions.order_suggestion(annotation=suggestion, target=on, actor=bob)
    batch = VariationBatch.objects.get(revises=image)
    following = make_variation(batch, 0, bob)
    for _ in range(2):
        suggestions.carry_over(following)
    after = target("variation", following.pk)
    assert after is not None
    rows = queries.annotations_on(after)
    assert [(r.number, r.text, r.author) for r in rows] == [
        (1, suggestion.text, suggestion.author),
        (2, "Keep this", bob),
    ]
    assert {r.carried_from_id for r in rows} == {suggestion.pk, note.pk}
    assert {r.version for r in rows} == {following.asset_id}
    assert [r.answers_before for r in rows] == [0, 1]  # type: ignore[attr-defined]
    event = Event.objects.get(kind="annotation.carried")
    assert event.summary == "carried 2 open annotations over to Mara 1"
    assert len(queries.annotations_on(on)) == 4


def test_an_erased_image_takes_what_was_said_about_it_along(on: Target, image: Variation, rita: User) -> None:
    actions.annotate(target=on, actor=rita, shape="picture", geometry={}, text="Her scar")
    assets.erase(asset=image.asset, actor=rita)
    assert not Annotation.objects.exists()
    gone = target("variation", image.pk)
    assert gone is not None
    with pytest.raises(ValidationError, match="no image"):
        actions.annotate(target=gone, actor=rita, shape="picture", geometry={}, text="x")


def test_a_suggestion_on_a_reference_orders_a_picture_of_the_character(
    reference: Any, mara: Character, rita: User, bob: User
) -> None:
    on = target("reference", reference.pk)
    assert on is not None
    row = actions.annotate(target=on, actor=rita, shape="picture", geometry={}, text="On a beach", kind="suggestion")
    actions.order_suggestion(annotation=row, target=on, actor=bob)
    batch = VariationBatch.objects.latest("created_at")
    assert (batch.character, batch.revises, batch.settings["axes"]) == (mara, None, {"background": ["beach"]})
