from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from characters.models import Character, Preset, Reference, VariationBatch
from collaboration.models import Event, User


@pytest.fixture
def operator(make_user: Callable[..., User]) -> User:
    return make_user("olga", is_staff=True, is_superuser=True)


@pytest.fixture
def client(client_of: Callable[[User], Client], operator: User) -> Client:
    return client_of(operator)


@pytest.mark.parametrize("model", ["character", "reference", "variationbatch", "variation", "preset"])
def test_lists_open_and_nothing_is_added_there(
    client: Client,
    mara: Character,
    add: Callable[..., list[Reference]],
    batch_of: Callable[..., VariationBatch],
    model: str,
) -> None:
    add(mara, 1)
    batch_of(mara)
    assert client.get(reverse(f"admin:characters_{model}_changelist") + "?trashed=no").status_code in (200, 302)
    assert client.get(reverse(f"admin:characters_{model}_add")).status_code == 403


def test_writes_go_through_actions(
    client: Client, mara: Character, operator: User, add: Callable[..., list[Reference]]
) -> None:
    where = reverse("admin:characters_character_changelist")
    client.post(where, {"action": "trash", "_selected_action": [str(mara.pk)]})
    mara.refresh_from_db()
    assert mara.trashed_at is not None
    client.post(where, {"action": "take_back", "_selected_action": [str(mara.pk)]})
    mara.refresh_from_db()
    assert mara.trashed_at is None
    assert Event.objects.filter(actor=operator, kind__in=["character.trashed", "character.restored"]).count() == 2
    reference = add(mara, 1)[0]
    client.post(
        reverse("admin:characters_reference_changelist"), {"action": "trash", "_selected_action": [str(reference.pk)]}
    )
    mara.refresh_from_db()
    assert mara.reference_count == 0


def test_a_row_is_shown_but_not_changed(client: Client, mara: Character) -> None:
    where = reverse("admin:characters_character_change", args=[mara.pk])
    assert client.get(where).status_code == 200
    assert client.post(where, {"name": "Other"}).status_code == 403
    assert not Preset.objects.exists()
