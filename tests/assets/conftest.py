"""Pictures in the storage."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from django.core.files.storage import storages

from assets.actions import store_picture
from assets.folders import character_folder
from assets.models import Asset
from collaboration.models import Project, User
from tests.assets import build

REFERENCES = character_folder("mara", "references")


@pytest.fixture(autouse=True)
def empty_storage() -> Iterator[None]:
    yield
    for key in stored_keys():
        storages["default"].delete(key)


def stored_keys(folder: str = "") -> list[str]:
    """Every key in the storage, sorted."""
    try:
        folders, names = storages["default"].listdir(folder)
    except FileNotFoundError:
        return []
    prefix = f"{folder}/" if folder else ""
    keys = [f"{prefix}{name}" for name in names]
    for name in folders:
        keys += stored_keys(f"{prefix}{name}")
    return sorted(keys)


@pytest.fixture
def upload(project: Project, bob: User) -> Callable[..., Asset]:
    """`upload(seed=1, kind="JPEG")`: a picture of bob's among Mara's references."""

    def make(*, seed: int = 0, kind: str = "PNG", size: tuple[int, int] = (400, 300), name: str = "Mara.png") -> Asset:
        data = build.encode(build.picture(*size, seed=seed), kind)
        return store_picture(project=project, file=data, name=name, folder=REFERENCES, actor=bob)

    return make
