from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse

from assets.models import Asset
from characters import actions, derivations
from characters.actions import references
from characters.models import Character, IdentityProfile, Reference, Variation, VariationBatch
from collaboration.models import Event, User
from gpu_worker import actions as jobs
from gpu_worker.models import Job, Reading
from tests.characters.conftest import as_json, looked


def url(name: str, character: Character, *more: object) -> str:
    return reverse(f"characters:{name}", args=[character.project.slug, character.pk, *more])


DEEDS = ["reference_trash", "reference_restore", "reference_erase"]


@pytest.mark.parametrize("name", DEEDS)
def test_who_may(
    client_of: Callable[[User], Client],
    vera: User,
    charlie: User,
    bob: User,
    mara: Character,
    add: Callable[..., list[Reference]],
    name: str,
) -> None:
    where = url(name, mara, add(mara, 1)[0].pk)
    assert client_of(vera).post(where).status_code == 403
    assert client_of(charlie).post(where).status_code == 404
    # Erasing for good is for owners.
    assert client_of(bob).post(where).status_code == (403 if name == "reference_erase" else 302)
    assert client_of(bob).put(where).status_code == 405


def test_an_address_with_another_character_is_not_found(
    client_of: Callable[[User], Client], alice: User, mara: Character, add: Callable[..., list[Reference]]
) -> None:
    other = actions.create_character(project=mara.project, actor=alice, name="Other")
    reference = add(mara, 1)[0]
    assert client_of(alice).post(url("reference_trash", other, reference.pk)).status_code == 404


def test_removing_takes_the_row_away_and_undo_brings_it_back(
    sign_in: Callable[..., Client], bob: User, mara: Character, add: Callable[..., list[Reference]]
) -> None:
    first, _second = add(mara, 2)
    client = sign_in(bob, htmx=True, target=f"reference-{first.pk}")
    response = client.post(url("reference_trash", mara, first.pk))
    assert response.content == b""
    toast = json.loads(response["HX-Trigger"])["toast"]
    mara.refresh_from_db()
    assert mara.reference_count == 1
    assert sign_in(bob).post(toast["undo_url"]).status_code == 302
    mara.refresh_from_db()
    assert mara.reference_count == 2
    assert Event.objects.filter(kind="reference.restored").count() == 1


def test_the_summary_brings_the_rows_that_have_their_answer(
    sign_in: Callable[..., Client],
    bob: User,
    mara: Character,
    stored: Callable[..., Asset],
    see: Callable[..., None],
) -> None:
    first, second = actions.add_references(character=mara, assets=[stored(mara, 1), stored(mara, 2)], actor=bob)
    client = sign_in(bob, htmx=True)
    where = url("references_summary", mara) + f"?watched={first.pk},{second.pk}"
    waiting = client.get(where).content.decode()
    assert "2 being checked" in waiting
    assert "hx-swap-oob" not in waiting
    see(first, looked(1))
    half = client.get(where).content.decode()
    assert "data-refresh-url" in half
    assert f'id="reference-{first.pk}"' in half
    see(second, looked(2, faces=()))
    done = client.get(where).content.decode()
    assert "data-refresh-url" not in done
    assert "1 usable, 1 rejected" in done
    assert "This image has no face we can use. Crop closer or choose another." in done


def test_the_summary_counts_for_each_tier(
    client_of: Callable[[User], Client], vera: User, mara: Character, add: Callable[..., list[Reference]]
) -> None:
    add(mara, 8)
    summary = client_of(vera).get(url("references", mara)).context["summary"]
    assert [(t["name"], t["reached"], t["note"]) for t in summary["tiers"]] == [
        ("Low", True, "Enough. This character's tier."),
        ("Standard", False, "2 more needed."),
        ("High", False, "12 more needed."),
    ]
    assert summary["held_out"] == 2
    assert summary["check_url"] == ""


def test_a_failed_look_is_said_and_can_be_repeated(
    client_of: Callable[[User], Client], bob: User, mara: Character, stored: Callable[..., Asset]
) -> None:
    reference = actions.add_references(character=mara, assets=[stored(mara, 1)], actor=bob)[0]
    jobs.cancel(job=Job.objects.get(kind="reference.look"))
    reference.refresh_from_db()
    assert reference.verdict == Reference.REJECT
    assert "have it checked" in reference.checks[0]["sentence"]
    told = Event.objects.get(kind="reference.checked")
    assert (told.payload["reference_id"], told.payload["verdict"]) == (str(reference.pk), "reject")
    response = client_of(bob).post(url("references_check", mara), follow=True)
    assert "1 being checked again." in response.content.decode()
    reference.refresh_from_db()
    assert reference.verdict == Reference.CHECKING
    assert Job.objects.filter(kind="reference.look", state=Job.WAITING).count() == 1


def test_check_again_needs_the_right_to_upload(
    client_of: Callable[[User], Client], vera: User, charlie: User, mara: Character
) -> None:
    assert client_of(vera).post(url("references_check", mara)).status_code == 403
    assert client_of(charlie).post(url("references_check", mara)).status_code == 404
    assert client_of(vera).get(url("references_check", mara)).status_code == 405
    assert client_of(charlie).get(url("references_summary", mara)).status_code == 404


# ------------------------------------------------------------------------------------------------------- erasing
def test_before_erasing_it_says_what_was_made_from_it(
    client_of: Callable[[User], Client],
    alice: User,
    mara: Character,
    add: Callable[..., list[Reference]],
    batch_of: Callable[..., VariationBatch],
) -> None:
    reference = add(mara, 1)[0]
    batch_of(mara, count=1)
    Variation.objects.update(measured_against={"reference_ids": [str(reference.pk)]})
    page = client_of(alice).get(url("reference_erase", mara, reference.pk)).content.decode()
    for what in ("What was seen in it", "The identity profile", "One generated picture"):
        assert what in page
    assert Asset.objects.get(pk=reference.asset_id).erased_at is None


def test_erasing_leaves_nothing_that_was_measured(
    client_of: Callable[[User], Client], alice: User, mara: Character, add: Callable[..., list[Reference]]
) -> None:
    reference = add(mara, 1)[0]
    client = client_of(alice)
    response = client.post(url("reference_erase", mara, reference.pk))
    assert response.status_code == 302
    asset = Asset.objects.get(pk=reference.asset_id)
    assert asset.erased_at is not None
    assert (asset.key, asset.original_name) == ("", "Erased")
    assert not Reading.objects.filter(asset=asset).exists()
    assert not IdentityProfile.objects.exists()
    mara.refresh_from_db()
    assert (mara.reference_count, mara.picture) == (0, None)
    assert Event.objects.filter(kind="reference.erased").count() == 1
    again = client.post(url("reference_restore", mara, reference.pk), follow=True).content.decode()
    assert "cannot come back" in again


def test_a_prompt_written_by_hand_survives_but_no_embedding_does(
    alice: User, mara: Character, add: Callable[..., list[Reference]]
) -> None:
    reference = add(mara, 1)[0]
    actions.change_base_prompt(character=mara, prompt="a queen", actor=alice)
    actions.erase_reference(reference=reference, actor=alice)
    profile = IdentityProfile.objects.get()
    assert (profile.base_prompt, profile.centroid, profile.colours, profile.is_learnt) == ("a queen", [], [], False)


def test_an_answer_that_comes_during_an_erasure_is_not_kept(
    alice: User, mara: Character, stored: Callable[..., Asset], monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = actions.add_references(character=mara, assets=[stored(mara, 1)], actor=alice)[0]
    lock, waited = references.lock, []

    def lock_late(character: Character) -> Character:
        """Who waits for the lock gets it when the erasure, which had it, is done."""
        if not waited:
            waited.append(True)
            actions.erase_reference(reference=Reference.objects.get(pk=reference.pk), actor=alice)
        return lock(character)

    monkeypatch.setattr(references, "lock", lock_late)
    with transaction.atomic():
        actions.accept_reading(reference_id=reference.pk, seen=as_json(looked(1)))
    assert waited
    assert not Reading.objects.exists()


def test_a_picture_that_others_use_goes_from_all_of_them(
    alice: User, mara: Character, add: Callable[..., list[Reference]]
) -> None:
    reference = add(mara, 1)[0]
    twin = actions.create_character(project=mara.project, actor=alice, name="Twin")
    actions.add_references(character=twin, assets=[reference.asset], actor=alice)
    assert derivations.of(reference)
    actions.erase_reference(reference=reference, actor=alice)
    assert not twin.references.present().exists()
    twin.refresh_from_db()
    assert twin.picture is None
