"""The mini pack, through the same code as any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gpu_worker import calibration
from gpu_worker.checks import check
from gpu_worker.contracts import (
    PHOTOGRAPH,
    Done,
    GenerateRequest,
    IdentityUse,
    Looked,
    Output,
    PictureSpec,
    TrainingPicture,
    TrainRequest,
    looked_from_json,
)
from gpu_worker.packs import Pack, read_pack, verify, words
from gpu_worker.runner import Runner
from gpu_worker.scorers.look import Looker

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:peft", "ignore::FutureWarning:insightface")


@pytest.fixture(scope="module")
def pack(mini_pack: Path) -> Pack:
    return read_pack(mini_pack)


@pytest.fixture(scope="module")
def looker(pack: Pack) -> Looker:
    return Looker(pack, tuple(pack.encoders), threads=1)


def portraits(seed: int, count: int, pack: Pack) -> list[np.ndarray]:
    """Rendered close-ups of one person, drawn in any way that the pack has a word for."""
    from gpu_worker.minipack.renderer import identity, nuisance, render

    rng, drawing = np.random.default_rng(seed), None if pack.slots.get("drawing") else "flat"
    scenes = [nuisance(rng, calm=True, shot="close-up", drawing=drawing) for _ in range(count)]
    return [render(identity(900_000 + seed), scene, 256) for scene in scenes]


def mean(seen: list[Looked], encoder: str) -> np.ndarray:
    total = np.sum([s.faces[0].embeddings[encoder] for s in seen if s.faces], axis=0)
    return np.asarray(total / np.linalg.norm(total))


def test_the_pack_is_whole_small_and_free_to_use(pack: Pack) -> None:
    verify(pack)
    assert sum(pack.path(name).stat().st_size for name in pack.files) < 40e6
    assert pack.licence.commercial
    assert pack.domain == "illustration"


def test_the_words_it_offers_are_words_it_knows(pack: Pack) -> None:
    assert pack.vocabulary
    for choices in pack.slots.values():
        for choice in choices:
            assert pack.unknown_words(choice) == []
    assert pack.unknown_words(str(pack.defaults.get("negative_prompt", ""))) == []
    assert all(words(word) == [word] for word in pack.vocabulary)


def test_its_recipes_are_training_requests(pack: Pack) -> None:
    recipes = [recipe for recipe in pack.recipes.values() if recipe]
    assert recipes
    for recipe in recipes:
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in recipe.items()}
        picture = TrainingPicture(path="a.png", caption="portrait of a sks person")
        check(TrainRequest(pack=str(pack.directory), pictures=(picture,), trigger="sks", **values), pack)


@pytest.mark.parametrize("judge", ["scoring", "audit"])
def test_it_is_calibrated(pack: Pack, judge: str) -> None:
    if judge not in pack.encoders:
        pytest.skip(f"the pack has no encoder {judge}")
    quantiles = pack.quantiles(judge)
    assert 0 < calibration.threshold(1e-2, quantiles) < calibration.threshold(1e-3, quantiles) < 0.9
    assert calibration.score(0.0, quantiles) < 30


def test_rendered_people_are_told_apart(pack: Pack, looker: Looker) -> None:
    people = [[looker.look(p) for p in portraits(seed, 4, pack)] for seed in range(4)]
    for seen in people:
        assert all(s.faces and abs(s.faces[0].yaw) < 45 for s in seen)
        assert all(s.photographic < PHOTOGRAPH for s in seen)
    assert set(pack.encoders) >= {"conditioning", "scoring"}
    for encoder in pack.encoders:
        centres = np.stack([mean(seen[:2], encoder) for seen in people])
        probes = np.stack([mean(seen[2:], encoder) for seen in people])
        assert (centres @ probes.T).argmax(1).tolist() == [0, 1, 2, 3]


def test_it_runs_from_references_to_a_scored_picture(pack: Pack, looker: Looker, tmp_path: Path) -> None:
    seen = [looker.look(p) for p in portraits(11, 3, pack)]
    width, height = pack.sizes[0]
    request = GenerateRequest(
        pack=str(pack.directory),
        pictures=(PictureSpec(index=0, prompt="portrait of a person, happy, wearing a red hoodie", seed=4),),
        width=width,
        height=height,
        steps=4,
        identity=IdentityUse(embedding=tuple(mean(seen, "conditioning")), strength=1.0),
    )
    runner = Runner(device="cpu")
    *_, output, done = runner.run(request, tmp_path, should_stop=lambda: False)
    runner.close()
    assert isinstance(done, Done)
    assert isinstance(output, Output)
    assert (output.data["model"]["name"], output.data["width"]) == ("mini", width)
    assert looked_from_json(output.data["look"]).width == width


def test_a_lora_is_trained_on_references_together_with_the_image_prompt(
    pack: Pack, looker: Looker, tmp_path: Path
) -> None:
    recipe = {k: tuple(v) if isinstance(v, list) else v for k, v in (pack.recipes["standard"] or {}).items()}
    pictures = []
    for k, pixels in enumerate(portraits(11, 2, pack)):
        Image.fromarray(pixels).save(tmp_path / f"{k}.png")
        embedding = looker.look(pixels).faces[0].embeddings["conditioning"]
        caption = "portrait of a sks person, neutral"
        pictures.append(TrainingPicture(path=f"{k}.png", caption=caption, embedding=embedding))
    values: dict[str, Any] = {**recipe, "steps": 1, "batch_size": 1}
    request = TrainRequest(pack=str(pack.directory), pictures=tuple(pictures), trigger="sks", **values)
    runner = Runner(device="cpu")
    messages = list(runner.run(request, tmp_path, should_stop=lambda: False))
    runner.close()
    assert isinstance(messages[-1], Done)
    (adapter,) = [m for m in messages if isinstance(m, Output)]
    assert adapter.data["joint"]
    assert adapter.data["bytes"] < 10e6
