"""Review sets: made from a selection, stepped through, decided, summed up."""

from __future__ import annotations

import csv
import io
import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from characters.actions import trash_variation
from collaboration.live.fragments import render
from collaboration.models import Event, Review, ReviewItem
from collaboration.reviews import actions
from collaboration.subjects import target
from collaboration.votes import actions as votes
from tests.api.conftest import ok, problem


def url(name, review, *more):
    return reverse(f"reviews:{name}", args=[review.project.slug, review.pk, *more])


def item(review, number):
    return review.items.get(place=number - 1)


def vote(face, person, score):
    votes.cast_vote(subject=target("variation", face.pk), actor=person, score=score)


def test_a_review_is_made_of_a_selection(client_of, bob, project, faces, mara):
    client = client_of(bob)
    batch = reverse("characters:variations", args=[project.slug, mara.pk])
    assert reverse("reviews:new", args=[project.slug]) in client.get(batch).content.decode()
    new = reverse("reviews:new", args=[project.slug])
    chosen = [str(faces[2].pk), str(faces[0].pk)]
    page = client.get(new, {"selected": chosen}).content.decode()
    assert "Review 2 images" in page
    answer = client.post(new, {"selected": chosen, "title": "Monday", "brief": "Which nose?", "is_blind": "on"})
    made = Review.objects.get()
    assert answer["Location"] == made.get_absolute_url()
    assert [i.subject_id for i in made.items.all()] == chosen
    assert (made.title, made.brief, made.is_blind, made.created_by) == ("Monday", "Which nose?", True, bob)
    client.post(new, {"selected": [str(f.pk) for f in faces], "into": str(made.pk)})
    assert made.items.count() == 3
    assert Event.objects.filter(kind__startswith="review.").count() == 2


def test_without_a_title_or_images_nothing_is_made(client_of, bob, project, faces, studio, alice):
    new = reverse("reviews:new", args=[project.slug])
    answer = client_of(bob).post(new, {"selected": [str(faces[0].pk)], "title": ""})
    assert answer.status_code == 422
    assert client_of(bob).post(new, {"selected": ["x", project.pk], "title": "A"}).status_code == 302
    assert not Review.objects.exists()


def test_stepping_through_without_javascript(client_of, rita, review, faces):
    client = client_of(rita)
    first = client.get(review.get_absolute_url()).content.decode()
    assert "1 of 3" in first
    assert 'data-key="j"' in first
    assert 'data-key="k"' not in first
    last = client.get(review.get_absolute_url(), {"at": "3"}).content.decode()
    assert "3 of 3" in last
    assert client.get(review.get_absolute_url(), {"at": "99"}).content.decode().count("3 of 3") == 1
    assert client.get(review.get_absolute_url(), {"at": "0"}).status_code == 200
    cast = reverse("votes:vote", args=[review.project.slug, "variation", faces[2].pk])
    back = f"{review.get_absolute_url()}?at=3"
    assert client.post(cast, {"score": "4", "back": back})["Location"] == back


def test_htmx_gets_the_stage_alone(client_of, rita, review):
    headers = {"HX-Request": "true", "HX-Target": "review-stage"}
    html = client_of(rita).get(review.get_absolute_url(), {"at": "2"}, headers=headers).content.decode()
    assert html.lstrip().startswith('<div class="review-stage"')
    assert f"variation:{item(review, 2).subject_id}" in html


def test_a_lead_decides_and_goes_on(client_of, leo, review):
    answer = client_of(leo).post(url("decide", review, item(review, 1).pk), {"decision": "approved", "note": "Yes."})
    assert answer["Location"].endswith("?at=2")
    decided = item(review, 1)
    assert (decided.decision, decided.note, decided.decided_by) == ("approved", "Yes.", leo)
    assert Event.objects.get(kind="review.decided").summary == "approved Mara 1 in the review Monday: Yes."
    # Without a number the first that is open.
    assert "2 of 3" in client_of(leo).get(review.get_absolute_url()).content.decode()
    client_of(leo).post(url("decide", review, item(review, 1).pk), {"decision": "approved", "note": "Yes."})
    assert item(review, 1).decision == ""  # pressed again: taken back
    assert client_of(leo).post(url("decide", review, 9999), {"decision": "approved"}).status_code == 404


def test_who_may_not(client_of, review, rita, bob, charlie, vera, leo):
    decide = url("decide", review, item(review, 1).pk)
    assert client_of(bob).post(decide, {"decision": "approved"}).status_code == 403
    assert client_of(rita).post(url("close", review)).status_code == 403
    assert client_of(rita).get(url("edit", review)).status_code == 403
    assert client_of(leo).get(decide).status_code == 405
    for name in ("review", "summary", "summary_csv", "summary_json"):
        assert client_of(charlie).get(url(name, review)).status_code == 404
        assert client_of(vera).get(url(name, review)).status_code == 200
    new = reverse("reviews:new", args=[review.project.slug])
    assert client_of(rita).get(new).status_code == 403
    assert client_of(charlie).get(new).status_code == 404
    assert client_of(bob).post(url("close", review)).status_code == 302  # who made it


def test_an_image_of_another_project_does_not_come_in(client_of, bob, alice, studio, review, faces):
    from collaboration.actions import create_project, set_role
    from collaboration.verbs import Role

    other = create_project(studio=studio, name="Other", actor=alice)
    set_role(project=other, user=bob, role=Role.ARTIST, actor=alice)
    answer = client_of(bob).post(
        reverse("reviews:new", args=[other.slug]), {"selected": [str(faces[0].pk)], "title": "Theirs"}
    )
    assert answer.status_code == 302
    assert Review.objects.filter(project=other).count() == 0
    wrong = reverse("reviews:review", args=[other.slug, review.pk])
    assert client_of(bob).get(wrong).status_code == 404


def test_closing_ends_deciding_and_blindness(client_of, project, leo, bob, rita, review, faces):
    actions.change_review(review=review, is_blind=True, actor=bob)
    vote(faces[0], rita, 1)
    assert 'class="dot' not in client_of(leo).get(url("summary", review)).content.decode()
    assert 'class="dot' in client_of(rita).get(url("summary", review)).content.decode()
    client_of(leo).post(url("close", review))
    assert 'class="dot' in client_of(leo).get(url("summary", review)).content.decode()
    page = client_of(leo).post(url("decide", review, item(review, 1).pk), {"decision": "held"}, follow=True)
    assert "is closed" in page.content.decode()
    client_of(leo).post(url("reopen", review))
    client_of(leo).post(url("decide", review, item(review, 1).pk), {"decision": "held"})
    assert item(review, 1).decision == "held"
    kinds = set(Event.objects.filter(kind__startswith="review.").values_list("kind", flat=True))
    assert kinds == {"review.created", "review.changed", "review.closed", "review.reopened", "review.decided"}


def test_the_summary_is_taken_along(client_of, leo, rita, bob, review, faces, mara, alice):
    from characters.actions import change_character

    change_character(character=mara, name="=Mara", actor=alice)
    vote(faces[0], rita, 5)
    vote(faces[0], bob, 2)
    client_of(leo).post(url("decide", review, item(review, 1).pk), {"decision": "approved", "note": "@home"})
    rows = list(csv.DictReader(io.StringIO(client_of(leo).get(url("summary_csv", review)).content.decode())))
    assert [row["number"] for row in rows] == ["1", "2", "3"]
    assert (rows[0]["image"], rows[0]["note"]) == ("'=Mara 1", "'@home")
    assert (rows[0]["decision"], rows[0]["mean"], rows[0]["voters"]) == ("approved", "3.5", "2")
    document = json.loads(client_of(leo).get(url("summary_json", review)).content)
    assert document["review"]["title"] == "Monday"
    assert document["images"][0]["address"].startswith("http://testserver/projects/")
    assert document["images"][0]["spread"] == 1.5
    html = client_of(leo).get(url("summary", review)).content.decode()
    assert "data-print" in html
    assert html.count('class="summary-line"') == 3


def test_a_picture_in_the_trash_is_still_told_of(client_of, leo, review, faces, alice):
    trash_variation(variation=faces[0], actor=alice)
    faces[1].delete()
    html = client_of(leo).get(url("summary", review)).content.decode()
    assert "An image that is gone" in html
    assert client_of(leo).get(review.get_absolute_url(), {"at": "2"}).status_code == 200


def test_an_image_is_taken_out_and_the_review_trashed_and_restored(client_of, bob, leo, review):
    client_of(bob).post(url("remove", review, item(review, 1).pk))
    assert [i.place for i in review.items.all()] == [0, 1]
    client_of(bob).post(url("trash", review))
    assert client_of(bob).get(review.get_absolute_url()).status_code == 404
    listed = reverse("reviews:reviews", args=[review.project.slug])
    assert "Monday" not in client_of(bob).get(listed).content.decode().replace("Monday moved", "")
    assert "Monday" in client_of(bob).get(listed + "?trash=1").content.decode()
    client_of(bob).post(url("restore", review))
    assert client_of(bob).get(review.get_absolute_url()).status_code == 200


def test_everybody_in_the_review_sees_what_is_decided_and_voted(client_of, leo, rita, review, faces):
    actions.decide(item=item(review, 1), decision="rejected", image="Mara 1", actor=leo)
    vote(faces[0], rita, 4)
    page = f"review:{review.pk}"
    events = list(Event.objects.filter(kind__in=["review.decided", "vote.cast"]).order_by("seq"))
    swaps = {swap["target"]: swap["html"] for _, swap in render(events, frozenset({"see"}), [page])[page]}
    fresh = client_of(leo).get(review.get_absolute_url(), {"at": "1"}).content.decode()
    for id in (
        f"review-mark-{item(review, 1).pk}",
        f"decision-{item(review, 1).pk}",
        f"review-progress-{review.pk}",
        f"tally-variation-{faces[0].pk}",
        f"votes-mark-variation-{faces[0].pk}",
    ):
        assert swaps[id].strip(), id
        assert swaps[id].strip() in fresh, id


def test_the_pages_cost_the_same_however_many_images(client_of, leo, project, bob, mara, batch_of, review):
    client = client_of(leo)
    client.get(review.get_absolute_url())
    with CaptureQueriesContext(connection) as few:
        client.get(review.get_absolute_url())
        client.get(url("summary", review))
    more = [target("variation", v.pk) for v in batch_of(mara, count=12).variations.all()]
    actions.add_images(review=review, images=more, actor=bob)
    with CaptureQueriesContext(connection) as many:
        client.get(review.get_absolute_url())
        client.get(url("summary", review))
    assert len(many) == len(few)


def test_the_list_shows_what_waits(client_of, leo, bob, review, mara, alice):
    from collaboration.approvals import actions as approvals

    gate = approvals.create_gate(subject=target("character", mara.pk), name="Final", actor=alice)
    approvals.ask_approval(gate=gate, actor=bob)
    listed = reverse("reviews:reviews", args=[review.project.slug])
    mine = client_of(leo).get(listed).content.decode()
    assert "Waiting for your approval" in mine
    assert "0 of 3 decided" in mine
    assert "Waiting for your approval" not in client_of(bob).get(listed).content.decode()


def test_the_api(api, project, bob, leo, rita, charlie, faces):
    body = {"title": "Api", "images": [str(f.pk) for f in faces]}
    made = ok(api(bob).post(f"/projects/{project.slug}/reviews", body), 201)
    assert [row["number"] for row in made["items"]] == [1, 2, 3]
    path = f"/reviews/{made['id']}"
    problem(api(bob).request("put", f"{path}/images/1/decision", {"decision": "approved"}), 403)
    found = ok(api(leo).request("put", f"{path}/images/1/decision", {"decision": "approved", "note": "Yes"}))
    assert (found["approved"], found["items"][0]["decision"]) == (1, "approved")
    assert ok(api(leo).post(f"{path}/close"))["is_open"] is False
    problem(api(leo).request("put", f"{path}/images/2/decision", {"decision": "held"}), 422)
    assert ok(api(leo).post(f"{path}/reopen"))["is_open"] is True
    assert ok(api(rita).get(f"/projects/{project.slug}/reviews"))["items"][0]["images"] == 3
    problem(api(charlie).get(path), 404)
    problem(api(bob).post(f"/projects/{project.slug}/reviews", {"title": "X", "images": [str(project.pk)]}), 422)
    assert ReviewItem.objects.count() == 3


@pytest.mark.parametrize("name", ["close", "reopen", "trash", "restore"])
def test_only_posts_change(client_of, leo, review, name):
    assert client_of(leo).get(url(name, review)).status_code == 405
