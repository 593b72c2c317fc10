"""Stage `export`: turn what was trained into a model pack: a stock pipeline folder, an IP-Adapter file, insightface
directories, calibration, `pack.json` with the hash of every file, and the model card."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline
from safetensors.torch import save_file

from . import codec, detector, encoders, generator
from .onnx_files import write_detector, write_encoder
from .renderer import slots, vocabulary
from .text import tokenizer

PACK = Path(__file__).resolve().parents[1] / "packs" / "mini"
VERSION = "1.1"
DETECTION = {"sizes": [320], "threshold": 0.5}
RECIPE: dict[str, Any] = {
    "rank": 16,
    "alpha": 16.0,
    "targets": ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "conv1", "conv2"],
    "learning_rate": 1.5e-3,
    "warmup_steps": 5,
    "steps": 100,
    "batch_size": 8,
    "resolution": 128,
    "caption_dropout": 0.1,
    "checkpoint_every": 25,
    "sample_every": 50,
}
Log = Callable[[str], None]


def export(work: Path, pack: Path = PACK, *, log: Log = print) -> None:
    """Write the pack from what `work` holds; the latest checkpoint of the generator is enough.

    Detector and encoders that were not trained in `work` stay as they are in the pack.
    """
    shutil.rmtree(pack / "pipeline", ignore_errors=True)
    pack.mkdir(parents=True, exist_ok=True)
    model = generator.load(work)
    save_file(image_prompt_file(model["unet"]), pack / "ip_adapter.safetensors")
    _pipeline(work, model).to(torch.float16).save_pretrained(pack / "pipeline")
    for name in encoders.WIDTHS:
        folder = pack / "identity" / name
        folder.mkdir(parents=True, exist_ok=True)
        if (work / "detector.pt").exists():
            write_detector(detector.load(work), folder / "detection.onnx")
        if (work / f"encoder_{name}.pt").exists():
            write_encoder(encoders.load(work, name), folder / "recognition.onnx")
    write_manifest(work, pack)
    size = sum(path.stat().st_size for path in pack.rglob("*") if path.is_file()) / 1e6
    log(f"export: {pack.name} is written, {size:.1f} MB")


def write_manifest(work: Path, pack: Path = PACK) -> None:
    """Write `pack.json`: what the pack holds, with the hashes of its files and the calibration found in `work`."""
    calibration = work / "calibration.json"
    listed = [
        path
        for path in sorted(pack.rglob("*"))
        if path.suffix in (".safetensors", ".onnx", ".json", ".txt") and path.name != "pack.json"
    ]
    manifest = {
        "format": 1,
        "name": "mini",
        "title": "Mini pack - illustrated portraits",
        "version": VERSION,
        "family": "sd",
        "architecture": "stable-diffusion-v1",
        "domain": "illustration",
        "licence": {
            "name": "Apache License 2.0",
            "spdx": "Apache-2.0",
            "commercial": True,
            "url": "https://www.apache.org/licenses/LICENSE-2.0",
        },
        "resolution": 128,
        "sizes": [[128, 128]],
        "pipeline": "pipeline",
        "ip_adapter": {"file": "ip_adapter.safetensors", "kind": "faceid", "embedding_size": encoders.SIZE},
        "encoders": {name: f"identity/{name}" for name in encoders.WIDTHS},
        "detection": DETECTION,
        "calibration": json.loads(calibration.read_text()) if calibration.exists() else {},
        "defaults": {"steps": 20, "guidance": 2.0, "negative_prompt": "", "identity_strength": 0.8},
        "recipes": {"low": None, "standard": RECIPE, "high": None},
        "vocabulary": vocabulary(),
        "slots": slots(),
        "files": {path.relative_to(pack).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in listed},
    }
    (pack / "pack.json").write_text(json.dumps(manifest, indent=1) + "\n")


def image_prompt_file(net: Any) -> dict[str, torch.Tensor]:
    """The image prompt in the layout that `load_ip_adapter` reads, float16. It takes unit embeddings."""
    projection = net.encoder_hid_proj.image_projection_layers[0].state_dict()
    out = {
        f"image_proj.{name.replace('ff.net.0.proj', 'proj.0').replace('ff.net.2', 'proj.2')}": value
        for name, value in projection.items()
    }
    out["image_proj.proj.0.weight"] = out["image_proj.proj.0.weight"] * generator.ID_SCALE
    key = 1
    for processor in net.attn_processors.values():
        if hasattr(processor, "to_k_ip"):
            out[f"ip_adapter.{key}.to_k_ip.weight"] = processor.to_k_ip[0].weight
            out[f"ip_adapter.{key}.to_v_ip.weight"] = processor.to_v_ip[0].weight
            key += 2  # the loader counts every cross-attention as two
    return {name: value.detach().half().contiguous().clone() for name, value in out.items()}


def scheduler() -> DPMSolverMultistepScheduler:
    return DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=1.5, steps_offset=1
    )


def _pipeline(work: Path, model: torch.nn.ModuleDict) -> Any:
    net: Any = copy.deepcopy(model["unet"])
    net.encoder_hid_proj = None
    net.register_to_config(encoder_hid_dim_type=None)
    net.set_default_attn_processor()
    vae = codec.load(work)
    vae.register_to_config(scaling_factor=codec.latents(work)[1])
    return StableDiffusionPipeline(
        vae=vae,
        text_encoder=model["text"],
        tokenizer=tokenizer(),
        unet=net,
        scheduler=scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
