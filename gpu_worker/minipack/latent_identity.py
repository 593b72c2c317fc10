"""Stage `latent_identity`: a small network that reads from a latent who is shown.

It looks on while the generator learns: what it sees of the person in a picture that is half denoised must be what it
sees in the true one. It is no encoder of the pack and scores nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from . import codec, data, geometry, parallel, splits
from .course import Course
from .encoders import parameters_of
from .renderer import identity

LATEST = 0.6
"""The noisiest time (0 the picture, 1 noise) at which it can tell who is shown."""
CLOSE = 0.42
"""Least height of a face that it looks at, as a share of the picture's: that of close-ups."""
WIDTHS = (48, 96, 192)
FEATURES = 256
Log = Callable[[str], None]


class LatentIdentity(nn.Module):
    """Scaled latents [N, 16, 16, 16] -> features [N, 256] and standardised `parameters_of` the person [N, P]."""

    apart: torch.Tensor
    """Mean distance of two different people, as `_distance` has it."""

    def __init__(self, parameters: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inner = codec.LATENT
        for k, width in enumerate(WIDTHS):
            layers += [nn.Conv2d(inner, width, 3, 2 if k else 1, 1), nn.GroupNorm(8, width), nn.SiLU()]
            layers += [_Residual(width)]
            inner = width
        cells = (16 // 2 ** (len(WIDTHS) - 1)) ** 2
        self.trunk = nn.Sequential(*layers, nn.Flatten(), nn.Linear(inner * cells, FEATURES), nn.LayerNorm(FEATURES))
        self.head = nn.Sequential(nn.SiLU(), nn.Linear(FEATURES, parameters))
        self.register_buffer("apart", torch.ones(()))

    def forward(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features: torch.Tensor = self.trunk(z)
        return features, self.head(features)


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1), nn.GroupNorm(8, width), nn.SiLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = x + self.body(x)
        return out


def is_close(boxes: geometry.Shares) -> torch.Tensor:
    """Whether a face of `boxes` [N, 4] is large enough, bool [N]."""
    return torch.from_numpy(boxes[:, 3] - boxes[:, 1] >= CLOSE)


def distance(network: LatentIdentity, shown: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """How far apart the network sees the people in two latents, per picture [N]: 0 for the same, about 1 for two who
    have nothing to do with each other. Gradients flow into `shown` only."""
    with torch.no_grad():
        seen = network(true)
    return _distance(network(shown), seen) / network.apart


def _distance(a: tuple[torch.Tensor, torch.Tensor], b: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Of features and of parameters, which count alike."""
    return sum(((x - y).float().square().mean(1) for x, y in zip(a, b, strict=True)), torch.zeros(()))


def train(work: Path, *, minutes: float, batch: int = 64, rate: float = 2e-3, log: Log = print) -> None:
    """Learn it; writes `latent_identity.pt` and, along the way, `latent_identity.ckpt`. `minutes`: see `Course`."""
    path = work / "latent_identity.pt"
    if path.exists():
        return
    torch.manual_seed(51)
    split, (z_all, scale) = data.held(work, splits.GENERATOR), codec.latents(work)
    target = torch.tensor([parameters_of(identity(seed)) for seed in split.seeds()])
    target = (target - target.mean(0)) / (target.std(0) + 1e-4)
    close = np.flatnonzero(is_close(geometry.faces(work, splits.GENERATOR)[0]).numpy())
    first = max(1, split.identities // 40) * split.pictures  # the people before it are held out
    held, close = close[close < first][:1000], close[close >= first]
    network = LatentIdentity(target.shape[1])
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=2e-2, fused=True)
    course = Course(network, optimiser, work / "latent_identity.ckpt", minutes=minutes, rate=rate)
    rng = np.random.default_rng((52, course.step))
    order = np.zeros(0, int)

    @torch.no_grad()
    def measured() -> float:
        """Share of the variance of unseen people's parameters that is read from clean latents."""
        read = network(z_all[held].float() * scale)[1]
        return 1 - float((read - target[held // split.pictures]).square().mean())

    for _ in course:
        if len(order) < batch:
            order = rng.permutation(close)
        index, order = np.sort(order[:batch]), order[batch:]
        z = z_all[index].float() * scale
        t = LATEST * torch.rand(len(z), 1, 1, 1) ** 1.5  # mostly the clearer ones
        z = (1 - t) * z + t * torch.randn_like(z)
        with parallel.autocast():
            read = network(z)[1]
        error = (read.float() - target[index // split.pictures]).square().mean(1)
        course.learn(((1 - t.view(-1)) ** 2 * error).mean())
        if course.step % 200 == 199:
            log(
                f"latent identity: step {course.step + 1}, {course.spent:.0f} s, error {error.mean().item():.3f}, "
                f"{measured():.3f} of unseen people's variance is read"
            )
    with torch.no_grad():
        seen = network(z_all[held].float() * scale)
        others = tuple(value.roll(split.pictures, 0) for value in seen)
        network.apart = _distance(seen, (others[0], others[1])).mean()
    torch.save({"model": network.state_dict(), "parameters": target.shape[1]}, path)
    log(f"latent identity: finished after {course.step} steps of {batch}; {measured():.3f} of the variance is read")


def load(work: Path) -> LatentIdentity | None:
    """The network, frozen; None where `work` holds none."""
    path = work / "latent_identity.pt"
    if not path.exists():
        return None
    state = torch.load(path, weights_only=True)
    network = LatentIdentity(state["parameters"])
    network.load_state_dict(state["model"])
    return network.eval().requires_grad_(False)
