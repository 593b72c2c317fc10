from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse

from collaboration import actions
from collaboration.models import Event, Project, Studio, StudioMembership
from collaboration.verbs import Role

URL = "/projects/"


# -------------------------------------------------------------------------------------------------------- the page
def test_one_signs_in_first(client):
    answer = client.get(URL)
    assert answer.status_code == 302
    assert answer.url.startswith(reverse("account_login"))


def test_the_wrong_method(client_of, alice):
    assert client_of(alice).delete(URL).status_code == 405


def test_everybody_sees_their_own_projects_only(client_of, project, studio, bob, charlie):
    answer = client_of(bob).get(URL)
    assert "The Long Night" in answer.text
    assert "you are artist" in answer.text
    assert "The Long Night" not in client_of(charlie).get(URL).text


def test_an_administrator_sees_every_project_of_the_studio(client_of, project, studio, charlie):
    studio.memberships.create(user=charlie, is_admin=True)
    assert "you are studio administrator" in client_of(charlie).get(URL).text


def test_the_first_project_opens_a_studio(client_of, charlie):
    answer = client_of(charlie).post(URL, {"name": "Dust", "studio_name": "Charlie and friends"})
    made = Project.objects.get()
    assert (made.name, made.slug, made.studio.name) == ("Dust", "dust", "Charlie and friends")
    assert answer.url == made.get_absolute_url()
    assert made.memberships.get().role == Role.OWNER
    assert made.studio.memberships.get().is_admin
    assert [e.summary for e in Event.objects.order_by("pk")] == [
        "opened the studio Charlie and friends",
        "started the project Dust",
    ]


def test_a_project_in_a_studio_that_is_there(client_of, studio, alice):
    client_of(alice).post(URL, {"name": "Dust", "studio": studio.pk, "studio_name": ""})
    assert Project.objects.get(name="Dust").studio == studio
    assert Studio.objects.count() == 1


def test_a_project_in_another_new_studio(client_of, studio, alice):
    client_of(alice).post(URL, {"name": "Dust", "studio": "new", "studio_name": "Second"})
    assert Project.objects.get(name="Dust").studio.name == "Second"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"name": "", "studio_name": "S"}, "Write the name of the film or series."),
        ({"name": "Dust", "studio_name": ""}, "Write the name of the studio."),
        ({"name": "x" * 10_000, "studio_name": "S"}, "at most 120 fit"),
        ({"name": "a\u202eb", "studio_name": "S"}, "invisible control characters"),
        ({"name": "Dust", "studio_name": "y" * 500}, "at most 120 fit"),
    ],
)
def test_what_cannot_be_a_project(client_of, charlie, data, sentence):
    answer = client_of(charlie).post(URL, data)
    assert answer.status_code == 422
    assert sentence in answer.text
    assert not Project.objects.exists()
    assert not Studio.objects.exists()


def test_not_in_somebody_elses_studio(client_of, studio, charlie, vera):
    for person in (charlie, vera):
        answer = client_of(person).post(URL, {"name": "Dust", "studio": studio.pk, "studio_name": ""})
        assert answer.status_code == 422
    assert not Project.objects.filter(name="Dust").exists()


def test_markup_and_other_scripts_are_shown_as_they_are(client_of, studio, alice):
    actions.create_project(studio=studio, name="<img src=x onerror=alert(1)> 👩🏽‍🚀 שלום", actor=alice)
    page = client_of(alice).get(URL).text
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt; 👩🏽‍🚀 שלום" in page


def test_pages_have_no_inline_script_or_style(client_of, project, alice):
    browser = client_of(alice)
    for name in ("people", "activity", "settings"):
        page = browser.get(reverse(f"collaboration:{name}", args=[project.slug])).text
        assert " style=" not in page
        assert " onclick=" not in page
        assert "hx-on" not in page
        assert "<script>" not in page


# ------------------------------------------------------------------------------------------------------ the actions
def test_addresses_are_unique_and_plain(studio, alice):
    names = ["Dust", "Dust", "DUST!", "砂", "../../x", "-"]
    slugs = [actions.create_project(studio=studio, name=n, actor=alice).slug for n in names]
    assert slugs == ["dust", "dust-2", "dust-3", "untitled", "x", "untitled-2"]


def test_a_project_and_its_studio_come_together_or_not_at_all(charlie):
    with pytest.raises(ValidationError):
        actions.start_project(name=" ", studio_name="Fine", actor=charlie)
    assert not Studio.objects.exists()
    assert not Event.objects.exists()


def test_changing_a_project(project, leo):
    actions.change_project(project=project, actor=leo, name="The Short Night", is_commercial=False)
    project.refresh_from_db()
    assert (project.name, project.slug, project.is_commercial) == ("The Short Night", "the-long-night", False)
    assert Event.objects.get(kind="project.changed").summary == "changed name and commercial use of the project"


def test_changing_nothing_is_no_event(project, leo):
    actions.change_project(project=project, actor=leo, name=" The Long Night ")
    assert not Event.objects.filter(kind="project.changed").exists()


def test_only_what_is_changeable_changes(project, leo):
    with pytest.raises(TypeError):
        actions.change_project(project=project, actor=leo, slug="other")


def test_renaming_a_studio(studio, alice):
    actions.rename_studio(studio=studio, name="Southlight", actor=alice)
    actions.rename_studio(studio=studio, name="Southlight", actor=alice)
    assert [e.summary for e in Event.objects.filter(kind="studio.renamed")] == [
        "renamed the studio Northlight to Southlight"
    ]


def test_where_one_may_start_a_project(studio, project, alice, leo, bob, vera, charlie):
    assert [list(Studio.objects.open_to(p)) for p in (alice, leo)] == [[studio], [studio]]
    assert not any(Studio.objects.open_to(p).exists() for p in (bob, vera, charlie))
    assert StudioMembership.objects.filter(studio=studio).count() == 4
