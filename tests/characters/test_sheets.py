"""The character sheet: ordering it, deciding in it, and what its approved pictures count for."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from PIL import Image

from characters import actions, scoring, sheets
from characters.models import (
    Character,
    CharacterSheet,
    IdentityProfile,
    Reference,
    SheetTake,
    Variation,
    VariationBatch,
)
from characters.variations import Settings
from collaboration.models import Event, Revision, User
from gpu_worker import catalog
from gpu_worker.models import Job, Reading
from tests.characters.conftest import as_json, face, looked, make_variation

AXES = {"expression": ("neutral", "happy"), "pose": ("front view", "profile view")}


def url(name: str, character: Character, *args: object) -> str:
    return reverse(f"characters:{name}", args=[character.project.slug, *args])


def page(client: Client, character: Character) -> str:
    return client.get(url("sheets", character, character.pk)).content.decode()


@pytest.fixture
def known(mara: Character, add: Callable[..., list[Reference]]) -> Character:
    """Mara with three uploaded references, from which her identity is learnt."""
    add(mara, 3)
    return mara


def make_takes(batch: VariationBatch, actor: User, **looks: Any) -> list[Variation]:
    """What a worker would have brought: every picture of the batch, seen by all encoders."""
    pack = catalog.default_pack()
    made = []
    for entry in batch.plan:
        variation = make_variation(batch, entry["index"], actor, **looks)
        number = 500 + batch.pk.int % 1000 + entry["index"]
        Reading.objects.create(
            asset=variation.asset, pack=pack.name, pack_version=pack.version, seen=as_json(looked(number))
        )
        if batch.sheet_id is not None:
            actions.note_take(variation=variation)
        made.append(variation)
    Job.objects.filter(pk=batch.job_id).update(state=Job.DONE)
    return made


@pytest.fixture
def sheet_of(bob: User) -> Callable[..., CharacterSheet]:
    """`sheet_of(mara)`: a sheet of two angles and two expressions, all of it made."""

    def order(character: Character, *, made: bool = True, **fields: Any) -> CharacterSheet:
        fields = {"axes": AXES, "seed": 7} | fields
        sheet = actions.order_sheet(character=character, settings=Settings(**fields), actor=bob)
        if made:
            make_takes(sheet.batches.get(), bob)
        return sheet

    return order


def takes_of(sheet: CharacterSheet) -> list[SheetTake]:
    return list(SheetTake.objects.filter(cell__sheet=sheet).select_related("cell", "variation").order_by("cell__place"))


def decide(client: Client, what: str, sheet: CharacterSheet, *takes: SheetTake, **headers: str) -> Any:
    ids = [str(t.variation_id) for t in takes]
    return client.post(url(f"sheet_{what}", sheet.character, sheet.pk), {"take": ids}, **headers)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------- ordering
def test_every_angle_with_every_expression_is_ordered_in_one_batch(
    client_of: Callable[[User], Client], bob: User, known: Character
) -> None:
    order = {"expression": ["neutral", "happy", "sad"], "pose": ["front view", "profile view"], "background": "city"}
    response = client_of(bob).post(url("sheets", known, known.pk), order)
    sheet = CharacterSheet.objects.get()
    assert response.status_code == 302
    assert response["Location"] == sheet.get_absolute_url()
    cells = list(sheet.cells.values_list("place", "angle", "expression"))
    assert cells == [
        (0, "front view", "neutral"),
        (1, "front view", "happy"),
        (2, "front view", "sad"),
        (3, "profile view", "neutral"),
        (4, "profile view", "happy"),
        (5, "profile view", "sad"),
    ]
    batch = sheet.batches.get()
    assert len(batch.plan) == 6
    assert {entry["axes"]["background"] for entry in batch.plan} == {"city"}
    assert batch.job.title == "Character sheet of Mara"
    told = Event.objects.get(kind="sheet.ordered")
    assert (told.actor, told.payload["count"], told.payload["sheet_id"]) == (bob, 6, str(sheet.pk))


def test_the_form_offers_what_the_pack_knows_and_at_most_24_pictures(
    client_of: Callable[[User], Client], bob: User, known: Character
) -> None:
    settings = sheets.default_settings(known)
    assert settings.axes["expression"] == ("neutral", "happy", "sad")
    assert len(settings.axes["expression"]) * len(settings.axes["pose"]) <= 24
    # Everything else is the same in every picture; she wears what her traits say.
    assert {axis: values for axis, values in settings.axes.items() if axis not in AXES} == {"background": ("beach",)}
    actions.change_character(character=known, actor=bob, traits="scar")
    assert sheets.default_settings(known).axes["outfit"] == ("hoodie",)
    text = page(client_of(bob), known)
    assert "Generate sheet of 12" in text
    for word in ("neutral", "happy", "sad", *sheets.ANGLES):
        assert re.search(rf'value="{word}" checked', text), word


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"pose": []}, "Choose at least one angle."),
        ({"expression": []}, "Choose at least one expression."),
        ({"outfit": ["hoodie", "suit"]}, "A sheet shows one outfit; these are 2. Choose one of them."),
        ({"expression_more": ", ".join(f"mood {k}" for k in range(30))}, "a batch holds at most 24"),
        ({"image_prompt_strength": "0"}, "every picture would show somebody else"),
    ],
)
def test_what_makes_no_sheet_is_refused_with_a_sentence(
    client_of: Callable[[User], Client], bob: User, known: Character, change: dict[str, Any], sentence: str
) -> None:
    order = {"expression": ["neutral", "happy"], "pose": ["front view"]} | change
    response = client_of(bob).post(url("sheets", known, known.pk), order)
    assert response.status_code == 422
    assert sentence in response.content.decode()
    assert not CharacterSheet.objects.exists()
    asked = client_of(bob).get(url("sheet_estimate", known, known.pk), order).content.decode()
    assert sentence in asked


def test_nobody_is_made_a_sheet_of_whom_nobody_knows(
    client_of: Callable[[User], Client], bob: User, mara: Character
) -> None:
    order = {"expression": ["neutral"], "pose": ["front view"]}
    response = client_of(bob).post(url("sheets", mara, mara.pk), order)
    assert response.status_code == 422
    assert not VariationBatch.objects.exists()


def test_who_may_order_and_who_may_approve(
    client_of: Callable[[User], Client],
    bob: User,
    leo: User,
    vera: User,
    charlie: User,
    known: Character,
    sheet_of: Callable[..., CharacterSheet],
) -> None:
    sheet = sheet_of(known)
    take = takes_of(sheet)[0]
    for who, answer in ((vera, 403), (charlie, 404)):
        client = client_of(who)
        assert client.post(url("sheets", known, known.pk), {}).status_code == answer
        assert client.post(url("sheet_again", known, sheet.pk, 0)).status_code == answer
        assert client.post(url("sheet_job", known, sheet.pk, "cancel")).status_code == answer
        assert client.post(url("faces", known, known.pk)).status_code == answer
        for what in ("approve", "reject", "reopen"):
            assert decide(client, what, sheet, take).status_code == answer
    for name in ("sheet_progress", "sheet_picture"):
        assert client_of(vera).get(url(name, known, sheet.pk)).status_code == 200
        assert client_of(charlie).get(url(name, known, sheet.pk)).status_code == 404
        assert client_of(bob).post(url(name, known, sheet.pk)).status_code == 405
    # An artist makes the sheet, a lead approves it.
    assert decide(client_of(bob), "approve", sheet, take).status_code == 403
    assert "A lead or the owner approves them." in page(client_of(bob), known)
    assert decide(client_of(leo), "approve", sheet, take).status_code == 302
    assert client_of(leo).get(url("sheet_approve", known, sheet.pk)).status_code == 405


# ------------------------------------------------------------------------------------------------------- deciding
def test_an_approved_picture_is_a_generated_reference_that_counts(
    client_of: Callable[[User], Client], leo: User, known: Character, sheet_of: Callable[..., CharacterSheet]
) -> None:
    sheet = sheet_of(known)
    first, second, *_ = takes_of(sheet)
    before = Revision.objects.filter(subject_id=str(known.pk)).count()
    decide(client_of(leo), "approve", sheet, first, second)
    known.refresh_from_db()
    assert (known.reference_count, known.generated_count, known.references_missing) == (5, 2, 0)
    assert known.status == Character.READY
    reference = Reference.objects.get(made_from=first.variation)
    assert (reference.origin, reference.asset_id, reference.verdict) == ("sheet", first.variation.asset_id, "pass")
    assert "neutral" in reference.caption
    first.refresh_from_db()
    assert (first.verdict, first.decided_by) == ("approved", leo)
    assert first.decided_at is not None
    told = Event.objects.get(kind="sheet.approved")
    assert told.actor == leo
    assert told.payload["variation_ids"] == [str(first.variation_id), str(second.variation_id)]
    assert Revision.objects.filter(subject_id=str(known.pk)).count() == before + 1
    # Judged at once: no job has to look at what was seen when it was made.
    assert not Job.objects.open().filter(kind="reference.look").exists()


def test_a_picture_that_only_the_scoring_encoder_saw_is_looked_at_first(
    client_of: Callable[[User], Client], leo: User, known: Character, sheet_of: Callable[..., CharacterSheet]
) -> None:
    sheet = sheet_of(known)
    take = takes_of(sheet)[0]
    reading = Reading.objects.get(asset=take.variation.asset)
    for one in reading.seen["faces"]:
        del one["embeddings"]["conditioning"]
    reading.save()
    decide(client_of(leo), "approve", sheet, take)
    reference = Reference.objects.get(made_from=take.variation)
    assert reference.verdict == Reference.CHECKING
    job = Job.objects.open().get(kind="reference.look")
    assert job.arguments["references"] == [str(reference.pk)]


def test_generated_references_are_never_held_out_nor_measured_against(
    client_of: Callable[[User], Client],
    leo: User,
    mara: Character,
    add: Callable[..., list[Reference]],
    sheet_of: Callable[..., CharacterSheet],
) -> None:
    add(mara, 6)
    sheet = sheet_of(mara)
    decide(client_of(leo), "approve", sheet, *takes_of(sheet))
    mara.refresh_from_db()
    assert mara.reference_count == 10
    # Ten usable references, but only six of them were uploaded: eight are needed to hold any out.
    assert not mara.references.filter(is_held_out=True).exists()
    route = scoring.route_of(mara)
    uploaded = {str(pk) for pk in mara.references.filter(origin="uploaded").values_list("pk", flat=True)}
    truth = scoring.truth_of(mara, route)
    assert (set(truth.references), truth.is_generated) == (uploaded, False)
    assert set(IdentityProfile.objects.get().learnt_from) == uploaded

    add(mara, 2, first=6)
    held_out = mara.references.filter(is_held_out=True)
    assert held_out.count() == 2
    assert not held_out.exclude(origin="uploaded").exists()
    # What is not held out is trained on, generated ones too.
    assert mara.references.for_learning().generated().count() == 4


def test_only_generated_references_are_measured_against_and_it_says_so(
    client_of: Callable[[User], Client],
    alice: User,
    mara: Character,
    bob: User,
    add: Callable[..., list[Reference]],
) -> None:
    batch = actions.order_faces(character=mara, actor=bob, count=2)
    chosen = actions.choose_face(variation=make_takes(batch, bob)[0], actor=bob)
    route = scoring.route_of(mara)
    truth = scoring.truth_of(mara, route)
    assert (list(truth.references), truth.is_generated, truth.is_held_out) == ([str(chosen.pk)], True, False)
    found = scoring.score(looked(3), truth, route)
    sheet = actions.order_sheet(character=mara, settings=Settings(axes=AXES), actor=bob)
    make_takes(sheet.batches.get(), bob, score=found.value, cosine=found.cosine, measured_against=found.against)
    text = page(client_of(bob), mara)
    assert "Scores are measured against generated pictures" in text
    assert "1 generated picture, as there are no uploaded references" in text
    add(mara, 1, first=40)
    assert scoring.truth_of(mara, route).is_generated is False


def test_a_decision_is_taken_back_from_its_toast(
    client_of: Callable[[User], Client], leo: User, known: Character, sheet_of: Callable[..., CharacterSheet]
) -> None:
    sheet = sheet_of(known)
    take = takes_of(sheet)[0]
    client = client_of(leo)
    response = decide(client, "approve", sheet, take, HTTP_HX_REQUEST="true", HTTP_HX_TARGET="sheet-cell-0")
    text = response.content.decode()
    assert 'id="sheet-cell-0"' in text
    assert f'id="sheet-head-{sheet.pk}" hx-swap-oob="outerHTML"' in text
    assert 'id="character-head" hx-swap-oob="outerHTML"' in text
    toast = json.loads(response["HX-Trigger"])["toast"]
    assert toast["text"] == "One picture approved."
    client.post(toast["undo_url"])
    take.refresh_from_db()
    known.refresh_from_db()
    assert (take.verdict, take.decided_by, take.decided_at) == ("undecided", None, None)
    assert (known.reference_count, known.generated_count) == (3, 0)
    assert Event.objects.filter(kind="sheet.reopened", actor=leo).count() == 1
    # Approved again it is the same reference, not a second one.
    decide(client, "approve", sheet, take)
    assert Reference.objects.filter(made_from=take.variation).count() == 1
    assert Reference.objects.present().filter(made_from=take.variation).count() == 1


def test_all_are_approved_at_once_or_only_those_that_match(
    client_of: Callable[[User], Client], leo: User, known: Character, sheet_of: Callable[..., CharacterSheet]
) -> None:
    sheet = sheet_of(known)
    Variation.objects.filter(pk=takes_of(sheet)[3].variation_id).update(score=41.0)
    client = client_of(leo)
    text = page(client, known)
    assert "Approve 3 that match" in text
    assert "Approve all 4" in text
    ids = re.findall(
        r'name="take" value="([0-9a-f-]+)"', text.partition("Approve 3 that match")[0].rpartition("<form")[2]
    )
    assert len(ids) == 3
    response = client.post(
        url("sheet_approve", known, sheet.pk),
        {"take": ids},
        headers={"HX-Request": "true", "HX-Target": f"sheet-{sheet.pk}"},
    )
    assert "3 of 4 approved, 1 to decide" in response.content.decode()
    assert SheetTake.objects.filter(verdict="approved").count() == 3
    assert Event.objects.filter(kind="sheet.approved").count() == 1


def test_a_rejected_picture_gives_way_to_the_next_best_take(
    client_of: Callable[[User], Client], leo: User, known: Character, sheet_of: Callable[..., CharacterSheet]
) -> None:
    sheet = sheet_of(known, per_combination=2)
    cell = next(c for c in sheets.filled(sheet).cells if c.row.place == 0)
    best, other = cell.takes
    assert best.variation.score > other.variation.score  # type: ignore[operator]
    assert cell.proposed == best
    decide(client_of(leo), "reject", sheet, best)
    cell = next(c for c in sheets.filled(sheet).cells if c.row.place == 0)
    assert (cell.proposed, cell.approved) == (other, None)
    decide(client_of(leo), "reject", sheet, other)
    cell = next(c for c in sheets.filled(sheet).cells if c.row.place == 0)
    assert cell.proposed is None
    assert cell.shown is not None
    assert not Reference.objects.generated().exists()


def test_a_cell_holds_one_approved_picture(
    client_of: Callable[[User], Client], leo: User, known: Character, sheet_of: Callable[..., CharacterSheet]
) -> None:
    sheet = sheet_of(known, per_combination=2)
    one, other = sheets.filled(sheet).cells[0].takes
    client = client_of(leo)
    assert (
        "A cell of the sheet holds one picture"
        in decide(client, "approve", sheet, one, other).client.get(sheet.get_absolute_url()).content.decode()
    )
    decide(client, "approve", sheet, one)
    response = decide(client, "approve", sheet, other, HTTP_HX_REQUEST="true", HTTP_HX_TARGET="sheet-cell-0")
    present = Reference.objects.present().generated()
    assert [r.made_from_id for r in present] == [other.variation_id]
    client.post(json.loads(response["HX-Trigger"])["toast"]["undo_url"])
    assert [r.made_from_id for r in present.all()] == [one.variation_id]


def test_a_removed_reference_without_approval_does_not_come_back(
    client_of: Callable[[User], Client], leo: User, bob: User, known: Character, sheet_of: Callable[..., CharacterSheet]
) -> None:
    sheet = sheet_of(known)
    take = takes_of(sheet)[0]
    decide(client_of(leo), "approve", sheet, take)
    reference = Reference.objects.get(made_from=take.variation)
    # Removed by an artist, it may be taken back by one: it is approved all the same.
    actions.trash_reference(reference=reference, actor=bob)
    assert "Removed from the references" in page(client_of(leo), known)
    actions.restore_reference(reference=reference, actor=bob)
    assert reference.trashed_at is None
    decide(client_of(leo), "reopen", sheet, take)
    response = client_of(bob).post(url("reference_restore", known, known.pk, reference.pk), follow=True)
    assert "The approval of this picture was taken back." in response.content.decode()
    reference.refresh_from_db()
    assert reference.trashed_at is not None


def test_another_take_of_one_cell_is_ordered_with_the_same_settings(
    client_of: Callable[[User], Client], bob: User, known: Character, sheet_of: Callable[..., CharacterSheet]
) -> None:
    sheet = sheet_of(known, text="freckles", steps=12)
    first = sheet.batches.get()
    client = client_of(bob)
    response = client.post(url("sheet_again", known, sheet.pk, 3), headers={"HX-Request": "true"})
    assert "Another take is being made" in response.content.decode()
    batch = sheet.batches.exclude(pk=first.pk).get()
    assert [entry["axes"] for entry in batch.plan] == [{"pose": "profile view", "expression": "happy"}]
    assert (batch.settings["text"], batch.settings["steps"]) == ("freckles", 12)
    assert batch.plan[0]["seed"] not in {entry["seed"] for entry in first.plan}
    (made,) = make_takes(batch, bob, score=99.0)
    cell = sheets.filled(sheet).cells[3]
    assert len(cell.takes) == 2
    assert cell.proposed is not None
    assert cell.proposed.variation == made
    assert client.post(url("sheet_again", known, sheet.pk, 9)).status_code == 404


# ------------------------------------------------------------------------------------------------------ while made
def test_cells_come_one_by_one_and_each_once(
    sign_in: Callable[..., Client], vera: User, bob: User, known: Character, sheet_of: Callable[..., CharacterSheet]
) -> None:
    sheet = sheet_of(known, made=False)
    batch = sheet.batches.get()
    Job.objects.filter(pk=batch.job_id).update(state=Job.RUNNING)
    client = sign_in(vera, htmx=True)
    start = client.get(sheet.get_absolute_url()).content.decode()
    news = re.search(r'data-refresh-url="([^"]*progress[^"]*)"', start)
    assert news
    place = next(entry["index"] for entry in batch.plan if set(entry["axes"].values()) == {"profile view", "neutral"})
    actions.note_take(variation=make_variation(batch, place, bob))
    text = client.get(news[1].replace("&amp;", "&")).content.decode()
    assert re.findall(rf'id="sheet-place-{sheet.pk}-(\d)" hx-swap-oob', text) == ["2"]
    assert "0 of 4 approved, 1 to decide" in text
    news = re.search(r'data-refresh-url="([^"]*)"', text)
    assert news
    again = client.get(news[1].replace("&amp;", "&")).content.decode()
    assert "sheet-place" not in again
    Job.objects.filter(pk=batch.job_id).update(state=Job.FAILED, error="The model broke down.")
    last = client.get(news[1].replace("&amp;", "&")).content.decode()
    assert "The model broke down." in last
    assert "data-refresh-url" not in last
    assert last.count("Not made") == 3


def test_the_sheet_is_stopped_and_made_to_the_end(
    client_of: Callable[[User], Client], bob: User, known: Character, sheet_of: Callable[..., CharacterSheet]
) -> None:
    sheet = sheet_of(known, made=False)
    client = client_of(bob)
    client.post(url("sheet_job", known, sheet.pk, "cancel"))
    assert sheet.batches.get().job.state == Job.CANCELLED
    assert "Make the rest" in page(client, known)
    client.post(url("sheet_job", known, sheet.pk, "retry"))
    assert sheet.batches.get().job.state == Job.WAITING
    assert client.post(url("sheet_job", known, sheet.pk, "explode")).status_code == 404


def test_a_page_costs_the_same_however_large_the_sheet(
    client_of: Callable[[User], Client],
    leo: User,
    known: Character,
    sheet_of: Callable[..., CharacterSheet],
) -> None:
    counts = []
    client = client_of(leo)
    one = {"expression": ("neutral",), "pose": ("front view",)}
    for axes in (one, {"expression": ("happy", "sad"), "pose": sheets.ANGLES}):
        sheet = sheet_of(known, axes=axes)
        with CaptureQueriesContext(
            connection,
        ) as seen:
            client.get(sheet.get_absolute_url())
        counts.append(len(seen))
    assert counts[1] - counts[0] <= 1


# ---------------------------------------------------------------------------------------------------- as a picture
def test_the_sheet_is_one_png_with_its_provenance(
    client_of: Callable[[User], Client], leo: User, known: Character, sheet_of: Callable[..., CharacterSheet]
) -> None:
    sheet = sheet_of(known)
    takes = takes_of(sheet)
    decide(client_of(leo), "approve", sheet, takes[0])
    decide(client_of(leo), "reject", sheet, takes[1])
    response = client_of(leo).get(url("sheet_picture", known, sheet.pk))
    assert response["Content-Type"] == "image/png"
    with Image.open(io.BytesIO(response.content)) as image:
        told = json.loads(image.text["persona"])  # type: ignore[attr-defined]
        assert image.width > image.height / 2
    assert told["character_sheet"] == str(sheet.pk)
    assert [(c["angle"], c["expression"], c["variation"], c["approved"]) for c in told["cells"]] == [
        ("front view", "neutral", str(takes[0].variation_id), True),
        ("front view", "happy", None, False),
        ("profile view", "neutral", str(takes[2].variation_id), False),
        ("profile view", "happy", str(takes[3].variation_id), False),
    ]


# --------------------------------------------------------------------------------------------------- from words alone
DESCRIPTION = "Mara is an old woman with long grey hair and green eyes, wearing round glasses. She keeps the light."


def test_a_description_says_noun_age_and_traits() -> None:
    words = sheets.words_of(DESCRIPTION)
    assert (words.noun, words.age) == ("woman", "old")
    assert words.traits == ("long grey hair", "green eyes", "round glasses")
    assert sheets.words_of("A boy, aged 12, with freckles").age == "12"
    assert sheets.words_of("Somebody with a scar").noun == "person"
    assert sheets.words_of("") == sheets.Words(noun="person", age="", traits=())


def test_faces_are_cast_from_the_description(client_of: Callable[[User], Client], bob: User, mara: Character) -> None:
    actions.change_character(character=mara, actor=bob, description=DESCRIPTION, noun="person", age="", traits="")
    client = client_of(bob)
    text = page(client, mara)
    assert "Nobody knows this face yet" in text
    assert 'value="long grey hair, green eyes, round glasses"' in text
    order = {"noun": "woman", "age": "old", "traits": "long grey hair", "count": "3"}
    response = client.post(url("faces", mara, mara.pk), order)
    assert response["Location"] == url("sheets", mara, mara.pk)
    mara.refresh_from_db()
    assert (mara.noun, mara.age, mara.traits) == ("woman", "old", "long grey hair")
    batch = VariationBatch.objects.get(is_casting=True)
    assert len({entry["seed"] for entry in batch.plan}) == 3
    assert all(entry["prompt"].startswith("portrait of an old woman, long grey hair") for entry in batch.plan)
    assert batch.settings["image_prompt_strength"] == 0
    assert "words alone" in batch.tier_reason
    assert Event.objects.get(kind="face.ordered").payload["count"] == 3
    response = client.post(url("faces", mara, mara.pk), {"count": "99"})
    assert response.status_code == 422


def test_the_chosen_face_is_the_first_reference_and_conditions_the_sheet(
    client_of: Callable[[User], Client], leo: User, bob: User, mara: Character
) -> None:
    batch = actions.order_faces(character=mara, actor=bob, count=3)
    made = make_takes(batch, bob)
    client = client_of(bob)
    assert page(client, mara).count('data-key-label="Choose this face"') == 3
    client.post(url("face_choose", mara, made[1].pk))
    reference = Reference.objects.get()
    assert (reference.origin, reference.made_from, reference.verdict) == ("cast", made[1], "pass")
    profile = IdentityProfile.objects.get()
    assert profile.learnt_from == [str(reference.pk)]
    mara.refresh_from_db()
    assert (mara.reference_count, mara.generated_count, mara.picture_id) == (1, 1, made[1].asset_id)
    assert Event.objects.get(kind="face.chosen").actor == bob
    assert "Generate sheet" in page(client, mara)
    # The approved pictures of the sheet teach nothing about who it is: that stays the chosen face.
    sheet = actions.order_sheet(character=mara, settings=Settings(axes=AXES), actor=bob)
    make_takes(sheet.batches.get(), bob)
    decide(client_of(leo), "approve", sheet, *takes_of(sheet))
    after = IdentityProfile.objects.get()
    assert after.learnt_from == [str(reference.pk)]
    assert after.centroid == profile.centroid
    assert scoring.truth_of(mara, scoring.route_of(mara)).references == [str(reference.pk)]
    mara.refresh_from_db()
    assert (mara.reference_count, mara.references_missing) == (5, 0)
    # Another face would be another person.
    refused = client.post(url("face_choose", mara, made[0].pk), follow=True).content.decode()
    assert "has references, which say who this is" in refused
    assert Reference.objects.filter(origin="cast").count() == 1


def test_a_generated_picture_may_be_as_soft_as_its_model_draws(bob: User, mara: Character) -> None:
    batch = actions.order_faces(character=mara, actor=bob, count=1)
    (made,) = make_takes(batch, bob)
    Reading.objects.filter(asset=made.asset).update(seen=as_json(looked(9, sharpness=3.0)))
    reference = actions.choose_face(variation=made, actor=bob)
    assert reference.verdict == "warn"
    assert [c["word"] for c in reference.checks if c["verdict"] != "pass"] == ["Soft"]


def test_another_face_is_cast_when_the_first_is_taken_back(
    client_of: Callable[[User], Client], bob: User, mara: Character
) -> None:
    batch = actions.order_faces(character=mara, actor=bob, count=2)
    first, second = make_takes(batch, bob)
    client = client_of(bob)
    response = client.post(url("face_choose", mara, first.pk), follow=True)
    undo = url("reference_trash", mara, mara.pk, Reference.objects.get().pk)
    assert undo in response.content.decode()
    make_takes(actions.order_sheet(character=mara, settings=Settings(axes=AXES), actor=bob).batches.get(), bob)
    client.post(undo)
    text = page(client, mara)
    assert text.count('data-key-label="Choose this face"') == 2
    assert "Character sheet" in text
    assert not IdentityProfile.objects.filter(character=mara).exists()
    client.post(url("face_choose", mara, second.pk))
    assert IdentityProfile.objects.get().learnt_from == [str(Reference.objects.get(made_from=second).pk)]


def test_a_face_that_cannot_be_learnt_is_not_chosen(
    client_of: Callable[[User], Client], bob: User, vera: User, charlie: User, mara: Character
) -> None:
    batch = actions.order_faces(character=mara, actor=bob, count=1)
    (made,) = make_takes(batch, bob)
    Reading.objects.filter(asset=made.asset).update(seen=as_json(looked(9, faces=())))
    assert client_of(vera).post(url("face_choose", mara, made.pk)).status_code == 403
    assert client_of(charlie).post(url("face_choose", mara, made.pk)).status_code == 404
    text = client_of(bob).post(url("face_choose", mara, made.pk), follow=True).content.decode()
    assert "This face cannot be chosen. This image has no face we can use." in text
    assert not Reference.objects.exists()
    assert not IdentityProfile.objects.filter(character=mara).exclude(centroid=[]).exists()


def test_uploaded_references_take_the_place_of_a_cast_face(
    bob: User, mara: Character, add: Callable[..., list[Reference]]
) -> None:
    batch = actions.order_faces(character=mara, actor=bob, count=1)
    actions.choose_face(variation=make_takes(batch, bob)[0], actor=bob)
    # Somebody else than was cast: people say who is meant, so it is no outlier.
    rows = add(mara, 3, first=60, faces=(face(60, identity=9),))
    assert {r.verdict for r in rows} <= {"pass", "warn"}
    assert set(IdentityProfile.objects.get(character=mara).learnt_from) == {str(r.pk) for r in rows}
    with pytest.raises(ValidationError):
        actions.order_faces(character=mara, actor=bob)


def test_the_page_says_what_hinders(
    client_of: Callable[[User], Client], bob: User, vera: User, mara: Character, stored: Callable[..., Any], see: Any
) -> None:
    (reference,) = actions.add_references(character=mara, assets=[stored(mara)], actor=bob)
    text = page(client_of(bob), mara)
    assert "The references are being looked at" in text
    watch = re.search(r'data-refresh-url="([^"]*watch=1)"', text)
    assert watch
    client = client_of(bob)
    assert "being looked at" in client.get(watch[1], headers={"HX-Request": "true"}).content.decode()
    see(reference, looked(0, faces=()))
    assert client.get(watch[1], headers={"HX-Request": "true"})["HX-Refresh"] == "true"
    assert "No reference shows a face that can be learnt" in page(client, mara)
    assert 'id="casting"' not in page(client_of(vera), mara)


# -------------------------------------------------------------------------------------------------- labels, erasing
def test_generated_is_said_wherever_they_are_shown(
    client_of: Callable[[User], Client], leo: User, known: Character, sheet_of: Callable[..., CharacterSheet]
) -> None:
    sheet = sheet_of(known)
    decide(client_of(leo), "approve", sheet, *takes_of(sheet)[:2])
    client = client_of(leo)
    references = client.get(url("references", known, known.pk)).content.decode()
    assert references.count("<span>Generated</span>") == 2
    assert "5 usable, 2 generated" in references
    assert "5 references, 2 generated" in client.get(url("gallery", known)).content.decode()
    assert "5 of 5 references, 2 generated" in client.get(known.get_absolute_url()).content.decode()
    made = Reference.objects.generated()
    compared = client.get(url("compare", known), {"selected": [str(r.pk) for r in made]}).content.decode()
    assert compared.count("Reference, generated") >= 2


@pytest.fixture
def from_her(known: Character, sheet_of: Callable[..., CharacterSheet], leo: User) -> CharacterSheet:
    """A sheet whose pictures were conditioned on Mara's references, two of them approved."""
    sheet = sheet_of(known)
    ids = IdentityProfile.objects.get(character=known).learnt_from
    for take in takes_of(sheet):
        take.variation.provenance |= {"image_prompt": {"strength": 0.8, "references": ids}}
        take.variation.save()
    actions.approve_takes(sheet=sheet, takes=takes_of(sheet)[:2], actor=leo)
    return sheet


def test_erasing_a_reference_lists_the_generated_ones_made_from_it(
    client_of: Callable[[User], Client], alice: User, leo: User, known: Character, from_her: CharacterSheet
) -> None:
    real = known.references.filter(origin="uploaded").first()
    assert real is not None
    client = client_of(alice)
    where = url("reference_erase", known, known.pk, real.pk)
    text = client.get(where).content.decode()
    assert "2 generated references" in text
    assert "2 generated pictures" in text
    too = url("reference_erase_generated", known, known.pk, real.pk)
    assert too in text
    assert client_of(leo).post(too).status_code == 403
    response = client.post(too)
    assert response["Location"] == where
    known.refresh_from_db()
    assert (known.reference_count, known.generated_count) == (3, 0)
    assert all(r.asset.erased_at for r in Reference.objects.generated())
    client.get(where)  # which says what was done
    assert "generated references" not in client.get(where).content.decode()
    assert "Erased for good" in page(client, known)
    assert client.get(url("sheet_picture", known, from_her.pk)).status_code == 200


def test_a_reference_that_made_nothing_lists_nothing(
    client_of: Callable[[User], Client],
    alice: User,
    known: Character,
    from_her: CharacterSheet,
    add: Callable[..., list[Reference]],
) -> None:
    (later,) = add(known, 1, first=30)
    text = client_of(alice).get(url("reference_erase", known, known.pk, later.pk)).content.decode()
    assert "generated reference" not in text
