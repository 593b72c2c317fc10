"""Tiny packs of random weights in the shape of real ones: small enough to build and run in a second."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

WORDS = (
    "portrait",
    "of",
    "a",
    "person",
    "man",
    "woman",
    "sks",
    "happy",
    "sad",
    "wearing",
    "red",
    "blue",
    "hoodie",
    "coat",
    "beach",
    "forest",
)
QUANTILES = [[0.5, 0.0], [0.1, 0.15], [0.01, 0.3], [0.001, 0.42], [0.0001, 0.5]]
CROSS = 32  # width of the text states
FRONTAL = [[0.38, 0.4], [0.62, 0.4], [0.5, 0.5], [0.42, 0.62], [0.58, 0.62]]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """On models this small a second thread only waits for the first."""
    import torch

    os.environ["STUDIO_THREADS"] = "1"
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_packs(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`tiny_packs(prediction="flow_prediction", tokenizer="word", ...)` -> a pack directory, built once per choice."""
    built: dict[tuple[tuple[str, Any], ...], Path] = {}

    def get(**choice: Any) -> Path:
        key = tuple(sorted(choice.items()))
        if key not in built:
            built[key] = build_pack(tmp_path_factory.mktemp("pack"), **choice)
        return built[key]

    return get


@pytest.fixture(scope="session")
def tiny_pack(tiny_packs: Callable[..., Path]) -> Path:
    return tiny_packs()


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """Builders that several test files use."""
    return SimpleNamespace(
        add_whole_picture_models=add_whole_picture_models,
        embedding=embedding,
        face_picture=face_picture,
        lora_file=lora_file,
        relist=relist,
        write_detector=write_detector,
        words=WORDS,
        quantiles=QUANTILES,
    )


@pytest.fixture(scope="session")
def mini_pack() -> Path:
    directory = Path(__file__).resolve().parents[3] / "gpu_worker" / "packs" / "mini"
    if not (directory / "pack.json").exists():
        pytest.skip("the mini pack has not been exported")
    return directory


# ------------------------------------------------------------------------------------------------------ pack
def build_pack(
    directory: Path,
    *,
    prediction: str = "flow_prediction",
    tokenizer: str = "word",
    image_prompt: bool = True,
    faceid_lora: bool = False,
    controlnet: bool = False,
    domain: str = "illustration",
) -> Path:
    import torch
    from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(11)
    unet = UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=CROSS,
        attention_head_dim=8,
        norm_num_groups=8,
    )
    vae = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=4,
        block_out_channels=(16, 32),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=8,
        sample_size=32,
    )
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(WORDS) + 3 if tokenizer == "word" else 260,
            hidden_size=CROSS,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=32,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=0,
        )
    )
    pipe = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text,
        tokenizer=word_tokenizer() if tokenizer == "word" else clip_tokenizer(),
        unet=unet,
        scheduler=scheduler(prediction),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.save_pretrained(directory / "pipeline")
    manifest: dict[str, Any] = {
        "format": 1,
        "name": "tiny",
        "title": "Tiny random pack",
        "version": "1.0",
        "family": "sd",
        "architecture": "stable-diffusion-v1",
        "domain": domain,
        "licence": {"name": "CC0", "spdx": "CC0-1.0", "commercial": True, "url": ""},
        "resolution": 32,
        "sizes": [[32, 32]],
        "pipeline": "pipeline",
        "ip_adapter": None,
        "encoders": {"conditioning": "identity/conditioning", "scoring": "identity/scoring"},
        "detection": {"sizes": [320], "threshold": 0.5},
        "calibration": {"scoring": {"identities": 300, "pairs": 12345, "impostor_quantiles": QUANTILES}},
        "defaults": {"steps": 4, "guidance": 3.0, "negative_prompt": ""},
        "recipes": {"low": None, "standard": {"rank": 4, "steps": 4}, "high": None},
        "vocabulary": list(WORDS) if tokenizer == "word" else None,
        "slots": {"expression": ["happy", "sad"]},
    }
    if image_prompt:
        write_image_prompt(directory / "ip_adapter.safetensors", unet, faceid_lora)
        manifest["ip_adapter"] = {"file": "ip_adapter.safetensors", "kind": "faceid", "embedding_size": 512}
    if controlnet:
        write_controlnet(directory / "controlnet", unet)
        manifest["controlnet"] = {
            "folder": "controlnet",
            "strength": 0.8,
            "best_of": 2,
            "places": [
                {"words": [], "points": FRONTAL},
                {"words": ["happy"], "points": [[x + 0.1, y] for x, y in FRONTAL]},
            ],
        }
    for seed, name in enumerate(("conditioning", "scoring")):
        folder = directory / "identity" / name
        folder.mkdir(parents=True)
        write_detector(folder / "detector.onnx")
        write_encoder(folder / "encoder.onnx", seed)
    (directory / "pack.json").write_text(json.dumps(manifest))
    relist(directory)
    return directory


def write_controlnet(folder: Path, unet: Any) -> None:
    """In the shape of `unet`; its outputs are not zero, as those of an untrained one would be."""
    import torch
    from diffusers import ControlNetModel

    torch.manual_seed(13)
    net = ControlNetModel(
        in_channels=4,
        conditioning_channels=3,
        down_block_types=unet.config.down_block_types,
        block_out_channels=unet.config.block_out_channels,
        layers_per_block=1,
        cross_attention_dim=CROSS,
        attention_head_dim=8,
        norm_num_groups=8,
        conditioning_embedding_out_channels=(4, 8),
    )
    for parameter in net.parameters():
        if not parameter.abs().sum():
            torch.nn.init.normal_(parameter, std=0.05)
    net.save_pretrained(folder)


def relist(directory: Path) -> None:
    """Write the digests of the pack's files, as they are now, into its pack.json."""
    manifest = json.loads((directory / "pack.json").read_text())
    manifest["files"] = {
        path.relative_to(directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name != "pack.json"
    }
    (directory / "pack.json").write_text(json.dumps(manifest))


def scheduler(prediction: str) -> Any:
    from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

    if prediction == "flow_prediction":
        return DPMSolverMultistepScheduler(
            prediction_type=prediction, use_flow_sigmas=True, flow_shift=1.5, steps_offset=1
        )
    return DDIMScheduler(
        prediction_type=prediction,
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        clip_sample=False,
        steps_offset=1,
    )


def word_tokenizer() -> Any:
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = {"[PAD]": 0, "[BOS]": 1, "[EOS]": 2}
    inner = Tokenizer(models.WordLevel(special | {word: k + 3 for k, word in enumerate(WORDS)}, unk_token="[PAD]"))
    inner.normalizer = normalizers.Lowercase()
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(r"[^a-z\-]+"), "removed")
    inner.post_processor = processors.TemplateProcessing(
        single="[BOS] $A [EOS]", special_tokens=[("[BOS]", 1), ("[EOS]", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token="[BOS]",
        eos_token="[EOS]",
        pad_token="[PAD]",
        unk_token="[PAD]",
        model_max_length=32,
    )


def clip_tokenizer() -> Any:
    from transformers import CLIPTokenizer

    letters = [chr(c) for c in range(33, 127)]
    vocabulary = ["<|pad|>", "<|startoftext|>", "<|endoftext|>", *letters, *(letter + "</w>" for letter in letters)]
    return CLIPTokenizer(
        vocab={token: k for k, token in enumerate(vocabulary)},
        merges=[],
        bos_token="<|startoftext|>",
        eos_token="<|endoftext|>",
        unk_token="<|endoftext|>",
        pad_token="<|pad|>",
        model_max_length=32,
    )


def write_image_prompt(path: Path, unet: Any, faceid_lora: bool) -> None:
    """A random IP-Adapter FaceID in the published layout; `faceid_lora` adds the LoRA that published files carry."""
    import torch
    from safetensors.torch import save_file

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape) * shape[-1] ** -0.5

    state = {
        "image_proj.proj.0.weight": random(512, 512),
        "image_proj.proj.0.bias": torch.zeros(512),
        "image_proj.proj.2.weight": random(4 * CROSS, 512),
        "image_proj.proj.2.bias": torch.zeros(4 * CROSS),
        "image_proj.norm.weight": torch.ones(CROSS),
        "image_proj.norm.bias": torch.zeros(CROSS),
    }
    for key, name in enumerate(unet.attn_processors):
        attention = unet.get_submodule(name.removesuffix(".processor"))
        width = attention.to_q.out_features
        if name.endswith("attn2.processor"):
            state[f"ip_adapter.{key}.to_k_ip.weight"] = random(width, CROSS)
            state[f"ip_adapter.{key}.to_v_ip.weight"] = random(width, CROSS)
        if faceid_lora:
            for part in ("q", "k", "v", "out"):
                layer = attention.to_out[0] if part == "out" else getattr(attention, f"to_{part}")
                state[f"ip_adapter.{key}.to_{part}_lora.down.weight"] = random(4, layer.in_features)
                state[f"ip_adapter.{key}.to_{part}_lora.up.weight"] = random(layer.out_features, 4)
    save_file(state, path)


# --------------------------------------------------------------------------------------------- faces, adapters
def write_detector(path: Path, *, batched: bool = False) -> None:
    """An SCRFD-shaped detector that takes a saturated red cell of 32 x 32 px for a face of 96 x 96, a green one of 16 x
    16 for one of 48 x 48 (at detection size). `batched`: its batch axis is free, and its outputs have one, too."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper, save

    # From the anchor to the five points, in strides: eyes, nose, corners of the mouth.
    points = [-0.5, -0.5, 0.5, -0.5, 0.0, 0.0, -0.4, 0.6, 0.4, 0.6]
    colour = {8: None, 16: (-8.0, 8.0, -8.0), 32: (8.0, -8.0, -8.0)}
    nodes, weights, outputs = [], [], []

    def constant(name: str, array: Any) -> str:
        weights.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    kinds = {"score": 1, "bbox": 4, "kps": 10}
    for kind, width in kinds.items():
        for stride in (8, 16, 32):
            name = f"{kind}_{stride}"
            shape, axes = ([0, -1, width], ["n"]) if batched else ([-1, width], [])
            kernel = np.zeros((2 * width, 3, 1, 1), np.float32)
            bias = np.float32([1.5] * 8 if kind == "bbox" else points * 2 if kind == "kps" else [-12.0, -30.0])
            if kind == "score" and (direction := colour[stride]):
                kernel[0, :, 0, 0] = direction
            nodes += [
                helper.make_node(
                    "AveragePool", ["input"], [f"{name}_p"], kernel_shape=[stride] * 2, strides=[stride] * 2
                ),
                helper.make_node(
                    "Conv", [f"{name}_p", constant(f"{name}_w", kernel), constant(f"{name}_b", bias)], [f"{name}_c"]
                ),
                helper.make_node("Transpose", [f"{name}_c"], [f"{name}_t"], perm=[0, 2, 3, 1]),
                helper.make_node("Reshape", [f"{name}_t", constant(f"{name}_s", np.int64(shape))], [f"{name}_r"]),
                helper.make_node("Sigmoid" if kind == "score" else "Identity", [f"{name}_r"], [name]),
            ]
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [*axes, f"n_{stride}", width]))
    picture = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n" if batched else 1, 3, "height", "width"])
    graph = helper.make_graph(nodes, "detector", [picture], outputs, weights)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def write_encoder(path: Path, seed: int) -> None:
    """[N, 3, 112, 112] -> [N, 512]: a random projection of the crop's 8 x 8 means."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper, save

    matrix = np.random.default_rng(seed).standard_normal((192, 512)).astype(np.float32)
    nodes = [
        helper.make_node("AveragePool", ["input"], ["pooled"], kernel_shape=[14, 14], strides=[14, 14]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "matrix"], ["embedding"]),
    ]
    crop = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, 112, 112])
    out = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", 512])
    graph = helper.make_graph(nodes, "encoder", [crop], [out], [numpy_helper.from_array(matrix, "matrix")])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


OPTIONS = {"brightness": ["dark", "light"], "colour": ["red", "green", "blue"]}


def add_whole_picture_models(directory: Path, *, size: int = 16, embedding_size: int = 8) -> None:
    """Add a figure encoder (a random projection of the resized picture) and a classifier that reads the picture's mean
    colour (`OPTIONS`) to a pack, and list them in its pack.json."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper, save

    def write(name: str, nodes: list[Any], outputs: dict[str, int], weights: dict[str, Any]) -> None:
        taken = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, size, size])
        given = [helper.make_tensor_value_info(k, TensorProto.FLOAT, ["n", width]) for k, width in outputs.items()]
        held = [numpy_helper.from_array(np.asarray(array, np.float32), k) for k, array in weights.items()]
        graph = helper.make_graph(nodes, name, [taken], given, held)
        (directory / name).mkdir()
        save(
            helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9),
            directory / name / f"{name}.onnx",
        )

    matrix = np.random.default_rng(5).standard_normal((3 * size * size, embedding_size))
    flat = helper.make_node("Flatten", ["input"], ["flat"])
    project = helper.make_node("MatMul", ["flat", "matrix"], ["embedding"])
    write("figure", [flat, project], {"embedding": embedding_size}, {"matrix": matrix})
    mean = [
        helper.make_node("GlobalAveragePool", ["input"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["rgb"]),
        helper.make_node("MatMul", ["rgb", "light"], ["brightness"]),
        helper.make_node("MatMul", ["rgb", "each"], ["colour"]),
    ]
    weights = {"light": [[-1.0, 1.0]] * 3, "each": np.eye(3) * 4}
    write("attributes", mean, {"colour": 3, "brightness": 2}, weights)
    manifest = json.loads((directory / "pack.json").read_text())
    manifest |= {
        "figure": {"file": "figure/figure.onnx", "size": size, "embedding_size": embedding_size},
        "attributes": {"file": "attributes/attributes.onnx", "size": size, "options": OPTIONS},
    }
    (directory / "pack.json").write_text(json.dumps(manifest))
    relist(directory)


def embedding(seed: int = 0) -> tuple[float, ...]:
    import numpy as np

    values = np.random.default_rng(seed).standard_normal(512)
    return tuple(float(v) for v in values / np.linalg.norm(values))


def face_picture(
    width: int = 320, height: int = 320, faces: tuple[tuple[str, int, int], ...] = (("red", 128, 128),)
) -> Any:
    """A grey picture in which the tiny detector finds `faces`: (red or green, left, top of its cell at 320 px)."""
    from PIL import Image

    picture = Image.new("RGB", (320, 320), (128, 128, 128))
    for colour, left, top in faces:
        side = 32 if colour == "red" else 16
        picture.paste((255, 0, 0) if colour == "red" else (0, 255, 0), (left, top, left + side, top + side))
    return picture.resize((width, height), Image.Resampling.BOX)


def lora_file(
    path: Path,
    pack: Path,
    *,
    rank: int = 4,
    alpha: float = 8.0,
    seed: int = 0,
    scale: float = 0.3,
    layout: str = "peft",
    text: bool = False,
) -> str:
    """Write a random LoRA for the pack's UNet (and text encoder); returns its digest. `layout`: `peft` or `kohya`."""
    import torch
    from diffusers import UNet2DConditionModel
    from safetensors.torch import save_file

    unet = UNet2DConditionModel.from_pretrained(pack / "pipeline" / "unet", local_files_only=True)
    torch.manual_seed(seed)
    state, settings = {}, {"format": "pt"}
    modules = [n for n, _ in unet.named_modules() if n.endswith((".to_q", ".to_k", ".to_v", ".to_out.0"))]
    for name in modules:
        layer = unet.get_submodule(name)
        down = torch.randn(rank, layer.in_features) * layer.in_features**-0.5
        up = torch.randn(layer.out_features, rank) * scale
        if layout == "kohya":
            flat = "lora_unet_" + name.replace(".", "_")
            state |= {
                f"{flat}.lora_down.weight": down,
                f"{flat}.lora_up.weight": up,
                f"{flat}.alpha": torch.tensor(alpha),
            }
        else:
            state |= {f"unet.{name}.lora_A.weight": down, f"unet.{name}.lora_B.weight": up}
    if text:
        name = "text_encoder.text_model.encoder.layers.0.self_attn.q_proj"
        state |= {f"{name}.lora_A.weight": torch.randn(rank, CROSS), f"{name}.lora_B.weight": torch.randn(CROSS, rank)}
    if layout == "peft":
        config = {"r": rank, "lora_alpha": alpha, "target_modules": ["to_q", "to_k", "to_v", "to_out.0"]}
        parts = {"unet": config} | ({"text_encoder": config | {"target_modules": ["q_proj"]}} if text else {})
        packed = {f"{part}.{k}": v for part, values in parts.items() for k, v in values.items()}
        settings["lora_adapter_metadata"] = json.dumps(packed)
    save_file(state, path, metadata=settings)
    return hashlib.sha256(path.read_bytes()).hexdigest()
