"""Measuring a pack: the people, the statistics, a whole evaluation of a tiny pack, and its report."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gpu_worker import reports
from gpu_worker.contracts import Face, Looked, RunError
from gpu_worker.evaluation import engine, figures, report, statistics
from gpu_worker.evaluation.cast import HELD_OUT, REFERENCES, STRANGER, CastError, Folders, Painted, ask
from gpu_worker.evaluation.figures import Made, Strangers
from gpu_worker.minipack.renderer import vocabulary
from gpu_worker.packs import read_pack, words

ABOUT = {"date": "2026-02-03T10:00:00+00:00", "machine": "a machine", "versions": {"python": "3.11"}}


# ------------------------------------------------------------------------------------------------------ statistics
def test_a_mean_counts_observations_and_its_interval_counts_people() -> None:
    agreeing = statistics.mean([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]] * 10)
    apart = statistics.mean([[1.0]] * 30 + [[0.0]] * 30)
    assert (agreeing.value, agreeing.of, agreeing.people) == (0.5, 60, 20)
    assert (apart.value, apart.of, apart.people) == (0.5, 60, 60)
    assert agreeing.low is not None
    assert agreeing.high is not None
    assert apart.low is not None
    assert apart.high is not None
    assert agreeing.low < apart.low < 0.5 < apart.high < agreeing.high


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    rng, held = np.random.default_rng(1), 0
    for trial in range(60):
        people = rng.beta(4, 2, 40)  # each person has a rate of their own; the mean of them is 2/3
        found = statistics.mean([list(rng.random(4) < p) for p in people], seed=trial)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 2 / 3 <= found.high
    assert held >= 50


def test_few_people_who_all_agree_prove_little() -> None:
    three, many = statistics.mean([[1.0, 1.0]] * 3), statistics.mean([[1.0, 1.0]] * 40)
    assert three.low == pytest.approx(0.025 ** (1 / 3))
    assert many.low == pytest.approx(0.912, abs=1e-3)
    assert (three.high, many.high) == (1.0, 1.0)
    assert statistics.mean([[0.0]] * 40).high == pytest.approx(0.088, abs=1e-3)


def test_nobody_measured_is_not_zero() -> None:
    assert statistics.mean([[], []]).value is None
    assert statistics.pair_rate(np.zeros((2, 2)), np.zeros((2, 2)), same_people=True).value is None
    assert statistics.within_a_factor(statistics.NOTHING, 0.01) is None


def test_a_rate_of_pairs_weighs_pairs_and_draws_both_people() -> None:
    pairs = np.ones((4, 4)) - np.eye(4)
    hits = np.zeros((4, 4))
    hits[0, 1] = hits[1, 0] = 1
    found = statistics.pair_rate(hits, pairs, same_people=True)
    assert found.value == pytest.approx(1 / 6)
    assert (found.of, found.people) == (6, 4)
    assert found.low == 0
    assert found.high is not None
    assert found.high > 1 / 6


def test_a_threshold_lets_the_stated_share_of_impostors_through_and_no_more() -> None:
    impostors = np.linspace(-0.5, 0.5, 1001)
    for rate in (0.1, 0.01, 0.001):
        passed = (impostors >= statistics.threshold_at(rate, impostors)).mean()
        assert passed <= rate
        assert passed > rate - 2 / 1001


def test_a_curve_rises_and_ends_at_one() -> None:
    rng = np.random.default_rng(2)
    genuine, impostors = rng.normal(0.7, 0.1, 500), rng.normal(0, 0.1, 4000)
    curve = statistics.roc(genuine, impostors)
    assert all(a[0] < b[0] and a[1] <= b[1] for a, b in pairwise(curve))
    assert curve[-1] == (1.0, 1.0)
    assert statistics.equal_error_rate(genuine, impostors) < 0.01
    assert statistics.equal_error_rate(impostors[:500], impostors[500:1000]) == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(("measured", "holds"), [(0.004, False), (0.006, True), (0.019, True), (0.021, False)])
def test_a_stated_rate_holds_within_a_factor_of_two(measured: float, holds: bool) -> None:
    sure = statistics.Estimate(value=measured, low=measured, high=measured, of=1000)
    assert statistics.within_a_factor(sure, 0.01) is holds


def test_a_stated_rate_is_not_called_wrong_on_little_evidence() -> None:
    few = statistics.Estimate(value=0.004, low=0.003, high=0.004, of=999)
    wide = statistics.Estimate(value=0.002, low=0.0, high=0.006, of=100_000)
    assert statistics.within_a_factor(few, 0.01) is None
    assert statistics.within_a_factor(wide, 0.01) is None


# ----------------------------------------------------------------------------------------------------------- people
def test_painted_people_follow_from_the_seed_and_never_meet(tmp_path: Path) -> None:
    people, others = Painted(seed=4, size=48).draw(5, 30)
    again, _ = Painted(seed=4, size=48).draw(5, 30)
    elsewhere, _ = Painted(seed=5, size=48).draw(5, 30)
    assert [p.key for p in people] == [p.key for p in again] != [p.key for p in elsewhere]
    numbers = [p.number for p in people + others]
    assert len(set(numbers)) == 35
    assert min(numbers) >= 100  # those before belong to the sample project
    assert all(("hair" in p.attributes) != ("bald head" in p.traits) for p in people + others)
    assert not any({"outfit", "light", "expression"} & set(p.attributes) for p in people)


def test_references_and_held_out_pictures_are_different_pictures(tmp_path: Path) -> None:
    cast = Painted(seed=4, size=48)
    person = cast.draw(1, 0)[0][0]
    files = [
        picture.path.read_bytes()
        for part in (REFERENCES, HELD_OUT, STRANGER)
        for picture in cast.pictures(person, part, 2, tmp_path)
    ]
    assert len(set(files)) == 6
    same = cast.pictures(person, REFERENCES, 2, tmp_path / "again")
    assert [picture.path.read_bytes() for picture in same] == files[:2]
    assert same[0].said
    assert same[0].labels["outfit"] in same[0].said


def test_painted_pictures_show_nothing_that_a_pack_has_no_word_for(tmp_path: Path) -> None:
    without = {"scared", "close-up", "drawing"}
    cast = Painted(seed=4, size=48, vocabulary=set(vocabulary()) - without)
    person = cast.draw(1, 0)[0][0]
    plain = cast.pictures(person, REFERENCES, 12, tmp_path)
    assert not any(without & set(words(picture.said)) for picture in plain)
    assert all(picture.said.count(",") >= 3 for picture in plain)
    drawn = Painted(seed=4, size=48).pictures(person, REFERENCES, 12, tmp_path)
    assert len({picture.said.rpartition(", ")[2] for picture in drawn}) > 2
    assert all("close-up" in picture.said for picture in drawn)


@pytest.fixture
def album(tmp_path: Path, make: SimpleNamespace) -> Path:
    """Six people with six pictures each, in which the tiny detector finds a face."""
    for k in range(6):
        folder = tmp_path / "album" / f"person-{k}"
        folder.mkdir(parents=True)
        for n in range(6):
            make.face_picture(faces=(("red", 32 + 32 * k, 64 + 32 * n),)).save(folder / f"{n}.png")
    described = tmp_path / "album" / "person-0"
    (described / "person.txt").write_text("woman\nred hair\n")
    (described / "0.txt").write_text("happy,\n wearing red\n")
    (tmp_path / "album" / "notes.txt").write_text("no person")
    return tmp_path / "album"


def test_a_folder_gives_people_and_keeps_half_of_them_apart(album: Path, tmp_path: Path) -> None:
    cast = Folders(album, seed=1, held_out=4)
    people, others = cast.draw(10, 10)
    assert len(people) == len(others) == 3
    assert not {p.key for p in people} & {p.key for p in others}
    person = next(p for p in people + others if p.key == "person-0")
    assert (person.noun, person.traits) == ("woman", ("red hair",))
    kept = {picture.path for picture in cast.pictures(person, HELD_OUT, 4, tmp_path)}
    learnt = cast.pictures(person, REFERENCES, 8, tmp_path)
    assert len(kept) == len(learnt) == 3
    assert not kept & {picture.path for picture in learnt}
    said = {p.path.name: p.said for p in cast.pictures(person, STRANGER, 9, tmp_path)}
    assert said["0.png"] == "happy, wearing red"
    assert said["1.png"] == ""


def test_a_folder_without_people_is_refused_with_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(CastError, match="is not a folder"):
        Folders(tmp_path / "nowhere", seed=0, held_out=4).draw(1, 1)
    with pytest.raises(CastError, match="folder of their own"):
        Folders(tmp_path, seed=0, held_out=4).draw(1, 1)


def test_prompts_ask_for_every_value_equally_often() -> None:
    slots = {"light": ("soft", "dim", "side"), "pose": ("left", "right")}
    asked = ask(6, 4, slots, seed=3)
    assert [len(of_one) for of_one in asked] == [4] * 6
    flat = [row for of_one in asked for row in of_one]
    assert Counter(row["light"] for row in flat) == {"soft": 8, "dim": 8, "side": 8}
    assert Counter(row["pose"] for row in flat) == {"left": 12, "right": 12}
    assert len({(row["light"], row["pose"]) for row in flat}) == 6
    assert asked == ask(6, 4, slots, seed=3) != ask(6, 4, slots, seed=4)


# ---------------------------------------------------------------------------------------------------------- figures
def looked(embedding: np.ndarray | None) -> Looked:
    face = embedding is not None and Face(
        box=(0.0, 0.0, 60.0, 60.0),
        confidence=0.9,
        keypoints=((20.0, 20.0), (40.0, 20.0), (30.0, 30.0), (22.0, 44.0), (38.0, 44.0)),
        embeddings={"scoring": tuple(float(v) for v in embedding)},
        yaw=0.0,
    )
    return Looked(
        width=128,
        height=128,
        faces=(face,) if face else (),
        sharpness=100.0,
        brightness=0.5,
        clipped=0.0,
        perceptual_hash="0" * 16,
        photographic=0.0,
        colours=(("#808080", 1.0),),
    )


def axis(k: int) -> np.ndarray:
    return np.eye(8)[k]


def picture(who: int, number: int, cosine: float | None, **more: Any) -> Made:
    seen = looked(None if cosine is None else axis(0))
    return Made(
        tier="low",
        who=who,
        number=number,
        prompt="portrait",
        seed=number,
        asked={"light": ("soft light", "dim light")[number % 2]},
        path=Path("nowhere.png"),
        seen=seen,
        face=seen.faces[0] if seen.faces else None,
        cosines={} if cosine is None else {"scoring": cosine},
        **more,
    )


def test_a_picture_without_a_face_is_not_verified_and_has_no_cosine() -> None:
    made = [picture(0, 0, 0.9), picture(0, 1, None), picture(1, 0, 0.35), picture(1, 1, 0.2)]
    told = figures.tier_figures(made, ["scoring"], {"scoring": {1e-2: 0.3, 1e-3: 0.4}}, seconds=6.0)
    assert told["identities"] == 2
    assert told["verified_at_fmr_1e2"]["value"] == 0.5
    assert told["verified_at_fmr_1e3"]["value"] == 0.25
    assert told["mean_cosine"]["value"] == pytest.approx((0.9 + 0.35 + 0.2) / 3, abs=1e-5)
    assert told["no_face_rate"]["value"] == 0.25
    assert told["adherence"]["value"] is None  # nothing was there to read it
    assert told["seconds_per_picture"] == 1.5
    assert told["strata"]["light"]["soft light"]["verified_at_fmr_1e2"]["value"] == 1.0
    assert told["strata"]["light"]["dim light"]["verified_at_fmr_1e2"]["value"] == 0.0


def test_prompts_and_traits_are_counted_apart() -> None:
    made = [
        picture(0, 0, 0.9, followed={"light": True, "outfit": False}, kept={"glasses": True}),
        picture(1, 0, 0.9, followed={"light": True, "outfit": True}, kept={"glasses": False}, is_copy=True),
    ]
    told = figures.tier_figures(made, ["scoring"], {"scoring": {1e-2: 0.3, 1e-3: 0.4}}, seconds=1.0)
    assert told["adherence"]["value"] == 0.75
    assert told["adherence_by"]["outfit"]["value"] == 0.5
    assert told["traits_kept"]["value"] == 0.5
    assert told["copy_paste"]["value"] == 0.5


def test_a_classifier_may_leave_the_name_of_the_slot_out() -> None:
    assert figures.says("ink", "drawing", "ink drawing")
    assert figures.says("soft light", "light", "soft light")
    assert not figures.says("soft", "light", "dim light")


def strangers() -> Strangers:
    """Three people with two pictures each; those of the first two are close to each other."""
    near = (axis(0) * 0.8 + axis(1) * 0.6, axis(0) * 0.8 + axis(2) * 0.6)
    seen = [looked(v) for v in (axis(0), near[0], near[1], near[1], axis(5), axis(5))] + [looked(None)]
    faces = [picture.faces[0] if picture.faces else None for picture in seen]
    return Strangers.of(seen, faces, [0, 0, 1, 1, 2, 2, 2], [{"light": "soft light"}] * 7, ["scoring"])


def test_pairs_of_strangers_are_sorted_by_whether_they_are_one_person() -> None:
    table = strangers()
    assert (table.people, table.looked_at, table.without_face) == (3, 7, 1)
    genuine, impostors, first, second = table.pairs("scoring")
    assert sorted(np.round(genuine, 2)) == [0.8, 1.0, 1.0]
    assert len(impostors) == 12
    assert len(first) == len(second) == 3
    told = figures.encoder_figures(table, "scoring")
    assert told["no_face_rate"] == pytest.approx(1 / 7, abs=1e-4)
    assert told["tmr_at_fmr_1e3"]["value"] == pytest.approx(2 / 3, abs=1e-4)  # .8 is reached by two people too


def test_measured_rates_of_false_matches_count_pairs_of_two_people() -> None:
    table = strangers()
    assert table.impostor_rate("scoring", 0.7).value == pytest.approx(2 / 12)
    made = [picture(0, 0, 0.9), picture(1, 0, 0.9)]  # both show axis 0
    pairs = table.generated_rate("scoring", 0.7, made, as_scored=False)
    assert pairs.value == pytest.approx(4 / 6)
    assert pairs.of == 12
    scored = table.generated_rate("scoring", 0.85, made, as_scored=True)
    assert scored.value == pytest.approx(1 / 3)  # the mean to the first person is .9, to the second .8
    assert table.generated_rate("scoring", 0.7, [picture(0, 0, None)], as_scored=False).value is None


# ----------------------------------------------------------------------------------------------- a whole evaluation
@pytest.fixture(scope="module")
def plan() -> engine.Plan:
    return engine.Plan(
        identities=2, adapted=1, strangers=3, prompts=2, references=3, held_out=2, steps=2, recipe={"steps": 2}
    )


@pytest.fixture
def whole_pack(tmp_path: Path, tiny_packs: Any, make: SimpleNamespace) -> Path:
    """With everything that a pack may bring."""
    directory = tmp_path / "pack"
    shutil.copytree(tiny_packs(controlnet=True), directory)
    make.add_whole_picture_models(directory)
    return directory


def test_every_tier_a_pack_offers_is_measured_on_the_same_prompts(
    whole_pack: Path, album: Path, plan: engine.Plan, tmp_path: Path
) -> None:
    pack, said = read_pack(whole_pack), []
    with engine.evaluating(pack, Folders(album, seed=1, held_out=2), plan, tell=said.append) as result:
        told = result.figures
        page = report.write(result, ABOUT, reports.folder_for(pack, tmp_path / "reports"))
        asked = {
            tier: sorted((m.who, m.number, m.seed) for m in result.made if m.tier == tier) for tier in told["tiers"]
        }
        prompts = {(m.tier, m.who): m.prompt for m in result.made}
        assert all(m.path.exists() for m in result.made)
    assert {tier: figure["pictures"] for tier, figure in told["tiers"].items()} == {
        "text_only": 4,
        "low": 4,
        "standard": 2,
        "high": 4,
        "high_adapted": 2,
    }
    assert asked["text_only"] == asked["low"] == asked["high"]
    assert set(asked["standard"]) < set(asked["low"])
    assert "sks" in prompts["standard", 0]
    assert "sks" not in prompts["low", 0]
    assert told["people"] | {"source": ""} == {"source": "", "subjects": 2, "adapted": 1, "others": 3}
    assert told["settings"]["recipe"]["steps"] == 2
    assert told["measures_attributes"]
    assert told["tiers"]["low"]["adherence"]["value"] is None  # the tiny classifier knows no slot
    assert set(told["tiers"]["low"]["traits_by"]) == {"brightness", "colour"}  # taken from the references
    assert told["encoders"]["scoring"]["people"] == 3
    assert told["stated_vs_measured_fmr"]["scoring"]["1e-2"]["renders"]["of"] == 27
    assert told["seconds"]["total"] > 0
    assert any("minutes left" in line for line in said)

    assert page == tmp_path / "reports" / "tiny-1.0" / "report.html"
    stored = json.loads(page.with_name("report.json").read_text())
    assert stored["pack"]["sha256"] == pack.sha256
    assert stored["summary"]
    html = page.read_text()
    assert "<script" not in html
    assert " style=" not in html
    assert not re.search(r'(src|href)="(?!data:)', html)
    assert html.count("data:image/webp") == 5
    assert "person-0.png" not in html  # pictures of the folder's people stay where they are
    policy = reports.content_security_policy(html)
    assert "unsafe" not in policy
    assert re.search(r"style-src 'sha256-[A-Za-z0-9+/]{43}='", policy)


def test_what_a_pack_does_not_offer_is_said_and_not_made_up(
    tiny_packs: Any, album: Path, plan: engine.Plan, tmp_path: Path
) -> None:
    pack = read_pack(tiny_packs(image_prompt=False))
    few = engine.Plan(
        **{f: getattr(plan, f) for f in ("identities", "prompts", "steps", "held_out")}, adapted=0, strangers=0
    )
    with engine.evaluating(pack, Folders(album, seed=1, held_out=2), few, tell=lambda _: None) as result:
        html = report.write(result, ABOUT, tmp_path).read_text()
        told = result.figures
    assert told["tiers"]["text_only"]["offered"]
    assert not told["tiers"]["low"]["offered"]
    assert told["tiers"]["low"]["reason"] == "The pack takes no image prompt."
    assert told["tiers"]["high"]["reason"] == "The pack has no identity ControlNet."
    assert "Not measured: the pack brings no attribute classifier" in html
    assert "roc" not in told["encoders"]["scoring"]
    assert told["stated_vs_measured_fmr"]["scoring"]["1e-2"]["renders"]["value"] is None


def test_a_run_that_is_out_of_time_measures_fewer_people_in_every_tier(
    tiny_packs: Any, album: Path, tmp_path: Path
) -> None:
    pack = read_pack(tiny_packs())
    short = engine.Plan(
        identities=3,
        adapted=1,
        train_seconds=0.001,
        strangers=0,
        prompts=1,
        references=1,
        held_out=1,
        steps=1,
        minutes=0.01,
    )
    with engine.evaluating(pack, Folders(album, seed=1, held_out=1), short, tell=lambda _: None) as result:
        told = result.figures
    assert told["people"]["subjects"] == 1
    assert told["settings"]["recipe_steps_of_the_pack"] == 4
    assert told["settings"]["recipe"]["steps"] == 2  # what fits, and never less
    assert {t["identities"] for t in told["tiers"].values() if t["offered"]} == {1}
    assert any("The time (0.01 minutes) was up after 1 of 3 people" in note for note in told["notes"])


def test_people_without_a_face_are_left_out(tiny_packs: Any, tmp_path: Path, make: SimpleNamespace) -> None:
    for k in range(2):
        folder = tmp_path / "album" / f"person-{k}"
        folder.mkdir(parents=True)
        for n in range(2):
            make.face_picture(faces=()).save(folder / f"{n}.png")
    few = engine.Plan(identities=1, adapted=0, strangers=0, steps=1)
    with (
        pytest.raises(RunError, match="a face was found"),
        engine.evaluating(read_pack(tiny_packs()), Folders(tmp_path / "album", seed=0, held_out=1), few, tell=print),
    ):
        pass
