"""The codec: what is computed, on small pictures. Nothing is trained for longer than a moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402

from gpu_worker.minipack import codec, patches, splits  # noqa: E402
from gpu_worker.minipack.renderer import identity, nuisance, render  # noqa: E402


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    rng = np.random.default_rng(3)
    return np.stack([render(identity(seed), nuisance(rng), codec.SIZE, supersample=1) for seed in range(6)])


@pytest.fixture(scope="module")
def half(pictures: np.ndarray) -> Any:
    """A codec of 128 px with a computed encoder, and a decoder of random weights."""
    torch.manual_seed(0)
    vae = codec.build(codec.CHANNELS[1:])
    small = F.avg_pool2d(codec.to_tensor(pictures), 2)
    patches.fit(vae, small, codec.face_map(codec.SIZE // 2, face=0.9, features=0.9))
    return vae.eval()


@torch.no_grad()
def encoded(vae: Any, x: torch.Tensor) -> torch.Tensor:
    return vae.encode(x).latent_dist.mode()


def test_a_doubled_codec_has_the_latents_of_the_averaged_picture(half: Any, pictures: np.ndarray) -> None:
    x = codec.to_tensor(pictures)
    whole = codec.doubled(half).eval()
    assert whole.config.sample_size == codec.SIZE == 2 * half.config.sample_size
    z = encoded(whole, x)
    assert z.shape == (6, 16, 16, 16)
    assert z.std() > 0.1
    assert torch.allclose(z, encoded(half, F.avg_pool2d(x, 2)), atol=1e-5)


def test_a_doubled_codec_draws_what_the_half_drew_enlarged(half: Any, pictures: np.ndarray) -> None:
    z = encoded(half, F.avg_pool2d(codec.to_tensor(pictures), 2))
    with torch.no_grad():
        small, large = half.decode(z).sample, codec.doubled(half).eval().decode(z).sample
    assert large.shape == (6, 3, 256, 256)
    apart = (large - F.interpolate(small, scale_factor=2, mode="bilinear")).std()
    assert apart < 0.5 * small.std()


def test_an_encoder_fitted_from_nothing_is_one_matrix_on_the_averaged_picture(pictures: np.ndarray) -> None:
    x, vae = codec.to_tensor(pictures), codec.build()
    patches.fit(vae, x, codec.face_map(codec.SIZE, face=0.9, features=0.9))
    matrix, bias = patches.as_matrix(vae, x[:4], levels=1)
    assert matrix.shape == (192, 16)
    z = encoded(vae, x[4:])
    assert z.std() > 0.1
    assert torch.allclose(patches.apply(F.avg_pool2d(x[4:], 2), matrix, bias), z, atol=5e-3)


def test_the_stage_prepares_latents_and_learns_a_decoder(tmp_path: Path, pictures: np.ndarray) -> None:
    small = np.round(pictures.reshape(6, 128, 2, 128, 2, 3).mean((2, 4))).astype(np.uint8)
    arrays = {splits.GENERATOR: small, splits.CODEC: pictures, splits.EVALUATION: pictures}
    arrays[splits.WIDE] = np.concatenate([small[:3], small[3:]], 2)
    for split, array in arrays.items():
        np.save(tmp_path / f"{split.name}.npy", array)
    codec.prepare(tmp_path, log=lambda _: None)
    z, scale = codec.latents(tmp_path)
    wide, same = codec.latents(tmp_path, "wide_latents")
    assert z.shape == (6, 16, 16, 16)
    assert wide.shape == (3, 16, 16, 32)
    assert scale == same
    assert torch.equal(wide[..., :16], z[:3])
    said: list[str] = []
    codec.train(tmp_path, minutes=0.01, log=said.append)
    assert (tmp_path / "decoder.pt").exists()
    assert "finished" in said[-1]
    assert codec.quality(codec.load(tmp_path), codec.to_tensor(pictures[:1])) > 3


def test_a_scale_that_is_known_is_kept(tmp_path: Path, half: Any, pictures: np.ndarray) -> None:
    np.save(tmp_path / f"{splits.CODEC.name}.npy", pictures)
    np.save(tmp_path / f"{splits.GENERATOR.name}.npy", pictures[:, ::2, ::2])
    torch.save({"model": codec.doubled(half).state_dict(), "scale": 2.5}, tmp_path / "codec.pt")
    codec.prepare(tmp_path, log=lambda _: None)
    assert codec.latents(tmp_path)[1] == 2.5
