"""The operator looks at files and erases them; nothing else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from assets.models import Asset
from collaboration.models import Event, User


@pytest.fixture
def operator(make_user: Callable[..., User]) -> User:
    return make_user("olga", is_staff=True, is_superuser=True)


def test_files_are_listed_and_not_changed(
    client_of: Callable[[User], Client], operator: User, upload: Callable[..., Asset]
) -> None:
    asset = upload()
    client = client_of(operator)
    assert asset.original_name in client.get("/admin/assets/asset/").content.decode()
    assert client.get("/admin/assets/asset/add/").status_code == 403
    assert client.post(f"/admin/assets/asset/{asset.pk}/change/", {"original_name": "x"}).status_code == 403
    assert client.post(f"/admin/assets/asset/{asset.pk}/delete/", {"post": "yes"}).status_code == 403
    assert Asset.objects.get(pk=asset.pk).original_name == "Mara.png"


def test_erasing_asks_first(client_of: Callable[[User], Client], operator: User, upload: Callable[..., Asset]) -> None:
    asset = upload()
    client = client_of(operator)
    form = {"action": "erase", "_selected_action": str(asset.pk)}
    asked = client.post("/admin/assets/asset/", form)
    assert asked.status_code == 200
    assert "Mara.png" in asked.content.decode()
    assert Asset.objects.get(pk=asset.pk).erased_at is None
    client.post("/admin/assets/asset/", {**form, "confirmed": "yes"})
    assert Asset.objects.get(pk=asset.pk).erased_at is not None
    assert Event.objects.get(kind="asset.erased").actor == operator


def test_staff_without_the_permission_may_not(
    client_of: Callable[[User], Client], make_user: Callable[..., User], upload: Callable[..., Asset]
) -> None:
    from django.contrib.auth.models import Permission

    staff = make_user("sam", is_staff=True)
    staff.user_permissions.add(Permission.objects.get(codename="view_asset"))
    asset = upload()
    client_of(staff).post(
        "/admin/assets/asset/", {"action": "erase", "_selected_action": str(asset.pk), "confirmed": "yes"}
    )
    assert Asset.objects.get(pk=asset.pk).erased_at is None
