from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gpu_worker.contracts import looked_from_json
from gpu_worker.packs import PackError, read_pack
from gpu_worker.runner.warm import looked_json
from gpu_worker.scorers.look import Looker
from gpu_worker.scorers.picture import square
from gpu_worker.scorers.whole import AttributeReader, FigureReader, unit


@pytest.fixture
def whole(tiny_pack: Path, tmp_path: Path, make: SimpleNamespace) -> Path:
    """A pack with a figure encoder and an attribute classifier, that a test may spoil."""
    directory = Path(shutil.copytree(tiny_pack, tmp_path / "pack"))
    make.add_whole_picture_models(directory)
    return directory


def plain(colour: tuple[int, int, int], width: int = 40, height: int = 30) -> Any:
    return np.full((height, width, 3), colour, np.uint8)


def noise(seed: int, width: int = 64, height: int = 64) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_a_picture_becomes_a_square_of_rgb_between_minus_one_and_one() -> None:
    black, red = square(plain((0, 0, 0)), 16), square(plain((255, 0, 0), 8, 20), 16)
    assert black.shape == red.shape == (3, 16, 16)
    assert black.dtype == np.float32
    assert (black == -1).all()
    assert (red == np.array([1, -1, -1])[:, None, None]).all()


def test_words_follow_what_is_in_the_picture(whole: Path) -> None:
    reader = AttributeReader(read_pack(whole), 1)
    red, dark, blue = reader.read([plain((255, 0, 0)), plain((0, 20, 0), 9, 80), plain((160, 160, 255))])
    assert red["colour"][0] == "red"
    assert red["brightness"][0] == "dark"
    assert dark["colour"][0] == "green"
    assert (blue["colour"][0], blue["brightness"][0]) == ("blue", "light")
    # The logits of plain red are 4, -4, -4.
    assert red["colour"][1] == pytest.approx(1 / (1 + 2 * np.exp(-8)))
    assert all(0 < p <= 1 for found in (red, dark, blue) for _, p in found.values())


def test_many_pictures_are_read_as_each_alone(whole: Path) -> None:
    pictures = [noise(seed, 20 + seed, 70 - seed) for seed in range(41)]
    reader, figure = AttributeReader(read_pack(whole), 1), FigureReader(read_pack(whole), threads=1)
    assert [words for p in pictures for words in reader.read([p])] == reader.read(pictures)
    one_by_one, together = [figure.embed([p])[0] for p in pictures], figure.embed(pictures)
    assert np.allclose(one_by_one, together, atol=1e-6)
    assert reader.read([]) == []
    assert figure.embed([]) == []


def test_a_look_embeds_the_whole_figure_at_unit_length(whole: Path) -> None:
    looker = Looker(read_pack(whole), ("scoring",), threads=1)
    first, second = (looker.look(noise(seed)) for seed in (1, 2))
    assert len(first.figure) == 8
    assert np.linalg.norm(first.figure) == pytest.approx(1)
    assert first.figure == looker.look(noise(1)).figure
    assert np.dot(first.figure, second.figure) < 0.99
    assert looked_from_json(looked_json(first)) == first


def test_a_pack_without_a_figure_encoder_embeds_no_figure(tiny_pack: Path) -> None:
    pack = read_pack(tiny_pack)
    assert pack.figure is None
    assert Looker(pack, ("scoring",), threads=1).look(noise(1)).figure == ()
    with pytest.raises(PackError, match="tiny has no figure encoder"):
        FigureReader(pack, threads=1)
    with pytest.raises(PackError, match="tiny has no attribute classifier"):
        AttributeReader(pack, 1)


@pytest.mark.parametrize("raw", [[0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]])
def test_a_vector_without_direction_is_no_embedding(raw: list[float]) -> None:
    assert unit(np.array(raw)) == ()
    assert unit(np.array([3.0, 4.0])) == pytest.approx((0.6, 0.8))


def test_a_changed_model_is_refused(whole: Path) -> None:
    for file in ("figure/figure.onnx", "attributes/attributes.onnx"):
        (whole / file).write_bytes((whole / file).read_bytes() + b"\0")
    with pytest.raises(PackError, match=r"figure\.onnx has another hash"):
        Looker(read_pack(whole), ("scoring",), threads=1)
    with pytest.raises(PackError, match=r"attributes\.onnx has another hash"):
        AttributeReader(read_pack(whole), 1)


def change(whole: Path, part: str, **fields: Any) -> None:
    manifest = json.loads((whole / "pack.json").read_text())
    manifest[part] |= fields
    (whole / "pack.json").write_text(json.dumps(manifest))


def test_a_model_that_does_not_fit_its_manifest_says_so(whole: Path, make: SimpleNamespace) -> None:
    change(whole, "figure", embedding_size=9)
    with pytest.raises(PackError, match="not 9"):
        FigureReader(read_pack(whole), threads=1).embed([noise(1)])
    change(whole, "attributes", options={"colour": ["red", "green"]})
    with pytest.raises(PackError, match="logits for colour, not 2"):
        AttributeReader(read_pack(whole), 1).read([noise(1)])
    change(whole, "attributes", options={"colour": ["red", "green", "blue"], "hair": ["red"]})
    with pytest.raises(PackError, match="has no output hair"):
        AttributeReader(read_pack(whole), 1)
    (whole / "figure" / "figure.onnx").write_bytes(b"no model")
    make.relist(whole)
    with pytest.raises(PackError, match=r"figure\.onnx cannot be loaded"):
        FigureReader(read_pack(whole), threads=1)
