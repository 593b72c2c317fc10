"""Stage `generator`: UNet, text encoder and image prompt learn together by flow matching, from nothing or on from what
`generator.ckpt` holds.

Lipman et al. 2023 (arXiv 2210.02747): z_t = (1 - t) x + t n, the network predicts v = n - x. The image prompt is
decoupled cross-attention in the IP-Adapter FaceID layout (Ye et al. 2023, arXiv 2308.06721). Every tenth step shows two
people in a wide picture, each with an embedding and a half of the picture as region. A network that reads identities
from latents looks on (`latent_identity`), so that a face a little off costs more than a sleeve.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor, IPAdapterAttnProcessor
from diffusers.models.embeddings import IPAdapterFaceIDImageProjection, MultiIPAdapterImageProjection
from torch import nn

from . import codec, data, encoders, geometry, latent_identity, parallel, splits
from .data import PORTRAIT, Pixels, aligned, wide_of
from .renderer import Identity, Scene, identity
from .text import WIDTH, PairWording, Tokens, Wording, text_model

CHANNELS = (64, 128, 192)
GRID = 16
"""Latents are GRID x GRID."""
ID_TOKENS = 4
ID_SCALE = 512**0.5
"""Unit embeddings are multiplied by this, so that their values have variance 1."""
Log = Callable[[str], None]


def unet() -> Any:
    return UNet2DConditionModel(
        sample_size=GRID,
        in_channels=codec.LATENT,
        out_channels=codec.LATENT,
        block_out_channels=CHANNELS,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D",) * 3,
        cross_attention_dim=WIDTH,
        attention_head_dim=tuple(c // 32 for c in CHANNELS),
        norm_num_groups=16,
    )


class IdentityProjection(IPAdapterFaceIDImageProjection):
    """FaceID projection that can blank its tokens per sample. Blank tokens add exactly nothing (`to_k_ip` and `to_v_ip`
    have no bias): the sample is denoised as by the network without the adapter."""

    blank: torch.Tensor | None = None

    def forward(self, image_embeds: torch.Tensor) -> torch.Tensor:
        tokens: torch.Tensor = super().forward(image_embeds)
        return tokens if self.blank is None else tokens * (~self.blank).view(-1, 1, 1)


def add_image_prompt(net: Any) -> Any:
    """Attach it to a UNet. Attention is the plain one: where a CPU trains in bfloat16, that is the faster one."""
    processors: dict[str, Any] = {}
    for name in net.attn_processors:
        if name.endswith("attn1.processor"):
            processors[name] = AttnProcessor()
            continue
        block, channels = name.split("."), net.config.block_out_channels
        if block[0] == "mid_block":
            width = channels[-1]
        else:
            width = (channels[::-1] if block[0] == "up_blocks" else channels)[int(block[1])]
        processors[name] = IPAdapterAttnProcessor(width, WIDTH, num_tokens=[ID_TOKENS])
    net.set_attn_processor(processors)
    projection = IdentityProjection(encoders.SIZE, WIDTH, mult=1, num_tokens=ID_TOKENS)
    net.encoder_hid_proj = MultiIPAdapterImageProjection([projection])
    net.config.encoder_hid_dim_type = "ip_image_proj"
    return net


def build() -> Any:
    model: Any = nn.ModuleDict({"unet": add_image_prompt(unet()), "text": text_model()})
    return model


def denoise(
    net: Any,
    z: torch.Tensor,
    t: torch.Tensor,
    text: torch.Tensor,
    identity: torch.Tensor,
    blank: torch.Tensor | None,
    regions: torch.Tensor | None = None,
    **residuals: Any,
) -> torch.Tensor:
    """Velocity at `z` [B, 16, H, W] and time `t` [B] in [0, 1].

    `identity`: unit embeddings or zeros [B, people, 512], blank where `blank` [B, people]. `regions` [1, people, h, w]:
    the place of each person, 0 or 1. `residuals`: a ControlNet's.
    """
    net.encoder_hid_proj.image_projection_layers[0].blank = None if blank is None else blank.flatten()
    prompt = {"image_embeds": [identity * ID_SCALE]}
    places = None if regions is None else {"ip_adapter_masks": [regions]}
    out: torch.Tensor = net(
        z,
        t * 1000,
        encoder_hidden_states=text,
        added_cond_kwargs=prompt,
        cross_attention_kwargs=places,
        **residuals,
    ).sample
    return out


# ------------------------------------------------------------------------------------------------------- samples
LEAST_FACE = 24
"""Pixels; a smaller face says too little of a person to be a reference."""


def reference_embeddings(work: Path, embed: Callable[[Pixels], torch.Tensor] | None = None) -> torch.Tensor:
    """Conditioning embeddings of the generator's pictures, float32 [N, 512]; kept on disk. Zeros where the face is too
    small to be a reference.

    `embed` makes unit embeddings [N, 512] of aligned crops; by default the encoder that `work` holds does.
    """
    path = work / "generator_embeddings.pt"
    if not path.exists():
        if embed is None:
            embed = functools.partial(encoders.embed, encoders.load(work, "conditioning"))
        rows = np.flatnonzero(may_refer(work).numpy())
        found = torch.zeros(len(may_refer(work)), encoders.SIZE)
        for k in range(0, len(rows), 400):
            found[rows[k : k + 400]] = embed(crops(work, rows[k : k + 400]))
        torch.save(found, path)
    kept: torch.Tensor = torch.load(path, weights_only=True)
    return kept


def may_refer(work: Path) -> torch.Tensor:
    """Whether each of the generator's pictures shows a face that is large enough to be a reference, bool [N]."""
    boxes = geometry.faces(work, splits.GENERATOR)[0]
    return torch.from_numpy((boxes[:, 3] - boxes[:, 1]) * PORTRAIT >= LEAST_FACE)


def crops(work: Path, rows: np.ndarray) -> Pixels:
    """Aligned crops [N, 112, 112, 3] of some of the generator's pictures, with keypoints as inexact as a detector's."""
    images = np.load(work / f"{splits.GENERATOR.name}.npy", mmap_mode="r")
    points = geometry.faces(work, splits.GENERATOR)[1][rows] * PORTRAIT
    apart = np.linalg.norm(points[:, 1] - points[:, 0], axis=1)[:, None, None]
    points = points + np.random.default_rng((5, *rows[:1])).normal(0, 0.02, points.shape) * apart
    return np.stack([aligned(images[row], at) for row, at in zip(rows, points, strict=True)])


@dataclass(frozen=True, slots=True)
class Samples:
    """What the generator sees at one step: B pictures of the same number of people, 1 or 2."""

    latents: torch.Tensor
    """Scaled, [B, 16, H, W]."""
    captions: list[str]
    identities: torch.Tensor
    """Unit embeddings, or zeros, [B, people, 512]."""
    blank: torch.Tensor
    """Who has no identity tokens at all, bool [B, people]."""
    weights: torch.Tensor
    """How much each cell counts, mean 1, [B, 1, H, W]."""
    close: torch.Tensor
    """Which are close-ups, bool [B]."""
    keypoints: torch.Tensor
    """Of each face, shares of the height, [B, people, 5, 2]."""
    rows: np.ndarray
    """Which pictures these are, [B]."""
    regions: torch.Tensor | None = None
    """Each person's place, 0 or 1, [1, people, 2 H, 2 W]: twice as fine as the latents, as a pipeline's are."""

    def to(self, device: str) -> Samples:
        """The same on another device; the captions stay."""
        if device == "cpu":
            return self
        values = {name: getattr(self, name) for name in self.__slots__}
        moved: dict[str, Any] = {k: v.to(device) for k, v in values.items() if isinstance(v, torch.Tensor)}
        return replace(self, **moved)


class Batches:
    """Training samples, with parts left out so that every mix of prompts works.

    Left out: text and image prompt 6 %, text 6 %, image prompt 16 %. Three quarters of the last have no identity tokens
    at all (the network must work without its adapter); the others have a zero embedding, which is what pipelines use as
    the negative. The reference is the mean of 1, 2, 3, 5 or 8 *other* pictures of the person. Of two people one alone
    is left out in 8 %.
    """

    REFERENCES = (1, 2, 3, 5, 8)

    def __init__(self, work: Path) -> None:
        self.latents, self.scale = codec.latents(work)
        self.embeddings, self.usable = reference_embeddings(work), may_refer(work).numpy()
        boxes, points = geometry.faces(work, splits.GENERATOR)
        self.boxes, self.points = torch.from_numpy(boxes), torch.from_numpy(points)
        self.close, self.per = latent_identity.is_close(boxes), splits.GENERATOR.pictures
        self.order, self.shown = np.zeros(0, int), functools.cache(self._shown)
        self.has_wide = (work / "wide_latents.pt").exists()
        if self.has_wide:
            self.wide = codec.latents(work, "wide_latents")[0]
            with np.load(work / "wide.npz") as truth:
                self.pairs = truth["seeds"]
                self.pair_boxes = torch.from_numpy(truth["boxes"]) / PORTRAIT
                self.pair_points = torch.from_numpy(truth["keypoints"]) / PORTRAIT

    def _shown(self, person: int) -> tuple[Identity, list[Scene]]:
        seed = splits.GENERATOR.first + person
        return identity(seed), data.scenes_of(seed, self.per)

    def scene(self, row: int) -> Scene:
        """Of a portrait."""
        return self.shown(row // self.per)[1][row % self.per]

    def draw(self, rng: np.random.Generator, size: int) -> Samples:
        """Portraits."""
        if len(self.order) < size:
            self.order = rng.permutation(len(self.latents))
        index, self.order = np.sort(self.order[:size]), self.order[size:]
        captions, identities, blank = [], torch.zeros(size, 1, encoders.SIZE), torch.zeros(size, 1, dtype=torch.bool)
        for k, i in enumerate(index):
            no_text, no_identity = self._left_out(rng)
            if no_identity:
                blank[k] = bool(rng.random() < (0.5 if no_text else 0.75))
            else:
                identities[k, 0] = self._reference(rng, int(i) // self.per, without=int(i))
            traits = bool(rng.random() < (0.9 if no_identity else 0.45))
            words = Wording.of(self.shown(int(i) // self.per)[0], self.scene(int(i)))
            captions.append("" if no_text else words.caption(rng, traits=traits))
        boxes = self.boxes[index][:, None]
        return Samples(
            latents=self.latents[index].float() * self.scale,
            captions=captions,
            identities=identities,
            blank=blank,
            weights=geometry.weights(boxes, GRID, GRID, face=1.0, features=0.9),
            close=self.close[index],
            keypoints=self.points[index][:, None],
            rows=index,
        )

    def draw_wide(self, rng: np.random.Generator, size: int) -> Samples:
        """Pairs in wide pictures."""
        index = np.sort(rng.permutation(len(self.wide))[:size])
        size = len(index)
        captions, identities, blank = [], torch.zeros(size, 2, encoders.SIZE), torch.zeros(size, 2, dtype=torch.bool)
        for k, i in enumerate(index):
            no_text, no_identity = self._left_out(rng)
            alone = int(rng.integers(2)) if rng.random() < 0.08 else None
            for side, seed in enumerate(self.pairs[i]):
                if no_identity:
                    blank[k, side] = bool(rng.random() < 0.5)
                elif side != alone:
                    identities[k, side] = self._reference(rng, int(seed) - splits.GENERATOR.first)
            words = PairWording.of(*wide_of(int(i), *(int(seed) for seed in self.pairs[i])))
            traits = bool(rng.random() < (0.7 if no_identity else 0.2))
            captions.append("" if no_text else words.caption(rng, traits=traits))
        regions = torch.zeros(1, 2, 2 * GRID, 4 * GRID)
        regions[0, 0, :, : 2 * GRID] = 1
        regions[0, 1, :, 2 * GRID :] = 1
        return Samples(
            latents=self.wide[index].float() * self.scale,
            captions=captions,
            identities=identities,
            blank=blank,
            weights=geometry.weights(self.pair_boxes[index], GRID, 2 * GRID, face=1.0, features=0.9),
            close=torch.zeros(size, dtype=torch.bool),
            keypoints=self.pair_points[index],
            rows=index,
            regions=regions,
        )

    @staticmethod
    def _left_out(rng: np.random.Generator) -> tuple[bool, bool]:
        """Whether text and identity are left out."""
        mode = rng.random()
        return mode < 0.12, mode < 0.06 or 0.12 <= mode < 0.28

    def _reference(self, rng: np.random.Generator, person: int, without: int = -1) -> torch.Tensor:
        """Mean embedding of some pictures of a person that may refer; zeros where there is none."""
        rows = [j for j in range(person * self.per, (person + 1) * self.per) if self.usable[j] and j != without]
        chosen = rng.permutation(rows).astype(int)[: rng.choice(self.REFERENCES)]
        return F.normalize(self.embeddings[chosen].sum(0), dim=0)


# ------------------------------------------------------------------------------------------------------ training
WIDE_EVERY = 10
"""Steps from one with wide pictures to the next."""
BATCH = {"cpu": 32, "cuda": 512}
IDENTITY = 30.0
"""What it costs to be seen as somebody else; what costs a warm start a fifth of its flow loss."""
WARM_RATE = 6e-4
"""Learning rate of weights that were trained before."""


def noised(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Times [B], noise, and what the network sees of latents x at those times."""
    t = torch.sigmoid(torch.randn(len(x), device=x.device) * 1.1 + 0.25)
    noise, s = torch.randn_like(x), t.view(-1, 1, 1, 1)
    return t, noise, (1 - s) * x + s * noise


class FlowLoss:
    """The loss of a velocity: flow matching, plus `IDENTITY` times the distance of the person shown to the true one,
    where `work` holds a network that sees it. The distance counts most where little noise is left."""

    def __init__(self, work: Path, device: str) -> None:
        network = latent_identity.load(work)
        self.network = None if network is None else network.to(device)

    def __call__(self, samples: Samples, noise: torch.Tensor, t: torch.Tensor, velocity: torch.Tensor) -> torch.Tensor:
        x, v = samples.latents, velocity.float()
        flow = (samples.weights * (v - (noise - x)) ** 2).mean()
        chosen = samples.close & (t < latent_identity.LATEST)
        if self.network is None or not chosen.any():
            return flow
        x, t, s = x[chosen], t[chosen], t[chosen].view(-1, 1, 1, 1)
        shown = (1 - s) * x + s * noise[chosen] - s * v[chosen]
        with parallel.autocast(x.device.type):
            apart = latent_identity.distance(self.network, shown, x)
        return flow + IDENTITY * ((1 - t) ** 2 * apart).sum() / len(velocity)


def train(
    work: Path,
    *,
    minutes: float,
    rate: float | None = None,
    processes: int = 2,
    device: str = "cpu",
    log: Log = print,
) -> None:
    """Learn the generator; writes `generator.ckpt` every two minutes and at the end. `minutes` and `rate`: see
    `parallel.learn`. `device`: `cpu` or, in one process, `cuda`."""
    codec.prepare(work, log=log)
    reference_embeddings(work)
    count = processes if device == "cpu" else 1
    parallel.launch(_run, count, work=work, minutes=minutes, rate=rate, device=device, log=log)


def _run(*, rank: int, world: int, work: Path, minutes: float, rate: float | None, device: str, log: Log) -> None:
    torch.manual_seed(31)
    batches, tokens, model = Batches(work), Tokens(), build().to(device)
    distance = FlowLoss(work, device)

    def loss(rng: np.random.Generator, step: int, size: int) -> torch.Tensor:
        wide = batches.has_wide and step % WIDE_EVERY == WIDE_EVERY - 1
        samples = batches.draw_wide(rng, max(1, size // 2)) if wide else batches.draw(rng, size)
        samples = samples.to(device)
        t, noise, z = noised(samples.latents)
        with parallel.autocast(device):
            text = model["text"](tokens(samples.captions).to(device)).last_hidden_state
            v = denoise(model["unet"], z, t, text, samples.identities, samples.blank, samples.regions)
        return distance(samples, noise, t, v)

    parallel.learn(
        model,
        loss,
        work / "generator.ckpt",
        seed=31,
        minutes=minutes,
        rate=rate,
        size=BATCH[device],
        rank=rank,
        world=world,
        log=log,
    )


def load(work: Path) -> Any:
    """The averaged weights of the last checkpoint."""
    model = build()
    model.load_state_dict(torch.load(work / "generator.ckpt", weights_only=True, map_location="cpu")["average"])
    return model.eval()
