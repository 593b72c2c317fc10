"""Stage `export`: turn what was trained into a model pack: a stock pipeline folder, an IP-Adapter file, an identity
ControlNet, insightface directories, ONNX models of whole pictures, calibration, and `pack.json` with the hash of every
file.

What was not trained in the work folder stays as it is in the pack. A pack may lack the ControlNet, the audit encoder,
the attribute classifier and the figure encoder.
"""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline
from safetensors.torch import save_file

from . import PACK, attributes, codec, control, detector, encoders, figure, generator
from .onnx_files import write_attributes, write_detector, write_encoder, write_figure
from .renderer import slots
from .text import tokenizer

VERSION = "2.0"
CONDITIONING = "conditioning"
PIPELINE, IMAGE_PROMPT, CONTROLNET = "pipeline", "ip_adapter.safetensors", "controlnet"
IDENTITY, DETECTION, RECOGNITION = "identity", "detection.onnx", "recognition.onnx"
ATTRIBUTES, FIGURE = "attributes/attributes.onnx", "figure/figure.onnx"
DETECTED = {"sizes": [320], "threshold": 0.5}
CONTROLLED: dict[str, Any] = {"strength": 0.8, "best_of": 2}
RECIPE: dict[str, Any] = {
    "rank": 16,
    "alpha": 16.0,
    "targets": ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "conv1", "conv2"],
    "learning_rate": 1.5e-3,
    "warmup_steps": 5,
    "steps": 100,
    "batch_size": 8,
    "caption_dropout": 0.1,
    "checkpoint_every": 25,
    "sample_every": 50,
}
Log = Callable[[str], None]


def export(work: Path, pack: Path = PACK, *, base: Path | None = None, log: Log = print) -> None:
    """Write the pack from what `work` holds; the latest checkpoints are enough. `base`: a pack whose detector serves
    where there is no other.

    A generator understands the embeddings of the conditioning encoder that it was trained with and no others, so that
    encoder goes into the pack together with a generator only.
    """
    pack.mkdir(parents=True, exist_ok=True)
    done = _drawing(work, pack)
    names = [name for name in encoders.NAMES if name != CONDITIONING or "generator" in done]
    done += _identity(work, pack, base or pack, names)
    if _has(work, "attributes.pt"):
        write_attributes(attributes.load(work), _place(pack / ATTRIBUTES))
        done.append("attributes")
    if _has(work, "figure.pt"):
        write_figure(figure.load(work), _place(pack / FIGURE))
        done.append("figure")
    write_manifest(pack, fresh=done)
    size = sum(path.stat().st_size for path in pack.rglob("*") if path.is_file()) / 1e6
    log(f"export: {pack.name} is written, {size:.1f} MB; from the work folder: {', '.join(done) or 'nothing'}")


def _drawing(work: Path, pack: Path) -> list[str]:
    """Write what makes pictures. Returns what there was to write."""
    done = []
    if _has(work, "generator.ckpt"):
        save_file(image_prompt_file(generator.load(work)["unet"]), pack / IMAGE_PROMPT)
        done.append("generator")
    if _has(work, "decoder.pt", "decoder.ckpt"):
        done.append("codec")
    if done:
        if len(done) < 2 and not (pack / PIPELINE).exists():
            raise FileNotFoundError(f"{work} holds no generator or no codec, and a pack begins with both.")
        pipeline = _pipeline(work, pack / PIPELINE, done)
        shutil.rmtree(pack / PIPELINE, ignore_errors=True)
        pipeline.save_pretrained(pack / PIPELINE)
    if _has(work, "control.ckpt"):
        shutil.rmtree(pack / CONTROLNET, ignore_errors=True)
        control.load(work).to(torch.float16).save_pretrained(pack / CONTROLNET)
        done.append("control")
    return done


def _identity(work: Path, pack: Path, base: Path, names: list[str]) -> list[str]:
    """Write detector and encoders; insightface wants a detector in each folder. Returns what there was to write."""
    done = [name for name in names if _has(work, f"encoder_{name}.pt")]
    for name in done:
        write_encoder(encoders.load(work, name), _place(pack / IDENTITY / name / RECOGNITION))
    folders = sorted(path for path in (pack / IDENTITY).glob("*") if path.is_dir())
    if _has(work, "detector.pt"):
        for folder in folders:
            write_detector(detector.load(work), folder / DETECTION)
        return [*done, "detector"]
    known = [path for place in (pack, base) for path in sorted((place / IDENTITY).glob(f"*/{DETECTION}"))]
    for folder in folders:
        if known and not (folder / DETECTION).exists():
            shutil.copyfile(known[0], folder / DETECTION)
    return done


def _has(work: Path, *names: str) -> bool:
    return any((work / name).exists() for name in names)


def _place(path: Path) -> Path:
    """The path, in a folder that is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


# ------------------------------------------------------------------------------------------------------- manifest
def write_manifest(
    pack: Path = PACK, *, fresh: Collection[str] = (), calibration: Mapping[str, Any] | None = None
) -> None:
    """Write `pack.json`: what the pack holds, with the hashes of its files.

    `fresh`: parts that were written since the last one. `calibration`: entries by encoder; an encoder without one keeps
    what was measured with the same file.
    """
    path = pack / "pack.json"
    before: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    files = {
        path.relative_to(pack).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(pack.rglob("*"))
        if path.suffix in (".safetensors", ".onnx", ".json", ".txt") and path.name != "pack.json"
    }
    embedders = {name: f"{IDENTITY}/{name}/{RECOGNITION}" for name in encoders.NAMES} | {"figure": FIGURE}
    embedders = {name: file for name, file in embedders.items() if file in files}
    known = {
        name: entry
        for name, entry in before.get("calibration", {}).items()
        if name in embedders and files[embedders[name]] == before["files"].get(embedders[name])
    }

    def part(name: str, file: str, describe: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
        if file not in files:
            return None
        return describe() if name in fresh or not before.get(name) else before[name]

    side, words = _side(pack), _words(pack)
    offered = {slot: [c for c in choices if words >= set(c.split())] for slot, choices in slots().items()}
    offered = {slot: choices for slot, choices in offered.items() if choices}
    wide = [[2 * side, side]] if "shot" in offered else []  # pairs of people are learned together with shots
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
        "resolution": side,
        "sizes": [[side, side], *wide],
        "pipeline": PIPELINE,
        "ip_adapter": {"file": IMAGE_PROMPT, "kind": "faceid", "embedding_size": encoders.SIZE},
        "controlnet": part("controlnet", f"{CONTROLNET}/config.json", _controlnet),
        "encoders": {name: f"{IDENTITY}/{name}" for name in encoders.NAMES if name in embedders},
        "figure": part("figure", FIGURE, _figure),
        "attributes": part("attributes", ATTRIBUTES, _attributes),
        "detection": DETECTED,
        "calibration": known | {k: entry for k, entry in (calibration or {}).items() if k in embedders},
        "defaults": {"steps": 20, "guidance": 2.0, "negative_prompt": "", "identity_strength": 0.8},
        "recipes": {"low": None, "standard": RECIPE | {"resolution": side}, "high": None},
        "vocabulary": sorted(words),
        "slots": offered,
        "files": files,
    }
    path.write_text(json.dumps(manifest, indent=1) + "\n")


def _side(pack: Path) -> int:
    """Pixels on each side of a portrait."""
    return int(json.loads((pack / PIPELINE / "vae" / "config.json").read_text())["sample_size"])


def _words(pack: Path) -> set[str]:
    """What the pack's text encoder knows."""
    told = json.loads((pack / PIPELINE / "tokenizer" / "tokenizer.json").read_text())
    return set(told["model"]["vocab"]) - {token["content"] for token in told["added_tokens"]}


def _controlnet() -> dict[str, Any]:
    return {"folder": CONTROLNET, **CONTROLLED, "places": control.places()}


def _figure() -> dict[str, Any]:
    return {"file": FIGURE, "size": figure.SIZE, "embedding_size": figure.EMBEDDING}


def _attributes() -> dict[str, Any]:
    return {"file": ATTRIBUTES, "size": attributes.SIZE, "options": attributes.OPTIONS}


# ------------------------------------------------------------------------------------------------------- pictures
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


def _pipeline(work: Path, folder: Path, fresh: Collection[str]) -> Any:
    """The stock pipeline, float16: `generator` and `codec` from the work folder where they are fresh, else those of
    `folder`."""
    parts: dict[str, Any] = {}
    if folder.exists():
        parts = StableDiffusionPipeline.from_pretrained(
            folder, dtype=torch.float16, local_files_only=True, safety_checker=None, requires_safety_checker=False
        ).components
    if "generator" in fresh:
        model = generator.load(work)
        net: Any = copy.deepcopy(model["unet"])
        net.encoder_hid_proj = None
        net.register_to_config(encoder_hid_dim_type=None)
        net.set_default_attn_processor()
        parts |= {"unet": net, "text_encoder": model["text"], "tokenizer": tokenizer(), "scheduler": scheduler()}
    if "codec" in fresh:
        vae = codec.load(work)
        scale = codec.latents(work)[1] if "generator" in fresh else parts["vae"].config.scaling_factor
        vae.register_to_config(scaling_factor=scale)  # as the generator learned it
        parts["vae"] = vae
    parts |= {"safety_checker": None, "feature_extractor": None, "image_encoder": None}
    pipeline: Any = StableDiffusionPipeline(**parts, requires_safety_checker=False)
    return pipeline.to(torch.float16)
