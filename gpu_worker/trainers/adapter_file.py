"""The file a LoRA is handed on in: safetensors in the diffusers/PEFT layout, with the metadata that other tools read.

`lora_adapter_metadata` holds the LoRA's configuration: without it a LoRA whose alpha differs from its rank is applied
too strongly or too weakly. `modelspec.*` follows ModelSpec 1.0.1, `ss_*` the conventions of kohya's scripts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from gpu_worker.contracts import TrainRequest
from gpu_worker.packs import Pack


def write_adapter(
    path: Path,
    weights: Mapping[str, torch.Tensor],
    config: Mapping[str, Any],
    *,
    request: TrainRequest,
    pack: Pack,
    about: Mapping[str, str],
) -> str:
    """Write the adapter; return the digest of the file. `weights`: PEFT names inside the UNet; `config`: its
    LoraConfig."""
    tensors = {
        f"unet.{name}": value.detach().to("cpu", torch.float16).contiguous() for name, value in sorted(weights.items())
    }
    plain = {f"unet.{k}": sorted(v) if isinstance(v, set) else v for k, v in config.items()}
    metadata = {
        "format": "pt",
        "lora_adapter_metadata": json.dumps(plain, sort_keys=True, default=str),
        **_modelspec(request, pack),
        **_kohya(request, pack),
        **about,
        **dict(request.metadata),
    }
    body = save(tensors)
    length = int.from_bytes(
        body[:8], "little"
    )  # the header; what follows it is the tensors' bytes, whatever the metadata
    metadata["modelspec.hash_sha256"] = "0x" + hashlib.sha256(body[8 + length :]).hexdigest()
    written = save(tensors, metadata=metadata)
    path.write_bytes(written)
    return hashlib.sha256(written).hexdigest()


def _modelspec(request: TrainRequest, pack: Pack) -> dict[str, str]:
    spec = {
        "sai_model_spec": "1.0.1",
        "architecture": f"{pack.architecture}/lora",
        "implementation": "diffusers",
        "title": f"{request.trigger} ({pack.name})",
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "license": pack.licence.spdx or pack.licence.name,
        "trigger_phrase": request.trigger,
        "resolution": f"{request.resolution}x{request.resolution}",
    }
    return {f"modelspec.{key}": value for key, value in spec.items()}


def _kohya(request: TrainRequest, pack: Pack) -> dict[str, str]:
    values: dict[str, Any] = {
        "v2": False,
        "base_model_version": pack.architecture,
        "sd_model_name": f"{pack.name} {pack.version}",
        "sd_model_hash": pack.sha256,
        "network_module": "peft.lora",
        "network_dim": request.rank,
        "network_alpha": request.alpha,
        "network_dropout": request.dropout,
        "output_name": request.trigger,
        "num_train_images": len(request.pictures),
        "steps": request.steps,
        "batch_size_per_device": request.batch_size,
        "epoch": -(-request.steps * request.batch_size // len(request.pictures)),
        "learning_rate": request.learning_rate,
        "lr_scheduler": "cosine",
        "lr_warmup_steps": request.warmup_steps,
        "optimizer": "torch.optim.AdamW",
        "seed": request.seed,
        "resolution": f"({request.resolution}, {request.resolution})",
        "caption_dropout_rate": request.caption_dropout,
        "tag_frequency": json.dumps({request.trigger: {request.trigger: len(request.pictures)}}),
    }
    return {f"ss_{key}": str(value) for key, value in values.items()}
