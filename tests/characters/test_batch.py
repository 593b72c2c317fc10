from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from characters import actions, fragments, queries
from characters.models import Character, Reference, Variation, VariationBatch
from collaboration.models import Event, User
from collaboration.verbs import Verb
from gpu_worker.kinds import kind_of
from gpu_worker.models import Job, JobOutput, Worker
from tests.characters.conftest import make_variation

ALL = frozenset(Verb)


def url(name: str, character: Character, id: object, query: str = "") -> str:
    return reverse(f"characters:{name}", args=[character.project.slug, id]) + query


@pytest.mark.parametrize("name", ["batch_cancel", "batch_retry"])
def test_who_may_stop_and_repeat(
    client_of: Callable[[User], Client],
    bob: User,
    vera: User,
    charlie: User,
    mara: Character,
    batch_of: Callable[..., VariationBatch],
    name: str,
) -> None:
    where = url(name, mara, batch_of(mara).pk)
    assert client_of(vera).post(where).status_code == 403
    assert client_of(charlie).post(where).status_code == 404
    assert client_of(bob).get(where).status_code == 405


def test_who_stops_and_who_repeats_is_told(
    client_of: Callable[[User], Client], bob: User, mara: Character, batch_of: Callable[..., VariationBatch]
) -> None:
    batch = batch_of(mara, count=3, made=1, state=Job.WAITING)
    client = client_of(bob)
    for name in ("batch_cancel", "batch_cancel", "batch_retry"):
        client.post(url(name, mara, batch.pk))
    told = Event.objects.filter(kind__in=["variation.cancelled", "variation.retried"]).order_by("seq")
    assert [(e.kind, e.actor, e.payload["batch_id"]) for e in told] == [
        ("variation.cancelled", bob, str(batch.pk)),
        ("variation.retried", bob, str(batch.pk)),
    ]
    ended = Event.objects.get(kind="variation.finished")
    assert (ended.actor, ended.summary) == (None, "stopped variations of Mara: 1 picture made")


def test_a_whole_batch_is_not_repeated(
    client_of: Callable[[User], Client], bob: User, mara: Character, batch_of: Callable[..., VariationBatch]
) -> None:
    batch = batch_of(mara, count=1, state=Job.CANCELLED)
    JobOutput.objects.create(job=batch.job, index=0, kind="picture", token=1)
    response = client_of(bob).post(url("batch_retry", mara, batch.pk), follow=True)
    assert "All pictures of this batch have been made." in response.content.decode()
    batch.job.refresh_from_db()
    assert batch.job.state == Job.CANCELLED


@pytest.mark.parametrize("have", ["²", "9" * 5000, "-1", "x,,y"])
def test_places_that_are_none_are_passed_over(
    sign_in: Callable[..., Client], vera: User, mara: Character, batch_of: Callable[..., VariationBatch], have: str
) -> None:
    batch = batch_of(mara)
    assert sign_in(vera, htmx=True).get(url("batch_progress", mara, batch.pk), {"have": have}).status_code == 200


def test_the_card_shows_the_latest_batch_whichever_ends_last(
    mara: Character, batch_of: Callable[..., VariationBatch], alice: User
) -> None:
    older = batch_of(mara, count=1, made=0, state=Job.WAITING)
    latest = batch_of(mara, count=3, made=3)
    make_variation(older, 0, alice, score=12.0)
    Job.objects.filter(pk=older.job_id).update(state=Job.DONE)
    for batch in (latest, older):
        kind_of(batch.job.kind).finished(Job.objects.get(pk=batch.job_id))
    mara.refresh_from_db()
    assert mara.score == 91.0


def test_pictures_come_one_by_one_and_each_once(
    sign_in: Callable[..., Client], vera: User, alice: User, mara: Character, batch_of: Callable[..., VariationBatch]
) -> None:
    batch = batch_of(mara, count=3, made=0, state=Job.RUNNING)
    Job.objects.filter(pk=batch.job_id).update(claimed_at=timezone.now())
    client = sign_in(vera, htmx=True)
    where = url("batch_progress", mara, batch.pk, "?have=")
    first = make_variation(batch, 1, alice)
    page = client.get(where).content.decode()
    assert "1 of 3" in page
    assert f'id="place-{batch.pk}-1" hx-swap-oob="innerHTML"' in page
    again = re.search(r'data-refresh-url="([^"]*)"', page)
    assert again
    assert again[1].endswith("?have=1")
    assert str(first.pk) not in client.get(again[1]).content.decode()
    make_variation(batch, 0, alice)
    make_variation(batch, 2, alice)
    Job.objects.filter(pk=batch.job_id).update(state=Job.DONE, busy_seconds=12)
    last = client.get(again[1]).content.decode()
    assert "data-refresh-url" not in last
    assert "3 pictures in 12 s" in last
    assert re.findall(r'id="place-[0-9a-f-]*-(\d)" hx-swap-oob', last) == ["0", "2"]


def test_places_that_stay_empty_change_when_it_fails(
    sign_in: Callable[..., Client], bob: User, mara: Character, batch_of: Callable[..., VariationBatch]
) -> None:
    batch = batch_of(mara, count=3, made=1, state=Job.FAILED)
    Job.objects.filter(pk=batch.job_id).update(error="The model broke down. Lower the guidance.")
    page = sign_in(bob, htmx=True).get(url("batch_progress", mara, batch.pk, "?have=0")).content.decode()
    assert "The model broke down. Lower the guidance." in page
    assert "Failed after 1 of 3" in page
    assert page.count("Not made") == 2
    assert "Try again" in page


def test_position_and_start_come_from_the_queue(mara: Character, batch_of: Callable[..., VariationBatch]) -> None:
    first = batch_of(mara, made=0, state=Job.WAITING)
    second = batch_of(mara, made=0, state=Job.WAITING)
    Job.objects.filter(pk=first.job_id).update(created_at=timezone.now() - timedelta(minutes=1))
    assert "no worker takes this kind of work" in fragments.batch_progress(second, {}, ALL)["sentence"]
    Worker.objects.create(host="here", pid=1, lane="gpu", queues=list(Job.GPU_QUEUES))
    assert fragments.batch_progress(first, {}, ALL)["sentence"].startswith("Next in the queue")
    assert fragments.batch_progress(second, {}, ALL)["sentence"].startswith("Position 2 in the queue, starts in about")


def test_stopping_and_making_the_rest(
    sign_in: Callable[..., Client], bob: User, mara: Character, batch_of: Callable[..., VariationBatch]
) -> None:
    batch = batch_of(mara, count=2, made=1, state=Job.WAITING)
    client = sign_in(bob, htmx=True)
    stopped = client.post(url("batch_cancel", mara, batch.pk)).content.decode()
    assert "Stopped after 1 of 2" in stopped
    assert f'id="place-{batch.pk}-1"' in stopped
    assert "Make the rest" in stopped
    client.post(url("batch_retry", mara, batch.pk))
    batch.job.refresh_from_db()
    assert batch.job.state == Job.WAITING
    refused = client.post(url("batch_retry", mara, batch.pk))
    assert "can be tried again" in json.loads(refused["HX-Trigger"])["toast"]["text"]


def test_notices_are_shown(mara: Character, batch_of: Callable[..., VariationBatch]) -> None:
    batch = batch_of(mara)
    sentence = "The model does not know: octopus."
    batch.job.notices = [{"code": "unknown-words", "sentence": sentence, "data": {}}]
    assert [n["sentence"] for n in fragments.batch_progress(batch, {}, ALL)["notices"]] == [sentence]


# ---------------------------------------------------------------------------------------------------------- the grid
def test_two_axes_make_a_matrix_and_others_a_grid(mara: Character, batch_of: Callable[..., VariationBatch]) -> None:
    axes = {"expression": ("happy", "sad"), "outfit": ("suit", "coat", "hoodie"), "background": ("beach",)}
    both = batch_of(mara, count=1, axes=axes)
    context = fragments.batch(both, queries.variations_of(both), ALL)
    assert context["title"] == "Expression × outfit"
    assert context["matrix"]["columns"] == ["Suit", "Coat", "Hoodie"]
    assert [(r["label"], len(r["cells"])) for r in context["matrix"]["rows"]] == [("Happy", 3), ("Sad", 3)]
    cell = context["matrix"]["rows"][1]["cells"][2]
    assert cell["caption"] == "Sad, hoodie"
    one = batch_of(mara, count=3, axes={"expression": ("happy",)})
    assert fragments.batch(one, {}, ALL)["matrix"] is None
    twice = batch_of(mara, count=2, axes={"expression": ("happy", "sad"), "outfit": ("suit", "coat")})
    assert fragments.batch(twice, {}, ALL)["matrix"] is None


def test_many_values_go_down_rather_than_across(mara: Character, batch_of: Callable[..., VariationBatch]) -> None:
    batch = batch_of(mara, count=1, axes={"outfit": tuple("abcdefghij"), "expression": ("happy", "sad")}, made=0)
    matrix = fragments.batch(batch, {}, ALL)["matrix"]
    assert matrix["columns"] == ["Happy", "Sad"]
    assert len(matrix["rows"]) == 10


def test_scores_have_a_word_and_missing_ones_a_reason(
    client_of: Callable[[User], Client],
    vera: User,
    alice: User,
    mara: Character,
    batch_of: Callable[..., VariationBatch],
) -> None:
    batch = batch_of(mara, count=3, made=0)
    make_variation(batch, 0, alice, score=91.0)
    make_variation(batch, 1, alice, score=40.0)
    make_variation(batch, 2, alice, score=None, cosine=None, no_score_reason="profile view")
    where = reverse("characters:variations", args=[mara.project.slug, mara.pk])
    page = client_of(vera).get(where).content.decode()
    for words in ("of 100, excellent", "of 100, needs review", "No score:", "profile view"):
        assert words in page


def test_the_page_costs_the_same_for_two_pictures_and_for_twenty(
    client_of: Callable[[User], Client], bob: User, mara: Character, batch_of: Callable[..., VariationBatch]
) -> None:
    client = client_of(bob)
    small, large = batch_of(mara, count=2), batch_of(mara, count=20)

    def count(batch: VariationBatch) -> int:
        where = reverse("characters:variations", args=[mara.project.slug, mara.pk]) + f"?batch={batch.pk}"
        with CaptureQueriesContext(connection) as found:
            assert client.get(where).status_code == 200
        return len(found)

    count(small)
    assert count(small) == count(large)


def test_other_batches_come_in_pages_without_the_one_shown(
    sign_in: Callable[..., Client],
    bob: User,
    mara: Character,
    batch_of: Callable[..., VariationBatch],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queries, "BATCH_PAGE", 2)
    made = [batch_of(mara, count=1) for _ in range(6)]
    where: str | None = reverse("characters:variations", args=[mara.project.slug, mara.pk]) + f"?batch={made[3].pk}"
    seen: list[str] = []
    htmx = False
    while where:
        page = sign_in(bob, htmx=htmx).get(where).content.decode()
        seen += re.findall(r'class="batch-card" href="[^"]*batch=([0-9a-f-]+)"', page)
        more = re.search(r'class="more" hx-get="([^"]*)"', page)
        where, htmx = (more[1].replace("&amp;", "&") if more else None), True
    assert seen == [str(made[k].pk) for k in (5, 4, 2, 1, 0)]


# --------------------------------------------------------------------------------------------------- one picture
def test_picking_makes_it_the_characters_picture_and_undo_takes_that_back(
    sign_in: Callable[..., Client],
    bob: User,
    mara: Character,
    add: Callable[..., list[Reference]],
    batch_of: Callable[..., VariationBatch],
) -> None:
    reference = add(mara, 1)[0]
    row = batch_of(mara).variations.get(index=0)
    client = sign_in(bob, htmx=True, target=f"variation-{row.pk}")
    response = client.post(url("variation_pick", mara, row.pk))
    assert 'aria-pressed="true"' in response.content.decode()
    toast = json.loads(response["HX-Trigger"])["toast"]
    mara.refresh_from_db()
    row.refresh_from_db()
    assert mara.picture_id == row.asset_id
    assert row.picked_by == bob
    assert sign_in(bob).post(toast["undo_url"]).status_code == 302
    mara.refresh_from_db()
    assert mara.picture_id == reference.asset_id
    assert list(Event.objects.order_by("seq").values_list("kind", flat=True))[-2:] == [
        "variation.picked",
        "variation.unpicked",
    ]


def test_picking_twice_is_one_pick(mara: Character, bob: User, batch_of: Callable[..., VariationBatch]) -> None:
    row = batch_of(mara).variations.get(index=0)
    actions.pick_variation(variation=row, actor=bob)
    at = row.picked_at
    actions.pick_variation(variation=row, actor=bob)
    assert row.picked_at == at
    assert Event.objects.filter(kind="variation.picked").count() == 1


def test_a_trashed_one_keeps_its_place_and_comes_back(
    sign_in: Callable[..., Client], bob: User, mara: Character, batch_of: Callable[..., VariationBatch]
) -> None:
    batch = batch_of(mara)
    row = batch.variations.get(index=1)
    actions.pick_variation(variation=row, actor=bob)
    client = sign_in(bob, htmx=True, target=f"variation-{row.pk}")
    gone = client.post(url("variation_trash", mara, row.pk)).content.decode()
    assert "In the trash" in gone
    mara.refresh_from_db()
    assert mara.picture is None
    back = client.post(url("variation_restore", mara, row.pk)).content.decode()
    assert "In the trash" not in back
    mara.refresh_from_db()
    assert mara.picture_id == row.asset_id


@pytest.mark.parametrize("name", ["variation_pick", "variation_unpick", "variation_trash", "variation_restore"])
def test_who_may_choose(
    client_of: Callable[[User], Client],
    bob: User,
    vera: User,
    charlie: User,
    mara: Character,
    batch_of: Callable[..., VariationBatch],
    name: str,
) -> None:
    where = url(name, mara, batch_of(mara).variations.get(index=0).pk)
    assert client_of(vera).post(where).status_code == 403
    assert client_of(charlie).post(where).status_code == 404
    assert client_of(bob).get(where).status_code == 405
    assert client_of(bob).post(where).status_code == 302


def test_the_page_of_a_picture_says_all_that_is_known(
    client_of: Callable[[User], Client],
    vera: User,
    charlie: User,
    alice: User,
    mara: Character,
    add: Callable[..., list[Reference]],
    batch_of: Callable[..., VariationBatch],
) -> None:
    reference = add(mara, 1)[0]
    batch = batch_of(mara, count=2, made=0)
    make_variation(
        batch,
        0,
        alice,
        provenance={
            "prompt": "portrait of a woman",
            "negative_prompt": "blurry",
            "seed": 5,
            "steps": 10,
            "guidance": 3.0,
            "model_title": "Paper pack",
            "model_sha256": "b" * 64,
            "why_this_model": "Low, as asked.",
            "image_prompt": {"strength": 0.6, "references": [str(reference.pk)]},
            "adapter": {"version": 3, "sha256": "c" * 64, "strength": 0.7, "trigger": "sks"},
            "worker": "gpu on here",
            "made_at": "2031-02-03T04:05:06+00:00",
            "ordered_by": "Alice",
        },
    )
    where = url("variation", mara, Variation.objects.get().pk)
    page = client_of(vera).get(where).content.decode()
    for words in (
        "blurry",
        "Paper pack",
        "b" * 64,
        "Low, as asked.",
        "0.6, from 1 reference",
        "look 0.png",
        "v3 at 0.7",
        "c" * 64,
        "gpu on here",
        "03 Feb 2031, 04:05:06 UTC",
        "Alice",
        "all 3 references, as none are held out yet",
    ):
        assert words in page, words
    assert client_of(charlie).get(where).status_code == 404
    assert client_of(vera).post(where).status_code == 405
    assert 'download="Mara 1.png"' in page


@pytest.mark.parametrize(
    ("rate", "words"),
    [(0.5, "about every second"), (0.01, "about 1 in 100"), (0.00032, "about 1 in 3,000"), (1e-4, "about 1 in 10,000")],
)
def test_false_match_rates_in_words(rate: float, words: str) -> None:
    from characters.fragments.parts import one_in

    assert one_in(rate) == words
