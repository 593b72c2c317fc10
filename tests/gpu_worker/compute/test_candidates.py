"""Best of N: which candidate is kept, and what is told of the others."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gpu_worker.contracts import Done, Face, Failed, GenerateRequest, IdentityUse, Looked, Output, PictureSpec
from gpu_worker.runner import Runner, candidates

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:peft", "ignore::FutureWarning:insightface")
PERSON = (1.0, *(0.0,) * 511)


def looked(cosine: float | None) -> Looked:
    """A picture with one face of this cosine to the person by the encoder that chooses, and the opposite by the one
    that scores; None: without a face."""
    faces: tuple[Face, ...] = ()
    if cosine is not None:
        rest = (1 - cosine**2) ** 0.5
        like = {"conditioning": (cosine, rest, *(0.0,) * 510), "scoring": (-cosine, rest, *(0.0,) * 510)}
        faces = (Face(box=(0, 0, 9, 9), confidence=1, keypoints=((1, 1),) * 5, embeddings=like, yaw=0),)
    return Looked(
        width=9, height=9, faces=faces, sharpness=0, brightness=0, clipped=0, perceptual_hash="0" * 16, photographic=0,
        colours=(),
    )  # fmt: skip


def request(pack: str = "pack", *, best_of: int = 3, count: int = 2, **fields: Any) -> GenerateRequest:
    pictures = tuple(PictureSpec(index=7 + k, prompt="portrait of a man", seed=5 + k) for k in range(count))
    plain = {"width": 32, "height": 32, "steps": 2, "identity": IdentityUse(embedding=PERSON), "best_of": best_of}
    return GenerateRequest(**{"pack": pack, "pictures": pictures, **plain, **fields})


def made(cosines: list[float | None], order: GenerateRequest) -> Iterator[Any]:
    picture = Image.new("RGB", (2, 2))
    for spec, cosine in zip(candidates.expanded(order).pictures, cosines, strict=False):
        yield spec, picture, {"look": looked(cosine)}


def test_the_most_alike_is_kept_and_all_are_told() -> None:
    order = request()
    found = list(candidates.best(made([0.2, 0.6, 0.4, 0.1, None, 0.3], order), order))
    assert [spec for spec, _, _ in found] == list(order.pictures)
    for (_, _, meta), best, cosines in zip(found, (1, 2), ([0.2, 0.6, 0.4], [0.1, None, 0.3]), strict=True):
        assert [tried["cosine"] for tried in meta["candidates"]] == cosines
        assert meta["chosen_seed"] == meta["candidates"][best]["seed"]


def test_no_face_at_all_still_gives_a_picture() -> None:
    order = request(count=1)
    ((_, _, meta),) = candidates.best(made([None, None, None], order), order)
    assert meta["chosen_seed"] == order.pictures[0].seed


def test_a_picture_whose_candidates_were_not_all_made_waits_for_the_next_run() -> None:
    order = request()
    assert len(list(candidates.best(made([0.2, 0.6, 0.4, 0.1], order), order))) == 1


def test_of_two_people_the_least_alike_counts() -> None:
    def both(left: float, right: float) -> Looked:
        faces = []
        for cosine, x in ((left, 2), (right, 7)):
            (face,) = looked(cosine).faces
            faces.append(dataclasses.replace(face, box=(x - 1, 3, x + 1, 6)))
        return dataclasses.replace(looked(None), faces=tuple(faces))

    order = request(
        count=1,
        identity=IdentityUse(embedding=PERSON, region=(0, 0, 0.5, 1)),
        companions=(IdentityUse(embedding=PERSON, region=(0.5, 0, 1, 1)),),
    )
    looks = [both(0.9, 0.1), both(0.5, 0.4), looked(0.9)]
    picture = Image.new("RGB", (2, 2))
    specs = candidates.expanded(order).pictures
    ((_, _, meta),) = candidates.best(
        ((s, picture, {"look": look}) for s, look in zip(specs, looks, strict=True)), order
    )
    assert [tried["cosine"] for tried in meta["candidates"]] == [0.1, 0.4, None]
    assert meta["chosen_seed"] == specs[1].seed


def test_candidates_have_seeds_of_their_own() -> None:
    seeds = [spec.seed for spec in candidates.expanded(request(best_of=8, count=24)).pictures]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    runner = Runner(device="cpu")
    yield runner
    runner.close()


def test_the_kept_picture_is_that_of_the_chosen_seed(
    runner: Runner, tiny_packs: Callable[..., Path], tmp_path: Path, make: SimpleNamespace
) -> None:
    identity = IdentityUse(embedding=make.embedding(), control=0.8)
    order = request(str(tiny_packs(controlnet=True)), best_of=2, identity=identity)
    *messages, last = runner.run(order, tmp_path / "best", should_stop=lambda: False)
    assert isinstance(last, Done)
    outputs = [message for message in messages if isinstance(message, Output)]
    assert [output.index for output in outputs] == [7, 8]
    json.dumps([output.data for output in outputs])
    chosen = tuple(
        PictureSpec(index=output.index, prompt="portrait of a man", seed=output.data["chosen_seed"])
        for output in outputs
    )
    again = request(str(tiny_packs(controlnet=True)), best_of=1, identity=identity, pictures=chosen)
    for message in runner.run(again, tmp_path / "again", should_stop=lambda: False):
        if isinstance(message, Output):
            a, b = (np.asarray(Image.open(tmp_path / folder / message.path), np.int16) for folder in ("best", "again"))
            assert np.abs(a - b).max() <= 1
            assert "candidates" not in message.data
    for output in outputs:
        assert len(output.data["candidates"]) == 2
        assert all(set(face["embeddings"]) <= {"scoring"} for face in output.data["look"]["faces"])


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"identity": None}, "names nobody"),
        ({"best_of": 9}, "candidates is 9"),
        ({"identity": IdentityUse(embedding=PERSON, control=2.0)}, "ControlNet is 2"),
        ({"companions": (IdentityUse(embedding=PERSON),)}, "each needs a region"),
        (
            {
                "identity": IdentityUse(embedding=PERSON, region=(0, 0, 0.5, 1), control=0.5),
                "companions": (IdentityUse(embedding=PERSON, region=(0.5, 0, 1, 1)),),
            },
            "places one face",
        ),
        ({"identity": IdentityUse(embedding=PERSON, region=(0.5, 0, 0.5, 1))}, "region lies"),
        ({"pictures": (PictureSpec(index=0, prompt="a", seed=1, keypoints=((1.0, 1.0),)),)}, "5"),
    ],
)
def test_what_cannot_be_done_is_said(
    runner: Runner, tiny_packs: Callable[..., Path], tmp_path: Path, fields: dict[str, Any], says: str
) -> None:
    order = request(str(tiny_packs(controlnet=True)), **fields)
    *_, last = runner.run(order, tmp_path, should_stop=lambda: False)
    assert isinstance(last, Failed)
    assert says in last.sentence


def test_a_pack_without_a_controlnet_refuses_one(runner: Runner, tiny_pack: Path, tmp_path: Path) -> None:
    order = request(str(tiny_pack), best_of=1, identity=IdentityUse(embedding=PERSON, control=0.5))
    *_, last = runner.run(order, tmp_path, should_stop=lambda: False)
    assert isinstance(last, Failed)
    assert "no identity ControlNet" in last.sentence
