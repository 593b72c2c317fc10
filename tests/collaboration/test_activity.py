from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from collaboration import actions, scenes
from collaboration.models import Event, Stream
from collaboration.queries import EVENTS_PER_PAGE, activity_of
from collaboration.subjects import links, url_of


@pytest.fixture
def page(project):
    return reverse("collaboration:activity", args=[project.slug])


def fill(project, actor, count):
    """As many events as wanted, without the work that goes with them."""
    stream = Stream.objects.get(kind="project", key=str(project.pk))
    rows = [
        Event(stream=stream, seq=stream.head + n, kind="scene.moved", actor=actor, summary=f"moved number {n}")
        for n in range(1, count + 1)
    ]
    Event.objects.bulk_create(rows)
    Stream.objects.filter(pk=stream.pk).update(head=stream.head + count)


def test_the_wrong_method(client_of, page, vera):
    assert client_of(vera).post(page).status_code == 405


def test_a_stranger_learns_nothing(client_of, page, charlie):
    assert client_of(charlie).get(page).status_code == 404


def test_what_happened_newest_first(client_of, project, page, alice, vera):
    scenes.create_scene(project=project, code="SC010", name="Harbour", actor=alice)
    text = client_of(vera).get(page).text
    assert text.index("added scene SC010 Harbour") < text.index("started the project The Long Night")
    assert f"<h2>{timezone.now():%A}, " in text
    assert "UTC</span></h2>" in text, "whose day it is, for those without the script that makes it theirs"


def test_pages_by_number(client_of, project, page, alice):
    fill(project, alice, EVENTS_PER_PAGE * 2 + 10)
    seen, url, browser = [], page, client_of(alice)
    for _ in range(10):
        answer = browser.get(url)
        seen += [e.seq for day in answer.context["days"] for e, _ in day.entries]
        fill(project, alice, 1)  # what happens meanwhile moves nothing
        url = answer.context["next_url"]
        if not url:
            break
    assert seen == list(range(EVENTS_PER_PAGE * 2 + 11, 0, -1))


def test_htmx_gets_only_the_next_entries(client_of, project, page, alice):
    fill(project, alice, EVENTS_PER_PAGE + 10)
    browser = client_of(alice)
    next_url = browser.get(page).context["next_url"]
    part = browser.get(next_url, headers={"HX-Request": "true"}).text
    assert "<html" not in part
    assert "moved number 9" in part
    assert "<html" in browser.get(next_url).text


def test_grouped_by_day(project, alice):
    fill(project, alice, 3)
    Event.objects.filter(summary="moved number 1").update(at=timezone.now() - timedelta(days=3))
    Event.objects.filter(kind="project.created").update(at=timezone.now() - timedelta(days=3))
    days = activity_of(project).days
    assert [len(d.entries) for d in days] == [2, 2]
    assert days[0].date - days[1].date == timedelta(days=3)


def test_by_person(client_of, project, page, alice, leo):
    scenes.create_scene(project=project, code="SC010", actor=alice)
    scenes.create_scene(project=project, code="SC020", actor=leo)
    text = client_of(alice).get(page, {"person": leo.pk}).text
    assert "added scene SC020" in text
    assert "added scene SC010" not in text


def test_by_topic(client_of, project, page, alice, leo):
    scenes.create_scene(project=project, code="SC010", actor=alice)
    text = client_of(alice).get(page, {"topic": "Scenes and shots"}).text
    assert "added scene SC010" in text
    assert "started the project" not in text
    nothing = client_of(alice).get(page, {"topic": "Scenes and shots", "person": leo.pk}).text
    assert "Nothing like that has happened" in nothing


@pytest.mark.parametrize(
    "query", [{"person": "x"}, {"before": "-1"}, {"topic": "'"}, {"before": "9" * 30}, {"before": "²"}]
)
def test_a_filter_that_makes_no_sense_filters_nothing(client_of, page, alice, query):
    answer = client_of(alice).get(page, query)
    assert answer.status_code == 200
    assert "started the project" in answer.text


def test_another_projects_events_stay_there(client_of, project, page, studio, alice):
    other = actions.create_project(studio=studio, name="Dust", actor=alice)
    scenes.create_scene(project=other, code="SC999", actor=alice)
    assert "SC999" not in client_of(alice).get(page).text


def test_entries_lead_to_what_they_are_about(project, alice):
    scene = scenes.create_scene(project=project, code="SC010", name="Harbour", actor=alice)
    shot = scenes.create_shot(scene=scene, code="SH010", actor=alice)
    address = reverse("collaboration:settings", args=[project.slug]) + f"#scene-{scene.pk}"
    assert url_of("scene", str(scene.pk)) == address
    found = links([("scene", str(scene.pk)), ("shot", str(shot.pk)), ("project", str(project.pk)), ("ghost", "1")])
    assert found["scene", str(scene.pk)].url == address
    assert found["scene", str(scene.pk)].title == "SC010 Harbour"
    assert found["shot", str(shot.pk)].url == address
    assert found["project", str(project.pk)].title == "The Long Night"
    assert len(found) == 3


def test_what_is_deleted_is_named_without_a_link(client_of, project, page, alice):
    scene = scenes.create_scene(project=project, code="SC010", actor=alice)
    scenes.trash(row=scene, actor=alice)
    text = client_of(alice).get(page).text
    assert "deleted scene SC010" in text
    assert f"#scene-{scene.pk}" not in text


def test_the_number_of_queries_does_not_grow_with_the_feed(
    client_of, project, page, alice, django_assert_max_num_queries
):
    for n in range(30):
        scene = scenes.create_scene(project=project, code=f"SC{n}", actor=alice)
        scenes.create_shot(scene=scene, code="SH1", actor=alice)
    browser = client_of(alice)
    with django_assert_max_num_queries(15):
        assert f'#scene-{scene.pk}"' in browser.get(page).text


def test_names_in_the_feed_are_escaped(client_of, project, page, alice):
    scenes.create_scene(project=project, code="SC010", name="<script>alert('x')</script>", actor=alice)
    text = client_of(alice).get(page).text
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text


def test_what_somebody_did_who_is_gone_remains(client_of, project, page, alice):
    fill(project, None, 1)
    assert "The studio" in client_of(alice).get(page).text
