"""Stage `generator`: UNet, text encoder and image prompt learn together, from nothing, by flow matching.

Lipman et al. 2023 (arXiv 2210.02747): z_t = (1 - t) x + t n, the network predicts v = n - x. The image prompt is
decoupled cross-attention in the IP-Adapter FaceID layout (Ye et al. 2023, arXiv 2308.06721).
"""

from __future__ import annotations

import copy
import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import IPAdapterAttnProcessor2_0
from diffusers.models.embeddings import IPAdapterFaceIDImageProjection, MultiIPAdapterImageProjection
from torch import nn

from . import codec, encoders, parallel, splits
from .data import PORTRAIT, Pixels, aligned, scene_of, scenes_of
from .renderer import face_geometry, identity
from .text import WIDTH, Tokens, Wording, text_model

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
    processors: dict[str, Any] = {}
    for name, processor in net.attn_processors.items():
        if name.endswith("attn1.processor"):
            processors[name] = processor.__class__()
            continue
        block, channels = name.split("."), net.config.block_out_channels
        if block[0] == "mid_block":
            width = channels[-1]
        else:
            width = (channels[::-1] if block[0] == "up_blocks" else channels)[int(block[1])]
        processors[name] = IPAdapterAttnProcessor2_0(width, WIDTH, num_tokens=[ID_TOKENS])
    net.set_attn_processor(processors)
    projection = IdentityProjection(encoders.SIZE, WIDTH, mult=1, num_tokens=ID_TOKENS)
    net.encoder_hid_proj = MultiIPAdapterImageProjection([projection])
    net.config.encoder_hid_dim_type = "ip_image_proj"
    return net


def build() -> Any:
    model: Any = nn.ModuleDict({"unet": add_image_prompt(unet()), "text": text_model()})
    return model.to(memory_format=parallel.LAYOUT)


def denoise(
    net: Any,
    z: torch.Tensor,
    t: torch.Tensor,
    text: torch.Tensor,
    identity: torch.Tensor,
    blank: torch.Tensor | None,
) -> torch.Tensor:
    """Velocity at `z` [B, 16, 16, 16] and time `t` [B] in [0, 1]. `identity`: unit embeddings or zeros [B, 512]."""
    net.encoder_hid_proj.image_projection_layers[0].blank = blank
    prompt = {"image_embeds": [identity[:, None] * ID_SCALE]}
    out: torch.Tensor = net(z, t * 1000, encoder_hidden_states=text, added_cond_kwargs=prompt).sample
    return out


# ------------------------------------------------------------------------------------------------- training
def reference_embeddings(work: Path, embed: Callable[[Pixels], torch.Tensor] | None = None) -> torch.Tensor:
    """Conditioning embeddings of the generator's pictures, float32 [N, 512]; kept on disk.

    `embed` makes unit embeddings [N, 512] of aligned crops; by default the encoder that `work` holds does.
    """
    path = work / "generator_embeddings.pt"
    if not path.exists():
        images = np.load(work / f"{splits.GENERATOR.name}.npy", mmap_mode="r")
        if embed is None:
            embed = functools.partial(encoders.embed, encoders.load(work, "conditioning"))
        rng, parts = np.random.default_rng(5), []
        for start in range(0, len(images), 400):
            crops = []
            for k in range(start, min(start + 400, len(images))):
                points = np.array(face_geometry(*scene_of(splits.GENERATOR, k), PORTRAIT).keypoints)
                points = points + rng.normal(0, 0.02 * np.linalg.norm(points[1] - points[0]), points.shape)
                crops.append(aligned(images[k], points))
            parts.append(embed(np.stack(crops)))
        torch.save(torch.cat(parts), path)
    found: torch.Tensor = torch.load(path, weights_only=True)
    return found


class Batches:
    """Training samples: latents, captions and references, with parts left out so that every mix of prompts works.

    Left out: text and image prompt 8 %, text 8 %, image prompt 26 %. Three quarters of the last have no identity tokens
    at all (the network must work without its adapter); the others have a zero embedding, which is what pipelines use as
    the negative. The reference is the mean of one to three *other* pictures of the person.
    """

    def __init__(self, work: Path) -> None:
        raw, scale = codec.latents(work)
        self.latents = (raw.float() * scale).half()
        self.embeddings = reference_embeddings(work)
        split = splits.GENERATOR
        self.wordings = [
            Wording.of(person, scene)
            for seed in split.seeds()
            for person in [identity(seed)]
            for scene in scenes_of(seed, split.pictures)
        ]
        self.per, self.order = split.pictures, np.zeros(0, int)

    def draw(self, rng: np.random.Generator, size: int) -> tuple[torch.Tensor, list[str], torch.Tensor, torch.Tensor]:
        """Latents [B, 16, 16, 16], captions, embeddings [B, 512], blank [B]."""
        if len(self.order) < size:
            self.order = rng.permutation(len(self.latents))
        index, self.order = self.order[:size], self.order[size:]
        captions, prompts, blank = [], torch.zeros(size, encoders.SIZE), torch.zeros(size, dtype=torch.bool)
        for k, i in enumerate(index):
            mode = rng.random()
            no_text, no_identity = mode < 0.16, mode < 0.08 or 0.16 <= mode < 0.42
            if no_identity:
                blank[k] = bool(rng.random() < (0.5 if no_text else 0.75))
            else:
                first = i // self.per * self.per
                others = [j for j in range(first, first + self.per) if j != i]
                chosen = rng.permutation(others)[: rng.choice([1, 1, 2, 3])]
                prompts[k] = F.normalize(self.embeddings[chosen].mean(0), dim=0)
            traits = bool(rng.random() < (0.9 if no_identity else 0.45))
            captions.append("" if no_text else self.wordings[i].caption(rng, traits=traits))
        return self.latents[index].float(), captions, prompts, blank


def train(work: Path, *, minutes: float, processes: int = 2, log: Log = print) -> None:
    """Learn the generator; writes `generator.ckpt` every two minutes and `generator.pt` at the end."""
    if not (work / "generator.pt").exists():
        codec.prepare(work, log=log)
        reference_embeddings(work)
        parallel.launch(_run, processes, work=work, minutes=minutes, rate=1.1e-3, log=log)


def _run(*, rank: int, world: int, work: Path, minutes: float, rate: float, log: Log) -> None:
    torch.manual_seed(31)
    batches, tokens, model = Batches(work), Tokens(), build()
    average = copy.deepcopy(model).eval() if rank == 0 else None
    if rank == 0:
        counts = {name: f"{sum(p.numel() for p in part.parameters()) / 1e6:.2f} M" for name, part in model.items()}
        log(f"generator: {len(batches.latents)} latents, parameters {counts}")
    parameters = list(model.parameters())
    optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=1e-2, betas=(0.9, 0.98), fused=True)
    checkpoint, step, seen, spent = work / "generator.ckpt", 0, 0, 0.0
    if checkpoint.exists():
        state: dict[str, Any] = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        if average is not None:
            average.load_state_dict(state["average"])
        if state["optimiser"] is not None:
            optimiser.load_state_dict(state["optimiser"])
        step, seen, spent = state["step"], state["seen"], state["spent"]
        if rank == 0:
            log(f"generator: continues at step {step}")
    rng = np.random.default_rng((31, step, rank))
    torch.manual_seed(31 + 100_003 * rank + step)
    weight, started, saved = codec.face_map(GRID, face=1.0, features=0.9), time.monotonic() - spent, spent
    mean, done = 0.0, spent / (60 * minutes)

    def save(path: Path) -> None:
        means = average.state_dict() if average is not None else {}
        kept = {"model": model.state_dict(), "average": means, "optimiser": optimiser.state_dict()}
        part = path.with_suffix(".part")
        torch.save({**kept, "step": step, "seen": seen, "spent": time.monotonic() - started}, part)
        part.rename(path)

    while done < 1:
        size = (16 if done < 0.5 else 32) // world
        x, captions, prompts, blank = batches.draw(rng, size)
        t, noise = torch.sigmoid(torch.randn(size) * 1.1 + 0.25), torch.randn_like(x)
        s = t.view(-1, 1, 1, 1)
        z = ((1 - s) * x + s * noise).contiguous(memory_format=parallel.LAYOUT)
        with parallel.autocast():
            text = model["text"](tokens(captions)).last_hidden_state
            v = denoise(model["unet"], z, t, text, prompts, blank)
        loss = (weight * (v.float() - (noise - x)) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        done = parallel.average(parameters, (time.monotonic() - started) / (60 * minutes))
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 150) * min(1, max(0.02, (1 - done) / 0.35))
        optimiser.step()
        step, seen = step + 1, seen + size * world
        if average is not None and step % 5 == 0:
            with torch.no_grad():
                keep = min(0.99, (1 + step) / (60 + step))
                torch._foreach_lerp_(list(average.parameters()), list(parameters), 1 - keep)
        mean = loss.item() if not mean else 0.98 * mean + 0.02 * loss.item()
        if rank == 0 and step % 100 == 0:
            spent = time.monotonic() - started
            log(f"generator: step {step}, {seen} pictures, {spent:.0f} s, {seen / spent:.1f} a second, loss {mean:.4f}")
        if rank == 0 and time.monotonic() - started - saved > 120:
            saved = time.monotonic() - started
            save(checkpoint)
    if rank == 0:
        save(work / "generator.pt")
        log(f"generator: finished after {step} steps, {seen} pictures, loss {mean:.4f}")


def load(work: Path) -> Any:
    """The averaged weights of the finished training, or of its last checkpoint."""
    path = work / "generator.pt"
    model = build()
    model.load_state_dict(torch.load(path if path.exists() else work / "generator.ckpt", weights_only=True)["average"])
    return model.eval()
