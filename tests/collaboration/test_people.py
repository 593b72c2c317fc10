from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from collaboration import actions
from collaboration.models import Event, Membership
from collaboration.verbs import Role


@pytest.fixture
def page(project):
    return reverse("collaboration:people", args=[project.slug])


def url(name, project, person):
    return reverse(f"collaboration:member_{name}", args=[project.slug, person.pk])


def role_of(project, person):
    return Membership.objects.filter(project=project, user=person).values_list("role", flat=True).first()


# -------------------------------------------------------------------------------------------------------- the page
def test_the_wrong_method(client_of, project, page, alice, bob):
    browser = client_of(alice)
    assert browser.post(page).status_code == 405
    for name in ("role", "remove", "restore"):
        assert browser.get(url(name, project, bob)).status_code == 405


def test_a_stranger_learns_nothing(client_of, project, page, bob, charlie):
    browser = client_of(charlie)
    assert browser.get(page).status_code == 404
    for name in ("role", "remove", "restore"):
        assert browser.post(url(name, project, bob), {"role": "viewer"}).status_code == 404
    assert role_of(project, bob) == Role.ARTIST


def test_a_member_sees_everybody_and_no_controls(client_of, page, alice, vera):
    text = client_of(vera).get(page).text
    assert "Alice" in text
    assert "alice@example.com" in text
    assert "Make a link" not in text
    assert "/role/" not in text


@pytest.mark.parametrize("person", ["vera", "rita", "bob", "leo"])
def test_who_may_not_manage_people(client_of, project, alice, person, request):
    somebody = request.getfixturevalue(person)
    browser = client_of(somebody)
    assert browser.post(url("role", project, alice), {"role": "viewer"}).status_code == 403
    assert browser.post(url("remove", project, alice)).status_code == 403
    assert role_of(project, alice) == Role.OWNER


def test_the_refusal_says_what_to_do(client_of, project, alice, vera):
    assert "Ask a lead or the owner" in client_of(vera).post(url("remove", project, alice)).text


def test_names_are_escaped(client_of, page, alice, bob):
    bob.name = "<b>Bob</b> 🎬 \u200fבוב"
    bob.save()
    text = client_of(alice).get(page).text
    assert "<b>Bob</b>" not in text
    assert "&lt;b&gt;Bob&lt;/b&gt; 🎬" in text


def test_the_number_of_queries_does_not_grow_with_the_team(
    client_of, page, project, alice, make_member, django_assert_max_num_queries
):
    for n in range(20):
        make_member(f"artist{n}", Role.ARTIST, project)
        actions.create_invitation(project=project, role=Role.VIEWER, actor=alice)
    browser = client_of(alice)
    with django_assert_max_num_queries(16):
        browser.get(page)


# ------------------------------------------------------------------------------------------------------------ roles
def test_changing_a_role(client_of, project, page, alice, bob):
    answer = client_of(alice).post(url("role", project, bob), {"role": "lead"})
    assert answer.url == page
    assert role_of(project, bob) == Role.LEAD
    assert Event.objects.get(kind="member.role_changed").actor == alice


def test_htmx_gets_the_region_with_a_toast(client_of, project, alice, bob):
    answer = client_of(alice).post(
        url("role", project, bob), {"role": "lead"}, headers={"HX-Request": "true"}, follow=True
    )
    assert answer.text.lstrip().startswith('<div id="people"')
    assert "<html" not in answer.text
    assert "Bob is lead now." in answer.headers["HX-Trigger"]


def test_htmx_gets_a_refusal_as_the_same_region(client_of, project, alice):
    answer = client_of(alice).post(url("role", project, alice), {"role": "lead"}, headers={"HX-Request": "true"})
    assert answer.status_code == 422
    assert answer.text.lstrip().startswith('<div id="people"')
    assert "A project keeps at least one owner" in answer.text
    assert answer.headers["HX-Push-Url"] == "false", "the address of the POST cannot be opened"


@pytest.mark.parametrize("role", ["", "king", "OWNER"])
def test_a_role_that_there_is_not(client_of, project, alice, bob, role):
    answer = client_of(alice).post(url("role", project, bob), {"role": role})
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert role_of(project, bob) == Role.ARTIST


def test_nobody_is_pulled_in_from_outside(client_of, project, alice, charlie):
    assert client_of(alice).post(url("role", project, charlie), {"role": "viewer"}).status_code == 404
    assert client_of(alice).post(url("restore", project, charlie)).status_code == 404
    assert role_of(project, charlie) is None


def test_the_last_owner_stays(client_of, project, alice, leo):
    browser = client_of(alice)
    for answer in (
        browser.post(url("role", project, alice), {"role": "lead"}),
        browser.post(url("remove", project, alice)),
    ):
        assert answer.status_code == 422
        assert "A project keeps at least one owner" in answer.text
    assert role_of(project, alice) == Role.OWNER

    actions.set_role(project=project, user=leo, role=Role.OWNER, actor=alice)
    assert browser.post(url("role", project, alice), {"role": "lead"}).status_code == 302
    assert role_of(project, alice) == Role.LEAD


@pytest.mark.django_db(transaction=True)
def test_two_owners_cannot_leave_at_the_same_moment(project, alice, leo):
    actions.set_role(project=project, user=leo, role=Role.OWNER, actor=alice)
    both_ready = threading.Barrier(2)
    refused = []

    def leave(person):
        try:
            both_ready.wait(timeout=30)
            actions.remove_member(project=project, user=person, actor=person)
        except actions.LastOwner:
            refused.append(person)
        finally:
            connection.close()

    threads = [threading.Thread(target=leave, args=(p,)) for p in (alice, leo)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(timeout=60)
    assert len(refused) == 1
    assert list(project.memberships.filter(role=Role.OWNER).values_list("user", flat=True)) == [refused[0].pk]


# --------------------------------------------------------------------------------------------- removing and undoing
def test_removing_and_undoing(client_of, project, page, alice, bob):
    browser = client_of(alice)
    answer = browser.post(url("remove", project, bob), follow=True)
    assert role_of(project, bob) is None
    assert url("restore", project, bob) in answer.text, "the undo is offered without JavaScript, too"
    assert client_of(bob).get(page).status_code == 404

    assert browser.post(url("restore", project, bob)).url == page
    assert role_of(project, bob) == Role.ARTIST
    assert client_of(bob).get(page).status_code == 200


def test_undo_by_htmx_loads_the_page_anew(client_of, project, alice, bob):
    browser = client_of(alice)
    browser.post(url("remove", project, bob))
    answer = browser.post(url("restore", project, bob), headers={"HX-Request": "true"})
    assert answer.headers["HX-Refresh"] == "true"


def test_undo_ends_after_a_day(client_of, project, alice, bob):
    browser = client_of(alice)
    browser.post(url("remove", project, bob))
    Event.objects.filter(kind="member.left").update(at=timezone.now() - timedelta(hours=25))
    assert browser.post(url("restore", project, bob)).status_code == 404
    assert role_of(project, bob) is None


def test_who_is_out_is_out_of_the_studio_too(project, studio, alice, bob):
    actions.remove_member(project=project, user=bob, actor=alice)
    assert not studio.memberships.filter(user=bob).exists()


def test_who_is_in_another_project_stays_in_the_studio(project, studio, alice, bob):
    other = actions.create_project(studio=studio, name="Dust", actor=alice)
    actions.set_role(project=other, user=bob, role=Role.VIEWER, actor=alice)
    actions.remove_member(project=project, user=bob, actor=alice)
    assert studio.memberships.filter(user=bob).exists()


def test_anybody_may_leave_and_think_again(client_of, project, vera):
    browser = client_of(vera)
    assert browser.post(url("remove", project, vera)).url == "/projects/"
    assert role_of(project, vera) is None
    assert Event.objects.latest("pk").summary == "left the project"
    browser.post(url("restore", project, vera))
    assert role_of(project, vera) == Role.VIEWER


def test_who_was_removed_cannot_undo_it(client_of, project, alice, vera):
    actions.remove_member(project=project, user=vera, actor=alice)
    assert client_of(vera).post(url("restore", project, vera)).status_code == 404
    assert role_of(project, vera) is None


def test_removing_twice_is_one_event(project, alice, bob):
    actions.remove_member(project=project, user=bob, actor=alice)
    actions.remove_member(project=project, user=bob, actor=alice)
    assert Event.objects.filter(kind="member.left").count() == 1
