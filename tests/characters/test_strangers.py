"""A set of references that shows two people, and one in which nothing can be used."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from characters import actions
from characters.models import Character, IdentityProfile, Reference
from collaboration.models import Event, Revision, User
from tests.characters.conftest import face

Add = Callable[..., list[Reference]]


def where(what: str, character: Character) -> str:
    return reverse(f"characters:{what}", args=[character.project.slug, character.pk])


@pytest.fixture
def both(mara: Character, add: Add) -> tuple[list[Reference], list[Reference]]:
    """Five pictures of Mara, and then three of somebody else."""
    hers = add(mara, 5)
    theirs = []
    for n in range(3):
        theirs += add(mara, 1, first=20 + n, faces=(face(20 + n, identity=2),))
    mara.refresh_from_db()
    return hers, theirs


def test_the_page_names_the_pictures_of_the_other_person(
    mara: Character, both: tuple[list[Reference], list[Reference]], sign_in: Callable[..., Client], bob: User
) -> None:
    hers, theirs = both
    page = sign_in(bob).get(where("references", mara)).content.decode()
    assert "3 pictures look like another person" in page
    assert "5 of 8 faces are of one person" in page
    notice = page.partition('id="references-notices"')[2].partition("</section>")[0]
    assert [r.asset.url(160) in notice for r in [*hers, *theirs]] == [False] * 5 + [True] * 3
    for reference in theirs:
        reference.refresh_from_db()
        sentence = next(c["sentence"] for c in reference.checks if c["name"] == "identity")
        assert sentence.startswith("Together with 2 other references it shows one person, and most")
        assert reference.verdict == "reject"
    assert set(IdentityProfile.objects.get(character=mara).learnt_from) == {str(r.pk) for r in hers}


def test_the_other_person_is_moved_to_the_trash_and_back(
    mara: Character, both: tuple[list[Reference], list[Reference]], sign_in: Callable[..., Client], bob: User
) -> None:
    _, theirs = both
    client = sign_in(bob)
    form = {"selected": [r.pk for r in theirs], "to": "trash"}
    page = client.post(where("references_separate", mara), form, follow=True).content.decode()
    assert "3 pictures moved to the trash." in page
    assert "look like another person" not in page
    assert mara.references.present().count() == 5
    undo = page.partition("references/rejoin/?")[2].partition('"')[0].replace("&amp;", "&")
    client.post(where("references_rejoin", mara) + "?" + undo)
    assert mara.references.present().count() == 8
    assert "3 pictures look like another person" in client.get(where("references", mara)).content.decode()
    kinds = Event.objects.filter(kind__in=["reference.separated", "reference.rejoined"]).values_list("kind", flat=True)
    assert list(kinds.order_by("seq")) == ["reference.separated", "reference.rejoined"]


def test_the_other_person_becomes_a_character_of_their_own_and_it_can_be_undone(
    mara: Character, both: tuple[list[Reference], list[Reference]], sign_in: Callable[..., Client], bob: User
) -> None:
    _, theirs = both
    client = sign_in(bob)
    form = {"selected": [r.pk for r in theirs], "to": "character"}
    response = client.post(where("references_separate", mara), form)
    other = Character.objects.get(name="Beside Mara")
    assert response["Location"] == where("references", other)
    assert (other.reference_count, other.picture_id) == (3, theirs[0].asset_id)
    mara.refresh_from_db()
    assert mara.reference_count == 5
    assert set(IdentityProfile.objects.get(character=other).learnt_from) == {str(r.pk) for r in theirs}
    assert Revision.objects.filter(subject_id=str(other.pk)).exists()
    ids = "&".join(f"selected={r.pk}" for r in theirs)
    client.post(where("references_rejoin", mara) + f"?{ids}")
    other.refresh_from_db()
    assert other.trashed_at is not None
    assert mara.references.present().count() == 8


def test_a_program_takes_the_other_person_out(
    mara: Character, both: tuple[list[Reference], list[Reference]], sign_in: Callable[..., Client], bob: User
) -> None:
    address = f"/api/v1/characters/{mara.pk}/references/separate"
    body = {"references": [str(r.pk) for r in both[1]], "to": "character"}
    told = sign_in(bob).post(address, body, content_type="application/json")
    assert told.json() == {"character": str(Character.objects.get(name="Beside Mara").pk)}
    again = sign_in(bob).post(address, body | {"to": "trash"}, content_type="application/json")
    assert again.status_code == 422
    assert "not among the references any more" in again.content.decode()


def test_who_may_not_edit_sees_the_notice_without_its_actions(
    mara: Character,
    both: tuple[list[Reference], list[Reference]],
    sign_in: Callable[..., Client],
    vera: User,
    charlie: User,
) -> None:
    page = sign_in(vera).get(where("references", mara)).content.decode()
    assert "3 pictures look like another person" in page
    assert "Make a character of them" not in page
    form = {"selected": [both[1][0].pk], "to": "trash"}
    assert sign_in(vera).post(where("references_separate", mara), form).status_code == 403
    assert sign_in(vera).post(where("references_rejoin", mara)).status_code == 403
    assert sign_in(charlie).post(where("references_separate", mara), form).status_code == 404
    assert sign_in(vera).get(where("references_separate", mara)).status_code == 405


def test_the_notice_comes_with_the_last_answer(
    mara: Character, add: Add, sign_in: Callable[..., Client], bob: User
) -> None:
    add(mara, 4)
    (odd,) = add(mara, 1, first=30, faces=(face(30, identity=4),))
    news = sign_in(bob, htmx=True).get(where("references_summary", mara), {"watched": str(odd.pk)}).content.decode()
    assert 'id="references-notices" hx-swap-oob="outerHTML"' in news
    assert "1 picture looks like another person" in news


def test_where_no_picture_can_be_used_it_says_why_and_what_to_do(
    mara: Character, add: Add, sign_in: Callable[..., Client], vera: User
) -> None:
    add(mara, 2, faces=())
    add(mara, 1, first=5, sharpness=3.0)
    page = sign_in(vera).get(where("references", mara)).content.decode()
    assert "None of these 3 pictures can be used" in page
    assert "<b>No face</b> (2), <b>Blurred</b>." in page
    add(mara, 1, first=9)
    assert "can be used" not in sign_in(vera).get(where("references", mara)).content.decode()


def test_pictures_that_all_show_somebody_else_offer_no_half_to_take_out(
    mara: Character, add: Add, sign_in: Callable[..., Client], bob: User
) -> None:
    for n in range(4):
        add(mara, 1, first=n, faces=(face(n, identity=n + 1),))
    page = sign_in(bob).get(where("references", mara)).content.decode()
    assert "No two of these pictures show the same person" in page
    assert "Make a character of" not in page


def test_a_reference_that_comes_back_from_another_project_is_refused(
    mara: Character, both: tuple[list[Reference], list[Reference]], sign_in: Callable[..., Client], charlie: User
) -> None:
    from collaboration.actions import create_project, create_studio

    elsewhere = create_project(studio=create_studio(name="Elsewhere", admin=charlie), name="Another", actor=charlie)
    ruben = actions.create_character(project=elsewhere, actor=charlie, name="Ruben")
    sign_in(charlie).post(where("references_rejoin", ruben) + f"?selected={both[0][0].pk}")
    assert mara.references.present().count() == 8
