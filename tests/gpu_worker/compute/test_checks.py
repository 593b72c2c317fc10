from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gpu_worker.checks import check
from gpu_worker.contracts import (
    AdapterUse,
    GenerateRequest,
    IdentityUse,
    LookRequest,
    PictureSpec,
    RunError,
    SamplePicture,
    TrainingPicture,
    TrainRequest,
)
from gpu_worker.packs import Pack, read_pack

SPEC = PictureSpec(index=0, prompt="portrait", seed=1)


@pytest.fixture(scope="module")
def pack(tiny_pack: Path) -> Pack:
    return read_pack(tiny_pack)


def generate(**fields: Any) -> GenerateRequest:
    return GenerateRequest(**{"pack": "p", "pictures": (SPEC,), "width": 32, "height": 32, **fields})


def train(**fields: Any) -> TrainRequest:
    pictures = (TrainingPicture(path="a.png", caption="a sks man"),)
    return TrainRequest(**{"pack": "p", "pictures": pictures, "trigger": "sks", **fields})


def test_good_requests_pass(pack: Pack, make: SimpleNamespace) -> None:
    check(generate(identity=IdentityUse(embedding=make.embedding())), pack)
    check(train(), pack)
    check(LookRequest(pack="p", pictures=("a.png",)), pack)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"pictures": ()}, "no pictures"),
        ({"pictures": (SPEC, SPEC)}, "same index"),
        ({"pictures": (dataclasses.replace(SPEC, seed=-1),)}, "seed"),
        ({"steps": 0}, "number of steps is 0; it must be from 1 to 150"),
        ({"steps": 151}, "number of steps"),
        ({"guidance": math.nan}, "guidance is nan"),
        ({"guidance": 0.5}, "guidance"),
        ({"batch_size": 0}, "batch size"),
        ({"width": 8}, "width is 8; it must be from 16 to 4096 pixels"),
        ({"height": 100_000}, "height"),
        ({"adapter": AdapterUse(path="a", sha256="", strength=1.6)}, "adapter's strength"),
        ({"identity": IdentityUse(embedding=(1.0,) * 512)}, "unit length"),
        ({"identity": IdentityUse(embedding=(1.0,))}, "1 values; 512"),
        ({"identity": IdentityUse(embedding=(math.nan,) * 512)}, "unit length"),
        ({"identity": IdentityUse(embedding=(1.0,), strength=2)}, "image prompt's strength"),
        ({"encoders": ("other",)}, "no encoder other; it has conditioning, scoring"),
    ],
)
def test_bad_generation_is_refused(pack: Pack, fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RunError, match=sentence):
        check(generate(**fields), pack)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"pictures": ()}, "no pictures to train on"),
        ({"learning_rate": math.nan}, "learning rate is nan"),
        ({"learning_rate": 0.0}, "learning rate is 0.0; it must be a number above 0"),
        ({"learning_rate": -1e-4}, "learning rate"),
        ({"learning_rate": math.inf}, "learning rate is inf"),
        ({"steps": 0}, "number of steps is 0; it must be from 1 to 20000"),
        ({"steps": 20_001}, "number of steps"),
        ({"rank": 0}, "rank"),
        ({"alpha": 0.0}, "alpha"),
        ({"dropout": 1.0}, "dropout"),
        ({"batch_size": 0}, "batch size"),
        ({"resolution": 8}, "resolution"),
        ({"checkpoint_every": 0}, "between checkpoints"),
        ({"keep_checkpoints": 0}, "checkpoints to keep"),
        ({"targets": ()}, "names no layers"),
        ({"trigger": " "}, "needs a trigger word"),
        ({"trigger": "zorblax"}, "trigger zorblax is not among them"),
        ({"samples": (SamplePicture(prompt="x", seed=-1),)}, "seed of a sample"),
        (
            {"pictures": (TrainingPicture(path="a", caption="sks"), TrainingPicture(path="b", caption="a man"))},
            "picture 2",
        ),
        ({"pictures": (TrainingPicture(path="a", caption="risks a man"),)}, "does not hold the trigger word sks"),
        ({"pictures": (TrainingPicture(path="a", caption="sks", embedding=(2.0,) * 512),)}, "unit length"),
    ],
)
def test_bad_training_is_refused(pack: Pack, fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RunError, match=sentence):
        check(train(**fields), pack)


@pytest.mark.parametrize("caption", ["sks", "A SKS man", "man, sks.", "sks-like, (sks:1.2)"])
def test_the_trigger_is_found_as_a_word(pack: Pack, caption: str) -> None:
    check(train(pictures=(TrainingPicture(path="a", caption=caption),)), pack)


def test_a_trigger_with_digits_is_found_whole(tiny_packs: Any) -> None:
    pack = read_pack(tiny_packs(tokenizer="clip"))
    picture = TrainingPicture(path="a", caption="a photo of mara01, smiling")
    check(train(trigger="mara01", pictures=(picture,)), pack)
    with pytest.raises(RunError, match="mara0"):
        check(train(trigger="mara0", pictures=(picture,)), pack)


def test_looking_at_nothing_is_refused(pack: Pack) -> None:
    with pytest.raises(RunError, match="no pictures to look at"):
        check(LookRequest(pack="p", pictures=()), pack)
