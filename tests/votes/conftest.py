"""A picture to vote on, and the API in somebody's name."""

from __future__ import annotations

import pytest

from characters.models import Variation
from tests.api.conftest import api, ok  # noqa: F401
from tests.characters.conftest import add, batch_of, mara, pack, paper_packs, see, stored  # noqa: F401


@pytest.fixture
def face(mara, batch_of) -> Variation:  # noqa: F811
    """The first of three pictures."""
    return batch_of(mara, count=3).variations.order_by("index")[0]
