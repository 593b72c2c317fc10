from __future__ import annotations

import dataclasses
import threading
import uuid
from typing import ClassVar

import pytest
from django.db import connection, transaction

from collaboration import actions, events, scenes
from collaboration.models import Event, Stream, User
from collaboration.verbs import Role


def numbers(project):
    kind, key = events.stream_of(project)
    return list(Event.objects.filter(stream__kind=kind, stream__key=key).order_by("seq").values_list("seq", flat=True))


def test_events_are_numbered_from_one(project, alice):
    scenes.create_scene(project=project, code="SC010", actor=alice)
    scenes.create_scene(project=project, code="SC020", actor=alice)
    assert numbers(project) == [1, 2, 3]
    assert Stream.objects.get(kind="project", key=str(project.pk)).head == 3


def test_each_owner_has_a_stream_of_their_own(project, studio, alice):
    actions.change_profile(user=alice, name="Alice Kowalski")
    assert numbers(alice) == [1]
    assert numbers(studio) == [1]
    assert numbers(project) == [1]


def test_several_at_once_take_their_numbers_at_once(project, alice):
    three = [events.SceneTrashed(scene_id=uuid.uuid4(), code=f"SC{n}") for n in range(3)]
    with transaction.atomic():
        rows = events.record_all(project, three, actor=alice)
    assert [r.seq for r in rows] == [2, 3, 4]
    assert events.record_all(project, [], actor=alice) == []


def test_unknown_fields_are_refused():
    with pytest.raises(TypeError):
        events.SceneTrashed(scene_id=uuid.uuid4(), code="SC010", mood="gloomy")
    with pytest.raises(dataclasses.FrozenInstanceError):
        events.SceneTrashed(scene_id=uuid.uuid4(), code="SC010").code = "SC020"


def test_the_payload_is_plain_json(project, alice):
    scene = scenes.create_scene(project=project, code="SC010", name="Harbour", actor=alice)
    event = Event.objects.get(kind="scene.created")
    assert event.payload == {"scene_id": str(scene.pk), "code": "SC010", "name": "Harbour"}
    assert (event.subject_kind, event.subject_id, event.actor) == ("scene", str(scene.pk), alice)
    assert event.summary == "added scene SC010 Harbour"


def test_a_summary_that_is_too_long_still_fits(project, alice):
    @dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
    class Talked(events.Happening):
        kind: ClassVar[str] = "test.talked"

        def subject(self):
            return "project", project.pk

        def summary(self):
            return "b" + "la" * 500

    try:
        with transaction.atomic():
            event = events.record(project, Talked(), actor=alice)
        event.refresh_from_db()
        assert len(event.summary) == 300
    finally:
        del events.KINDS["test.talked"]


@pytest.mark.django_db(transaction=True)
def test_an_event_belongs_to_the_transaction_of_its_change(project, alice):
    with pytest.raises(transaction.TransactionManagementError):
        events.record(project, events.SceneTrashed(scene_id=uuid.uuid4(), code="SC010"), actor=alice)
    with transaction.atomic():
        scenes.create_scene(project=project, code="SC010", actor=alice)
        transaction.set_rollback(True)
    assert numbers(project) == [1]
    scenes.create_scene(project=project, code="SC010", actor=alice)
    assert numbers(project) == [1, 2]


@pytest.mark.django_db(transaction=True)
def test_numbers_have_no_gaps_when_many_write_at_once(project, alice):
    """Six threads, a third of whose transactions fail after having taken a number."""
    everybody_ready = threading.Barrier(6)
    errors = []

    def work(thread):
        try:
            everybody_ready.wait(timeout=30)
            for n in range(9):
                try:
                    with transaction.atomic():
                        scenes.create_scene(project=project, code=f"T{thread}N{n}", actor=alice)
                        if n % 3 == 2:
                            raise LookupError
                except LookupError:
                    pass
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(timeout=120)
    assert errors == []
    assert numbers(project) == list(range(1, 1 + 6 * 6 + 1))
    codes = Event.objects.filter(kind="scene.created").values_list("payload__code", flat=True)
    assert set(codes) == set(project.scenes.values_list("code", flat=True))


@pytest.mark.django_db(transaction=True)
def test_the_first_event_of_a_stream_may_be_written_by_two_at_once(make_user):
    """The stream of a person is made with its first event."""
    alice = make_user("alice")
    both_ready = threading.Barrier(2)
    errors = []

    def work(name):
        try:
            both_ready.wait(timeout=30)
            actions.change_profile(user=User.objects.get(pk=alice.pk), name=name)
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(n,)) for n in ("Ann", "Anna")]
    for t in threads:
        t.start()
    for t in threads:
        t.join(timeout=60)
    assert errors == []
    assert numbers(alice) == [1, 2]


def test_every_kind_is_filed_under_a_topic():
    filed = [kind for kinds in events.topics().values() for kind in kinds]
    assert sorted(filed) == sorted(events.KINDS)
    assert events.topics()["People"] == sorted(
        k for k in events.KINDS if k.split(".")[0] in ("account", "invitation", "member", "person", "token")
    )
    assert "scene.trashed" in events.topics()["Scenes and shots"]


def test_a_role_is_told_apart_from_joining(project, alice, charlie):
    actions.set_role(project=project, user=charlie, role=Role.ARTIST, actor=alice)
    actions.set_role(project=project, user=charlie, role=Role.ARTIST, actor=alice)
    actions.set_role(project=project, user=charlie, role=Role.LEAD, actor=alice)
    assert list(Event.objects.filter(subject_kind="person").order_by("seq").values_list("summary", flat=True)) == [
        "made Charlie a member as artist",
        "made Charlie lead, before artist",
    ]
