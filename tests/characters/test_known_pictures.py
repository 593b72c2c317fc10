"""A picture that was looked at before, wherever, is not looked at again; and what was seen goes with its pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assets import actions as assets
from assets.models import Asset
from characters import actions
from characters.models import Character, Reference
from collaboration import actions as collaboration
from collaboration.models import Studio, User
from gpu_worker.models import Reading
from gpu_worker.scorers.look import Looker
from tests.characters.test_jobs import png

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures went through the models, run by run."""
    counts: list[int] = []
    real = Looker.look_each

    def counted(self: Looker, pictures: Any) -> Any:
        counts.append(len(pictures))
        return real(self, pictures)

    monkeypatch.setattr(Looker, "look_each", counted)
    return counts


@pytest.fixture
def twin(studio: Studio, alice: User) -> Character:
    """Somebody in another project."""
    project = collaboration.create_project(studio=studio, name="Elsewhere", actor=alice)
    return actions.create_character(project=project, actor=alice, name="Mara", noun="woman", age="34", tier="low")


@pytest.fixture
def looked_at(worker: Any, stored: Callable[..., Asset], alice: User) -> Callable[..., list[Reference]]:
    """`looked_at(mara, 0, 1)`: these pictures as references of Mara, after the worker has looked at them."""

    def look(character: Character, *numbers: int) -> list[Reference]:
        rows = actions.add_references(
            character=character, assets=[stored(character, n, data=png(n)) for n in numbers], actor=alice
        )
        while worker.run_next():
            pass
        for row in rows:
            row.refresh_from_db()
        return rows

    return look


def test_the_same_picture_in_another_project_is_not_looked_at_again(
    mara: Character, twin: Character, looked_at: Callable[..., list[Reference]], looks: list[int]
) -> None:
    first = looked_at(mara, 0, 1)
    assert looks == [2]
    second = looked_at(twin, 1, 2)
    assert looks == [2, 1]
    assert all(r.verdict in ("pass", "warn") for r in (*first, *second)), [r.checks for r in second]
    seen = {r.asset_id: r.seen for r in Reading.objects.all()}
    assert seen[first[1].asset_id] == seen[second[0].asset_id]
    assert seen[first[1].asset_id]["faces"][0]["embeddings"].keys() == {"conditioning", "scoring"}
    assert seen[second[1].asset_id] != seen[second[0].asset_id]


def test_a_job_of_pictures_that_are_all_known_runs_no_model(
    mara: Character, twin: Character, looked_at: Callable[..., list[Reference]], looks: list[int]
) -> None:
    looked_at(mara, 0, 1)
    second = looked_at(twin, 0, 1)
    assert looks == [2]
    assert all(r.verdict in ("pass", "warn") for r in second)


def test_what_was_seen_lives_as_long_as_one_picture_of_that_content(
    alice: User, mara: Character, twin: Character, looked_at: Callable[..., list[Reference]], looks: list[int]
) -> None:
    (first,), (second,) = looked_at(mara, 0), looked_at(twin, 0)
    actions.erase_reference(reference=first, actor=alice)
    assert list(Reading.objects.values_list("asset", flat=True)) == [second.asset_id]
    actions.erase_reference(reference=second, actor=alice)
    assert not Reading.objects.exists()
    looked_at(twin, 0)
    assert looks == [1, 1]


def test_whatever_erases_a_picture_erases_what_was_seen_in_it(
    alice: User, mara: Character, looked_at: Callable[..., list[Reference]]
) -> None:
    (reference,) = looked_at(mara, 0)
    assets.erase(asset=reference.asset, actor=alice)
    assert not Reading.objects.exists()


@pytest.mark.parametrize("change", [{"pack_version": "0.9"}, {"pack": "other"}])
def test_another_pack_or_version_looks_anew(
    mara: Character,
    twin: Character,
    looked_at: Callable[..., list[Reference]],
    looks: list[int],
    change: dict[str, Any],
) -> None:
    looked_at(mara, 0)
    Reading.objects.update(**change)
    looked_at(twin, 0)
    assert looks == [1, 1]


def test_what_another_encoder_saw_is_not_enough(
    mara: Character, twin: Character, looked_at: Callable[..., list[Reference]], looks: list[int]
) -> None:
    looked_at(mara, 0)
    reading = Reading.objects.get()
    reading.seen["encoders"] = ["scoring"]
    reading.save()
    (second,) = looked_at(twin, 0)
    assert looks == [1, 1]
    assert Reading.objects.get(asset=second.asset_id).seen["encoders"] == ["conditioning", "scoring"]


def test_a_known_picture_is_not_fetched(
    mara: Character,
    twin: Character,
    looked_at: Callable[..., list[Reference]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked_at(mara, 0)
    copied: list[Path] = []
    monkeypatch.setattr(Asset, "copy_to", lambda self, path: copied.append(path))
    (second,) = looked_at(twin, 0)
    assert second.verdict in ("pass", "warn")
    assert copied == []
