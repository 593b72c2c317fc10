"""The table of roles and verbs, as the design states it, written out once more by hand."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.utils.functional import SimpleLazyObject

from collaboration import actions
from collaboration.permissions import access_project, require, verbs_of
from collaboration.verbs import Role, Verb

MAY = {
    Role.VIEWER: "see",
    Role.REVIEWER: "see annotate comment vote",
    Role.ARTIST: "see annotate comment vote create edit upload generate train roll_back_own",
    Role.LEAD: "see annotate comment vote create edit upload generate train roll_back_own "
    "approve roll_back urgent settings share",
    Role.OWNER: "see annotate comment vote create edit upload generate train roll_back_own "
    "approve roll_back urgent settings share members budget delete",
}


@pytest.mark.parametrize("verb", list(Verb))
@pytest.mark.parametrize("role", list(Role))
def test_what_a_role_may(role, verb, project, make_member):
    somebody = make_member("somebody", role, project)
    if verb in MAY[role].split():
        require(somebody, verb, project)
    else:
        with pytest.raises(PermissionDenied, match="The Long Night"):
            require(somebody, verb, project)


@pytest.mark.parametrize("verb", list(Verb))
def test_what_an_administrator_of_the_studio_may(verb, project, studio, make_user):
    admin = make_user("stella")
    studio.memberships.create(user=admin, is_admin=True)
    if verb in ("see", "settings", "share", "members", "budget"):
        require(admin, verb, project)
    else:
        with pytest.raises(PermissionDenied):
            require(admin, verb, project)


def test_an_administrator_who_is_a_member_may_both(project, studio, bob):
    studio.memberships.filter(user=bob).update(is_admin=True)
    assert verbs_of(bob, project) >= {Verb.TRAIN, Verb.MEMBERS}
    assert Verb.DELETE not in verbs_of(bob, project)


def test_a_stranger_learns_nothing(project, charlie):
    for verb in Verb:
        with pytest.raises(Http404):
            require(charlie, verb, project)
    with pytest.raises(Http404):
        access_project(charlie, project.slug)


def test_somebody_signed_out_or_made_inactive_may_nothing(project, bob):
    assert verbs_of(AnonymousUser(), project) == frozenset()
    bob.is_active = False
    assert verbs_of(bob, project) == frozenset()


def test_another_studios_administrator_is_a_stranger(project, charlie):
    actions.create_studio(name="Elsewhere", admin=charlie)
    assert verbs_of(charlie, project) == frozenset()


def test_a_changed_role_counts_at_once(project, alice, bob):
    assert Verb.TRAIN in verbs_of(bob, project)
    actions.set_role(project=project, user=bob, role=Role.VIEWER, actor=alice)
    assert verbs_of(bob, project) == {Verb.SEE}
    actions.remove_member(project=project, user=bob, actor=alice)
    assert verbs_of(bob, project) == frozenset()


def test_scopes_of_a_token_narrow_and_never_widen(project, bob):
    bob.token_scopes = frozenset({Verb.SEE, Verb.GENERATE, Verb.MEMBERS})
    assert verbs_of(bob, project) == {Verb.SEE, Verb.GENERATE}


def test_a_changed_role_counts_at_once_for_the_user_of_a_request(project, alice, bob):
    in_request = SimpleLazyObject(lambda: bob)
    assert Verb.TRAIN in verbs_of(in_request, project)
    actions.set_role(project=project, user=bob, role=Role.VIEWER, actor=alice)
    assert verbs_of(in_request, project) == {Verb.SEE}
