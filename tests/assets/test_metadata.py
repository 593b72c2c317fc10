"""Generation settings: every tool's own form, hostile content, and what we write ourselves."""

from __future__ import annotations

import io
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from assets.intake import take_in
from assets.metadata import GenerationSettings, LoraUse, a1111_parameters, provenance_png, read_generation
from assets.metadata.a1111 import read_values
from tests.assets import build

A1111 = (
    "portrait of a woman, red coat <lora:mara_v3:0.7>, (rim light:1.2)\n"
    "second line\n"
    "Negative prompt: blurry, hat\n"
    "Steps: 28, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 6.5, Seed: 3405691582, Size: 512x768, "
    'Model hash: 6ce0161689, Model: dreamshaper_8, Lora hashes: "mara_v3: 1a2b, x: 3c", Version: v1.9.4'
)


def check_a1111(settings: GenerationSettings | None) -> None:
    assert settings is not None
    assert settings.source == "automatic1111"
    assert settings.prompt == "portrait of a woman, red coat <lora:mara_v3:0.7>, (rim light:1.2)\nsecond line"
    assert settings.negative_prompt == "blurry, hat"
    assert (settings.steps, settings.cfg, settings.seed) == (28, 6.5, 3405691582)
    assert (settings.width, settings.height) == (512, 768)
    assert settings.sampler == "DPM++ 2M Karras"
    assert settings.model == "dreamshaper_8"
    assert settings.loras == (LoraUse(name="mara_v3", weight=0.7),)


def with_text(keyword: str, text: str) -> bytes:
    info = PngInfo()
    info.add_text(keyword, text)
    return build.encode(build.picture(), "PNG", pnginfo=info)


def test_a1111_in_a_png() -> None:
    taken = take_in(with_text("parameters", A1111))
    check_a1111(taken.generation)
    assert "text" in taken.found


def test_a1111_compressed_and_in_other_letters() -> None:
    info = PngInfo()
    info.add_itxt("parameters", A1111.replace("second line", "zweite Zeile, 女性"), zip=True)
    settings = take_in(build.encode(build.picture(), "PNG", pnginfo=info)).generation
    assert settings is not None
    assert settings.prompt.endswith("zweite Zeile, 女性")


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF", "HEIF"])
@pytest.mark.parametrize("encoding", ["utf-16-be", "utf-16-le"])
def test_a1111_in_exif(kind: str, encoding: str) -> None:
    block = build.exif(comment=b"UNICODE\0" + A1111.encode(encoding), make="Camera")
    check_a1111(take_in(build.encode(build.picture(), kind, exif=block)).generation)


def test_a1111_in_ascii_exif() -> None:
    block = build.exif(comment=b"ASCII\0\0\0" + A1111.encode())
    check_a1111(take_in(build.encode(build.picture(), "JPEG", exif=block)).generation)


def test_a1111_without_negative_prompt_or_prompt() -> None:
    settings = read_generation({"parameters": "a cat\nSteps: 20, Seed: 1"})
    assert settings is not None
    assert (settings.prompt, settings.negative_prompt, settings.steps) == ("a cat", "", 20)
    settings = read_generation({"parameters": "Negative prompt: dog\nSteps: 20, Seed: 1"})
    assert settings is not None
    assert (settings.prompt, settings.negative_prompt) == ("", "dog")


def test_swarmui_in_the_same_chunk() -> None:
    block = json.dumps(
        {
            "sui_image_params": {
                "prompt": "a fox", "negativeprompt": "rain", "model": "flux1-dev", "seed": 2**40, "steps": 20,
                "cfgscale": 1.0, "width": 832, "height": 1216, "sampler": "euler", "scheduler": "simple",
                "loras": ["ink", "film"], "loraweights": ["0.5", "1"],
            },
            "sui_extra_data": {"date": "2026-01-01"},
        }
    )  # fmt: skip
    settings = take_in(with_text("parameters", block)).generation
    assert settings is not None
    assert settings.source == "swarmui"
    assert (settings.prompt, settings.negative_prompt, settings.model) == ("a fox", "rain", "flux1-dev")
    assert (settings.seed, settings.steps, settings.cfg) == (2**40, 20, 1.0)
    assert (settings.width, settings.height, settings.sampler) == (832, 1216, "euler simple")
    assert settings.loras == (LoraUse(name="ink", weight=0.5), LoraUse(name="film", weight=1.0))
    unicode_comment = b"UNICODE\0" + block.encode("utf-16-be")
    in_jpeg = take_in(build.encode(build.picture(), "JPEG", exif=build.exif(comment=unicode_comment))).generation
    assert in_jpeg == settings


def comfy_graph() -> dict[str, Any]:
    return {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sdxl.safetensors"}},
        "2": {
            "class_type": "LoraLoader",
            "inputs": {
                "lora_name": "mara.safetensors", "strength_model": 0.8, "strength_clip": 1,
                "model": ["1", 0], "clip": ["1", 1],
            },
        },
        "3": {"class_type": "CLIPTextEncode", "inputs": {"text": "a heron at dawn", "clip": ["2", 1]}},
        "4": {"class_type": "CLIPTextEncode", "inputs": {"text": "watermark", "clip": ["2", 1]}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 1024, "height": 576, "batch_size": 1}},
        "6": {
            "class_type": "KSampler",
            "inputs": {
                "seed": 18446744073709551615, "steps": 30, "cfg": 7.5,
                "sampler_name": "dpmpp_2m", "scheduler": "karras", "denoise": 1,
                "model": ["2", 0], "positive": ["3", 0], "negative": ["4", 0], "latent_image": ["5", 0],
            },
        },
        "7": {"class_type": "VAEDecode", "inputs": {"samples": ["6", 0], "vae": ["1", 2]}, "is_changed": float("nan")},
    }  # fmt: skip


def check_comfyui(settings: GenerationSettings | None) -> None:
    assert settings is not None
    assert settings.source == "comfyui"
    assert (settings.prompt, settings.negative_prompt) == ("a heron at dawn", "watermark")
    assert (settings.seed, settings.steps, settings.cfg) == (2**64 - 1, 30, 7.5)
    assert (settings.width, settings.height, settings.sampler) == (1024, 576, "dpmpp_2m karras")
    assert settings.model == "sdxl.safetensors"
    assert settings.loras == (LoraUse(name="mara.safetensors", weight=0.8),)


def test_comfyui() -> None:
    check_comfyui(take_in(with_text("prompt", json.dumps(comfy_graph()))).generation)


def test_comfyui_in_webp_exif() -> None:
    block = build.exif(make="prompt:" + json.dumps(comfy_graph()))
    check_comfyui(take_in(build.encode(build.picture(), "WEBP", exif=block)).generation)


def test_comfyui_of_flux() -> None:
    graph = {
        "10": {"class_type": "UNETLoader", "inputs": {"unet_name": "flux1-dev.safetensors"}},
        "11": {"class_type": "CLIPTextEncode", "inputs": {"text": ["20", 0], "clip": ["12", 0]}},
        "20": {"class_type": "PrimitiveString", "inputs": {"value": "a lighthouse"}},
        "12": {"class_type": "DualCLIPLoader", "inputs": {"clip_name1": "t5"}},
        "13": {"class_type": "FluxGuidance", "inputs": {"guidance": 3.5, "conditioning": ["11", 0]}},
        "14": {"class_type": "BasicGuider", "inputs": {"model": ["10", 0], "conditioning": ["13", 0]}},
        "15": {"class_type": "RandomNoise", "inputs": {"noise_seed": 99}},
        "16": {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "euler"}},
        "17": {"class_type": "BasicScheduler", "inputs": {"scheduler": "simple", "steps": 24, "model": ["10", 0]}},
        "18": {"class_type": "EmptySD3LatentImage", "inputs": {"width": 1344, "height": 768}},
        "19": {
            "class_type": "SamplerCustomAdvanced",
            "inputs": {
                "noise": ["15", 0],
                "guider": ["14", 0],
                "sampler": ["16", 0],
                "sigmas": ["17", 0],
                "latent_image": ["18", 0],
            },
        },
    }
    settings = read_generation({"prompt": json.dumps(graph)})
    assert settings is not None
    assert (settings.prompt, settings.negative_prompt) == ("a lighthouse", "")
    assert (settings.seed, settings.steps, settings.cfg) == (99, 24, 3.5)
    assert (settings.width, settings.height) == (1344, 768)
    assert (settings.model, settings.sampler) == ("flux1-dev.safetensors", "euler simple")


def test_a_comfyui_graph_that_bites_its_tail_ends() -> None:
    graph = comfy_graph()
    graph["3"]["inputs"]["text"] = ["6", 0]
    graph["5"]["inputs"]["width"] = ["5", 0]
    settings = read_generation({"prompt": json.dumps(graph)})
    assert settings is not None
    assert settings.seed == 2**64 - 1


def test_a_comfyui_graph_without_a_sampler_in_which_everything_is_linked_takes_no_time() -> None:
    graph = {
        str(k): {"class_type": "x", "inputs": {f"a{n}": [str((k + n + 1) % 1990), 0] for n in range(25)}}
        for k in range(1990)
    }
    graph["7"]["class_type"], graph["7"]["inputs"]["text"] = "CLIPTextEncode", "a lighthouse"
    block = json.dumps(graph, separators=(",", ":"))
    began = time.process_time()
    settings = read_generation({"prompt": block})
    assert time.process_time() - began < 2
    assert settings is not None
    assert settings.prompt == "a lighthouse"


def test_invokeai() -> None:
    block = json.dumps(
        {
            "generation_mode": "txt2img", "positive_prompt": "a fox", "negative_prompt": "rain", "width": 768,
            "height": 512, "seed": 7, "scheduler": "dpmpp_2m_k", "steps": 25, "cfg_scale": 5.5, "app_version": "5.0",
            "model": {"key": "k", "name": "Juggernaut XL", "base": "sdxl", "hash": "blake3:0"},
            "loras": [{"model": {"name": "ink", "key": "l"}, "weight": 0.6}],
        }
    )  # fmt: skip
    settings = take_in(with_text("invokeai_metadata", block)).generation
    assert settings is not None
    assert (settings.source, settings.prompt, settings.negative_prompt) == ("invokeai", "a fox", "rain")
    assert (settings.model, settings.sampler, settings.seed, settings.cfg) == ("Juggernaut XL", "dpmpp_2m_k", 7, 5.5)
    assert settings.loras == (LoraUse(name="ink", weight=0.6),)


def test_invokeai_2() -> None:
    block = json.dumps(
        {
            "model": "stable diffusion", "model_weights": "sd-1.5",
            "image": {
                "prompt": [{"prompt": "a fox [rain, fog]", "weight": 1.0}], "steps": 50, "cfg_scale": 7.5,
                "width": 512, "height": 512, "seed": 42, "sampler": "k_lms",
            },
        }
    )  # fmt: skip
    settings = take_in(with_text("sd-metadata", block)).generation
    assert settings is not None
    assert (settings.prompt, settings.negative_prompt, settings.model) == ("a fox", "rain, fog", "sd-1.5")


# ------------------------------------------------------------------------------------------------ hostile content
@pytest.mark.parametrize(
    "keyword", ["persona", "invokeai_metadata", "parameters", "UserComment", "prompt", "sd-metadata", "Make"]
)
@pytest.mark.parametrize(
    "block",
    [
        "[" * 200_000,
        '{"a":' * 100_000,
        '{"sui_image_params":' * 50_000,
        "{",
        "null",
        "[]",
        '{"1": {"class_type": 5, "inputs": []}}',
        '{"1": {"class_type": "KSampler", "inputs": {"positive": ["1", 0], "seed": ["1", 0]}}}',
        '{"seed": ' + "9" * 5000 + "}",
        'Steps: 1, "' * 20_000,
        "Steps: 9" * 50_000,
        "<lora:" * 50_000 + "\nSteps: 1",
        "[" * 30_000 + "x" + "]" * 30_000,
        "prompt:" + "{" * 1000,
        "\0" * 1000,
    ],
    ids=range(15),
)
def test_broken_and_deep_content_is_the_same_as_none(keyword: str, block: str) -> None:
    settings = read_generation({keyword: block})
    if settings is not None:
        assert settings.to_json()["source"]


def test_impossible_values_become_empty() -> None:
    values = {
        "prompt": ["no text"], "negative_prompt": 5, "steps": -3, "cfg": float("inf"), "seed": 2**64, "width": "12e99",
        "height": True, "model": {"a": 1}, "loras": [{"name": "a", "weight": "NaN"}, {"name": 3}, "x"], "sampler": "ok",
    }  # fmt: skip
    settings = read_generation({"persona": json.dumps(values)})
    assert settings == GenerationSettings(
        source="persona", sampler="ok", loras=(LoraUse(name="a", weight=1.0),), raw=json.dumps(values)
    )


def test_what_databases_refuse_is_taken_out() -> None:
    block = '{"prompt": "a\\u0000b\\ud800c\\u001b[31md\\ne", "seed": 1}'
    settings = read_generation({"persona": block})
    assert settings is not None
    assert settings.prompt == "abc[31md\ne"
    json.dumps(settings.to_json(), ensure_ascii=False).encode("utf-8")


def test_raw_is_cut_at_64_kb() -> None:
    settings = read_generation({"parameters": "ü" * 200_000 + "\nSteps: 20, Seed: 1"})
    assert settings is not None
    assert len(settings.raw.encode()) <= 64 * 1024
    assert len(settings.prompt) <= 16_384


@given(
    st.dictionaries(
        st.sampled_from(["persona", "parameters", "UserComment", "prompt", "invokeai_metadata", "sd-metadata", "Make"]),
        st.text(),
    )
)
def test_any_text_is_read_or_ignored(texts: dict[str, str]) -> None:
    settings = read_generation(texts)
    if settings is not None:
        assert GenerationSettings.from_json(json.loads(json.dumps(settings.to_json()))) == settings


_key = st.sampled_from(
    ["1", "inputs", "class_type", "seed", "positive", "text", "model", "image", "prompt", "sui_image_params", "loras"]
)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_key, inner, max_size=4),
    max_leaves=30,
)


@given(st.sampled_from(["persona", "parameters", "prompt", "invokeai_metadata", "sd-metadata"]), _json)
def test_any_json_is_read_or_ignored(keyword: str, value: Any) -> None:
    settings = read_generation({keyword: json.dumps(value)})
    if settings is not None:
        assert settings.seed is None or 0 <= settings.seed < 2**64
        json.dumps(settings.to_json(), allow_nan=False).encode()


# -------------------------------------------------------------------------------------------------------- writing
OURS = GenerationSettings(
    source="persona",
    prompt="Mara on a bridge, rain",
    negative_prompt="hat",
    steps=20,
    sampler="ddim",
    cfg=3.5,
    seed=12345678901234567890 % 2**64,
    width=512,
    height=768,
    model="mini: portraits, v1",
    loras=(LoraUse(name="mara", weight=0.7),),
)


def test_what_we_write_other_tools_and_we_read() -> None:
    image = build.picture()
    provenance = {**OURS.to_json(), "adapter": {"sha256": "ab" * 32}, "why": "Größe"}
    data = provenance_png(image, parameters=a1111_parameters(OURS), provenance=provenance)
    opened = Image.open(io.BytesIO(data))
    opened.load()
    assert opened.tobytes() == image.tobytes()
    foreign = read_generation({"parameters": opened.text["parameters"]})
    assert foreign is not None
    assert (foreign.prompt, foreign.negative_prompt) == ("Mara on a bridge, rain <lora:mara:0.7>", "hat")
    assert (foreign.steps, foreign.seed, foreign.cfg, foreign.sampler) == (20, OURS.seed, 3.5, "ddim")
    assert (foreign.width, foreign.height, foreign.model) == (512, 768, "mini: portraits, v1")
    assert foreign.loras == OURS.loras
    assert json.loads(opened.text["persona"])["why"] == "Größe"
    own = take_in(data).generation
    assert own is not None
    assert own.to_json() | {"raw": ""} == OURS.to_json()


def test_numbers_that_json_does_not_know_are_refused() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        provenance_png(build.picture(), parameters="", provenance={"score": float("nan")})


_word = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=40).map(
    str.strip
)
_prompt = (
    st.lists(_word, min_size=1, max_size=3)
    .map("\n".join)
    .map(str.strip)
    .filter(lambda p: p and "Negative prompt:" not in p and "Steps:" not in p and "<lora:" not in p and "\x85" not in p)
)


@given(_prompt, _prompt, _word.filter(bool), st.integers(0, 2**64 - 1), st.integers(1, 150))
def test_a1111_text_reads_back(prompt: str, negative: str, model: str, seed: int, steps: int) -> None:
    settings = GenerationSettings(
        source="persona", prompt=prompt, negative_prompt=negative, model=model, seed=seed, steps=steps
    )
    back = read_generation({"parameters": a1111_parameters(settings)})
    assert back is not None
    assert (back.prompt, back.negative_prompt, back.model) == (prompt, negative, model)
    assert (back.seed, back.steps) == (seed, steps)


@given(st.text())
def test_values_of_any_line(line: str) -> None:
    assert all(isinstance(value, str) for value in read_values(line).values())
