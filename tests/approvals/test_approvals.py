"""Approval gates: who must approve what, of which revision, and how it is lost."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse

from characters import actions as characters
from collaboration.actions import remove_member, set_role
from collaboration.approvals import actions
from collaboration.approvals.models import Approval, Gate
from collaboration.live.fragments import render
from collaboration.models import Event, Revision
from collaboration.subjects import target
from collaboration.verbs import Role, Verb
from tests.api.conftest import ok, problem


def url(name, gate):
    return reverse(f"approvals:{name}", args=[gate.project.slug, gate.pk])


def page_url(gate):
    return reverse("approvals:approvals", args=[gate.project.slug, gate.subject_kind, gate.subject_id])


def state_of(gate):
    gate.refresh_from_db()
    return gate.state, gate.given


def number(mara):
    return Revision.objects.filter(subject_id=str(mara.pk)).latest("number").number


def test_a_lead_says_who_must_approve_what(client_of, leo, rita, mara):
    page = reverse("approvals:approvals", args=[mara.project.slug, "character", mara.pk])
    data = {"name": "Likeness", "aspect": "The look", "needed": "2", "roles": ["lead", "owner"], "people": [rita.pk]}
    answer = client_of(leo).post(page, data)
    assert answer.status_code == 302
    gate = Gate.objects.get()
    assert (gate.name, gate.needed, gate.roles, [*gate.people.all()]) == ("Likeness", 2, ["lead", "owner"], [rita])
    html = client_of(leo).get(page).content.decode()
    assert "2 of: leads, owners, Rita" in html
    assert "Not asked for" in html


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": ""}, "Write what the team calls it."),
        ({"needed": "9"}, "Only 1 of those people are in the project."),
        ({"roles": []}, "Choose who approves"),
        ({"aspect": "The soul"}, "Select a valid choice"),
    ],
)
def test_a_gate_that_cannot_be_is_refused(client_of, alice, mara, changes, sentence):
    page = reverse("approvals:approvals", args=[mara.project.slug, "character", mara.pk])
    data = {"name": "Likeness", "aspect": "The look", "needed": "1", "roles": ["owner"]} | changes
    answer = client_of(alice).post(page, data)
    assert answer.status_code == 422
    assert sentence in answer.content.decode()
    assert not Gate.objects.exists()


def test_asking_approving_and_being_approved(client_of, gate, mara, alice, bob, leo, rita):
    assert client_of(bob).post(url("ask", gate)).status_code == 302
    assert state_of(gate) == (Gate.ASKED, 0)
    asked = Event.objects.get(kind="approval.asked")
    assert asked.payload["asks"] == sorted([alice.pk, leo.pk, rita.pk])
    client_of(rita).post(url("approve", gate), {"revision": number(mara)})
    assert state_of(gate) == (Gate.ASKED, 1)
    client_of(leo).post(url("approve", gate), {"revision": number(mara)})
    assert state_of(gate) == (Gate.APPROVED, 2)
    assert Event.objects.filter(kind="approval.given").count() == 2
    html = client_of(bob).get(mara.get_absolute_url()).content.decode()
    assert html.count("Approved") >= 2  # the rung, and the section
    assert "Rita</bdi> approved" in html


def test_the_state_is_seen_in_gallery_head_and_overview(client_of, gate, mara, bob, rita):
    gallery = reverse("characters:gallery", args=[mara.project.slug])
    references = reverse("characters:references", args=[mara.project.slug, mara.pk])
    for address in (gallery, references, mara.get_absolute_url()):
        assert "Approved by 0 of 2" in client_of(bob).get(address).content.decode()
    actions.approve(gate=gate, actor=rita)
    for address in (gallery, references, mara.get_absolute_url()):
        assert "Approved by 1 of 2" in client_of(bob).get(address).content.decode()


def test_an_approval_is_lost_when_what_was_approved_changes(client_of, gate, mara, add, alice, bob, leo, rita):
    actions.ask_approval(gate=gate, actor=bob)
    for person in (leo, rita):
        actions.approve(gate=gate, actor=person)
    assert state_of(gate) == (Gate.APPROVED, 2)
    add(mara, 1)
    assert state_of(gate) == (Gate.LOST, 0)
    lost = Event.objects.filter(kind="approval.lost").earliest("seq")
    assert lost.payload["approvers"] == sorted([leo.pk, rita.pk]) or set(lost.payload["approvers"]) == {leo.pk, rita.pk}
    assert lost.payload["asked_by"] == bob.pk
    assert "references" in lost.payload["changed"]
    assert "lost the approval “Likeness”" in lost.summary
    before = Event.objects.get(stream=lost.stream, seq=lost.seq - 1)
    assert before.kind == "reference.added"  # what took it away stands before
    html = client_of(alice).get(mara.get_absolute_url()).content.decode()
    assert "Approval lost" in html
    assert "Lost what <bdi>Rita</bdi> approved" in html
    gallery = client_of(alice).get(reverse("characters:gallery", args=[mara.project.slug])).content.decode()
    assert "Approval lost" in gallery


def test_a_change_of_something_else_leaves_it(gate, mara, alice, leo, rita):
    for person in (leo, rita):
        actions.approve(gate=gate, actor=person)
    characters.change_character(character=mara, actor=alice, description="Keeper of the light.")
    assert state_of(gate) == (Gate.APPROVED, 2)
    assert not Event.objects.filter(kind="approval.lost").exists()


def test_nobody_approves_what_they_have_not_seen(client_of, gate, mara, alice, leo, rita, add):
    seen = number(mara)
    characters.change_character(character=mara, actor=alice, description="Other words.")
    client_of(leo).post(url("approve", gate), {"revision": seen})  # the look is the same
    assert state_of(gate)[1] == 1
    add(mara, 1)
    page = client_of(rita).post(url("approve", gate), {"revision": seen}, follow=True).content.decode()
    assert "was changed after you opened this page" in page
    assert not Approval.objects.filter(person=rita).exists()


def test_wanting_changes(client_of, gate, mara, bob, leo, rita, add):
    client_of(rita).post(url("approve", gate), {"changes": "1", "note": ""})
    assert not Approval.objects.exists()
    client_of(rita).post(url("approve", gate), {"changes": "1", "note": "The nose is too long."})
    assert state_of(gate) == (Gate.CHANGES, 0)
    assert Event.objects.get(kind="approval.refused").payload["note"] == "The nose is too long."
    assert "The nose is too long." in client_of(bob).get(page_url(gate)).content.decode()
    add(mara, 1)
    assert state_of(gate) == (Gate.CHANGES, 0)  # until somebody asks again
    client_of(bob).post(url("ask", gate))
    assert state_of(gate) == (Gate.ASKED, 0)


def test_taking_back(client_of, gate, leo):
    client_of(leo).post(url("approve", gate))
    client_of(leo).post(url("approve", gate))  # twice is once
    assert state_of(gate)[1] == 1
    client_of(leo).post(url("withdraw", gate))
    assert state_of(gate) == (Gate.OPEN, 0)
    assert Approval.objects.get().ended_how == "withdrawn"


def test_who_may_not(client_of, gate, bob, vera, charlie, leo):
    assert client_of(bob).post(url("approve", gate)).status_code == 403  # an artist whom the gate does not name
    assert client_of(vera).post(url("ask", gate)).status_code == 403
    assert client_of(bob).get(url("edit", gate)).status_code == 403
    for name in ("ask", "approve", "withdraw", "remove", "restore"):
        assert client_of(charlie).post(url(name, gate)).status_code == 404
        assert client_of(leo).get(url(name, gate)).status_code == 405
    assert client_of(charlie).get(page_url(gate)).status_code == 404
    wrong = reverse("approvals:approvals", args=[gate.project.slug, "variation", gate.pk])
    assert client_of(leo).get(wrong).status_code == 404


def test_who_leaves_approves_no_more(gate, project, alice, leo, rita):
    for person in (leo, rita):
        actions.approve(gate=gate, actor=person)
    remove_member(project=project, user=rita, actor=alice)
    assert state_of(gate)[1] == 1
    set_role(project=project, user=leo, role=Role.ARTIST, actor=alice)
    assert state_of(gate) == (Gate.OPEN, 0)


def test_a_gate_is_changed_removed_and_brought_back(client_of, gate, mara, alice, leo, rita, add):
    for person in (leo, rita):
        actions.approve(gate=gate, actor=person)
    data = {"name": "Final", "aspect": "The look", "needed": "3", "roles": ["lead", "owner"], "people": [rita.pk]}
    client_of(alice).post(url("edit", gate), data)
    assert state_of(gate) == (Gate.OPEN, 2)
    assert gate.name == "Final"
    client_of(alice).post(url("remove", gate))
    assert "Final" not in client_of(alice).get(mara.get_absolute_url()).content.decode().replace("Final,", "")
    add(mara, 1)
    client_of(alice).post(url("restore", gate))
    assert state_of(gate)[1] == 0  # what was approved had changed meanwhile
    assert Event.objects.filter(kind="approval.lost").exists()


def test_the_api(api, gate, mara, alice, bob, leo, charlie, rita):
    path = f"/characters/{mara.pk}/gates"
    found = ok(api(bob).get(path))
    assert (found["state"], found["gates"][0]["name"], found["revision"]) == ("open", "Likeness", number(mara))
    assert ok(api(bob).post(f"/gates/{gate.pk}/ask"))["state"] == "asked"
    body = {"verdict": "approve", "revision": found["revision"]}
    assert ok(api(rita).request("put", f"/gates/{gate.pk}/approval", body))["given"] == 1
    problem(api(bob).request("put", f"/gates/{gate.pk}/approval", body), 403)
    problem(api(leo, Verb.SEE).request("put", f"/gates/{gate.pk}/approval", body), 403)
    problem(api(charlie).get(path), 404)
    assert ok(api(rita).delete(f"/gates/{gate.pk}/approval"))["given"] == 0
    made = ok(api(alice).post(path, {"name": "Wardrobe", "needed": 1, "people": [bob.pk], "roles": []}), 201)
    assert ok(api(alice).request("patch", f"/gates/{made['id']}", {"name": "Costume"}))["name"] == "Costume"
    assert api(alice).delete(f"/gates/{made['id']}").status_code == 204


def test_open_pages_hear_of_it(gate, mara, rita):
    actions.approve(gate=gate, actor=rita)
    event = Event.objects.get(kind="approval.given")
    pages = [f"character:{mara.pk}", f"project:{mara.project_id}:gallery"]
    swaps = render([event], frozenset({"see"}), pages)
    how = {swap["target"]: swap["how"] for _, swap in swaps[pages[0]]}
    assert how[f"approvals-character-{mara.pk}"] == "refetch"
    assert how[f"mine-approvals-character-{mara.pk}"] == "refresh"
    assert "Approved by 1 of 2" in swaps[pages[1]][0][1]["html"]


def test_a_gate_needs_a_name_of_its_own(gate, alice, mara):
    with pytest.raises(ValidationError, match="already"):
        actions.create_gate(subject=target("character", mara.pk), name="likeness", actor=alice)
