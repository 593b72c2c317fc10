"""Character sheets: casting, ordering, deciding, the picture."""

from __future__ import annotations

import dataclasses
import io
import json
from typing import Any

import pytest
from PIL import Image

from characters import actions
from characters.models import Character, Reference, VariationBatch
from collaboration.models import User
from gpu_worker import catalog
from gpu_worker.models import Job, Reading
from tests.api.conftest import fetched, ok, problem, seen_as
from tests.api.test_batches import make_pictures


def finish(batch_id: str) -> list[Any]:
    """What a worker would have brought, seen by every encoder."""
    batch = VariationBatch.objects.get(pk=batch_id)
    pack = catalog.default_pack()
    made = make_pictures(batch_id, len(batch.plan))
    for variation in made:
        seen = json.loads(json.dumps(dataclasses.asdict(seen_as(1, batch.pk.int % 9999 + variation.index))))
        Reading.objects.create(asset=variation.asset, pack=pack.name, pack_version=pack.version, seen=seen)
        if batch.sheet_id:
            actions.note_take(variation=variation)
    Job.objects.filter(pk=batch.job_id).update(state=Job.DONE)
    return made


@pytest.fixture
def sheet(api: Any, bob: User, mara: Character, with_references: Any) -> Any:
    """A finished sheet of two angles with two expressions."""
    with_references(mara, 3)
    body = {"angles": ["facing forward", "looking left"], "expressions": ["neutral", "happy"], "seed": 3}
    ordered = ok(api(bob).post(f"/characters/{mara.pk}/sheets", body), 201)
    finish(ordered["batches"][0])
    return ok(api(bob).get(f"/sheets/{ordered['id']}"))


def test_a_sheet_is_ordered_with_what_the_pack_offers(
    api: Any, bob: User, mara: Character, with_references: Any
) -> None:
    with_references(mara, 1)
    ordered = ok(api(bob).post(f"/characters/{mara.pk}/sheets", {"axes": {"outfit": ["suit"]}}), 201)
    assert (ordered["state"], ordered["approved"], ordered["to_decide"]) == ("making", 0, 0)
    assert ordered["angles"] == ["facing forward", "looking left"]
    assert ordered["expressions"] == ["neutral", "happy", "sad"]
    assert [c["place"] for c in ordered["cells"]] == list(range(6))
    assert all(c["is_awaited"] for c in ordered["cells"])
    batch = ok(api(bob).get(f"/variation-batches/{ordered['batches'][0]}"))
    assert (batch["count"], batch["sheet"], batch["is_casting"]) == (6, ordered["id"], False)
    assert batch["settings"]["axes"]["outfit"] == ["suit"]
    assert batch["settings"]["axes"]["background"] == ["studio"]
    listed = ok(api(bob).get(f"/characters/{mara.pk}/sheets"))["items"]
    assert [s["id"] for s in listed] == [ordered["id"]]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"angles": []}, "Choose at least one angle."),
        ({"axes": {"outfit": ["suit", "hoodie"]}}, "A sheet shows one outfit"),
        ({"expressions": [f"mood {k}" for k in range(30)]}, "a batch holds at most 24"),
    ],
)
def test_what_makes_no_sheet_is_refused(
    api: Any, bob: User, mara: Character, with_references: Any, body: dict[str, Any], sentence: str
) -> None:
    with_references(mara, 1)
    assert sentence in json.dumps(problem(api(bob).post(f"/characters/{mara.pk}/sheets", body), 422))


def test_pictures_are_approved_rejected_and_opened_again(
    api: Any, leo: User, bob: User, charlie: User, mara: Character, sheet: Any
) -> None:
    first, second, third = (cell["proposed"] for cell in sheet["cells"][:3])
    path = f"/sheets/{sheet['id']}"
    problem(api(bob).post(f"{path}/approve", {"variations": [first]}), 403)
    problem(api(charlie).post(f"{path}/approve", {"variations": [first]}), 404)
    problem(api(leo).post(f"{path}/approve", {"variations": [str(mara.pk)]}), 422)
    after = ok(api(leo).post(f"{path}/approve", {"variations": [first, second]}))
    assert (after["state"], after["approved"], after["to_decide"]) == ("review", 2, 2)
    take = after["cells"][0]["takes"][0]
    assert (take["verdict"], take["decided_by"]["name"]) == ("approved", "Leo")
    reference = ok(api(bob).get(f"/references/{take['reference']}"))
    assert (reference["origin"], reference["is_generated"], reference["made_from"]) == ("sheet", True, first)
    assert reference["is_held_out"] is False
    shown = ok(api(bob).get(f"/characters/{mara.pk}"))
    assert (shown["reference_count"], shown["generated_count"]) == (5, 2)
    after = ok(api(leo).post(f"{path}/reject", {"variations": [third]}))
    assert after["cells"][2]["proposed"] is None
    after = ok(api(leo).post(f"{path}/reopen", {"variations": [first, third]}))
    assert (after["approved"], after["to_decide"]) == (1, 3)
    assert Reference.objects.present().generated().count() == 1
    # What was taken back does not return by the back door.
    assert "approval" in problem(api(bob).post(f"/references/{take['reference']}/restore"), 409)["detail"]


def test_one_cell_gets_more_takes(api: Any, bob: User, vera: User, sheet: Any) -> None:
    path = f"/sheets/{sheet['id']}/takes"
    problem(api(vera).post(path, {"place": 1}), 403)
    batch = ok(api(bob).post(path, {"place": 1, "count": 2}), 201)
    assert (batch["count"], batch["sheet"]) == (2, sheet["id"])
    finish(batch["id"])
    cell = ok(api(bob).get(f"/sheets/{sheet['id']}"))["cells"][1]
    assert len(cell["takes"]) == 3
    problem(api(bob).post(path, {"place": 1, "count": 99}), 422)
    assert "no cell 4" in problem(api(bob).post(path, {"place": 4}), 422)["detail"]


def test_the_sheet_is_downloaded_as_one_picture(api: Any, vera: User, charlie: User, sheet: Any) -> None:
    kind, content = fetched(api(vera).get(sheet["image"].removeprefix("/api/v1")))
    assert kind == "image/png"
    with Image.open(io.BytesIO(content)) as image:
        assert json.loads(image.text["persona"])["character_sheet"] == sheet["id"]  # type: ignore[attr-defined]
    problem(api(charlie).get(sheet["image"].removeprefix("/api/v1")), 404)


def test_from_words_to_a_face_to_a_sheet(api: Any, bob: User, vera: User, mara: Character) -> None:
    problem(api(vera).post(f"/characters/{mara.pk}/faces", {}), 403)
    problem(api(bob).post(f"/characters/{mara.pk}/faces", {"count": 0}), 422)
    body = {"noun": "woman", "age": "old", "traits": "brown hair", "count": 2}
    batch = ok(api(bob).post(f"/characters/{mara.pk}/faces", body), 201)
    assert (batch["is_casting"], batch["count"], batch["sheet"]) == (True, 2, None)
    face, other = finish(batch["id"])
    refused = problem(api(bob).post(f"/characters/{mara.pk}/sheets", {}), 422)
    assert "Nobody knows" in refused["detail"]
    reference = ok(api(bob).post(f"/variations/{face.pk}/choose-face"))
    assert (reference["origin"], reference["made_from"]) == ("cast", str(face.pk))
    profile = ok(api(bob).get(f"/characters/{mara.pk}/profile"))
    assert profile["learnt_from"] == [reference["id"]]
    problem(api(bob).post(f"/variations/{other.pk}/choose-face"), 422)
    ok(api(bob).post(f"/characters/{mara.pk}/sheets", {}), 201)
