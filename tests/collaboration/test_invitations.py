from __future__ import annotations

import re
import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from collaboration import actions
from collaboration.actions import InvitationClosed, accept_invitation, create_invitation, revoke_invitation
from collaboration.models import Event, Invitation, Membership, StudioMembership, User
from collaboration.verbs import Role


@pytest.fixture
def invite_url(project):
    return reverse("collaboration:invite", args=[project.slug])


@pytest.fixture
def invited(project, alice):
    """An open invitation for an artist: (row, secret, address)."""
    row, secret = create_invitation(project=project, role=Role.ARTIST, actor=alice)
    return row, secret, reverse("collaboration:invitation", args=[secret])


def role_of(project, person):
    return Membership.objects.filter(project=project, user=person).values_list("role", flat=True).first()


# ------------------------------------------------------------------------------------------------- making, revoking
def test_a_link_is_shown_once(client_of, alice, project, invite_url):
    browser = client_of(alice)
    answer = browser.post(invite_url, {"role": "reviewer", "days": "3"})
    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    secret = re.search(r"http://testserver/invitations/([^/\"]+)/", answer.text)[1]
    row = Invitation.objects.get()
    assert (row.role, row.state, row.created_by) == ("reviewer", "open", alice)
    assert row.secret_hash == actions.hash_secret(secret)
    assert timedelta(days=2, hours=23) < row.expires_at - timezone.now() <= timedelta(days=3)
    people = browser.get(reverse("collaboration:people", args=[project.slug])).text
    assert secret not in people
    assert "Reviewer" in people
    assert secret not in str(list(Event.objects.values()))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"role": "artist", "days": "0"}, "1 to 90 days"),
        ({"role": "artist", "days": "91"}, "1 to 90 days"),
        ({"role": "artist", "days": "soon"}, "whole number"),
        ({"role": "king", "days": "7"}, "king"),
        ({"role": "", "days": "7"}, "required"),
    ],
)
def test_what_cannot_be_an_invitation(client_of, alice, invite_url, data, sentence):
    answer = client_of(alice).post(invite_url, data)
    assert answer.status_code == 422
    assert sentence in answer.text
    assert not Invitation.objects.exists()


def test_who_may_not_invite(client_of, invite_url, leo, charlie):
    assert client_of(leo).post(invite_url, {"role": "artist", "days": "7"}).status_code == 403
    assert client_of(charlie).post(invite_url, {"role": "artist", "days": "7"}).status_code == 404
    assert not Invitation.objects.exists()


def test_the_wrong_method(client_of, alice, project, invite_url, invited):
    revoke = reverse("collaboration:invitation_revoke", args=[project.slug, invited[0].pk])
    browser = client_of(alice)
    assert browser.get(invite_url).status_code == 405
    assert browser.get(revoke).status_code == 405
    assert browser.put(invited[2]).status_code == 405


def test_revoking(client_of, alice, leo, charlie, project, invited):
    row, secret, _ = invited
    revoke = reverse("collaboration:invitation_revoke", args=[project.slug, row.pk])
    assert client_of(charlie).post(revoke).status_code == 404
    assert client_of(leo).post(revoke).status_code == 403
    assert client_of(alice).post(revoke).status_code == 302
    with pytest.raises(InvitationClosed, match="taken back"):
        accept_invitation(secret=secret, user=charlie)


def test_another_projects_invitation_is_not_found(client_of, alice, studio, charlie, invited):
    theirs = actions.start_project(name="Dust", studio_name="Elsewhere", actor=charlie)
    revoke = reverse("collaboration:invitation_revoke", args=[theirs.slug, invited[0].pk])
    assert client_of(charlie).post(revoke).status_code == 404
    invited[0].refresh_from_db()
    assert invited[0].state == "open"


# --------------------------------------------------------------------------------------------------------- accepting
def test_accepting(client_of, charlie, project, invited):
    row, _, address = invited
    browser = client_of(charlie)
    page = browser.get(address)
    assert page.status_code == 200
    assert "The Long Night" in page.text
    assert "as artist" in page.text
    assert role_of(project, charlie) is None, "looking is not accepting"

    assert browser.post(address).url == project.get_absolute_url()
    assert role_of(project, charlie) == Role.ARTIST
    row.refresh_from_db()
    assert (row.state, row.accepted_by) == ("accepted", charlie)
    joined = Event.objects.get(kind="member.joined", subject_id=str(charlie.pk))
    assert (joined.actor, joined.summary) == (charlie, "accepted an invitation as artist")


def test_a_link_works_once(client_of, make_user, charlie, project, invited):
    client_of(charlie).post(invited[2])
    late = make_user("late")
    browser = client_of(late)
    assert browser.get(invited[2]).status_code == 410
    answer = browser.post(invited[2])
    assert answer.status_code == 422
    assert "has been used already" in answer.text
    assert role_of(project, late) is None


def test_accepting_twice_is_harmless(client_of, charlie, project, invited):
    browser = client_of(charlie)
    assert browser.post(invited[2]).status_code == 302
    assert browser.post(invited[2]).status_code == 302
    assert Event.objects.filter(kind="member.joined", subject_id=str(charlie.pk)).count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_people_cannot_use_one_link(make_user, project, alice):
    _, secret = create_invitation(project=project, role=Role.ARTIST, actor=alice)
    people = [make_user("first"), make_user("second")]
    both_ready = threading.Barrier(2)
    outcomes = []

    def accept(person):
        try:
            both_ready.wait(timeout=30)
            accept_invitation(secret=secret, user=person)
            outcomes.append("in")
        except InvitationClosed:
            outcomes.append("refused")
        finally:
            connection.close()

    threads = [threading.Thread(target=accept, args=(p,)) for p in people]
    for t in threads:
        t.start()
    for t in threads:
        t.join(timeout=60)
    assert sorted(outcomes) == ["in", "refused"]
    assert project.memberships.filter(user__in=people).count() == 1


def test_an_expired_link(client_of, charlie, project, invited):
    Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    browser = client_of(charlie)
    page = browser.get(invited[2])
    assert page.status_code == 410
    assert "has expired. Ask for a new link." in page.text
    assert browser.post(invited[2]).status_code == 422
    assert role_of(project, charlie) is None


def test_a_wrong_secret_says_nothing(client, client_of, charlie, project, invited):
    address = reverse("collaboration:invitation", args=["wrong-" + invited[1]])
    assert client.get(address).status_code == 404
    assert client_of(charlie).post(address).status_code == 404
    with pytest.raises(InvitationClosed):
        accept_invitation(secret="wrong", user=charlie)


def test_who_already_may_more_keeps_it_and_leaves_the_link_open(client_of, leo, charlie, project, invited):
    assert client_of(leo).post(invited[2]).status_code == 302
    assert role_of(project, leo) == Role.LEAD
    invited[0].refresh_from_db()
    assert invited[0].state == "open"
    accept_invitation(secret=invited[1], user=charlie)
    assert role_of(project, charlie) == Role.ARTIST


def test_who_may_less_is_raised(vera, project, invited):
    accept_invitation(secret=invited[1], user=vera)
    assert role_of(project, vera) == Role.ARTIST


def test_revoking_what_was_accepted_changes_nothing(alice, charlie, invited):
    accept_invitation(secret=invited[1], user=charlie)
    revoke_invitation(invitation=invited[0], actor=alice)
    invited[0].refresh_from_db()
    assert invited[0].state == "accepted"
    assert not Event.objects.filter(kind="invitation.revoked").exists()


# ------------------------------------------------------------------------------------------------------- signed out
def test_signing_up_is_closed_without_an_invitation(client, db):
    data = {"email": "new@example.com", "password1": "long enough 1", "password2": "long enough 1"}
    client.post(reverse("account_signup"), data)
    assert not User.objects.filter(email="new@example.com").exists()


def test_signing_up_with_an_invitation(client, project, invited):
    page = client.get(invited[2])
    assert page.status_code == 200
    assert client.session["invitation"] == invited[1]
    assert f"{reverse('account_signup')}?next={invited[2]}" in page.text

    data = {"email": "New@Example.com", "password1": "long enough 1", "password2": "long enough 1", "next": invited[2]}
    answer = client.post(reverse("account_signup"), data)
    assert answer.url == invited[2]
    newcomer = User.objects.get(email="new@example.com")
    assert client.post(invited[2]).status_code == 302
    assert role_of(project, newcomer) == Role.ARTIST
    assert "invitation" not in client.session


def test_signing_in_with_an_invitation(client, charlie, invited):
    client.get(invited[2])
    data = {"login": "Charlie@example.com", "password": "correct horse", "next": invited[2]}
    assert client.post(reverse("account_login"), data).url == invited[2]
    assert client.get(invited[2]).context["request"].user == charlie


def test_posting_signed_out_does_not_accept(client, invited):
    assert client.post(invited[2]).status_code == 200
    invited[0].refresh_from_db()
    assert invited[0].state == "open"


def test_a_closed_link_does_not_open_signing_up(client, alice, invited):
    revoke_invitation(invitation=invited[0], actor=alice)
    assert client.get(invited[2]).status_code == 410
    assert "invitation" not in client.session


def test_a_link_that_was_closed_meanwhile_does_not_open_signing_up(client, alice, invited):
    client.get(invited[2])
    revoke_invitation(invitation=invited[0], actor=alice)
    data = {"email": "new@example.com", "password1": "long enough 1", "password2": "long enough 1"}
    client.post(reverse("account_signup"), data)
    assert not User.objects.filter(email="new@example.com").exists()


# --------------------------------------------------------------------------------------- links of those who may no more
@pytest.fixture
def olive(make_member, project):
    """A second owner, with an open link of her own that makes an owner: (she, its address)."""
    person = make_member("olive", Role.OWNER, project)
    _, secret = create_invitation(project=project, role=Role.OWNER, actor=person)
    return person, reverse("collaboration:invitation", args=[secret])


@pytest.mark.parametrize("how", ["removed", "demoted", "made inactive"])
def test_nobody_comes_back_through_a_link_of_their_own(client_of, project, alice, charlie, invited, olive, how):
    person, address = olive
    if how == "removed":
        actions.remove_member(project=project, user=person, actor=alice)
    elif how == "demoted":
        actions.set_role(project=project, user=person, role=Role.LEAD, actor=alice)
    else:
        actions.change_account(user=person, is_active=False, actor=alice)
    answer = client_of(charlie).post(address)
    assert answer.status_code == 422
    assert "taken back" in answer.text
    assert role_of(project, charlie) is None
    assert Event.objects.filter(kind="invitation.revoked", actor=alice).count() == 1
    invited[0].refresh_from_db()
    assert invited[0].state == "open", "the link of somebody who still may invite"


def test_who_may_still_invite_keeps_their_links(client_of, studio, project, charlie, olive):
    StudioMembership.objects.filter(studio=studio, user=olive[0]).update(is_admin=True)
    actions.remove_member(project=project, user=olive[0], actor=olive[0])
    assert client_of(charlie).post(olive[1]).status_code == 302
    assert role_of(project, charlie) == Role.OWNER
