"""ONNX files: encoders and the detector, which insightface loads, and what reads whole pictures; weights are stored as
float16."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import nn

from . import attributes, figure
from .attributes import Attributes
from .data import CROP
from .detector import STRIDES, Detector, Exported
from .figure import FigureEncoder

OPSET = 17


def write_encoder(encoder: nn.Module, path: Path) -> None:
    """Input `input` [N, 3, 112, 112] RGB in [-1, 1], output `embedding` [N, 512]."""
    _write(encoder, path, CROP, ["embedding"])


def write_figure(encoder: FigureEncoder, path: Path) -> None:
    """Input `input` [N, 3, 96, 96] RGB in [-1, 1], output `embedding` [N, 256]."""
    _write(encoder, path, figure.SIZE, ["embedding"])


def write_attributes(net: Attributes, path: Path) -> None:
    """Input `input` [N, 3, 128, 128] RGB in [-1, 1], an output of logits for each of `attributes.OPTIONS`."""
    _write(_InOrder(net), path, attributes.SIZE, list(attributes.OPTIONS))


class _InOrder(nn.Module):
    """The logits as a tuple in the order of `attributes.OPTIONS`."""

    def __init__(self, net: Attributes) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        out = self.net(x)
        return tuple(out[name] for name in attributes.OPTIONS)


def _write(net: nn.Module, path: Path, side: int, outputs: list[str]) -> None:
    torch.onnx.export(
        net.eval(),
        (torch.zeros(1, 3, side, side),),
        str(path),
        input_names=["input"],
        output_names=outputs,
        dynamic_axes={name: {0: "batch"} for name in ("input", *outputs)},
        dynamo=False,
        opset_version=OPSET,
    )
    _store_halves(path)


def write_detector(detector: Detector, path: Path) -> None:
    """Input `input` [N, 3, height, width], RGB, (value - 127.5) / 128; nine outputs in insightface's SCRFD order, with
    a batch axis."""
    names = [f"{kind}_{stride}" for kind in ("score", "bbox", "kps") for stride in STRIDES]
    torch.onnx.export(
        Exported(detector).eval(),
        (torch.zeros(1, 3, 320, 320),),
        str(path),
        input_names=["input"],
        output_names=names,
        dynamic_axes={
            "input": {0: "batch", 2: "height", 3: "width"},
            **{name: {0: "batch", 1: f"cells_{name}"} for name in names},
        },
        dynamo=False,
        opset_version=OPSET,
    )
    _store_halves(path)


def _store_halves(path: Path) -> None:
    """Store large weights as float16 with a cast to float32: half the size, the same float32 arithmetic."""
    model = onnx.load(str(path))
    casts = []
    for weight in model.graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype == np.float32 and values.size > 512:
            name = weight.name
            weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
            casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=onnx.TensorProto.FLOAT))
    for k, cast in enumerate(casts):
        model.graph.node.insert(k, cast)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
