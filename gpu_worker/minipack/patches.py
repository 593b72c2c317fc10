"""An `AutoencoderKL` encoder with weights that are computed, not learned: the principal components of 8x8 patches.

A deep convolutional encoder takes hours to learn on a CPU; a linear one is optimal in closed form (principal component
analysis), and a decoder learns well against it. The stock architecture can hold it exactly:

- with their last convolution zero, the residual blocks pass their input on;
- a stride-2 convolution averages the four pixels of a 2x2 square, once for every level above three;
- a stride-2 convolution moves the four pixels of a 2x2 square into channels (3 -> 12, 12 -> 48 -> 32, 32 -> 128 -> 16);
- silu(x) - silu(-x) = x undoes the last nonlinearity, so every latent is carried twice, with both signs;
- the last normalisation divides by the spread of all channels: large constant channels make that spread a constant.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F

_MIDDLE = 32
"""Components kept of a 4x4 patch (48 values)."""
_CONSTANT = 24.0


def fit(vae: Any, pictures: torch.Tensor, weight: torch.Tensor) -> None:
    """Set the encoder of `vae` from `pictures` [N, 3, H, W] in [-1, 1]; `weight` [1, 1, H, W] says which pixels count.

    The latents' standard deviations follow those of the components to the power 0.45: what carries the picture stays
    larger, without drowning the details. Levels above the three of 8x8 patches only make the picture smaller.
    """
    latent, encoder = vae.config.latent_channels, vae.encoder
    levels = len(encoder.down_blocks) - 4
    clear(encoder)
    average(vae, levels=levels)
    pictures, weight = F.avg_pool2d(pictures, 2**levels), F.avg_pool2d(weight, 2**levels)
    half = _to_channels(pictures)
    quarter = _to_channels(half)
    at_quarter = F.avg_pool2d(weight, 4)
    basis4, mean4, _ = _components(quarter, at_quarter, _MIDDLE)
    reduced = torch.einsum("nchw,ck->nkhw", quarter - mean4.view(1, -1, 1, 1), basis4)
    eighth = _to_channels(reduced)
    basis8, mean8, spread = _components(eighth, F.avg_pool2d(weight, 8), latent)
    scaled = basis8 / spread * ((spread / spread[0]) ** 0.45)

    down = encoder.down_blocks[levels:]
    for out in range(12):
        place, channel = divmod(out, 3)
        down[0].downsamplers[0].conv.weight.data[out, channel, place // 2, place % 2] = 1
    down[1].resnets[0].conv_shortcut.weight.data[:12, :12, 0, 0] = torch.eye(12)
    _gather(down[1].downsamplers[0].conv, basis4, -basis4.T @ mean4, 12)
    down[2].resnets[0].conv_shortcut.weight.data[:_MIDDLE, :_MIDDLE, 0, 0] = torch.eye(_MIDDLE)
    _gather(down[2].downsamplers[0].conv, scaled, -scaled.T @ mean8, _MIDDLE)
    last = down[3].resnets[0].conv_shortcut
    last.weight.data[:latent, :latent, 0, 0] = torch.eye(latent)
    last.weight.data[latent : 2 * latent, :latent, 0, 0] = -torch.eye(latent)
    free = last.bias.data[2 * latent :]
    free[0::2], free[1::2] = _CONSTANT, -_CONSTANT
    variances = (spread / spread[0]) ** 0.9  # of the scaled latents
    total = math.sqrt((2 * float(variances.sum()) + len(free) * _CONSTANT**2) / len(last.bias))
    encoder.conv_norm_out.weight.data[: 2 * latent] = total
    for k in range(latent):
        encoder.conv_out.weight.data[k, k, 1, 1] = 1
        encoder.conv_out.weight.data[k, latent + k, 1, 1] = -1
    encoder.conv_out.bias.data[latent:] = -12.0  # log variance: next to nothing


def clear(encoder: Any) -> None:
    """Set every weight to zero: residual blocks without a shortcut then pass their input on."""
    for parameter in encoder.parameters():
        parameter.data.zero_()


def average(vae: Any, *, levels: int) -> None:
    """Let a cleared encoder take the picture in, and its first `levels` levels average 2x2 pixels each."""
    vae.encoder.conv_in.weight.data[:3, :, 1, 1] = torch.eye(3)
    for block in vae.encoder.down_blocks[:levels]:
        for channel in range(3):
            block.downsamplers[0].conv.weight.data[channel, channel, :2, :2] = 0.25


@torch.no_grad()
def as_matrix(vae: Any, pictures: torch.Tensor, *, levels: int) -> tuple[torch.Tensor, torch.Tensor]:
    """What follows the first `levels` levels of the encoder as one matrix [192, latent] and bias, read off by least
    squares: hundreds of times faster."""
    z = vae.encode(pictures).latent_dist.mode().permute(0, 2, 3, 1).reshape(-1, vae.config.latent_channels)
    small = F.avg_pool2d(pictures, 2**levels)
    cells = F.pixel_unshuffle(small, 8).permute(0, 2, 3, 1).reshape(len(z), -1)
    centre, middle = cells.mean(0), z.mean(0)
    matrix = torch.linalg.lstsq((cells - centre).double(), (z - middle).double(), driver="gelsd").solution.float()
    return matrix, middle - centre @ matrix


def apply(pictures: torch.Tensor, matrix: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Averaged pictures [N, 3, H, W] -> [N, latent, H / 8, W / 8]."""
    cells = F.pixel_unshuffle(pictures, 8).permute(0, 2, 3, 1)
    return (cells @ matrix + bias).permute(0, 3, 1, 2)


def _to_channels(x: torch.Tensor) -> torch.Tensor:
    """[N, C, H, W] -> [N, 4 C, H / 2, W / 2], places first: top left, top right, bottom left, bottom right."""
    return torch.cat([x[:, :, a::2, b::2] for a in (0, 1) for b in (0, 1)], 1)


def _components(x: torch.Tensor, weight: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Leading principal directions [C, count], mean [C] and standard deviations [count] of the cells of x."""
    cells = x.permute(0, 2, 3, 1).reshape(-1, x.shape[1]).double()
    share = weight[0, 0].reshape(-1).double().repeat(len(x))[:, None]
    share = share / share.sum()
    mean = (share * cells).sum(0)
    centred = cells - mean
    values, vectors = torch.linalg.eigh((share * centred).T @ centred)
    return vectors.flip(1)[:, :count].float(), mean.float(), values.flip(0)[:count].clamp(min=1e-12).sqrt().float()


def _gather(conv: Any, basis: torch.Tensor, bias: torch.Tensor, channels: int) -> None:
    """Make a stride-2 convolution apply `basis` [4 channels, out] to each 2x2 square."""
    for place in range(4):
        block = basis[place * channels : (place + 1) * channels]
        conv.weight.data[: basis.shape[1], :channels, place // 2, place % 2] = block.T
    conv.bias.data[: basis.shape[1]] = bias
