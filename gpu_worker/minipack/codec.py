"""Stage `codec`: a stock `AutoencoderKL` between 128 px portraits and 16 x 16 latents of 16 channels.

Its encoder is computed (`patches`), so the generator can learn the latents at once; its decoder is learned meanwhile,
on slightly noisy latents, so that it forgives what a generator gets a little wrong.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL

from . import parallel, patches, splits
from .data import Pixels

LATENT = 16
CHANNELS = (16, 32, 64, 128)
Log = Callable[[str], None]


def build() -> Any:
    vae: Any = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=LATENT,
        block_out_channels=CHANNELS,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        norm_num_groups=1,  # a group of few channels, normalised over the picture, would lose its brightness
        sample_size=128,
        mid_block_add_attention=False,
        force_upcast=False,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )
    return vae.to(memory_format=torch.channels_last)


def to_tensor(pixels: Pixels) -> torch.Tensor:
    """uint8 [N, H, W, 3] -> float [N, 3, H, W] in [-1, 1], channels last."""
    x = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float()
    return (x / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def to_pixels(x: torch.Tensor) -> Pixels:
    return ((x.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()


def face_map(size: int, *, face: float, features: float) -> torch.Tensor:
    """[1, 1, size, size] with mean 1: heavier where portraits have the face, heaviest at eyes and mouth."""
    y, x = torch.meshgrid(torch.arange(size) + 0.5, torch.arange(size) + 0.5, indexing="ij")
    x, y = x / size * 256, y / size * 256

    def blob(cx: float, cy: float, rx: float, ry: float) -> torch.Tensor:
        return torch.exp(-((((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2) ** 2))

    weight = 0.7 + face * blob(128, 116, 68, 82)
    weight = weight + features * (blob(128, 102, 54, 28) + blob(128, 152, 38, 26))
    return (weight / weight.mean()).view(1, 1, size, size)


def prepare(work: Path, *, log: Log = print) -> None:
    """Compute the encoder and the generator's latents; writes `codec.pt` and `latents.pt`."""
    images = np.load(work / f"{splits.GENERATOR.name}.npy", mmap_mode="r")
    if not (work / "codec.pt").exists():
        torch.manual_seed(11)
        vae = build()
        patches.fit(vae, to_tensor(images[::40]), face_map(images.shape[1], face=0.9, features=0.9))
        for name, parameter in vae.decoder.named_parameters():  # blocks that begin as nearly nothing train fastest
            if name.endswith("conv2.weight"):
                parameter.data *= 0.1
        torch.save({"model": vae.state_dict()}, work / "codec.pt")
    if not (work / "latents.pt").exists():
        vae = load(work)
        matrix, bias = patches.as_matrix(vae, to_tensor(images[::400]))
        parts = [patches.apply(to_tensor(images[k : k + 500]), matrix, bias).half() for k in range(0, len(images), 500)]
        z = torch.cat(parts)
        torch.save({"z": z, "scale": 1 / float(z[::20].float().std())}, work / "latents.pt")
        log(f"codec: {len(z)} latents are ready")


def latents(work: Path) -> tuple[torch.Tensor, float]:
    """The encoder's latents of the generator's pictures, float16 [N, 16, 16, 16], and the scaling factor."""
    state = torch.load(work / "latents.pt", weights_only=True)
    return state["z"], state["scale"]


def load(work: Path) -> Any:
    """The codec with the decoder learned so far."""
    vae = build()
    vae.load_state_dict(torch.load(work / "codec.pt", weights_only=True)["model"])
    for name in ("decoder.pt", "decoder.ckpt"):
        if (work / name).exists():
            vae.decoder.load_state_dict(torch.load(work / name, weights_only=True)["average"])
            break
    return vae.eval()


def train(work: Path, *, minutes: float, batch: int = 8, rate: float = 2e-3, log: Log = print) -> None:
    """Learn the decoder; writes `decoder.pt` and, along the way, `decoder.ckpt`."""
    if (work / "decoder.pt").exists():
        return
    torch.manual_seed(12)
    images, (z_all, _) = np.load(work / f"{splits.GENERATOR.name}.npy", mmap_mode="r"), latents(work)
    held = to_tensor(np.load(work / f"{splits.EVALUATION.name}.npy", mmap_mode="r")[7:2000:100])
    vae = build()
    vae.load_state_dict(torch.load(work / "codec.pt", weights_only=True)["model"])
    decoder = vae.decoder
    average = copy.deepcopy(decoder).eval()
    optimiser = torch.optim.AdamW(decoder.parameters(), lr=rate, weight_decay=1e-4, betas=(0.9, 0.98), fused=True)
    step, spent, checkpoint, spread = 0, 0.0, work / "decoder.ckpt", float(z_all[::50].float().std())
    if checkpoint.exists():
        state: dict[str, Any] = torch.load(checkpoint, weights_only=True)
        decoder.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent = state["step"], state["spent"]
    rng, weight = np.random.default_rng((21, step)), face_map(images.shape[1], face=0.9, features=0.9)
    started, saved, done = time.monotonic() - spent, spent, spent / (60 * minutes)

    def measured() -> float:
        vae.decoder = average
        value = quality(vae, held)
        vae.decoder = decoder
        return value

    while done < 1:
        whole = bool(step % 4 == 0)
        index = np.sort(rng.integers(0, len(images), max(1, batch // 4) if whole else batch))
        window, cells = _window(rng, images.shape[1], whole=whole)
        x, part = to_tensor(images[index][:, window[0], window[1]]), weight[:, :, window[0], window[1]]
        z = z_all[index][:, :, cells[0], cells[1]].float()
        z = z + torch.randn_like(z) * spread * 0.12 * torch.rand(len(z), 1, 1, 1)
        with parallel.autocast():
            y = decoder(z.contiguous(memory_format=torch.channels_last))
        loss = _distance(y.float(), x, part)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 60) * (0.5 * (1 + math.cos(math.pi * min(1, done))) + 0.01)
        optimiser.step()
        step += 1
        keep = min(0.995, (1 + step) / (20 + step))
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(decoder.parameters()), 1 - keep)
        done = (time.monotonic() - started) / (60 * minutes)
        if step % 200 == 0:
            log(f"decoder: step {step}, {done * minutes:.1f} min, loss {loss.item():.4f}, {measured():.2f} dB")
        if time.monotonic() - started - saved > 90 or done >= 1:
            saved = time.monotonic() - started
            kept = {"model": decoder.state_dict(), "average": average.state_dict(), "optimiser": optimiser.state_dict()}
            torch.save({**kept, "step": step, "spent": saved}, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").rename(checkpoint if done < 1 else work / "decoder.pt")
    log(f"decoder: finished after {step} steps, {measured():.2f} dB on unseen people")


def _window(rng: np.random.Generator, size: int, *, whole: bool) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Pixels and latent cells of a quarter, mostly on the face, or of the whole picture: normalisation spans the
    picture, so the decoder must see whole ones too, but quarters give four times as many steps for the same work."""
    side = size if whole else size // 2
    low, high = (side // 4, side * 3 // 4) if rng.random() < 0.6 else (0, side)
    left, top = (0, 0) if whole else (int(v) // 8 * 8 for v in rng.integers(low, high + 1, 2))
    pixels = (slice(top, top + side), slice(left, left + side))
    return pixels, (slice(top // 8, (top + side) // 8), slice(left // 8, (left + side) // 8))


def _distance(y: torch.Tensor, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Mean absolute error of pixels and of their differences along x and y: the latter is what keeps edges crisp."""
    error = y - x
    pixel = (weight * (error.abs() + 2 * error**2)).mean()
    edge = (weight[..., 1:] * error.diff(dim=3).abs()).mean() + (weight[..., 1:, :] * error.diff(dim=2).abs()).mean()
    return pixel + 0.5 * edge


@torch.no_grad()
def quality(vae: Any, x: torch.Tensor) -> float:
    """Peak signal-to-noise ratio (dB) of decoding what was encoded, mean over pictures in [-1, 1]."""
    with parallel.autocast():
        y = vae.decode(vae.encode(x).latent_dist.mode()).sample.float().clamp(-1, 1)
    return float((10 * torch.log10(4 / F.mse_loss(y, x, reduction="none").mean((1, 2, 3)))).mean())
