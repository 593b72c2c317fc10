"""An image with somebody to talk about it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from characters.models import Character, Reference, Variation, VariationBatch
from collaboration.models import Project, User
from collaboration.subjects import Target, target
from tests.api.conftest import api, count_queries
from tests.characters.conftest import add, batch_of, mara, pack, paper_packs, see, sign_in, stored

__all__ = ["add", "api", "batch_of", "count_queries", "mara", "pack", "paper_packs", "see", "sign_in", "stored"]


@pytest.fixture
def image(mara: Character, batch_of: Callable[..., VariationBatch]) -> Variation:
    """A picture of Mara, 96 x 96 px."""
    return batch_of(mara, count=1, axes={"expression": ("sad",)}).variations.get()


@pytest.fixture
def on(image: Variation) -> Target:
    found = target("variation", image.pk)
    assert found is not None
    return found


@pytest.fixture
def reference(mara: Character, add: Callable[..., list[Reference]]) -> Reference:
    return add(mara, 1)[0]


@pytest.fixture
def elsewhere(project: Project, make_user: Callable[..., User]) -> Project:
    """A project of somebody else."""
    from collaboration import actions

    zoe = make_user("zoe")
    studio = actions.create_studio(name="Elsewhere", admin=zoe)
    return actions.create_project(studio=studio, name="Elsewhere", actor=zoe)
