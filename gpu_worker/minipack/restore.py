"""Take over a pack's weights, so that its generator goes on learning in an empty work folder.

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

from . import data, generator, splits
from .data import Pixels
from .text import token_ids

NEEDED = (splits.GENERATOR, splits.CALIBRATION, splits.EVALUATION)
"""What the generator learns from, and what it is calibrated and measured with."""
Log = Callable[[str], None]


def restore(pack: Path, work: Path, *, processes: int = 2, log: Log = print) -> None:
    """Write codec, decoder, checkpoint and reference embeddings of the generator from a pack; render its pictures."""
    data.make(work, only=NEEDED, processes=processes, log=log)
    if not (work / "codec.pt").exists():
        vae = AutoencoderKL.from_pretrained(pack / "pipeline" / "vae", local_files_only=True, dtype=torch.float32)
        torch.save({"model": vae.state_dict()}, work / "codec.pt")
        torch.save({"average": vae.decoder.state_dict()}, work / "decoder.pt")
    if not any((work / name).exists() for name in ("generator.ckpt", "generator.pt")):
        weights = generator_of(pack).state_dict()
        state = {"model": weights, "average": weights, "optimiser": None, "step": 0, "seen": 0, "spent": 0.0}
        torch.save(state, work / "generator.ckpt")
    generator.reference_embeddings(work, _Recognition(pack / "identity" / "conditioning" / "recognition.onnx"))
    log(f"restore: the weights of {pack.name} are taken over")


def generator_of(pack: Path) -> Any:
    """The generator of a pack, float32, as `generator.build` makes it. Words its tokenizer lacks start as `a`."""
    folder, model = pack / "pipeline", generator.build()
    net: Any = UNet2DConditionModel.from_pretrained(folder / "unet", local_files_only=True, dtype=torch.float32)
    taken = net.state_dict()
    prompt = load_file(pack / "ip_adapter.safetensors")
    for name, value in prompt.items():
        if name.startswith("image_proj."):
            own = name.removeprefix("image_proj.").replace("proj.0.", "ff.net.0.proj.").replace("proj.2.", "ff.net.2.")
            scale = generator.ID_SCALE if name == "image_proj.proj.0.weight" else 1.0
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
