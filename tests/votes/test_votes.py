"""Votes on images: one per person, changeable, blind where the project says so."""

from __future__ import annotations

import json

import pytest
from django.urls import reverse

from collaboration.live.fragments import render
from collaboration.models import Event, Vote
from collaboration.verbs import Role
from collaboration.votes import actions, queries
from tests.api.conftest import ok, problem


def vote_url(face):
    return reverse("votes:vote", args=[face.character.project.slug, "variation", face.pk])


def page_of(client, face):
    return client.get(reverse("characters:variation", args=[face.character.project.slug, face.pk])).content.decode()


def cast(client, face, **data):
    return client.post(vote_url(face), data)


def blind(project, alice, quorum=2):
    actions.set_voting_rules(project=project, is_blind=True, quorum=quorum, actor=alice)


def test_a_vote_is_cast_changed_and_taken_back_without_javascript(client_of, rita, face):
    client = client_of(rita)
    answer = cast(client, face, score="4")
    assert answer.status_code == 302
    assert answer["Location"] == reverse("characters:variation", args=[face.character.project.slug, face.pk])
    cast(client, face, score="2")
    cast(client, face, verdict="pick")
    mine = Vote.objects.get()
    assert (mine.score, mine.verdict, mine.voter) == (2, "pick", rita)
    cast(client, face, score="2")  # pressed again: taken back
    assert Vote.objects.get().score is None
    cast(client, face, withdraw="1")
    assert not Vote.objects.exists()
    kinds = list(Event.objects.filter(kind__startswith="vote.").order_by("seq").values_list("kind", flat=True))
    assert kinds == ["vote.cast"] * 4 + ["vote.withdrawn"]
    assert Event.objects.filter(kind="vote.cast").earliest("seq").payload["score"] == 4


def test_the_panel_shows_the_tally_as_a_plot(client_of, alice, leo, bob, rita, face):
    for person, score in ((alice, "5"), (leo, "5"), (bob, "4"), (rita, "1")):
        cast(client_of(person), face, score=score)
    page = page_of(client_of(alice), face)
    assert page.count('class="dot') == 4
    assert 'class="dot far"' in page
    assert "Split, from 1 to 5" in page
    assert "Rita" in page
    assert "<b>3.8</b>" in page


def test_htmx_gets_the_panel_with_ones_own_vote_pressed(client_of, rita, face):
    answer = client_of(rita).post(vote_url(face), {"score": "4"}, headers={"HX-Request": "true"})
    html = answer.content.decode()
    assert html.count('aria-pressed="true"') == 1
    assert f'id="votes-variation-{face.pk}"' in html
    quick = client_of(rita).post(vote_url(face), {"verdict": "pick", "quick": "1"}, headers={"HX-Request": "true"})
    assert f'id="votes-mark-variation-{face.pk}"' in quick.content.decode()
    assert json.loads(quick["HX-Trigger"])["voted"] == {"key": f"variation-{face.pk}", "score": 4, "verdict": "pick"}


def test_a_blind_tally_shows_only_how_many_voted_until_one_has(client_of, project, alice, bob, rita, vera, face):
    blind(project, alice)
    cast(client_of(bob), face, score="1")
    for person in (rita, vera):
        page = page_of(client_of(person), face)
        assert "1 person voted" in page
        assert 'class="dot' not in page
        assert "<b>1.0</b>" not in page
    cast(client_of(rita), face, score="5")
    assert page_of(client_of(rita), face).count('class="dot') == 2
    assert 'class="dot' not in page_of(client_of(vera), face)


def test_a_blind_vote_says_nothing_in_the_log_or_live(project, alice, bob, face):
    blind(project, alice)
    from collaboration.subjects import target

    actions.cast_vote(subject=target("variation", face.pk), actor=bob, score=1)
    event = Event.objects.get(kind="vote.cast")
    assert event.payload["score"] is None
    page = f"variation:{face.pk}"
    swaps = {swap["target"]: swap for _, swap in render([event], frozenset({"see"}), [page])[page]}
    assert "1 person voted" in swaps[f"tally-variation-{face.pk}"]["html"]
    assert "circle class" not in swaps[f"tally-variation-{face.pk}"]["html"]
    assert swaps[f"mine-vote-variation-{face.pk}"]["how"] == "refresh"


def test_everybody_sees_the_new_tally(client_of, project, bob, rita, face):
    client = client_of(rita)
    cast(client_of(bob), face, score="3")
    event = Event.objects.get(kind="vote.cast")
    page = f"variation:{face.pk}"
    swaps = {swap["target"]: swap["html"] for _, swap in render([event], frozenset({"see"}), [page])[page]}
    assert swaps[f"tally-variation-{face.pk}"].strip() in page_of(client, face)
    batch = f"{reverse('characters:variations', args=[project.slug, face.character_id])}?batch={face.batch_id}"
    assert swaps[f"votes-mark-variation-{face.pk}"].strip() in client.get(batch).content.decode()


def test_own_votes_are_asked_for_apart(client_of, project, bob, rita, face):
    cast(client_of(rita), face, score="3")
    url = reverse("votes:mine", args=[project.slug])
    assert client_of(rita).get(url, {"kind": "variation", "id": face.pk}).json() == {
        str(face.pk): {"score": 3, "verdict": ""}
    }
    assert client_of(bob).get(url, {"kind": "variation", "id": face.pk}).json() == {}
    mine = client_of(rita).get(vote_url(face)).content.decode()
    assert mine.count('aria-pressed="true"') == 1


@pytest.mark.parametrize("data", [{"score": "6"}, {"score": "0"}, {"score": "x"}, {"verdict": "maybe"}, {}])
def test_what_is_no_vote_is_refused_in_a_sentence(client_of, rita, face, data):
    answer = client_of(rita).post(vote_url(face), data, headers={"HX-Request": "true"})
    assert answer.status_code == 422
    assert answer.json()["detail"].endswith(".")
    assert not Vote.objects.exists()


def test_who_may_not(client, client_of, vera, charlie, face, studio, alice, make_member):
    assert client.post(vote_url(face), {"score": "3"}).status_code == 302  # to sign in
    assert cast(client_of(vera), face, score="3").status_code == 403
    assert cast(client_of(charlie), face, score="3").status_code == 404
    assert client_of(charlie).get(vote_url(face)).status_code == 404
    assert client_of(alice).put(vote_url(face)).status_code == 405
    assert not Vote.objects.exists()
    assert (
        client_of(alice).post(vote_url(face).replace("/variation/", "/character/"), {"score": "3"}).status_code == 404
    )


def test_a_subject_of_another_project_is_not_reached_through_ones_own(client_of, bob, face, studio, alice):
    from collaboration.actions import create_project, set_role

    other = create_project(studio=studio, name="Other", actor=alice)
    set_role(project=other, user=bob, role=Role.ARTIST, actor=alice)
    url = reverse("votes:vote", args=[other.slug, "variation", face.pk])
    assert client_of(bob).post(url, {"score": "3"}).status_code == 404


def test_nobody_votes_on_what_is_in_the_trash(client_of, alice, bob, face):
    from characters.actions import trash_variation

    trash_variation(variation=face, actor=alice)
    assert cast(client_of(bob), face, score="3").status_code == 403


def test_a_return_address_elsewhere_is_ignored(client_of, rita, face):
    for evil in ("https://evil.example/", "//evil.example/", "/\\evil.example"):
        assert "evil" not in cast(client_of(rita), face, score="3", back=evil)["Location"]


def test_rules_are_set_on_the_settings_page(client_of, project, leo, bob):
    url = reverse("votes:rules", args=[project.slug])
    assert client_of(bob).post(url, {"quorum": "3"}).status_code == 403
    client_of(leo).post(url, {"is_blind": "on", "quorum": "3"})
    rules = queries.rules_of(project)
    assert (rules.is_blind, rules.quorum) == (True, 3)
    assert Event.objects.get(kind="vote.rules_changed").summary.startswith("changed how votes are taken: blind")
    page = client_of(leo).post(url, {"quorum": "0"}, follow=True).content.decode()
    assert "greater than or equal to 1" in page
    assert queries.rules_of(project).quorum == 3


@pytest.mark.parametrize(
    ("scores", "verdicts", "dissent"),
    [
        ([5, 5, 4, 1], "", [1]),
        ([5, 5, 5], "", []),
        ([3, 3, 5], "", [5]),
        ([], "ppr", ["reject"]),
        ([], "pr", ["pick", "reject"]),
        ([], "ppp", []),
    ],
)
def test_dissent(scores, verdicts, dissent):
    votes = [Vote(pk=n, score=s) for n, s in enumerate(scores)]
    votes += [Vote(pk=100 + n, verdict={"p": "pick", "r": "reject"}[v]) for n, v in enumerate(verdicts)]
    tally = queries.Tally(votes)
    assert [v.score or v.verdict for v in tally.dissenters] == dissent


def test_a_batch_costs_the_same_however_many_votes(client_of, alice, bob, rita, leo, face):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    client = client_of(alice)
    url = reverse("characters:variations", args=[face.character.project.slug, face.character_id])
    client.get(url)
    with CaptureQueriesContext(connection) as before:
        client.get(url)
    for person in (bob, rita, leo):
        for variation in face.batch.variations.all():
            cast(client_of(person), variation, score="3")
    with CaptureQueriesContext(connection) as after:
        client.get(url)
    assert len(after) == len(before)


def test_the_api_votes(api, bob, rita, charlie, project, alice, face):
    path = f"/images/variation/{face.pk}"
    body = json.dumps({"score": 4})
    found = ok(api(rita).request("put", f"{path}/vote", body))
    assert (found["voters"], found["mean"], found["mine"]) == (1, 4.0, {"score": 4, "verdict": None})
    found = ok(api(rita).request("put", f"{path}/vote", {"verdict": "reject", "score": None}))
    assert found["mine"] == {"score": None, "verdict": "reject"}
    blind(project, alice)
    hidden = ok(api(bob).get(f"{path}/votes"))
    assert (hidden["voters"], hidden["is_open"], hidden["mean"], hidden["votes"]) == (1, False, None, [])
    assert ok(api(rita).get(f"{path}/votes"))["votes"][0]["person"]["name"] == "Rita"
    assert ok(api(rita).delete(f"{path}/vote"))["voters"] == 0
    problem(api(charlie).get(f"{path}/votes"), 404)
    problem(api(rita).request("put", f"{path}/vote", {"score": 9}), 422)
    assert ok(api(bob).get(f"/projects/{project.slug}/voting-rules")) == {"is_blind": True, "quorum": 2}
