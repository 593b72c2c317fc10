"""Three pictures under review."""

from __future__ import annotations

import pytest

from collaboration.reviews import actions
from collaboration.reviews.models import Review
from collaboration.subjects import target
from tests.api.conftest import api  # noqa: F401
from tests.characters.conftest import add, batch_of, mara, pack, paper_packs, see, stored  # noqa: F401


@pytest.fixture
def faces(mara, batch_of):  # noqa: F811
    return list(batch_of(mara, count=3).variations.order_by("index"))


@pytest.fixture
def review(project, bob, faces) -> Review:
    images = [target("variation", face.pk) for face in faces]
    return actions.create_review(project=project, title="Monday", images=images, actor=bob)
