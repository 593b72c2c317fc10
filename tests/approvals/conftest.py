"""A character that has to be approved."""

from __future__ import annotations

import pytest

from collaboration.approvals import actions
from collaboration.approvals.models import Gate
from collaboration.subjects import target
from collaboration.verbs import Role
from tests.api.conftest import api  # noqa: F401
from tests.characters.conftest import add, batch_of, mara, pack, paper_packs, see, stored  # noqa: F401


@pytest.fixture
def gate(mara, alice, leo, rita) -> Gate:  # noqa: F811
    """Two of: leads, owners and Rita."""
    return actions.create_gate(
        subject=target("character", mara.pk),
        name="Likeness",
        aspect="The look",
        needed=2,
        roles=[Role.LEAD, Role.OWNER],
        people=[rita],
        actor=alice,
    )
