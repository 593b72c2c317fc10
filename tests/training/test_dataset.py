"""What is checked before a training, and how it is said."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from characters.models import Character, Reference
from gpu_worker.models import Reading
from gpu_worker.packs import Pack, read_pack
from training import dataset
from training.dataset import Dataset

pytestmark = pytest.mark.django_db


@pytest.fixture
def tiny(packs: Path) -> Pack:
    return read_pack(packs / "tiny")


@pytest.fixture
def examine(tiny: Pack) -> Callable[..., Dataset]:
    def look(character: Character, tier: str = "standard", pack: Pack = tiny, **chosen: Any) -> Dataset:
        return dataset.examine(character, tier=tier, pack=pack, **chosen)

    return look


def finding(data: Dataset, name: str) -> tuple[str, str]:
    found = {f.name: (f.verdict, f.sentence) for f in data.findings}
    return found.get(name, ("", ""))


def change_readings(character: Character, change: Callable[[int, dict[str, Any]], None]) -> None:
    """Change what was seen in the pictures that may be learnt from."""
    for n, reference in enumerate(character.references.for_learning().order_by("added_at", "id")):
        reading = Reading.objects.get(asset=reference.asset)
        change(n, reading.seen)
        reading.save()


def test_ten_good_references_will_do(mara: Character, examine: Callable[..., Dataset]) -> None:
    data = examine(mara)
    assert data.refused == []
    assert (len(data.pictures), len(data.held_out)) == (8, 2)
    assert finding(data, "count") == ("pass", "8 to learn from, 2 more kept to measure with; standard needs 10.")
    assert not {p.reference.pk for p in data.pictures} & {r.pk for r in data.held_out}


def test_too_few_are_refused_with_what_is_missing(
    empty_mara: Character, add_references: Callable[..., Any], examine: Callable[..., Dataset]
) -> None:
    add_references(empty_mara, 6)
    sentence = "Mara has 6 of the 10 references that standard needs. Add 4 more."
    assert finding(examine(empty_mara), "count") == ("reject", sentence)
    assert finding(examine(empty_mara, tier="low"), "count")[0] == "pass"
    assert (
        "6 of the 20 references that high needs. Add 14 more." in finding(examine(empty_mara, tier="high"), "count")[1]
    )


def test_a_selection_counts_with_those_held_out(mara: Character, examine: Callable[..., Dataset]) -> None:
    ids = [p.reference.pk for p in examine(mara).pictures]
    data = examine(mara, reference_ids=ids[:5])
    sentence = "This selection has 7 of the 10 references that standard needs. Choose 3 more."
    assert finding(data, "count") == ("reject", sentence)
    assert examine(mara, reference_ids=ids).refused == []


def test_only_those_held_out_teach_nothing(mara: Character, examine: Callable[..., Dataset]) -> None:
    mara.references.usable().update(is_held_out=True)
    assert finding(examine(mara), "count")[0] == "reject"


def test_a_held_out_reference_is_never_trained_on_even_when_chosen(
    mara: Character, examine: Callable[..., Dataset]
) -> None:
    everything = [r.pk for r in mara.references.all()]
    data = examine(mara, reference_ids=everything)
    assert not any(p.reference.is_held_out for p in data.pictures)
    assert finding(data, "held_out")[0] == "warn"


def test_rejected_and_trashed_references_are_not_used(mara: Character, examine: Callable[..., Dataset]) -> None:
    rejected = mara.references.for_learning().first()
    assert rejected is not None
    Reference.objects.filter(pk=rejected.pk).update(verdict=Reference.REJECT)
    data = examine(mara)
    assert rejected.pk not in {p.reference.pk for p in data.pictures}
    assert finding(data, "count")[0] == "reject"


def test_those_still_being_checked_are_named(mara: Character, examine: Callable[..., Dataset]) -> None:
    Reference.objects.filter(pk=mara.references.for_learning().first().pk).update(verdict=Reference.CHECKING)  # type: ignore[union-attr]
    assert "1 reference will be left out" in finding(examine(mara), "checking")[1]


# --------------------------------------------------------------------------------------------------------- captions
def test_every_caption_holds_the_trigger_and_what_was_said(mara: Character, examine: Callable[..., Dataset]) -> None:
    first = examine(mara).pictures[0].reference
    Reference.objects.filter(pk=first.pk).update(caption=" happy, wearing a red hoodie, ")
    data = examine(mara)
    assert data.trigger == "sks"
    assert data.pictures[0].caption == "portrait of a sks woman, happy, wearing a red hoodie"
    assert all(p.caption.startswith("portrait of a sks woman") for p in data.pictures)


def test_captions_of_this_order_replace_those_kept(mara: Character, examine: Callable[..., Dataset]) -> None:
    first = examine(mara).pictures[0].reference
    data = examine(mara, captions={str(first.pk): "sad, beach"})
    assert data.pictures[0].caption == "portrait of a sks woman, sad, beach"


def test_words_the_pack_does_not_know_are_named(mara: Character, examine: Callable[..., Dataset]) -> None:
    first = examine(mara).pictures[0].reference
    verdict, sentence = finding(examine(mara, captions={str(first.pk): "riding a zeppelin"}), "captions")
    assert verdict == "warn"
    assert "zeppelin" in sentence


def test_a_caption_of_400_characters_is_enough(mara: Character, examine: Callable[..., Dataset]) -> None:
    first = examine(mara).pictures[0].reference
    assert finding(examine(mara, captions={str(first.pk): "a" * 401}), "captions")[0] == "reject"


def test_captions_that_say_nothing_are_pointed_out(mara: Character, examine: Callable[..., Dataset]) -> None:
    assert finding(examine(mara), "captions")[0] == "warn"
    captions = {str(p.reference.pk): "happy, beach" for p in examine(mara).pictures}
    assert finding(examine(mara, captions=captions), "captions")[0] == "pass"


def test_an_open_vocabulary_gets_a_trigger_of_its_own(
    mara: Character, tiny: Pack, examine: Callable[..., Dataset]
) -> None:
    real = dataclasses.replace(tiny, vocabulary=None, domain="photograph")
    data = examine(mara, pack=real)
    assert data.trigger == f"mara{mara.pk.hex[:4]}"
    assert data.pictures[0].caption.startswith(f"photo of a {data.trigger} woman")
    assert finding(data, "captions")[0] != "reject"


# --------------------------------------------------------------------------------------------------------- pictures
def test_near_duplicates_are_counted(mara: Character, examine: Callable[..., Dataset]) -> None:
    assert finding(examine(mara), "duplicates")[0] == "pass"
    change_readings(mara, lambda n, seen: seen.update(perceptual_hash="0" * 16) if n < 2 else None)
    assert finding(examine(mara), "duplicates") == (
        "warn",
        "1 pair of references is almost the same picture, which then counts twice.",
    )


def test_one_angle_is_pointed_out(mara: Character, examine: Callable[..., Dataset]) -> None:
    assert finding(examine(mara), "angles")[0] == "pass"
    change_readings(mara, lambda n, seen: seen["faces"][0].update(yaw=0.0))
    verdict, sentence = finding(examine(mara), "angles")
    assert verdict == "warn"
    assert sentence.startswith("All 8 faces look straight ahead.")


def test_photographs_warn_and_mostly_photographs_refuse(mara: Character, examine: Callable[..., Dataset]) -> None:
    change_readings(mara, lambda n, seen: seen.update(photographic=0.9) if n == 0 else None)
    verdict, sentence = finding(examine(mara), "domain")
    assert verdict == "warn"
    assert sentence.startswith("1 of 8 references look like photographs; Tiny random pack knows only illustrations.")
    change_readings(mara, lambda n, seen: seen.update(photographic=0.9))
    assert finding(examine(mara), "domain")[0] == "reject"


def test_a_face_that_fits_none_of_the_others_is_named(mara: Character, examine: Callable[..., Dataset]) -> None:
    from tests.training.conftest import embedding

    assert finding(examine(mara), "identity")[0] == "pass"
    stranger = list(embedding(99, 0))
    change_readings(mara, lambda n, seen: seen["faces"][0]["embeddings"].update(scoring=stranger) if n == 2 else None)
    verdict, sentence = finding(examine(mara), "identity")
    assert verdict == "warn"
    assert examine(mara).pictures[2].reference.asset.original_name in sentence


def test_readings_of_another_pack_do_not_count(mara: Character, examine: Callable[..., Dataset]) -> None:
    Reading.objects.update(pack_version="0.9")
    assert finding(examine(mara), "readings")[0] == "reject"
