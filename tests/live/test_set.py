"""The set test, small: whatever dies meanwhile, every page hears all that was acknowledged, once and in order.

Its full size is `python -m benchmarks.live`. With the services of the environment it has two web processes and a Redis
of its own that restarts; on the embedded default one web process on SQLite, without any Redis.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from django.conf import settings

from benchmarks.live import Redis, Site, chaos
from tests.system.studio import _new_database


@pytest.mark.services
def test_everything_acknowledged_is_heard_once_by_every_page(tmp_path: Path) -> None:
    with_services = bool(settings.REDIS_URL)
    redis = Redis(tmp_path) if with_services else None
    if redis is not None:
        redis.start()
    (tmp_path / "data").mkdir()
    site = Site(
        tmp_path / "data",
        database_url=_new_database(os.environ["DATABASE_URL"]) if with_services else "",
        redis_url=redis.url if redis else "",
        processes=2 if with_services else 1,
    )
    try:
        film = site.people(site.run("-m", "benchmarks.crowd", "make", "20", "1", site.env["EMAIL"]).split()[-1], 8)
        site.start()
        found = chaos(site, film, 10, 2, 1, redis)
    finally:
        site.stop()
        if redis is not None:
            redis.stop()
    assert found["acknowledged"] > 5
    assert found["reconnections"] > 0
    for failure in ("missing", "duplicates", "disordered", "acknowledged_and_not_logged", "written_twice"):
        assert found[failure] == 0, found
