from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.studio import Studio


@pytest.fixture
def installation() -> Iterator[Studio]:
    studio = Studio()
    try:
        yield studio
    finally:
        studio.stop()
