"""The description, written by several people at once: a browser each, made of the same CRDT."""

from __future__ import annotations

import base64
import datetime
import os
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pycrdt import Doc, Text

from characters import actions
from characters.actions import texts
from characters.models import Character
from collaboration.merging import rewrite
from collaboration.models import Event, Revision, SharedText, User


class Window:
    """Somebody's open form."""

    def __init__(self, client: Client, character: Character) -> None:
        self.client = client
        self.url = reverse("characters:description", args=[character.project.slug, character.pk])
        self.doc: Doc = Doc()
        self.text = self.doc.get("text", type=Text)
        self.told = self.doc.get_state()
        self.synchronise()

    def synchronise(self, *, pause: bool = False, status: int = 200) -> None:
        update = self.doc.get_update(self.told)
        answer = self.post(update, self.doc.get_state(), pause)
        assert answer.status_code == status, answer.content
        if status == 200:
            self.doc.apply_update(base64.b64decode(answer.json()["update"]))
            self.told = self.doc.get_state()

    def post(self, update: bytes, vector: bytes, pause: bool = False) -> Any:
        body = {
            "update": base64.b64encode(update).decode(),
            "vector": base64.b64encode(vector).decode(),
            "pause": pause,
        }
        return self.client.post(self.url, body, content_type="application/json")

    def write(self, text: str) -> None:
        rewrite(self.text, text)


@pytest.fixture
def window(client_of: Callable[[User], Client], mara: Character, alice: User) -> Callable[[User], Window]:
    actions.change_character(character=mara, actor=alice, description="Keeper of the light.")
    return lambda user: Window(client_of(user), mara)


def kept(character: Character) -> str:
    return Character.objects.get(pk=character.pk).description


def test_both_see_what_both_wrote(window: Callable[[User], Window], alice: User, bob: User, mara: Character) -> None:
    one, other = window(alice), window(bob)
    assert str(one.text) == "Keeper of the light."
    one.write("Old keeper of the light.")
    other.write("Keeper of the light. She limps 🌊.")
    one.synchronise()
    other.synchronise()
    one.synchronise()
    assert str(one.text) == str(other.text) == kept(mara) == "Old keeper of the light. She limps 🌊."


def test_spaces_at_the_end_are_not_taken_away_while_somebody_writes(
    window: Callable[[User], Window], bob: User, mara: Character
) -> None:
    one = window(bob)
    one.write("Keeper of the light. ")
    one.synchronise()
    one.synchronise()
    assert str(one.text) == "Keeper of the light. "
    assert kept(mara) == "Keeper of the light."


def test_sending_again_changes_nothing(window: Callable[[User], Window], bob: User, mara: Character) -> None:
    one = window(bob)
    before = one.doc.get_state()
    one.write("Keeper of the light. She limps.")
    update = one.doc.get_update(before)
    for _ in range(3):
        assert one.post(update, one.doc.get_state()).status_code == 200
    assert kept(mara) == "Keeper of the light. She limps."


def test_a_sentence_is_one_revision_told_at_a_pause(
    window: Callable[[User], Window], bob: User, alice: User, mara: Character
) -> None:
    one = window(bob)
    revisions, events = Revision.objects.count(), Event.objects.count()
    for length in range(4, len("She limps.") + 1, 2):
        one.write("Keeper of the light. " + "She limps."[:length])
        one.synchronise()
    assert (Revision.objects.count(), Event.objects.count()) == (revisions, events)
    one.synchronise(pause=True)
    assert (Revision.objects.count(), Event.objects.count()) == (revisions + 1, events + 1)
    latest = Revision.objects.latest("number")
    assert (latest.author, latest.snapshot["description"]) == (bob, "Keeper of the light. She limps.")
    assert Event.objects.latest("seq").payload["fields"] == ["description"]
    one.synchronise(pause=True)
    assert Revision.objects.count() == revisions + 1


def test_each_is_told_for_their_own_words(
    window: Callable[[User], Window], bob: User, alice: User, mara: Character
) -> None:
    one, other = window(bob), window(alice)
    one.write("Keeper of the light. She limps.")
    one.synchronise()
    other.synchronise()
    other.write("Keeper of the light. She limps. Badly.")
    other.synchronise(pause=True)
    told = Revision.objects.filter(subject_id=str(mara.pk)).order_by("-number")[:2]
    assert [(r.author, r.snapshot["description"][20:]) for r in told] == [
        (alice, " She limps. Badly."),
        (bob, " She limps."),
    ]


def test_what_was_left_without_a_pause_is_told_by_the_schedule(
    window: Callable[[User], Window], bob: User, mara: Character
) -> None:
    one = window(bob)
    one.write("Gone.")
    one.synchronise()
    revisions = Revision.objects.count()
    texts.tell_written()
    assert Revision.objects.count() == revisions
    SharedText.objects.update(written_at=timezone.now() - datetime.timedelta(minutes=2))
    texts.tell_written()
    texts.tell_written()
    assert Revision.objects.count() == revisions + 1
    assert Revision.objects.latest("number").author == bob


def test_a_form_or_a_roll_back_changes_the_text_of_open_windows(
    window: Callable[[User], Window], bob: User, alice: User, mara: Character
) -> None:
    one = window(bob)
    actions.change_character(character=mara, actor=alice, description="Keeper of the old light.")
    one.write("Mara, keeper of the light.")
    one.synchronise()
    assert str(one.text) == kept(mara)
    assert "old light" in kept(mara)
    assert kept(mara).startswith("Mara, ")


def test_what_is_no_update_is_refused_and_changes_nothing(
    window: Callable[[User], Window], bob: User, mara: Character
) -> None:
    one = window(bob)
    state = one.doc.get_state()
    assert one.post(b"\xff\xfe nonsense", state).status_code == 422
    assert one.post(b"", b"\xff" * 9).status_code == 422
    assert one.post(os.urandom(300 * 1024), state).status_code == 422
    for body in ("x", "[]", "{}", '{"update": 1, "vector": ""}', '{"update": "*", "vector": ""}'):
        assert one.client.post(one.url, body, content_type="application/json").status_code == 400
    one.write("x" * 4001)
    one.synchronise(status=422)
    assert kept(mara) == "Keeper of the light."


def test_only_who_may_edit(
    client_of: Callable[[User], Client], window: Any, vera: User, charlie: User, mara: Character
) -> None:
    here = reverse("characters:description", args=[mara.project.slug, mara.pk])
    assert client_of(vera).post(here, {}, content_type="application/json").status_code == 403
    assert client_of(charlie).post(here, {}, content_type="application/json").status_code == 404
    assert client_of(vera).get(here).status_code == 405
