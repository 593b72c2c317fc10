"""What is measured of a picture, and measuring it again, through the answers of the worker."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse

from characters import actions
from characters.jobs import GENERATE_VARIATIONS, MEASURE_VARIATIONS
from characters.models import Character, Measurement, Reference, Variation, VariationBatch
from collaboration.models import Event, User
from gpu_worker import catalog
from gpu_worker.contracts import Looked, Output
from gpu_worker.models import Job, JobOutput, Reading
from gpu_worker.packs import FigureEncoder, Pack
from tests.characters.conftest import QUANTILES, as_json, embedding, face, looked

Add = Callable[..., list[Reference]]
BatchOf = Callable[..., VariationBatch]


def where(what: str, character: Character) -> str:
    return reverse(f"characters:{what}", args=[character.project.slug, character.pk])


def page_of(variation: Variation) -> str:
    return reverse("characters:variation", args=[variation.character.project.slug, variation.pk])


def answer(job: Job, *seen: Looked | None, then: str = Job.DONE) -> None:
    """Give the answers of the worker to a measuring job: what it saw in each picture, None where nothing came."""
    for index, one in enumerate(seen):
        if one is None:
            continue
        with transaction.atomic():
            output = Output(index=index, kind="look", data=as_json(one))
            JobOutput.objects.create(job=job, index=index, kind="look", token=0)
            MEASURE_VARIATIONS.accept(job, output, None)
    Job.objects.filter(pk=job.pk).update(state=then)
    job.refresh_from_db()
    with transaction.atomic():
        (MEASURE_VARIATIONS.finished if then == Job.DONE else MEASURE_VARIATIONS.failed)(job)


@pytest.fixture
def measured(bob: User, add: Add, mara: Character, batch_of: BatchOf) -> Callable[..., Variation]:
    """`measured(looked(...))`: a picture of Mara, who has four references, in which that was seen."""

    def measure(seen: Looked, references: int = 4, **order: Any) -> Variation:
        if references:
            add(mara, references)
        variation = batch_of(mara, count=1, **order).variations.get()
        jobs, _ = actions.order_measurement(character=mara, variations=[variation], actor=bob)
        answer(jobs[0], seen)
        variation.refresh_from_db()
        return variation

    return measure


# -------------------------------------------------------------------------------------------------- one picture
def test_without_held_out_references_the_nearest_is_left_out(
    measured: Callable[..., Variation], sign_in: Callable[..., Client], vera: User
) -> None:
    variation = measured(looked(500, faces=(face(1, amount=0.3),)))  # the face of the second reference
    against = variation.measured_against
    assert against["method"] == "leave_one_out"
    assert (against["references"], len(against["reference_ids"])) == (3, 4)
    second = variation.character.references.order_by("added_at", "id")[1]
    assert against["left_out"] == str(second.pk)
    assert variation.cosine is not None
    assert variation.cosine < 0.97  # that of the face to itself is not in it
    page = sign_in(vera).get(page_of(variation)).content.decode()
    assert "3 references; the nearest of 4 left out, as none are held out yet" in page
    assert "1 in 10,000" in page


def test_held_out_references_are_all_compared_with(measured: Callable[..., Variation]) -> None:
    variation = measured(looked(500), references=10)
    against = variation.measured_against
    assert (against["method"], against["held_out"], against["references"]) == ("held_out", True, 2)


def test_a_picture_that_is_a_reference_itself_is_left_out(
    bob: User, mara: Character, add: Add, batch_of: BatchOf
) -> None:
    add(mara, 3)
    variation = batch_of(mara, count=1).variations.get()
    (own,) = actions.add_references(character=mara, assets=[variation.asset], actor=bob)
    with transaction.atomic():
        actions.accept_reading(reference_id=own.pk, seen=as_json(looked(77)))
    jobs, _ = actions.order_measurement(character=mara, variations=[variation], actor=bob)
    answer(jobs[0], looked(77))
    variation.refresh_from_db()
    assert str(own.pk) not in variation.measured_against["reference_ids"]
    assert len(variation.measured_against["reference_ids"]) == 3
    assert variation.findings["copy"]["is_copy"] is False


def test_of_several_faces_the_right_one_is_measured_and_the_others_are_reported(
    measured: Callable[..., Variation], sign_in: Callable[..., Client], vera: User
) -> None:
    stranger, mara, child = face(50, identity=7), face(51, side=100.0), face(52, identity=8, side=60.0)
    variation = measured(
        looked(500, faces=(stranger, dataclasses.replace(mara, box=(200.0, 60.0, 300.0, 160.0)), child))
    )
    assert variation.score is not None
    assert variation.score > 85
    assert variation.findings["box"] == [200.0, 60.0, 300.0, 160.0]
    assert [o["is_like"] for o in variation.findings["others"]] == [False, False]
    page = sign_in(vera).get(page_of(variation)).content.decode()
    assert "2 faces nobody was asked for" in page
    batch = sign_in(vera).get(where("variations", variation.character)).content.decode()
    assert "2 more faces" in batch


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ((), "no face found"),
        ((face(1, yaw=60.0),), "profile view"),
        ((face(1, side=12.0),), "face too small"),
        ((dataclasses.replace(face(1), confidence=0.51),), "face partly covered"),
    ],
)
def test_what_cannot_be_measured_is_not_verified_and_has_a_reason(
    measured: Callable[..., Variation],
    sign_in: Callable[..., Client],
    vera: User,
    found: tuple[Any, ...],
    reason: str,
) -> None:
    variation = measured(looked(500, faces=found))
    assert (variation.score, variation.no_score_reason) == (None, reason)
    told = sign_in(vera).get(f"/api/v1/variations/{variation.pk}").json()
    assert (told["score"], told["verified"], told["no_score_reason"]) == (None, None, reason)
    assert reason in sign_in(vera).get(page_of(variation)).content.decode()


def test_verified_means_that_no_review_is_needed(
    measured: Callable[..., Variation], sign_in: Callable[..., Client], vera: User
) -> None:
    same = measured(looked(500))
    other = measured(looked(501, faces=(face(1, identity=5),)), references=0)
    answers = [sign_in(vera).get(f"/api/v1/variations/{v.pk}").json() for v in (same, other)]
    assert [a["verified"] for a in answers] == [True, False]
    assert answers[0]["measured_against"]["false_match_rate"] <= 1e-3


# ------------------------------------------------------------------------------------------------ beside the face
RED, GREEN = (("#aa1e28", 1.0),), (("#1e8a3c", 1.0),)


def dressed(n: int, colours: Any, **changes: Any) -> Looked:
    return looked(n, faces=(dataclasses.replace(face(n), outfit=colours),), **changes)


@pytest.mark.parametrize(("colours", "least", "most"), [(RED, 99, 100), (GREEN, 0, 20)])
def test_the_outfit_is_a_number_of_its_own(
    mara: Character, add: Add, batch_of: BatchOf, bob: User, colours: Any, least: float, most: float
) -> None:
    add(mara, 3, faces=(dataclasses.replace(face(1), outfit=RED),))
    variation = batch_of(mara, count=1).variations.get()
    jobs, _ = actions.order_measurement(character=mara, variations=[variation], actor=bob)
    answer(jobs[0], dressed(500, colours))
    variation.refresh_from_db()
    assert least <= variation.findings["outfit"]["agreement"] <= most
    assert variation.score is not None
    assert variation.score > 85  # the coat is not blended into the face


def test_what_shows_no_outfit_says_so(
    measured: Callable[..., Variation], sign_in: Callable[..., Client], vera: User
) -> None:
    variation = measured(looked(500))
    assert variation.findings["outfit"]["reason"] == "too little of the figure shows"
    assert variation.findings["figure"]["reason"] == "paper has no calibrated figure encoder"
    page = sign_in(vera).get(page_of(variation)).content.decode()
    assert "Not measured: too little of the figure shows" in page
    assert "Not measured: paper has no calibrated figure encoder" in page


def test_the_whole_figure_is_a_number_of_its_own(
    mara: Character, add: Add, batch_of: BatchOf, bob: User, pack: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = dataclasses.replace(
        pack,
        figure=FigureEncoder(file="figure/figure.onnx", size=128, embedding_size=2),
        calibration={**pack.calibration, "figure": {"impostor_quantiles": QUANTILES}},
    )
    monkeypatch.setattr(catalog, "installed", lambda: {whole.name: whole})
    add(mara, 3, figure=(1.0, 0.0))
    variation = batch_of(mara, count=1).variations.get()
    jobs, _ = actions.order_measurement(character=mara, variations=[variation], actor=bob)
    answer(jobs[0], looked(500, figure=(0.8, 0.6)))
    variation.refresh_from_db()
    figure = variation.findings["figure"]
    assert figure["cosine"] == 0.8
    assert figure["score"] > 85
    assert figure["false_match_rate"] <= 1e-3
    assert variation.cosine != 0.8


# ------------------------------------------------------------------------------------------------------ copy-paste
def test_a_pasted_reference_is_marked_and_shown_beside_the_picture(
    measured: Callable[..., Variation], sign_in: Callable[..., Client], vera: User
) -> None:
    pasted = looked(2, perceptual_hash="0f" * 8)  # the face of the third reference in another picture
    variation = measured(dataclasses.replace(pasted, faces=(face(2, amount=0.3),)))
    third = variation.character.references.order_by("added_at", "id")[2]
    copy = variation.findings["copy"]
    assert (copy["is_copy"], copy["reference"]) == (True, str(third.pk))
    assert copy["likeness"] > 0.9
    page = sign_in(vera).get(page_of(variation)).content.decode()
    assert "Very like one reference" in page
    assert third.asset.url(160) in page
    assert "Like a reference" in sign_in(vera).get(where("variations", variation.character)).content.decode()


def test_the_same_whole_picture_is_a_copy_whatever_its_face(measured: Callable[..., Variation]) -> None:
    variation = measured(dataclasses.replace(looked(1), faces=()))
    assert variation.findings["copy"]["is_copy"] is True
    assert variation.findings["copy"]["bits"] == 0


def test_another_picture_of_the_person_is_no_copy(measured: Callable[..., Variation]) -> None:
    copy = measured(looked(500)).findings["copy"]
    assert copy["is_copy"] is False
    assert copy["likeness"] < 0.3


def test_the_face_of_a_reference_held_another_way_is_no_copy(measured: Callable[..., Variation]) -> None:
    turned = dataclasses.replace(
        face(2, amount=0.3), keypoints=((120.0, 140.0), (180.0, 140.0), (185.0, 180.0), (130.0, 210.0), (175.0, 210.0))
    )
    assert measured(looked(500, faces=(turned,))).findings["copy"]["is_copy"] is False


# -------------------------------------------------------------------------------------------------- measuring again
@pytest.fixture
def made(mara: Character, add: Add, batch_of: BatchOf, bob: User) -> list[Variation]:
    """Three pictures of Mara, who has four references, measured once."""
    add(mara, 4)
    batch = batch_of(mara, count=3)
    rows = list(batch.variations.order_by("index"))
    jobs, count = actions.order_measurement(character=mara, variations=rows, actor=bob)
    assert (len(jobs), count) == (1, 3)
    answer(jobs[0], *(looked(500 + k) for k in range(3)))
    for row in rows:
        row.refresh_from_db()
    return rows


def test_selected_pictures_are_measured_again_and_the_old_measurements_stay(
    made: list[Variation], mara: Character, sign_in: Callable[..., Client], bob: User, vera: User
) -> None:
    first, second, third = made
    before = (first.score, first.measured_at)
    client = sign_in(bob, htmx=True)
    form = {"selected": [first.pk, second.pk], "batch": first.batch_id}
    response = client.post(where("measure", mara), form)
    assert "Measuring 2 pictures again." in response["HX-Trigger"]
    assert "Waiting to measure" in response.content.decode()
    job = Job.objects.open().get(kind="variation.measure")
    assert (job.units, job.arguments["variations"]) == (2, [str(first.pk), str(second.pk)])

    # Ordered twice they are measured once.
    client.post(where("measure", mara), {"selected": [first.pk]})
    assert Job.objects.open().filter(kind="variation.measure").count() == 1

    answer(job, looked(500, faces=(face(500, identity=6),)), looked(501))
    first.refresh_from_db()
    assert first.score is not None
    assert first.score < 70
    assert (third.measurements.count(), first.measurements.count()) == (1, 2)
    newest, oldest = first.measurements.all()
    assert (newest.score, newest.asked_by) == (first.score, bob)
    assert (oldest.score, oldest.measured_at) == before
    told = sign_in(vera).get(f"/api/v1/variations/{first.pk}/measurements").json()["items"]
    assert [m["verified"] for m in told] == [False, True]
    assert {m["measured_against"]["pack_version"] for m in told} == {"1.0"}
    page = sign_in(vera).get(page_of(first)).content.decode()
    assert "asked by Bob" in page
    assert page.count('class="earlier"') == 1
    kinds = list(Event.objects.filter(kind__startswith="measurement").order_by("seq").values_list("kind", flat=True))
    assert kinds == ["measurement.ordered", "measurement.finished"] * 2
    assert Reading.objects.get(asset=first.asset).seen["faces"][0]["embeddings"]["scoring"][0] == pytest.approx(
        embedding(6, 500)[0]
    )


def test_while_it_goes_on_the_measured_places_come_one_by_one(
    made: list[Variation], mara: Character, sign_in: Callable[..., Client], bob: User
) -> None:
    client = sign_in(bob, htmx=True)
    response = client.post(where("measure", mara), {"selected": [v.pk for v in made], "batch": made[0].batch_id})
    refresh = response.content.decode().partition('data-refresh-url="')[2].partition('"')[0].replace("&amp;", "&")
    job = Job.objects.open().get(kind="variation.measure")
    Job.objects.filter(pk=job.pk).update(state=Job.RUNNING, step=1)
    with transaction.atomic():
        MEASURE_VARIATIONS.accept(job, Output(index=0, kind="look", data=as_json(looked(500, faces=()))), None)
    news = client.get(refresh).content.decode()
    assert "1 of 3" in news
    assert "no face found" in news
    assert news.count('hx-swap-oob="innerHTML"') == 1
    answer(job, looked(500), looked(501), looked(502))
    done = client.get(refresh).content.decode()
    assert "data-refresh-url" not in done
    assert done.count('hx-swap-oob="innerHTML"') == 3


def test_a_page_that_shows_one_picture_is_loaded_anew_when_it_was_measured(
    made: list[Variation], mara: Character, sign_in: Callable[..., Client], bob: User
) -> None:
    client = sign_in(bob, htmx=True)
    response = client.post(where("measure", mara), {"selected": made[0].pk, "variation": made[0].pk})
    refresh = response.content.decode().partition('data-refresh-url="')[2].partition('"')[0].replace("&amp;", "&")
    assert "HX-Refresh" not in client.get(refresh)
    answer(Job.objects.open().get(kind="variation.measure"), looked(500))
    assert client.get(refresh)["HX-Refresh"] == "true"


def test_without_javascript_a_page_asks_first(
    made: list[Variation], mara: Character, sign_in: Callable[..., Client], bob: User
) -> None:
    client = sign_in(bob)
    page = client.get(where("measure", mara), {"selected": [str(made[0].pk), str(made[1].pk)]}).content.decode()
    assert "Measure 2 pictures again" in page
    assert f'value="{made[1].pk}"' in page
    response = client.post(where("measure", mara), {"selected": [made[0].pk]}, follow=True)
    assert "Measuring 1 picture again." in response.content.decode()
    assert "Select at least one picture first." in client.post(where("measure", mara), follow=True).content.decode()


def test_stopped_measuring_keeps_what_was_measured(
    made: list[Variation], mara: Character, sign_in: Callable[..., Client], bob: User
) -> None:
    client = sign_in(bob)
    client.post(where("measure", mara), {"selected": [v.pk for v in made]})
    client.post(where("measuring_stop", mara))
    assert Job.objects.filter(kind="variation.measure", state=Job.CANCELLED).count() == 1
    assert [v.measurements.count() for v in made] == [1, 1, 1]
    assert Event.objects.filter(kind="measurement.cancelled").count() == 1


def test_a_failed_measuring_says_why_and_can_be_tried_again(
    made: list[Variation], mara: Character, sign_in: Callable[..., Client], bob: User
) -> None:
    jobs, _ = actions.order_measurement(character=mara, variations=made[:2], actor=bob)
    Job.objects.filter(pk=jobs[0].pk).update(error="The pack mini is damaged.", ended_at=jobs[0].created_at)
    answer(jobs[0], looked(500), None, then=Job.FAILED)
    client = sign_in(bob)
    page = client.get(where("variations", mara)).content.decode()
    assert "The pack mini is damaged." in page
    assert page.count('name="selected" value="' + str(made[0].pk)) == 2  # the checkbox, and what is tried again


def test_who_may_not_generate_may_not_measure_and_a_stranger_finds_nothing(
    made: list[Variation], mara: Character, sign_in: Callable[..., Client], vera: User, charlie: User
) -> None:
    form = {"selected": made[0].pk}
    assert sign_in(vera).post(where("measure", mara), form).status_code == 403
    assert sign_in(vera).post(where("measuring_stop", mara)).status_code == 403
    assert sign_in(charlie).post(where("measure", mara), form).status_code == 404
    assert sign_in(charlie).get(where("measuring", mara)).status_code == 404
    assert sign_in(vera).put(where("measure", mara)).status_code == 405
    page = sign_in(vera).get(where("variations", mara)).content.decode()
    assert "Measure again" not in page


# ------------------------------------------------------------------------------------------- outdated measurements
def test_changed_references_offer_to_measure_again_in_one_act(
    made: list[Variation], mara: Character, add: Add, sign_in: Callable[..., Client], bob: User
) -> None:
    client = sign_in(bob)
    assert "older references" not in client.get(where("variations", mara)).content.decode()
    add(mara, 1, first=30)
    page = client.get(where("variations", mara)).content.decode()
    assert "3 pictures were measured against older references." in page
    assert "Measure 3 again" in page
    assert page.count("score excellent stale") == 3
    client.post(where("measure", mara), {"outdated": "1"})
    job = Job.objects.open().get(kind="variation.measure")
    assert set(job.arguments["variations"]) == {str(v.pk) for v in made}
    answer(job, *(looked(500 + k) for k in range(3)))
    assert "older references" not in client.get(where("variations", mara)).content.decode()


def test_a_picture_without_a_face_is_not_outdated_by_references(
    made: list[Variation], mara: Character, add: Add, bob: User
) -> None:
    from characters import queries

    jobs, _ = actions.order_measurement(character=mara, variations=made[:1], actor=bob)
    answer(jobs[0], looked(500, faces=()))
    add(mara, 1, first=30)
    assert queries.outdated(mara).by_references == {made[1].pk, made[2].pk}


def test_another_version_of_the_model_looks_at_references_first_and_measures_all_again(
    made: list[Variation],
    mara: Character,
    sign_in: Callable[..., Client],
    bob: User,
    pack: Pack,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    newer = dataclasses.replace(pack, version="2.0")
    monkeypatch.setattr(catalog, "installed", lambda: {newer.name: newer})
    client = sign_in(bob)
    page = client.get(where("variations", mara)).content.decode()
    assert "3 pictures were measured by another model than the one that measures now." in page
    response = client.post(
        f"/api/v1/characters/{mara.pk}/measurements", {"outdated": True}, content_type="application/json"
    )
    assert (response.status_code, response.json()["count"]) == (201, 3)
    job = Job.objects.open().get(kind="variation.measure")
    assert len(job.arguments["references"]) == 4
    answer(job, *(looked(k) for k in range(4)), *(looked(500 + k) for k in range(3)))
    told = client.get(f"/api/v1/variations/{made[0].pk}/measurements").json()["items"]
    assert [m["measured_against"]["pack_version"] for m in told] == ["2.0", "1.0"]
    assert all(m["verified"] for m in told)
    answer_now = client.get(f"/api/v1/characters/{mara.pk}/measurements/outdated").json()
    assert answer_now == {"by_references": [], "by_model": []}


def test_the_program_measures_any_selection_and_refuses_what_is_not_of_the_character(
    made: list[Variation], mara: Character, project: Any, sign_in: Callable[..., Client], bob: User, charlie: User
) -> None:
    address = f"/api/v1/characters/{mara.pk}/measurements"
    client = sign_in(bob)

    def post(by: Client, **body: Any) -> Any:
        return by.post(address, json.loads(json.dumps(body, default=str)), content_type="application/json")

    told = post(client, variations=[made[0].pk], batches=[made[0].batch_id])
    assert (told.status_code, told.json()["count"]) == (201, 3)
    assert [j["kind"] for j in told.json()["jobs"]] == ["variation.measure"]
    again = post(client, variations=[made[0].pk])
    assert (again.status_code, again.json()) == (201, {"count": 0, "jobs": []})
    other = actions.create_character(project=project, actor=bob, name="Ruben")
    elsewhere = f"/api/v1/characters/{other.pk}/measurements"
    body = {"variations": [str(made[0].pk)]}
    assert client.post(elsewhere, body, content_type="application/json").status_code == 404
    nothing = post(client)
    assert nothing.status_code == 422
    assert "Select at least one picture" in nothing.content.decode()
    assert post(sign_in(charlie), variations=[made[0].pk]).status_code == 404


def test_pictures_made_by_a_pack_that_does_not_measure_are_measured_by_the_one_that_does(
    mara: Character,
    add: Add,
    batch_of: BatchOf,
    pack: Pack,
    monkeypatch: pytest.MonkeyPatch,
    sign_in: Callable[..., Client],
    vera: User,
) -> None:
    add(mara, 3)
    batch = batch_of(mara, count=1)
    only_draws = dataclasses.replace(pack, name="draws", calibration={})
    monkeypatch.setattr(catalog, "installed", lambda: {pack.name: pack, "draws": only_draws})
    VariationBatch.objects.filter(pk=batch.pk).update(pack="draws")
    with transaction.atomic():
        GENERATE_VARIATIONS.finished(batch.job)
    job = Job.objects.open().get(kind="variation.measure")
    assert job.arguments["pack"] == "paper"
    progress = reverse("characters:batch_progress", args=[mara.project.slug, batch.pk])
    news = sign_in(vera, htmx=True).get(progress).content.decode()
    assert 'id="measuring" hx-swap-oob="outerHTML"' in news
    assert "Waiting to measure" in news
    answer(job, looked(500))
    assert Measurement.objects.filter(variation__batch=batch).latest("measured_at").score is not None
