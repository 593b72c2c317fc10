from __future__ import annotations

import pytest
from allauth.account.models import EmailAddress
from django.urls import reverse

from collaboration import actions
from collaboration.models import Event, Membership, Project, Studio, User
from collaboration.verbs import Role, Verb


@pytest.fixture
def operator(make_user):
    return make_user("olga", is_staff=True, is_superuser=True)


@pytest.fixture
def desk(client_of, operator):
    return client_of(operator)


def url(name, model, *args):
    return reverse(f"admin:collaboration_{model}_{name}", args=args)


def test_signing_in_by_address(client, operator):
    data = {"username": "olga@example.com", "password": "correct horse", "next": "/admin/"}
    assert client.post("/admin/login/", data).url == "/admin/"
    assert client.get("/admin/").status_code == 200


def test_members_are_not_operators(client_of, alice, project):
    assert client_of(alice).get(url("changelist", "event")).status_code == 302


@pytest.mark.parametrize(
    "model", ["user", "studio", "project", "membership", "invitation", "event", "revision", "apitoken"]
)
def test_every_list_opens(desk, project, alice, bob, model):
    actions.create_invitation(project=project, role=Role.VIEWER, actor=alice)
    actions.create_token(user=bob, name="Farm", scopes=[Verb.SEE])
    assert desk.get(url("changelist", model)).status_code == 200


# ---------------------------------------------------------------------------------------------------------- people
def test_making_an_account(desk, client, operator):
    data = {"email": "New@Example.com", "name": "Nora", "password1": "long enough 1", "password2": "long enough 1"}
    answer = desk.post(url("add", "user"), data)
    assert answer.status_code == 302, answer.context["errors"]
    nora = User.objects.get(email="new@example.com")
    assert nora.check_password("long enough 1")
    assert Event.objects.get(kind="account.created").actor == operator
    signed_in = client.post(reverse("account_login"), {"login": "new@example.com", "password": "long enough 1"})
    assert signed_in.status_code == 302


def test_one_address_one_account(desk, bob):
    data = {"email": "BOB@example.com", "name": "x", "password1": "long enough 1", "password2": "long enough 1"}
    assert "signs in with this address already" in desk.post(url("add", "user"), data).text
    assert User.objects.filter(email__iexact="bob@example.com").count() == 1


def test_changing_an_account(desk, bob):
    EmailAddress.objects.create(user=bob, email=bob.email, primary=True, verified=True)
    assert desk.get(url("change", "user", bob.pk)).status_code == 200
    answer = desk.post(url("change", "user", bob.pk), {"email": "Robert@example.com", "name": "Bob"})
    assert answer.status_code == 302, answer.context["errors"]
    bob.refresh_from_db()
    assert (bob.email, bob.is_active) == ("robert@example.com", False)
    assert not EmailAddress.objects.filter(user=bob).exists(), "the former address opens nothing"
    assert Event.objects.latest("pk").summary == "changed email and active of the account robert@example.com"


def test_passwords_are_not_written_past_the_actions(desk, bob):
    data = {"password1": "other words 1", "password2": "other words 1", "usable_password": "true"}
    assert desk.post(f"/admin/collaboration/user/{bob.pk}/password/", data, follow=True).status_code in (200, 404)
    bob.refresh_from_db()
    assert bob.check_password("correct horse")


def test_people_are_not_deleted(desk, bob):
    assert desk.post(url("delete", "user", bob.pk), {"post": "yes"}).status_code == 403
    assert User.objects.filter(pk=bob.pk).exists()


# -------------------------------------------------------------------------------------------------- what calls actions
def test_studios_and_projects_go_through_actions(desk, operator):
    desk.post(url("add", "studio"), {"name": "Southlight"})
    studio = Studio.objects.get()
    desk.post(url("change", "studio", studio.pk), {"name": "Eastlight"})
    start = {"studio": studio.pk, "name": "Dust", "description": "", "is_commercial": "on", "domain": "auto"}
    desk.post(url("add", "project"), start)
    film = Project.objects.get()
    desk.post(
        url("change", "project", film.pk), {"name": "Dusk", "description": "Two lines\nof text", "domain": "auto"}
    )
    film.refresh_from_db()
    assert (film.name, film.slug, film.studio.name, film.is_commercial) == ("Dusk", "dust", "Eastlight", False)
    assert list(Event.objects.order_by("pk").values_list("kind", flat=True)) == [
        "studio.created",
        "studio.renamed",
        "project.created",
        "project.changed",
    ]


def test_names_are_refused_here_too(desk):
    assert "invisible control characters" in desk.post(url("add", "studio"), {"name": "a\u202eb"}).text
    assert not Studio.objects.exists()


def test_memberships_go_through_actions(desk, operator, project, charlie):
    desk.post(url("add", "membership"), {"project": project.pk, "user": charlie.pk, "role": "artist"})
    row = Membership.objects.get(user=charlie)
    desk.post(url("change", "membership", row.pk), {"role": "lead"})
    desk.post(url("delete", "membership", row.pk), {"post": "yes"})
    assert not Membership.objects.filter(user=charlie).exists()
    kinds = Event.objects.filter(subject_id=str(charlie.pk)).order_by("pk").values_list("kind", "actor")
    assert list(kinds) == [
        ("member.joined", operator.pk),
        ("member.role_changed", operator.pk),
        ("member.left", operator.pk),
    ]


def test_the_last_owner_is_safe_here_too(desk, project, alice):
    row = Membership.objects.get(user=alice)
    answer = desk.post(url("change", "membership", row.pk), {"role": "viewer"})
    assert "A project keeps at least one owner" in answer.text
    assert desk.post(url("delete", "membership", row.pk), {"post": "yes"}).status_code == 403
    selected = {"action": "delete_selected", "_selected_action": row.pk, "post": "yes"}
    desk.post(url("changelist", "membership"), selected)
    assert Membership.objects.get(user=alice).role == Role.OWNER


# ----------------------------------------------------------------------------------------------------------- the log
@pytest.mark.parametrize("model", ["event", "invitation", "apitoken"])
def test_the_log_is_read_only(desk, project, alice, model):
    rows = {
        "event": Event.objects.get(kind="project.created"),
        "invitation": actions.create_invitation(project=project, role=Role.VIEWER, actor=alice)[0],
        "apitoken": actions.create_token(user=alice, name="Farm", scopes=[Verb.SEE])[0],
    }
    pk = rows[model].pk
    page = desk.get(url("change", model, pk))
    assert page.status_code == 200
    assert 'name="_save"' not in page.text
    assert desk.post(url("change", model, pk), {"summary": "nothing"}).status_code == 403
    assert desk.post(url("delete", model, pk), {"post": "yes"}).status_code == 403
    assert desk.get(url("add", model)).status_code == 403
    assert type(rows[model]).objects.filter(pk=pk).exists()


def test_the_log_can_be_searched_and_filtered(desk, project, alice, bob):
    found = desk.get(url("changelist", "event"), {"kind": "member.joined", "q": "Bob"}).text
    assert "made Bob a member as artist" in found
    assert "started the project" not in found


@pytest.mark.parametrize("model", ["invitation", "apitoken"])
def test_hashes_of_secrets_are_not_shown(desk, project, alice, model):
    rows = {
        "invitation": actions.create_invitation(project=project, role=Role.VIEWER, actor=alice)[0],
        "apitoken": actions.create_token(user=alice, name="Farm", scopes=[Verb.SEE])[0],
    }
    assert rows[model].secret_hash not in desk.get(url("change", model, rows[model].pk)).text
