"""ONNX Runtime sessions as scorers use them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime

from gpu_worker.packs import PackError


def options(threads: int) -> Any:
    """Session options: at most `threads` cores."""
    chosen = onnxruntime.SessionOptions()
    chosen.intra_op_num_threads, chosen.inter_op_num_threads = threads, 1
    chosen.log_severity_level = 3
    return chosen


def providers(device: str) -> list[str]:
    """Execution providers for `cpu`, `cuda`, `cuda:1`, of those that are installed."""
    wanted = ["CUDAExecutionProvider"] if device.startswith("cuda") else []
    return [p for p in wanted if p in onnxruntime.get_available_providers()] + ["CPUExecutionProvider"]


def open_session(path: Path, *, threads: int, device: str) -> Any:
    """Load a model whose hash was verified. Raises PackError where it is no model that can be run."""
    try:
        return onnxruntime.InferenceSession(str(path), options(threads), providers=providers(device))
    except Exception as error:  # the runtime has a dozen classes of its own, with RuntimeError as their only base
        raise PackError(f"{path.name} cannot be loaded as an ONNX model. Fetch the pack anew.") from error
