"""The history of a character, and going back in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from characters import actions, subjects
from characters.fragments.history import words_diff
from characters.models import Character, Reference, Variation, VariationBatch
from collaboration.models import Event, Revision, User


def url(character: Character, name: str = "history", number: int | None = None) -> str:
    numbers = [] if number is None else [number]
    return reverse(f"characters:{name}", args=[character.project.slug, character.pk, *numbers])


def head(character: Character) -> int:
    return Revision.objects.filter(subject_id=str(character.pk)).latest("number").number


def test_it_tells_who_changed_what(
    client_of: Callable[[User], Client], vera: User, alice: User, mara: Character
) -> None:
    actions.change_character(character=mara, actor=alice, traits="blue coat", age="35", tags=["lead", "ship"])
    page = client_of(vera).get(url(mara)).content.decode()
    assert "changed age, traits and tags of Mara" in page or "changed traits, age and tags of Mara" in page
    assert "<del>red</del><ins>blue</ins> coat" in page
    assert '<ins class="chip still"><span>ship</span></ins>' in page
    assert "roll-back" not in page
    only = client_of(vera).get(url(mara) + "?field=age").content.decode()
    assert "<del>34</del><ins>35</ins>" in only
    assert client_of(vera).get(url(mara, "revision", head(mara))).status_code == 200


def test_strangers_and_wrong_methods(
    client_of: Callable[[User], Client], vera: User, charlie: User, mara: Character
) -> None:
    assert client_of(charlie).get(url(mara)).status_code == 404
    assert client_of(charlie).get(url(mara, "revision", 1)).status_code == 404
    for name in ("revision_roll_back", "revision_undo"):
        assert client_of(charlie).post(url(mara, name, 1)).status_code == 404
        assert client_of(vera).post(url(mara, name, 1)).status_code == 403
        assert client_of(vera).get(url(mara, name, 1)).status_code == 405
    assert client_of(vera).get(url(mara, "revision", 99)).status_code == 404


def test_a_roll_back_is_a_revision_and_an_event_of_its_own(
    client_of: Callable[[User], Client],
    leo: User,
    alice: User,
    mara: Character,
    add: Callable[..., list[Reference]],
    batch_of: Callable[..., VariationBatch],
) -> None:
    references = add(mara, 3)
    then, number = subjects.snapshot(Character.objects.get(pk=mara.pk)), head(mara)
    actions.change_character(character=mara, actor=alice, name="Mara Voss", description="Limps.", tier="high", tags=[])
    actions.change_base_prompt(character=mara, prompt="a queen", actor=alice)
    actions.trash_reference(reference=references[0], actor=alice)
    batch = batch_of(mara, count=2)
    actions.pick_variation(variation=Variation.objects.filter(batch=batch).first(), actor=alice)
    assert client_of(leo).post(url(mara, "revision_roll_back", number)).status_code == 302
    mara.refresh_from_db()
    assert subjects.snapshot(Character.objects.get(pk=mara.pk)) == then
    latest = Revision.objects.filter(subject_id=str(mara.pk)).latest("number")
    assert (latest.number, latest.author, latest.snapshot) == (head(mara), leo, then)
    assert latest.reason == f"rolled Mara back to revision {number}"
    event = Event.objects.latest("seq")
    assert (event.kind, event.actor, event.payload["is_whole"]) == ("character.rolled_back", leo, True)
    # And forward again.
    assert client_of(leo).post(url(mara, "revision_undo", latest.number)).status_code == 302
    mara.refresh_from_db()
    assert (mara.name, mara.tier) == ("Mara Voss", "high")


def test_one_field_comes_back_alone(
    client_of: Callable[[User], Client], leo: User, alice: User, mara: Character
) -> None:
    number = head(mara)
    actions.change_character(character=mara, actor=alice, age="35", traits="blue coat")
    answer = client_of(leo).post(url(mara, "revision_roll_back", number), {"field": "age"}, follow=True)
    assert f"Age of revision {number} is back." in answer.content.decode()
    mara.refresh_from_db()
    assert (mara.age, mara.traits) == ("34", "blue coat")
    assert Event.objects.latest("seq").summary == f"brought back age of Mara from revision {number}"
    assert client_of(leo).post(url(mara, "revision_roll_back", number), {"field": "trashed"}).status_code == 404


def test_artists_go_back_in_their_own_work_only(
    client_of: Callable[[User], Client], bob: User, alice: User, mara: Character
) -> None:
    number = head(mara)
    actions.change_character(character=mara, actor=bob, age="35")
    assert client_of(bob).post(url(mara, "revision_roll_back", number), {"field": "age"}).status_code == 302
    actions.change_character(character=mara, actor=alice, age="36")
    refusal = client_of(bob).post(url(mara, "revision_roll_back", number), {"field": "age"})
    assert refusal.status_code == 403
    assert "Age was changed by Alice since" in refusal.content.decode()
    assert client_of(bob).post(url(mara, "revision_undo", head(mara))).status_code == 403
    mara.refresh_from_db()
    assert mara.age == "36"


def test_an_undo_never_overwrites_a_later_change_and_says_whose_it_is(
    client_of: Callable[[User], Client], bob: User, alice: User, mara: Character
) -> None:
    actions.change_character(character=mara, actor=bob, age="35", traits="blue coat", tags=["lead", "ship"])
    mine = head(mara)
    actions.change_character(character=mara, actor=alice, age="36", tags=["lead", "ship", "night"])
    page = client_of(bob).post(url(mara, "revision_undo", mine), follow=True).content.decode()
    assert "Alice has changed age since. That stays as it is." in page
    mara.refresh_from_db()
    assert (mara.age, mara.traits) == ("36", "red coat")
    assert sorted(t.name for t in mara.tags.all()) == ["lead", "night"]
    before = head(mara)
    page = client_of(bob).post(url(mara, "revision_undo", mine), follow=True).content.decode()
    assert "Nothing was taken back." in page
    assert head(mara) == before


def test_saving_offers_an_undo(client_of: Callable[[User], Client], bob: User, mara: Character) -> None:
    from tests.characters.test_merging import form_of

    client = client_of(bob)
    fields = form_of(mara) | {"age": "35"}
    page = client.post(reverse("characters:edit", args=[mara.project.slug, mara.pk]), fields, follow=True)
    assert url(mara, "revision_undo", head(mara)) in page.content.decode()
    client.post(url(mara, "revision_undo", head(mara)))
    mara.refresh_from_db()
    assert mara.age == "34"


def test_the_beginning_is_not_undone_and_a_taken_name_does_not_come_back(
    client_of: Callable[[User], Client], alice: User, mara: Character
) -> None:
    client = client_of(alice)
    page = client.post(url(mara, "revision_undo", 1), follow=True).content.decode()
    assert "This is how the character began." in page
    actions.change_character(character=mara, actor=alice, name="Mara Voss")
    actions.create_character(project=mara.project, actor=alice, name="Mara")
    page = client.post(url(mara, "revision_roll_back", 1), follow=True).content.decode()
    assert "There is already a character called Mara" in page
    mara.refresh_from_db()
    assert mara.name == "Mara Voss"


def test_what_was_erased_stays_erased(
    client_of: Callable[[User], Client], alice: User, mara: Character, add: Callable[..., list[Reference]]
) -> None:
    references = add(mara, 3)
    number = head(mara)
    actions.erase_reference(reference=references[0], actor=alice)
    actions.trash_reference(reference=references[1], actor=alice)
    page = client_of(alice).post(url(mara, "revision_roll_back", number), follow=True).content.decode()
    assert "1 picture was erased or moved since and cannot come back." in page
    assert set(mara.references.present()) == set(references[1:])
    assert "Erased" in page


def test_pages_of_history_cost_the_same_however_long_it_is(
    client_of: Callable[[User], Client], vera: User, alice: User, mara: Character, monkeypatch: pytest.MonkeyPatch
) -> None:
    from characters import queries

    monkeypatch.setattr(queries, "HISTORY_PAGE", 4)
    client = client_of(vera)

    def count() -> int:
        client.get(url(mara))
        with CaptureQueriesContext(connection) as found:
            assert client.get(url(mara)).status_code == 200
        return len(found)

    for n in range(5):
        actions.change_character(character=mara, actor=alice, age=f"{n}")
    few = count()
    for n in range(12):
        actions.change_character(character=mara, actor=alice, age=f"x{n}")
    assert count() == few
    seen: list[str] = []
    next_url: Any = url(mara)
    import re

    while next_url:
        page = client.get(next_url).content.decode()
        seen += re.findall(r'id="revision-(\d+)"', page)
        more = re.search(r'class="more" hx-get="([^"]*)"', page)
        next_url = more[1].replace("&amp;", "&") if more else None
    assert [int(n) for n in seen] == list(range(head(mara), 0, -1))


def test_a_diff_is_by_words() -> None:
    def told(before: str, after: str) -> str:
        signs = {"same": "", "gone": "-", "new": "+"}
        return "".join(f"{signs[s['kind']]}[{s['text']}]" for s in words_diff(before, after))

    assert told("red coat, brown hair", "blue coat, brown hair") == "-[red]+[blue][ coat, brown hair]"
    assert told("", "new") == "+[new]"
    assert told("same", "same") == "[same]"
