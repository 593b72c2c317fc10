from __future__ import annotations

import uuid

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse

from collaboration import scenes
from collaboration.models import Event, Scene, Shot
from collaboration.queries import scenes_of
from collaboration.scenes import CodeTaken


@pytest.fixture
def page(project):
    return reverse("collaboration:settings", args=[project.slug])


@pytest.fixture
def three(project, alice):
    return [scenes.create_scene(project=project, code=f"SC0{n}0", actor=alice) for n in (1, 2, 3)]


@pytest.fixture
def shot(three, alice):
    return scenes.create_shot(scene=three[0], code="SH010", actor=alice)


def url(name, project, *args):
    return reverse(f"collaboration:{name}", args=[project.slug, *args])


def codes(project):
    return [s.code for s in scenes_of(project)]


def every_write(project, scene, shot):
    return [
        (url("scene_add", project), {"code": "SC900"}),
        (url("scene_edit", project, scene.pk), {"code": "SC900"}),
        (url("scene_move", project, scene.pk), {"direction": "down"}),
        (url("scene_trash", project, scene.pk), {}),
        (url("scene_restore", project, scene.pk), {}),
        (url("shot_add", project, scene.pk), {"code": "SH900"}),
        (url("shot_edit", project, shot.pk), {"code": "SH900"}),
        (url("shot_move", project, shot.pk), {"direction": "down"}),
        (url("shot_trash", project, shot.pk), {}),
        (url("shot_restore", project, shot.pk), {}),
    ]


# --------------------------------------------------------------------------------------------------------- who may
def test_the_wrong_method(client_of, project, three, shot, alice):
    browser = client_of(alice)
    for address, _ in every_write(project, three[0], shot):
        assert browser.get(address).status_code == 405


def test_who_may_not(client_of, project, three, shot, bob, charlie):
    before = Event.objects.count()
    for address, data in every_write(project, three[0], shot):
        assert client_of(bob).post(address, data).status_code == 403
        assert client_of(charlie).post(address, data).status_code == 404
    assert Event.objects.count() == before


def test_another_projects_scene_is_not_found(client_of, project, studio, three, shot, alice):
    from collaboration import actions

    other = actions.create_project(studio=studio, name="Dust", actor=alice)
    for address, data in every_write(other, three[0], shot)[1:]:
        assert client_of(alice).post(address, data).status_code == 404
    assert client_of(alice).post(url("scene_edit", project, uuid.uuid4()), {"code": "X"}).status_code == 404


# ---------------------------------------------------------------------------------------------------- add and edit
def test_adding_scenes_and_shots(client_of, project, page, leo):
    browser = client_of(leo)
    assert browser.post(url("scene_add", project), {"code": "SC010", "name": "Harbour"}).url == page
    scene = Scene.objects.get()
    assert browser.post(url("shot_add", project, scene.pk), {"code": "SH010", "description": "Wide"}).url == page
    assert browser.post(url("shot_add", project, scene.pk), {"code": "SH020"}).url == page
    assert [(s.code, s.description) for s in scenes_of(project)[0].present_shots] == [("SH010", "Wide"), ("SH020", "")]
    text = browser.get(page).text
    assert text.index("SC010") < text.index("SH010") < text.index("SH020")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"code": ""}, "Write a code"),
        ({"code": "SC 010"}, "letters, digits"),
        ({"code": "x" * 21}, "at most 20"),
        ({"code": "sc010"}, "sc010 is taken by another scene"),
        ({"code": "SC900", "name": "x" * 121}, "at most 120"),
    ],
)
def test_a_scene_that_is_refused(client_of, project, three, alice, data, sentence):
    answer = client_of(alice).post(url("scene_add", project), data)
    assert answer.status_code == 422
    assert sentence in answer.text
    assert codes(project) == ["SC010", "SC020", "SC030"]


def test_the_same_shot_code_in_two_scenes(three, alice):
    for scene in three:
        scenes.create_shot(scene=scene, code="SH010", actor=alice)
    with pytest.raises(CodeTaken):
        scenes.create_shot(scene=three[0], code="SH010", actor=alice)


def test_editing(client_of, project, page, three, shot, alice):
    browser = client_of(alice)
    assert 'value="SC010"' in browser.get(page, {"edit": three[0].pk}).text
    browser.post(url("scene_edit", project, three[0].pk), {"code": "SC015", "name": "Pier"})
    browser.post(url("shot_edit", project, shot.pk), {"code": "SH015", "description": "Close"})
    assert codes(project) == ["SC015", "SC020", "SC030"]
    shot.refresh_from_db()
    assert (shot.code, shot.description) == ("SH015", "Close")
    assert Event.objects.latest("pk").summary == "changed code and description of shot SC015 SH015"


def test_an_edit_that_is_refused_keeps_what_was_typed(client_of, project, three, alice):
    answer = client_of(alice).post(url("scene_edit", project, three[0].pk), {"code": "SC020", "name": "Typed"})
    assert answer.status_code == 422
    assert "SC020 is taken by another scene of the project." in answer.text
    assert 'value="Typed"' in answer.text
    assert codes(project) == ["SC010", "SC020", "SC030"]


def test_saving_what_is_the_same_is_no_event(three, alice):
    before = Event.objects.count()
    scenes.change_scene(scene=three[0], code="SC010", name="", actor=alice)
    assert Event.objects.count() == before


def test_a_shot_form_opens_in_its_scene(client_of, page, three, alice):
    assert client_of(alice).get(page, {"shot_in": three[1].pk}).context["adding_to"] == three[1].pk


# ----------------------------------------------------------------------------------------------------------- order
def test_moving(client_of, project, three, alice):
    browser = client_of(alice)
    browser.post(url("scene_move", project, three[2].pk), {"direction": "up"})
    assert codes(project) == ["SC010", "SC030", "SC020"]
    browser.post(url("scene_move", project, three[0].pk), {"direction": "down"})
    assert codes(project) == ["SC030", "SC010", "SC020"]


def test_the_ends_stay_where_they_are(project, three, alice):
    before = Event.objects.count()
    scenes.move(row=three[0], direction="up", actor=alice)
    scenes.move(row=three[2], direction="down", actor=alice)
    assert codes(project) == ["SC010", "SC020", "SC030"]
    assert Event.objects.count() == before


def test_what_is_in_the_trash_is_jumped_over(project, three, alice):
    scenes.trash(row=three[1], actor=alice)
    scenes.move(row=three[2], direction="up", actor=alice)
    assert codes(project) == ["SC030", "SC010"]


def test_a_direction_that_there_is_not(client_of, project, three, alice):
    answer = client_of(alice).post(url("scene_move", project, three[0].pk), {"direction": "sideways"})
    assert answer.status_code == 422
    assert "up or down" in answer.text


def test_moving_shots(three, alice):
    a, b = [scenes.create_shot(scene=three[0], code=c, actor=alice) for c in ("SH1", "SH2")]
    scenes.move(row=b, direction="up", actor=alice)
    assert [s.code for s in three[0].shots.present()] == ["SH2", "SH1"]
    assert Event.objects.latest("pk").summary == "moved shot SC010 SH2 up"
    a.refresh_from_db()
    assert a.order == 20


# ----------------------------------------------------------------------------------------------------------- trash
def test_deleting_and_undoing(client_of, project, page, three, shot, alice):
    browser = client_of(alice)
    answer = browser.post(url("scene_trash", project, three[0].pk), follow=True)
    assert codes(project) == ["SC020", "SC030"]
    undo = url("scene_restore", project, three[0].pk)
    assert undo in answer.text
    assert browser.post(undo).url == page
    assert codes(project) == ["SC010", "SC020", "SC030"]
    assert [s.code for s in scenes_of(project)[0].present_shots] == ["SH010"], "its shots come back with it"


def test_htmx_gets_the_region_and_an_undo_in_the_toast(client_of, project, three, shot, alice):
    answer = client_of(alice).post(url("shot_trash", project, shot.pk), headers={"HX-Request": "true"}, follow=True)
    assert answer.text.lstrip().startswith('<div id="scenes"')
    assert url("shot_restore", project, shot.pk) in answer.headers["HX-Trigger"]
    assert not Shot.objects.present().exists()
    undo = client_of(alice).post(url("shot_restore", project, shot.pk), headers={"HX-Request": "true"})
    assert undo.headers["HX-Refresh"] == "true"
    assert Shot.objects.present().get() == shot


def test_a_code_that_was_taken_meanwhile(client_of, project, three, alice):
    scenes.trash(row=three[0], actor=alice)
    scenes.create_scene(project=project, code="SC010", actor=alice)
    browser, undo = client_of(alice), url("scene_restore", project, three[0].pk)
    answer = browser.post(undo)
    assert answer.status_code == 422
    assert "SC010 is taken by another scene" in answer.text
    toast = browser.post(undo, headers={"HX-Request": "true"})
    assert toast.json()["detail"].startswith("SC010 is taken")
    assert codes(project) == ["SC020", "SC030", "SC010"]


def test_trash_and_restore_happen_once(three, alice):
    before = Event.objects.count()
    for action in (scenes.trash, scenes.trash, scenes.restore, scenes.restore):
        action(row=three[0], actor=alice)
    assert Event.objects.count() == before + 2


def test_the_number_of_queries_does_not_grow_with_the_film(
    client_of, project, page, three, alice, django_assert_max_num_queries
):
    for scene in three:
        for n in range(15):
            scenes.create_shot(scene=scene, code=f"SH{n}", actor=alice)
    browser = client_of(alice)
    with django_assert_max_num_queries(12):
        browser.get(page)


def test_markup_is_escaped(client_of, project, page, alice):
    scene = scenes.create_scene(project=project, code="SC010", name="<i>Pier</i> 🎬", actor=alice)
    scenes.create_shot(scene=scene, code="SH010", description="<img src=x>", actor=alice)
    text = client_of(alice).get(page).text
    assert "&lt;i&gt;Pier&lt;/i&gt; 🎬" in text
    assert "&lt;img src=x&gt;" in text
    with pytest.raises(ValidationError):
        scenes.create_scene(project=project, code="SC020", name="a\u202eb", actor=alice)
