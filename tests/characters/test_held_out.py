from __future__ import annotations

from collections.abc import Callable

import pytest

from characters import actions, profiles, scoring
from characters.models import Character, IdentityProfile, Reference
from collaboration.models import Event, Revision, User
from tests.characters.conftest import face, looked


def held_out(character: Character) -> set[object]:
    return set(character.references.filter(is_held_out=True).values_list("pk", flat=True))


@pytest.mark.parametrize(("usable", "kept"), [(0, 0), (7, 0), (8, 2), (10, 2), (12, 2), (13, 3), (20, 4), (40, 8)])
def test_from_eight_on_a_fifth_and_at_least_two(usable: int, kept: int) -> None:
    assert profiles.how_many_to_hold_out(usable) == kept


def test_all_count_and_those_held_out_are_not_learnt_from(mara: Character, add: Callable[..., list[Reference]]) -> None:
    add(mara, 7)
    assert held_out(mara) == set()
    add(mara, 1, first=7)
    kept = held_out(mara)
    assert len(kept) == 2
    assert mara.reference_count == 8
    profile = IdentityProfile.objects.get()
    assert len(profile.learnt_from) == 6
    assert not {str(pk) for pk in kept} & set(profile.learnt_from)
    assert set(mara.references.for_learning().values_list("pk", flat=True)).isdisjoint(kept)


def test_who_is_held_out_stays_so_when_more_come(mara: Character, add: Callable[..., list[Reference]]) -> None:
    add(mara, 8)
    before = held_out(mara)
    add(mara, 12, first=8)
    assert before < held_out(mara)
    assert len(held_out(mara)) == 4


def test_one_that_is_removed_is_replaced(mara: Character, bob: User, add: Callable[..., list[Reference]]) -> None:
    add(mara, 10)
    gone, stays = sorted(held_out(mara), key=str)
    actions.trash_reference(reference=Reference.objects.get(pk=gone), actor=bob)
    assert stays in held_out(mara)
    assert len(held_out(mara)) == 2
    assert gone not in held_out(mara)


def test_profile_views_and_rejected_ones_are_not_taken(mara: Character, add: Callable[..., list[Reference]]) -> None:
    add(mara, 6, faces=(face(1, yaw=70.0),))
    add(mara, 3, first=20)
    rejected = add(mara, 1, first=40, faces=())
    fit = set(mara.references.filter(verdict="pass").values_list("pk", flat=True))
    assert held_out(mara) <= fit
    assert len(held_out(mara)) == 2
    assert rejected[0].pk not in held_out(mara)


def test_scores_are_measured_against_those_held_out(mara: Character, add: Callable[..., list[Reference]]) -> None:
    route = scoring.route_of(mara)
    add(mara, 7)
    truth = scoring.truth_of(mara, route)
    assert (truth.is_held_out, len(truth.embeddings)) == (False, 7)
    add(mara, 1, first=7)
    truth = scoring.truth_of(mara, route)
    assert truth.is_held_out
    assert set(truth.references) == {str(pk) for pk in held_out(mara)}


def test_what_an_adapter_was_trained_with_is_not_held_out_from_it(
    mara: Character, add: Callable[..., list[Reference]]
) -> None:
    add(mara, 10)
    route, kept = scoring.route_of(mara), sorted(str(pk) for pk in held_out(mara))
    some = scoring.truth_of(mara, route, known=kept[:1])
    assert (some.is_held_out, list(some.references)) == (True, kept[1:])
    none = scoring.truth_of(mara, route, known=kept)
    assert (none.is_held_out, len(none.references)) == (False, 10)


def test_profile_views_are_not_measured_against(mara: Character, add: Callable[..., list[Reference]]) -> None:
    aside = add(mara, 1, faces=(face(0, yaw=70.0),))[0]
    front = add(mara, 2, first=1)
    assert aside.verdict == "warn"
    truth = scoring.truth_of(mara, scoring.route_of(mara))
    assert set(truth.references) == {str(r.pk) for r in front}


def test_the_same_person_scores_high_and_a_stranger_low(mara: Character, add: Callable[..., list[Reference]]) -> None:
    route = scoring.route_of(mara)
    add(mara, 8)
    truth = scoring.truth_of(mara, route)
    mine = scoring.score(looked(500), truth, route)
    theirs = scoring.score(looked(500, faces=(face(500, identity=3),)), truth, route)
    assert mine.value is not None
    assert theirs.value is not None
    assert mine.value > 85 > 40 > theirs.value
    assert mine.against["held_out"] is True
    assert mine.against["references"] == 2
    assert mine.against["false_match_rate"] <= 1e-3


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"faces": ()}, "no face found"),
        ({"faces": (face(1, yaw=-60.0),)}, "profile view"),
        ({"faces": (face(1, side=12.0),)}, "face too small"),
    ],
)
def test_what_cannot_be_measured_has_a_reason_and_no_number(
    mara: Character, add: Callable[..., list[Reference]], changes: dict[str, object], reason: str
) -> None:
    add(mara, 3)
    route = scoring.route_of(mara)
    found = scoring.score(looked(1, **changes), scoring.truth_of(mara, route), route)
    assert (found.value, found.reason) == (None, reason)


def test_without_references_there_is_nothing_to_measure_against(mara: Character) -> None:
    route = scoring.route_of(mara)
    found = scoring.score(looked(1), scoring.truth_of(mara, route), route)
    assert (found.value, found.reason) == (None, "no references to compare with")


def test_of_two_equal_pictures_the_first_stays(
    mara: Character, bob: User, stored: Callable[..., object], see: Callable[..., None]
) -> None:
    first, second = (actions.add_references(character=mara, assets=[stored(mara, 1)], actor=bob)[0] for _ in "ab")
    see(second, looked(1))
    see(first, looked(1))
    second.refresh_from_db()
    assert (first.verdict, second.verdict) == ("pass", "reject")
    assert "exactly this image already" in str(second.checks)
    actions.trash_reference(reference=first, actor=bob)
    second.refresh_from_db()
    assert second.verdict == "pass"


def test_enough_references_make_it_ready(mara: Character, bob: User, add: Callable[..., list[Reference]]) -> None:
    add(mara, 4)
    assert (mara.status, mara.references_missing) == (Character.DRAFT, 1)
    last = add(mara, 1, first=4)[0]
    assert mara.status == Character.READY
    actions.trash_reference(reference=last, actor=bob)
    mara.refresh_from_db()
    assert mara.status == Character.DRAFT


def test_answers_are_events_and_only_deeds_of_people_are_revisions(
    mara: Character, bob: User, stored: Callable[..., object], see: Callable[..., None]
) -> None:
    for n in range(3):
        see(actions.add_references(character=mara, assets=[stored(mara, n)], actor=bob)[0], looked(n))
    assert Revision.objects.filter(subject_id=str(mara.pk)).count() == 1 + 3
    assert Event.objects.filter(kind="reference.checked").count() == 3


def test_the_profile_says_it_in_words_and_colours(mara: Character, add: Callable[..., list[Reference]]) -> None:
    add(mara, 3)
    profile = IdentityProfile.objects.get()
    facets = {f["name"]: f["words"] for f in profile.facets}
    assert facets["Age"] == "34"
    assert facets["Angles"] == "1 front, 1 left, 1 right"
    assert profile.base_prompt == "portrait of a middle-aged woman, red coat"
    assert profile.colours[0][0] == "#aa3344"
    assert 0 < profile.spread < 0.3
    assert abs(sum(x * x for x in profile.centroid) - 1) < 1e-4
