"""The whole recipe, from the renderer to a pack that draws, with a dozen people and moments of training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from gpu_worker.contracts import Done, GenerateRequest, IdentityUse, Output, PictureSpec, looked_from_json
from gpu_worker.minipack import PACK, train
from gpu_worker.minipack.renderer import slots, vocabulary
from gpu_worker.packs import Pack, read_pack, verify
from gpu_worker.runner import Runner

MOMENT = 0.01
"""Minutes of all training together."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> train.Plan:
    folder = tmp_path_factory.mktemp("recipe")
    plan = train.Plan(
        work=folder / "work",
        pack=folder / "pack",
        minutes=MOMENT,
        processes=1,
        restore=PACK,
        scale=0.001,
        generated=2,
        measured=2,
    )
    train.run_all(train.stages_of(plan), plan, log=lambda _: None)
    return plan


@pytest.fixture(scope="module")
def pack(made: train.Plan) -> Pack:
    return read_pack(made.pack)


def test_it_makes_a_pack_with_all_its_parts(pack: Pack) -> None:
    verify(pack)
    assert (pack.version, pack.resolution, pack.sizes) == ("2.0", 256, ((256, 256), (512, 256)))
    assert set(pack.encoders) == {"conditioning", "scoring", "audit"}
    assert set(pack.calibration) >= {"scoring", "audit"}
    assert sorted(pack.vocabulary or ()) == vocabulary()
    assert {slot: list(choices) for slot, choices in pack.slots.items()} == slots()
    assert pack.recipes["standard"] is not None
    assert pack.recipes["standard"]["resolution"] == pack.resolution
    assert pack.figure is not None
    assert pack.attributes is not None
    assert pack.controlnet is not None
    assert pack.controlnet.best_of == 2


def test_the_classifier_names_what_is_asked_for(pack: Pack) -> None:
    """Every slot of a prompt can be checked, and further attributes are traits of a person."""
    from gpu_worker.evaluation.figures import says

    assert pack.attributes is not None
    options = pack.attributes.options
    assert set(pack.slots) < set(options)
    for slot, choices in pack.slots.items():
        assert all(any(says(word, slot, choice) for word in options[slot]) for choice in choices)


def test_each_pose_and_shot_has_its_place(pack: Pack) -> None:
    assert pack.controlnet is not None
    usual = pack.controlnet.keypoints("portrait of a woman", 256, 256)
    places = {
        (pose, shot): np.array(pack.controlnet.keypoints(f"a man, {pose}, {shot}, ink drawing", 256, 256))
        for pose in pack.slots["pose"]
        for shot in pack.slots["shot"]
    }
    assert np.allclose(usual, places["facing forward", "close-up"])
    apart = {shot: np.ptp(places["facing forward", shot][:2, 0]) for shot in pack.slots["shot"]}
    assert apart["close-up"] > 1.5 * apart["medium shot"] > 2 * apart["full shot"] > 0
    for shot in pack.slots["shot"]:
        left, right = (places[f"looking {side}", shot] for side in ("left", "right"))
        assert left[2, 0] < right[2, 0]


def test_it_draws_one_person_and_two_people_side_by_side(pack: Pack, tmp_path: Path) -> None:
    rng, runner = np.random.default_rng(5), Runner(device="cpu")
    who = [tuple(map(float, vector / np.linalg.norm(vector))) for vector in rng.normal(size=(2, 512))]
    assert pack.controlnet is not None
    for k, (width, height) in enumerate(pack.sizes):
        people = [
            IdentityUse(embedding=vector, strength=0.8, region=(half / 2, 0.0, (half + 1) / 2, 1.0) if k else None)
            for half, vector in enumerate(who[: k + 1])
        ]
        request = GenerateRequest(
            pack=str(pack.directory),
            pictures=(PictureSpec(index=0, prompt="portrait of a woman and a man, happy, ink drawing", seed=4),),
            width=width,
            height=height,
            steps=2,
            identity=people[0],
            companions=tuple(people[1:]),
            encoders=tuple(pack.encoders),
        )
        *_, output, done = runner.run(request, tmp_path / str(k), should_stop=lambda: False)
        assert isinstance(done, Done)
        assert isinstance(output, Output)
        seen = looked_from_json(output.data["look"])
        assert (seen.width, seen.height) == (width, height)
        assert len(seen.figure) == (pack.figure.embedding_size if pack.figure else 0)
    runner.close()


@pytest.mark.parametrize("told", [("--minutes", "0"), ("--scale", "2"), ("--processes", "0")])
def test_the_command_refuses_what_cannot_be(told: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="positive"):
        call_command("minipack", "train", "--work", str(tmp_path / "work"), *told)
    assert not (tmp_path / "work").exists()
