"""Take over a pack's weights, so that codec and generator go on learning in an empty work folder.

The pack holds float16 weights and no state of the optimiser; both are forgotten within the first hundred steps.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file
from transformers import AutoTokenizer, CLIPTextModel

from . import data, encoders, splits
from .codec import CHANNELS, doubled
from .data import Pixels
from .generator import ID_SCALE, WARM_RATE, build, crops, may_refer, reference_embeddings
from .text import token_ids

PEOPLE = 2000
"""Whose pictures tell how one conditioning encoder's embeddings are said in another's."""
PLAIN = "flat"
"""The drawing that every version of the pack knows."""
Embed = Callable[[Pixels], torch.Tensor]
Log = Callable[[str], None]


def codec(pack: Path, work: Path, *, log: Log = print) -> None:
    """Write `codec.pt` from the codec of a pack, and unless it drew smaller pictures `decoder.pt`, too."""
    if (work / "codec.pt").exists():
        return
    vae: Any = AutoencoderKL.from_pretrained(pack / "pipeline" / "vae", local_files_only=True, dtype=torch.float32)
    scale = float(vae.config.scaling_factor)
    if len(vae.config.block_out_channels) < len(CHANNELS):
        vae = doubled(vae)
    else:
        torch.save({"average": vae.decoder.state_dict()}, work / "decoder.pt")
    torch.save({"model": vae.state_dict(), "scale": scale}, work / "codec.pt")
    log(f"restore: the codec of {pack.name} is taken over")


def generator(pack: Path, work: Path, *, log: Log = print) -> None:
    """Write `generator.ckpt` from the generator of a pack, in terms of the conditioning encoder that `work` holds; if
    it holds none, in terms of the pack's, whose `generator_embeddings.pt` are written, too."""
    if (work / "generator.ckpt").exists():
        return
    model, recognition = generator_of(pack), _Recognition(pack / "identity" / "conditioning" / "recognition.onnx")
    if (work / "encoder_conditioning.pt").exists():
        encoder = encoders.load(work, "conditioning")
        own, theirs = paired(work, lambda pixels: encoders.embed(encoder, pixels), recognition)
        matrix, likeness = translation(own, theirs)
        translate(model, matrix)
        log(f"restore: embeddings are said as {pack.name} knows them, mean cosine on unseen people {likeness:.3f}")
    else:
        reference_embeddings(work, recognition)
    weights = model.state_dict()
    state = {"model": weights, "average": weights, "optimiser": None, "step": 0, "seen": 0, "spent": 0.0}
    torch.save({**state, "rate": WARM_RATE}, work / "generator.ckpt")
    log(f"restore: the generator of {pack.name} is taken over")


# ---------------------------------------------------------------------------------------------------- embeddings
def paired(work: Path, own: Embed, theirs: Embed) -> tuple[torch.Tensor, torch.Tensor]:
    """Unit embeddings [N, 512] of pictures, and of the people in them as another encoder sees them in plain drawings,
    ordered by person."""
    per, usable = splits.GENERATOR.pictures, may_refer(work).numpy()
    count = min(PEOPLE, len(usable) // per)
    plain = np.array(
        [
            scene.drawing == PLAIN
            for seed in range(splits.GENERATOR.first, splits.GENERATOR.first + count)
            for scene in data.scenes_of(seed, per)
        ]
    )
    rows = np.flatnonzero(usable[: len(plain)])
    shown = rows[plain[rows]]
    seen = torch.zeros(count, encoders.SIZE)
    for k in range(0, len(shown), 400):
        part = shown[k : k + 400]
        seen.index_add_(0, torch.from_numpy(part // per), theirs(crops(work, part)))
    rows = rows[(seen.norm(dim=1) > 0).numpy()[rows // per]]
    found = torch.cat([own(crops(work, rows[k : k + 400])) for k in range(0, len(rows), 400)])
    return found, F.normalize(seen, dim=1)[rows // per]


def translation(own: torch.Tensor, theirs: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Matrix A [512, 512] with theirs = own A, and the mean cosine it reaches on the last tenth of the rows.

    Least squares with a little damping. There is no constant, so that a zero embedding stays one; and what A gives has
    the length 1 on average, which least squares alone would shorten.
    """
    first = len(own) - max(1, len(own) // 10)
    x, y = own[:first].double(), theirs[:first].double()
    damping = 1e-3 * len(x) / x.shape[1] * torch.eye(x.shape[1], dtype=torch.double)
    matrix = torch.linalg.solve(x.T @ x + damping, x.T @ y).float()
    matrix = matrix / (own[:first] @ matrix).norm(dim=1).mean()
    return matrix, float(F.cosine_similarity(own[first:] @ matrix, theirs[first:]).mean())


@torch.no_grad()
def translate(model: Any, matrix: torch.Tensor) -> None:
    """Let the image prompt of a generator take embeddings e for which it took e A before."""
    first = model["unet"].encoder_hid_proj.image_projection_layers[0].ff.net[0].proj
    first.weight.copy_(first.weight @ matrix.T)


# ------------------------------------------------------------------------------------------------------- weights
def generator_of(pack: Path) -> Any:
    """The generator of a pack, float32, as `generator.build` makes it. Words its tokenizer lacks start as `a`."""
    folder, model = pack / "pipeline", build()
    net: Any = UNet2DConditionModel.from_pretrained(folder / "unet", local_files_only=True, dtype=torch.float32)
    taken = net.state_dict()
    prompt = load_file(pack / "ip_adapter.safetensors")
    for name, value in prompt.items():
        if name.startswith("image_proj."):
            own = name.removeprefix("image_proj.").replace("proj.0.", "ff.net.0.proj.").replace("proj.2.", "ff.net.2.")
            scale = ID_SCALE if name == "image_proj.proj.0.weight" else 1.0
            taken[f"encoder_hid_proj.image_projection_layers.0.{own}"] = value.float() / scale
    key = 1
    for name, processor in model["unet"].attn_processors.items():
        if hasattr(processor, "to_k_ip"):
            for part in ("to_k_ip", "to_v_ip"):
                taken[f"{name}.{part}.0.weight"] = prompt[f"ip_adapter.{key}.{part}.weight"].float()
            key += 2
    model["unet"].load_state_dict(taken)

    text = CLIPTextModel.from_pretrained(folder / "text_encoder", local_files_only=True, dtype=torch.float32)
    known = AutoTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True).get_vocab()
    words = text.state_dict()
    row = next(name for name in words if name.endswith("token_embedding.weight"))
    words[row] = torch.stack([words[row][known.get(word, known["a"])] for word in token_ids()])
    model["text"].load_state_dict(words)
    return model


class _Recognition:
    """The encoder of an ONNX file: uint8 crops [N, 112, 112, 3] -> unit embeddings [N, 512]."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def __call__(self, crops: Pixels) -> torch.Tensor:
        values = np.ascontiguousarray(crops.transpose(0, 3, 1, 2), np.float32) / 127.5 - 1
        return F.normalize(torch.from_numpy(self.session.run(None, {"input": values})[0]), dim=1)
