"""Stage `control`: the identity ControlNet of InstantID (Wang et al. 2024, arXiv 2401.07519, section 3.3) in small.

It begins as the generator's UNet, which stays as it is, and learns by the generator's loss. It sees an image of five
facial keypoints, and instead of the text the tokens of the image prompt. Half of the keypoints are those that another
person would have in the same scene: the place, size and turn of a face come from them, who it is from the tokens.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import ControlNetModel
from diffusers.models.attention_processor import AttnProcessor
from numpy.typing import NDArray

from gpu_worker.pipelines.identity_net import keypoint_image

from . import codec, generator, parallel, splits
from .generator import Batches, FlowLoss, Samples, denoise, noised
from .renderer import face_geometry, identity, nuisance
from .renderer.scene import POSES, SHOTS
from .text import Tokens

CHANNELS = (8, 16, 32, 64, 96)
"""Of the convolutions that take the keypoint image from 256 px to the latents' grid."""
WITHOUT = 0.08
"""Share of samples whose keypoint image is black."""
SWAPPED = 0.5
"""Share of samples with the keypoints of another person."""
JITTER = (0.02, 0.09)
"""Least and most standard deviation of the keypoints, as shares of the distance of the eyes: as a detector's."""
RATE = 4e-4
Log = Callable[[str], None]
Points = NDArray[np.float32]


def build(model: Any | None = None) -> Any:
    """The ControlNet as it begins: a copy of the UNet of a generator, by default an untrained one, that reads the
    tokens of the image prompt as the UNet does, and adds nothing."""
    net = generator.unet()
    taken = {} if model is None else model["unet"].state_dict()
    net.load_state_dict({name: taken.get(name, value) for name, value in net.state_dict().items()})
    control: Any = ControlNetModel.from_unet(net, conditioning_embedding_out_channels=CHANNELS)
    for name in control.attn_processors:
        for part in ("to_k", "to_v"):
            if (weight := taken.get(f"{name}.{part}_ip.0.weight")) is not None:
                control.get_submodule(f"{name.removesuffix('.processor')}.{part}").weight.data.copy_(weight)
    control.set_attn_processor(AttnProcessor())
    return control


def keypoints(batches: Batches, samples: Samples, rng: np.random.Generator) -> list[Points]:
    """Of each sample, five (x, y) as shares of the picture's side, or none."""
    found = []
    for row, true in zip(samples.rows, samples.keypoints[:, 0].numpy(), strict=True):
        points = true
        if rng.random() < SWAPPED:
            other = identity(splits.GENERATOR.first + int(rng.integers(len(batches.latents) // batches.per)))
            points = np.array(face_geometry(other, batches.scene(int(row)), 1).keypoints, np.float32)
        apart = rng.uniform(*JITTER) * np.linalg.norm(true[1] - true[0])
        points = points + rng.normal(0, apart, points.shape).astype(np.float32)
        found.append(points[:0] if rng.random() < WITHOUT else points)
    return found


def images(points: list[Points]) -> torch.Tensor:
    """Keypoint images as the pipeline makes them, [B, 3, 256, 256] in [0, 1]."""
    side = codec.SIZE
    drawn = np.stack([np.asarray(keypoint_image((at * side).tolist(), side, side)) for at in points])
    return torch.from_numpy(drawn).permute(0, 3, 1, 2).float() / 255


def train(
    work: Path,
    *,
    minutes: float,
    rate: float = RATE,
    processes: int = 2,
    device: str = "cpu",
    log: Log = print,
) -> None:
    """Learn it for the generator that `work` holds; writes `control.ckpt` every two minutes and at the end. `minutes`:
    see `parallel.learn`. `device`: `cpu` or, in one process, `cuda`."""
    count = processes if device == "cpu" else 1
    parallel.launch(_run, count, work=work, minutes=minutes, rate=rate, device=device, log=log)


def _run(*, rank: int, world: int, work: Path, minutes: float, rate: float, device: str, log: Log) -> None:
    batches, tokens, drawing = Batches(work), Tokens(), generator.load(work).requires_grad_(False)
    torch.manual_seed(61)
    control, drawing, distance = build(drawing).to(device), drawing.to(device), FlowLoss(work, device)

    def loss(rng: np.random.Generator, step: int, size: int) -> torch.Tensor:
        samples = batches.draw(rng, size)
        seen = images(keypoints(batches, samples, rng)).to(device)
        samples = samples.to(device)
        t, noise, z = noised(samples.latents)
        with parallel.autocast(device):
            text = drawing["text"](tokens(samples.captions).to(device)).last_hidden_state
            down, middle = control(
                z, t * 1000, prompt_tokens(drawing["unet"], samples.identities), seen, return_dict=False
            )
            v = denoise(
                drawing["unet"],
                z,
                t,
                text,
                samples.identities,
                None,
                down_block_additional_residuals=down,
                mid_block_additional_residual=middle,
            )
        return distance(samples, noise, t, v)

    parallel.learn(
        control,
        loss,
        work / "control.ckpt",
        seed=61,
        minutes=minutes,
        rate=rate,
        size=generator.BATCH[device],
        rank=rank,
        world=world,
        log=log,
    )


def prompt_tokens(net: Any, identities: torch.Tensor) -> torch.Tensor:
    """What the image prompt of a UNet makes of unit embeddings [B, people, 512]: tokens [B, people x 4, d]."""
    net.encoder_hid_proj.image_projection_layers[0].blank = None
    tokens: torch.Tensor = net.encoder_hid_proj([identities * generator.ID_SCALE])[0]
    return tokens.flatten(1, 2)


def load(work: Path) -> Any:
    """The averaged weights of the last checkpoint."""
    control = build()
    control.load_state_dict(torch.load(work / "control.ckpt", weights_only=True, map_location="cpu")["average"])
    return control.eval()


@functools.cache
def places(scenes: int = 1500) -> list[dict[str, Any]]:
    """Where faces are: per pose, per shot and per pose of a shot the mean keypoints of so many scenes of each shot, as
    `packs.FacePlace` says. A prompt without any of these words means a close-up that faces the viewer."""
    rng, found = np.random.default_rng(62), dict[tuple[str, str], list[Any]]()
    for shot in SHOTS:
        for k in range(scenes):
            scene = nuisance(rng, shot=shot)
            face = face_geometry(identity(splits.FREE.first + k), scene, 1)
            found.setdefault((scene.pose, shot), []).append(face.keypoints)

    def place(words: list[str], pose: str, shot: str) -> dict[str, Any]:
        mean = np.mean(found[pose, shot], axis=0)
        return {"words": words, "points": [[round(float(x), 4), round(float(y), 4)] for x, y in mean]}

    usual = SHOTS[0]
    out = [place([], POSES[0], usual)]
    out += [place([pose], pose, usual) for pose in POSES if (pose, usual) in found]
    for shot in SHOTS:
        out.append(place([shot], POSES[0], shot))
        out += [place([pose, shot], pose, shot) for pose in POSES if (pose, shot) in found]
    return out
