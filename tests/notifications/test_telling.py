"""From the log to people: each once, as they chose, and nothing lost."""

from __future__ import annotations

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from characters import actions as characters
from collaboration import actions as people
from collaboration.approvals import actions as approvals
from collaboration.live.fragments import render
from collaboration.models import Choice, Cursor, Delivery, Event, Notification, Stream
from collaboration.notifications import actions, telling
from collaboration.notifications.kinds import KINDS
from gpu_worker.models import Job
from tests.api.conftest import ok, problem


def told(person):
    return sorted(Notification.objects.filter(person=person).values_list("kind", flat=True))


def choose(person, kind, reach, mail="off"):
    actions.choose(person=person, choices={kind: (reach, mail)})


def test_those_whom_it_concerns_are_told_once(gate, bob, alice, leo, rita, vera):
    approvals.ask_approval(gate=gate, actor=bob)
    assert telling.tell() > 0
    assert telling.tell() == 0
    for person in (alice, leo, rita):
        assert told(person) == ["approval_asked"]
    assert told(bob) == told(vera) == []
    approvals.approve(gate=gate, actor=leo)
    telling.tell()
    assert told(bob) == ["approval_given"]


def test_an_approval_that_is_lost_is_told_to_who_gave_it_and_who_asked(gate, mara, add, bob, leo, rita, alice):
    approvals.ask_approval(gate=gate, actor=alice)
    approvals.approve(gate=gate, actor=leo)
    telling.tell()
    Notification.objects.all().delete()
    add(mara, 1)
    telling.tell()
    assert "approval_lost" in told(leo)
    assert "approval_lost" in told(alice)
    assert told(rita) == []


def test_mentions(project, mara, batch_of, bob, rita):
    from collaboration.notifications.kinds import mention

    event = Event(kind="annotation.created", payload={"mentioned": [rita.pk]}, actor=bob)
    assert [(n.kind, list(n.people)) for n in mention(event)] == [("mention", [rita.pk])]
    assert mention(Event(kind="annotation.created", payload={"mentioned": []})) == []


def test_who_ordered_work_hears_how_it_ended(mara, batch_of, alice, bob):
    choose(alice, "queued", "mine")
    choose(alice, "model", "mine")
    batch = batch_of(mara, count=2, state=Job.RUNNING)
    telling.tell()
    assert told(alice) == ["model", "queued"]
    words = Notification.objects.get(kind="model").words
    assert words.startswith("Chose ")
    from characters.events import VariationsFinished
    from collaboration import events as log

    with transaction.atomic():
        happening = VariationsFinished(character_id=mara.pk, name="Mara", batch_id=batch.pk, count=2, state="failed")
        log.record(mara.project, happening, actor=None)
    telling.tell()
    assert told(alice) == ["failed", "model", "queued"]
    assert told(bob) == []


def test_a_machine_that_begins_is_told_to_who_asks_for_it(mara, batch_of, alice):
    from gpu_worker import claims
    from gpu_worker.models import Worker

    choose(alice, "started", "mine")
    batch = batch_of(mara, count=1, made=0, state=Job.WAITING)
    worker = Worker.objects.create(host="h", pid=1, lane="gpu", queues=Job.GPU_QUEUES)
    assert claims.claim(Job.GPU_QUEUES, worker).pk == batch.job_id
    assert Event.objects.get(kind="job.started").summary.startswith("began: ")
    telling.tell()
    assert told(alice) == ["started"]


def test_a_choice_for_everything_or_nothing(gate, bob, vera, leo, rita):
    choose(vera, "approval_asked", "all")
    choose(rita, "approval_asked", "none")
    approvals.ask_approval(gate=gate, actor=bob)
    telling.tell()
    assert told(vera) == ["approval_asked"]
    assert not Notification.objects.get(person=vera).is_for_me
    assert told(rita) == []


def test_nothing_is_lost_when_telling_dies_in_the_middle(gate, bob, leo, monkeypatch):
    approvals.ask_approval(gate=gate, actor=bob)
    real = telling._ring

    def die(*args):
        raise RuntimeError("killed")

    monkeypatch.setattr(telling, "_ring", die)
    with pytest.raises(RuntimeError):
        telling.tell()
    assert told(leo) == []
    assert not Cursor.objects.filter(seq__gt=0).exists()
    monkeypatch.setattr(telling, "_ring", real)
    telling.tell()
    telling.tell()
    assert told(leo) == ["approval_asked"]


def test_an_event_that_cannot_be_understood_does_not_hold_up_the_rest(gate, bob, leo, rita):
    approvals.ask_approval(gate=gate, actor=bob)
    Event.objects.filter(kind="approval.asked").update(payload={})
    approvals.approve(gate=gate, actor=rita)
    telling.tell()
    assert told(bob) == ["approval_given"]


def test_a_cursor_that_goes_back_tells_nobody_twice(gate, bob, leo):
    approvals.ask_approval(gate=gate, actor=bob)
    telling.tell()
    deliveries = Delivery.objects.count()
    Cursor.objects.update(seq=0)
    telling.tell()
    assert told(leo) == ["approval_asked"]
    assert Delivery.objects.count() == deliveries


def test_a_stranger_by_now_is_told_nothing_and_sees_nothing(client_of, gate, bob, rita, alice, project):
    approvals.ask_approval(gate=gate, actor=bob)
    telling.tell()
    people.remove_member(project=project, user=rita, actor=alice)
    assert "Likeness" not in client_of(rita).get(reverse("notifications:notifications")).content.decode()
    approvals.ask_approval(gate=gate, actor=bob)
    telling.tell()
    assert told(rita) == ["approval_asked"]
    one = Notification.objects.get(person=rita)
    assert client_of(rita).get(reverse("notifications:open", args=[one.pk])).status_code == 404


def test_the_list_groups_and_is_read(client_of, gate, mara, bob, leo, rita):
    for _ in range(3):
        approvals.ask_approval(gate=gate, actor=bob)
    telling.tell()
    page = client_of(leo).get(reverse("notifications:notifications")).content.decode()
    assert page.count('class="note-group unread"') == 1
    assert "and 2 earlier" in page
    assert 'class="bell-count">1<' in page
    one = Notification.objects.filter(person=leo).latest("pk")
    answer = client_of(leo).get(reverse("notifications:open", args=[one.pk]))
    assert answer["Location"] == mara.get_absolute_url()
    assert not Notification.objects.filter(person=leo, read_at=None).exists()
    assert Notification.objects.filter(person=rita, read_at=None).count() == 3
    page = client_of(leo).get(reverse("notifications:notifications")).content.decode()
    assert "bell-count" not in page
    assert client_of(leo).get(reverse("notifications:notifications") + "?unread=1").status_code == 200


def test_reading_and_taking_it_back_with_and_without_htmx(client_of, gate, bob, leo):
    approvals.ask_approval(gate=gate, actor=bob)
    telling.tell()
    one = Notification.objects.get(person=leo)
    html = client_of(leo).post(reverse("notifications:read"), {"topic": one.topic}, headers={"HX-Request": "true"})
    assert 'id="mine-bell"' in html.content.decode()
    assert "bell-count" not in html.content.decode()
    assert client_of(leo).post(reverse("notifications:unread"), {"topic": one.topic}).status_code == 302
    one.refresh_from_db()
    assert one.read_at is None
    approvals.ask_approval(gate=gate, actor=bob)
    telling.tell()
    client_of(leo).post(reverse("notifications:read"), {"upto": one.pk})
    assert Notification.objects.filter(person=leo, read_at=None).count() == 1  # what came after is still new


def test_the_bell_of_an_open_page_hears_of_news(gate, bob, leo):
    approvals.ask_approval(gate=gate, actor=bob)
    telling.tell()
    event = Event.objects.filter(kind="notification.told", stream__kind=Stream.PERSON, stream__key=str(leo.pk)).get()
    page = f"person:{leo.pk}"
    swaps = {swap["target"]: swap["how"] for _, swap in render([event], frozenset(), [page])[page]}
    assert swaps == {"mine-bell": "refresh", "mine-notifications": "refresh"}


def test_choices_are_made_on_a_page(client_of, leo):
    url = reverse("notifications:choices")
    page = client_of(leo).get(url).content.decode()
    assert all(kind.label in page for kind in KINDS.values())
    data = {f"reach_{kind}": "mine" for kind in KINDS} | {f"mail_{kind}": "digest" for kind in KINDS}
    client_of(leo).post(url, data | {"reach_rollback": "none"})
    assert Choice.objects.get(person=leo, kind="rollback").reach == "none"
    assert Choice.objects.get(person=leo, kind="mention").mail == "digest"
    assert client_of(leo).post(url, data | {"mail_mention": "pigeon"}).status_code == 422


def test_the_list_costs_the_same_however_long(client_of, gate, bob, leo, alice, mara):
    client = client_of(leo)
    approvals.ask_approval(gate=gate, actor=bob)
    telling.tell()
    url = reverse("notifications:notifications")
    client.get(url)
    with CaptureQueriesContext(connection) as few:
        client.get(url)
    for name in ("One", "Two", "Three"):
        other = characters.create_character(project=mara.project, actor=alice, name=name)
        from collaboration.subjects import target

        more = approvals.create_gate(subject=target("character", other.pk), name="Final", actor=alice)
        approvals.ask_approval(gate=more, actor=bob)
    telling.tell()
    with CaptureQueriesContext(connection) as many:
        client.get(url)
    assert len(many) == len(few)


def test_nobody_is_told_of_what_was_before_the_cursor(project, alice):
    stream = Stream.objects.get(kind="project", key=str(project.pk))
    telling.tell()
    assert Cursor.objects.get(stream=stream).seq == stream.head


def test_the_api(api, gate, bob, leo, charlie):
    approvals.ask_approval(gate=gate, actor=bob)
    telling.tell()
    found = ok(api(leo).get("/notifications"))["items"]
    assert [(n["kind"], n["is_read"]) for n in found] == [("approval_asked", False)]
    assert ok(api(leo).post("/notifications/read", {"topic": found[0]["topic"]}))["read"] == 1
    assert ok(api(leo).get("/notifications?unread=true"))["items"] == []
    assert ok(api(charlie).get("/notifications"))["items"] == []
    changed = ok(api(leo).request("put", "/notification-choices/budget", {"reach": "all", "mail": "digest"}))
    assert {c["kind"]: (c["reach"], c["mail"]) for c in changed}["budget"] == ("all", "digest")
    problem(api(leo).request("put", "/notification-choices/nothing", {"reach": "all", "mail": "off"}), 422)
