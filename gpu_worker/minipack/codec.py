"""Stage `codec`: a stock `AutoencoderKL` between 256 px pictures and 16 x 16 latents of 16 channels.

Its encoder is computed (`patches`): it averages 2x2 pixels, so a picture of half the size, painted so, has the same
latents, and the generator can learn from those at once. Its decoder is learned meanwhile, on slightly noisy latents, so
that it forgives what a generator gets a little wrong.
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

SIZE = 256
"""Pixels on the side of a picture."""
LATENT = 16
CHANNELS = (16, 16, 32, 64, 128)
NOISE = 0.3
"""Most noise on the latents that the decoder learns from, in standard deviations: about what a generator gets wrong."""
CELL = 2 ** (len(CHANNELS) - 1)
"""Pixels on the side of what one latent cell stands for."""
Log = Callable[[str], None]


def build(channels: tuple[int, ...] = CHANNELS) -> Any:
    """An untrained codec; each level less takes pictures of half the size."""
    vae: Any = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=LATENT,
        block_out_channels=channels,
        down_block_types=("DownEncoderBlock2D",) * len(channels),
        up_block_types=("UpDecoderBlock2D",) * len(channels),
        layers_per_block=1,
        norm_num_groups=1,  # a group of few channels, normalised over the picture, would lose its brightness
        sample_size=SIZE * 2 ** len(channels) // 2 ** len(CHANNELS),
        mid_block_add_attention=False,
        force_upcast=False,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )
    return vae.to(memory_format=torch.channels_last)


def to_tensor(pixels: Pixels) -> torch.Tensor:
    """uint8 [N, H, W, 3] -> float [N, 3, H, W] in [-1, 1], channels last."""
    x = torch.from_numpy(np.array(pixels, order="C")).permute(0, 3, 1, 2).float()
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


def calm(vae: Any) -> None:
    """Let every residual block of the decoder begin as nearly nothing: such blocks train fastest."""
    for name, parameter in vae.decoder.named_parameters():
        if name.endswith("conv2.weight"):
            parameter.data *= 0.1


@torch.no_grad()
def doubled(half: Any) -> Any:
    """The codec of twice the picture size that begins as `half`, a codec of one level less (CHANNELS[1:]).

    It has the same latents: `encode(x)` is `half.encode` of x averaged 2x2. What it decodes is at first what `half`
    decodes, enlarged.
    """
    vae = build()
    patches.clear(vae.encoder)
    patches.average(vae, levels=1)
    for own, taken in zip(vae.encoder.down_blocks[1:], half.encoder.down_blocks, strict=True):
        own.load_state_dict(taken.state_dict())
    for part in ("mid_block", "conv_norm_out", "conv_out"):
        getattr(vae.encoder, part).load_state_dict(getattr(half.encoder, part).state_dict())
    calm(vae)
    own, taken = vae.decoder, half.decoder
    for part in ("conv_in", "mid_block", "conv_norm_out", "conv_out"):
        getattr(own, part).load_state_dict(getattr(taken, part).state_dict())
    for mine, theirs in zip(own.up_blocks, taken.up_blocks, strict=False):
        mine.load_state_dict(theirs.state_dict(), strict=False)  # its last block enlarges nothing
    conv = own.up_blocks[-2].upsamplers[0].conv
    conv.bias.zero_()
    conv.weight.zero_()
    corner = torch.tensor([1.0, 2.0, 1.0]) / 4
    conv.weight[range(conv.in_channels), range(conv.in_channels)] = corner[:, None] * corner  # softens the enlarged
    return vae


def prepare(work: Path, *, log: Log = print) -> None:
    """Compute the encoder and the latents of the generator's pictures; writes `codec.pt`, `latents.pt` and, where there
    are wide pictures, `wide_latents.pt`. An encoder that `codec.pt` holds is kept, and so is its scale."""
    path = work / "codec.pt"
    if not path.exists():
        torch.manual_seed(11)
        vae, pictures = build(), np.load(work / f"{splits.CODEC.name}.npy", mmap_mode="r")
        patches.fit(vae, to_tensor(pictures[:: max(1, len(pictures) // 600)]), face_map(SIZE, face=0.9, features=0.9))
        calm(vae)
        torch.save({"model": vae.state_dict()}, path)
    state = torch.load(path, weights_only=True)
    for name, split in (("latents", splits.GENERATOR), ("wide_latents", splits.WIDE)):
        if (work / f"{name}.pt").exists() or not (work / f"{split.name}.npy").exists():
            continue
        pictures = np.load(work / f"{split.name}.npy", mmap_mode="r")
        encode = _fast_encoder(work)
        z = torch.empty(len(pictures), LATENT, *(side * 2 // CELL for side in pictures.shape[1:3]), dtype=torch.half)
        for k in range(0, len(z), 500):
            z[k : k + 500] = encode(to_tensor(pictures[k : k + 500]))
        if "scale" not in state:
            state["scale"] = 1 / float(z[::20].float().std())
            torch.save(state, path)
        torch.save({"z": z}, work / f"{name}.pt")
        log(f"codec: {len(z)} {name.replace('_', ' ')} are ready")


def _fast_encoder(work: Path) -> Callable[[torch.Tensor], torch.Tensor]:
    """Latents of pictures of half the size, [N, 3, H, W] -> [N, 16, H / 8, W / 8]."""
    vae, pictures = load(work), np.load(work / f"{splits.CODEC.name}.npy", mmap_mode="r")
    matrix, bias = patches.as_matrix(vae, to_tensor(pictures[:: max(1, len(pictures) // 120)]), levels=1)
    return lambda halves: patches.apply(halves, matrix, bias)


def latents(work: Path, name: str = "latents") -> tuple[torch.Tensor, float]:
    """The encoder's latents of the generator's pictures, float16 [N, 16, 16, 16], and the scaling factor; of the wide
    ones, [N, 16, 16, 32], if `name` is `wide_latents`. They stay on disk until they are read."""
    z: torch.Tensor = torch.load(work / f"{name}.pt", weights_only=True, mmap=True)["z"]
    return z, float(torch.load(work / "codec.pt", weights_only=True)["scale"])


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
    """Learn the decoder; writes `decoder.pt` and, along the way, `decoder.ckpt`. `minutes`: processor time."""
    if (work / "decoder.pt").exists():
        return
    torch.manual_seed(12)
    images = np.load(work / f"{splits.CODEC.name}.npy", mmap_mode="r")
    encode = _fast_encoder(work)
    z_all = torch.cat([encode(F.avg_pool2d(to_tensor(images[k : k + 64]), 2)) for k in range(0, len(images), 64)])
    held = np.load(work / f"{splits.EVALUATION.name}.npy", mmap_mode="r")
    held = to_tensor(held[7 % len(held) : 2000 : 100])
    vae = build()
    vae.load_state_dict(torch.load(work / "codec.pt", weights_only=True)["model"])
    decoder = vae.decoder
    average = copy.deepcopy(decoder).eval()
    optimiser = torch.optim.AdamW(decoder.parameters(), lr=rate, weight_decay=1e-4, betas=(0.9, 0.98), fused=True)
    step, spent, checkpoint, spread = 0, 0.0, work / "decoder.ckpt", float(z_all.std())
    if checkpoint.exists():
        state: dict[str, Any] = torch.load(checkpoint, weights_only=True)
        decoder.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent = state["step"], state["spent"]
    rng, weight = np.random.default_rng((21, step)), face_map(images.shape[1], face=0.9, features=0.9)
    started, saved, done = time.process_time() - spent, spent, spent / (60 * minutes)

    def measured() -> float:
        vae.decoder = average
        value = quality(vae, held)
        vae.decoder = decoder
        return value

    log(
        f"decoder: {sum(p.numel() for p in decoder.parameters()) / 1e6:.2f} M parameters, begins at {measured():.2f} dB"
    )
    while done < 1:
        whole = bool(step % 4 == 0)
        index = np.sort(rng.integers(0, len(images), max(1, batch // 4) if whole else batch))
        window, cells = _window(rng, images.shape[1], whole=whole)
        x, part = to_tensor(images[index][:, window[0], window[1]]), weight[:, :, window[0], window[1]]
        z = z_all[index][:, :, cells[0], cells[1]]
        z = z + torch.randn_like(z) * spread * NOISE * torch.rand(len(z), 1, 1, 1)
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
        done = (time.process_time() - started) / (60 * minutes)
        if step % 200 == 0:
            log(f"decoder: step {step}, {done * minutes:.1f} min, loss {loss.item():.4f}, {measured():.2f} dB")
        if time.process_time() - started - saved > 90 or done >= 1:
            saved = time.process_time() - started
            kept = {"model": decoder.state_dict(), "average": average.state_dict(), "optimiser": optimiser.state_dict()}
            torch.save({**kept, "step": step, "spent": saved}, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").rename(checkpoint if done < 1 else work / "decoder.pt")
    log(f"decoder: finished after {step} steps, {measured():.2f} dB on unseen people")


def _window(rng: np.random.Generator, size: int, *, whole: bool) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Pixels and latent cells of a quarter, mostly on the face, or of the whole picture: normalisation spans the
    picture, so the decoder must see whole ones too, but quarters give four times as many steps for the same work."""
    side = size if whole else size // 2
    low, high = (side // 4, side * 3 // 4) if rng.random() < 0.6 else (0, side)
    left, top = (0, 0) if whole else (int(v) // CELL * CELL for v in rng.integers(low, high + 1, 2))
    pixels = (slice(top, top + side), slice(left, left + side))
    return pixels, (slice(top // CELL, (top + side) // CELL), slice(left // CELL, (left + side) // CELL))


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
