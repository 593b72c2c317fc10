from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from numpy.typing import NDArray

from gpu_worker.contracts import AdapterUse, GenerateRequest, IdentityUse, PictureSpec, RunError
from gpu_worker.packs import PackError, read_pack
from gpu_worker.pipelines.sd import StableDiffusion

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:peft")
Pictures = dict[int, NDArray[np.int16]]


def request_for(pack: Path, count: int = 2, **fields: Any) -> GenerateRequest:
    pictures = tuple(PictureSpec(index=k, prompt="portrait of a happy man", seed=100 + k) for k in range(count))
    return GenerateRequest(
        **{"pack": str(pack), "pictures": pictures, "width": 32, "height": 32, "steps": 3, "batch_size": 2, **fields}
    )


def made(model: StableDiffusion, request: GenerateRequest, should_stop: Callable[[], bool] = lambda: False) -> Pictures:
    results = model.generate(request, should_stop=should_stop, on_progress=lambda *_: None)
    return {spec.index: np.asarray(picture, np.int16) for spec, picture, _ in results}


def same(a: Pictures, b: Pictures) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


def loaded(pack: Path) -> StableDiffusion:
    model = StableDiffusion()
    model.load(read_pack(pack), "cpu")
    return model


@pytest.fixture(scope="module")
def pack(tiny_packs: Callable[..., Path]) -> Path:
    return tiny_packs(faceid_lora=True)


@pytest.fixture(scope="module")
def model(pack: Path) -> StableDiffusion:
    return loaded(pack)


@pytest.fixture
def adapter(pack: Path, tmp_path: Path, make: SimpleNamespace) -> Callable[..., AdapterUse]:
    def write(name: str = "lora.safetensors", strength: float = 1.0, **how: Any) -> AdapterUse:
        return AdapterUse(
            path=str(tmp_path / name), sha256=make.lora_file(tmp_path / name, pack, **how), strength=strength
        )

    return write


@pytest.mark.parametrize("prediction", ["flow_prediction", "epsilon", "v_prediction"])
@pytest.mark.parametrize("tokenizer", ["word", "clip"])
def test_the_bare_pipeline_gives_the_same_picture(
    tiny_packs: Callable[..., Path], prediction: str, tokenizer: str
) -> None:
    pack = tiny_packs(prediction=prediction, tokenizer=tokenizer)
    bare = StableDiffusionPipeline.from_pretrained(pack / "pipeline", safety_checker=None, local_files_only=True)
    bare.set_progress_bar_config(disable=True)
    expected = bare(
        "portrait of a happy man",
        negative_prompt="",
        width=32,
        height=32,
        num_inference_steps=3,
        guidance_scale=3.0,
        generator=torch.Generator().manual_seed(100),
    ).images[0]
    ours = made(loaded(pack), request_for(pack, count=1))
    assert np.array_equal(ours[0], np.asarray(expected))


def test_seeds_and_prompts_make_the_difference(model: StableDiffusion, pack: Path) -> None:
    first = made(model, request_for(pack))
    assert np.abs(first[0] - first[1]).mean() > 1
    other = dataclasses.replace(
        request_for(pack, 1), pictures=(PictureSpec(index=0, prompt="sad woman forest", seed=100),)
    )
    assert not np.array_equal(made(model, other)[0], first[0])
    assert same(made(model, request_for(pack)), first)


def test_a_picture_does_not_depend_on_its_batch(model: StableDiffusion, pack: Path) -> None:
    together = made(model, request_for(pack, count=3, batch_size=3))
    alone = made(model, request_for(pack, count=3, batch_size=1))
    assert max(np.abs(together[k] - alone[k]).max() for k in together) <= 1
    missing = dataclasses.replace(request_for(pack, 3), pictures=request_for(pack, 3).pictures[2:])
    assert np.abs(made(model, missing)[2] - together[2]).max() <= 1


def test_guidance_of_one_turns_it_off(model: StableDiffusion, pack: Path, make: SimpleNamespace) -> None:
    identity = IdentityUse(embedding=make.embedding(), strength=0.6)
    free = made(model, request_for(pack, guidance=1.0, identity=identity))
    negative = made(model, request_for(pack, guidance=1.0, identity=identity, negative_prompt="sad forest"))
    guided = made(model, request_for(pack, guidance=3.0, identity=identity))
    assert same(free, negative)
    assert not same(free, guided)


# -------------------------------------------------------------------------------------------------- identity
def test_a_silent_image_prompt_leaves_no_trace(
    tiny_packs: Callable[..., Path], model: StableDiffusion, pack: Path, make: SimpleNamespace
) -> None:
    plain_pack = tiny_packs(image_prompt=False)
    plain = made(loaded(plain_pack), request_for(plain_pack))
    assert same(made(model, request_for(pack)), plain)
    heard = made(model, request_for(pack, identity=IdentityUse(embedding=make.embedding(), strength=0.6)))
    assert np.abs(heard[0] - plain[0]).mean() > 1
    silent = made(model, request_for(pack, identity=IdentityUse(embedding=make.embedding(), strength=0.0)))
    assert same(silent, plain)


def test_the_image_prompt_follows_embedding_and_strength(
    model: StableDiffusion, pack: Path, make: SimpleNamespace
) -> None:
    plain = made(model, request_for(pack))

    def shift(seed: int, strength: float) -> NDArray[np.int16]:
        identity = IdentityUse(embedding=make.embedding(seed), strength=strength)
        return made(model, request_for(pack, identity=identity))[0] - plain[0]

    assert not np.array_equal(shift(1, 0.6), shift(2, 0.6))
    assert not np.array_equal(shift(1, 0.6), shift(1, 1.0))


def test_a_pack_without_image_prompt_refuses_one(tiny_packs: Callable[..., Path], make: SimpleNamespace) -> None:
    pack = tiny_packs(image_prompt=False)
    with pytest.raises(RunError, match="takes no image prompt"):
        made(loaded(pack), request_for(pack, identity=IdentityUse(embedding=make.embedding())))


# -------------------------------------------------------------------------------------------------- adapters
@pytest.mark.parametrize("faceid_lora", [True, False])
def test_an_adapter_leaves_nothing_behind(
    tiny_packs: Callable[..., Path], adapter: Callable[..., AdapterUse], make: SimpleNamespace, faceid_lora: bool
) -> None:
    pack = tiny_packs(faceid_lora=faceid_lora)
    model, identity = loaded(pack), IdentityUse(embedding=make.embedding(), strength=0.6)
    plain, person = made(model, request_for(pack)), made(model, request_for(pack, identity=identity))
    one, two = adapter("one.safetensors"), adapter("two.safetensors", seed=1, rank=8, text=True)
    with_one = made(model, request_for(pack, adapter=one))
    assert np.abs(with_one[0] - plain[0]).mean() > 1
    assert same(made(model, request_for(pack)), plain)
    with_two = made(model, request_for(pack, adapter=two))
    assert not same(with_one, with_two)
    assert same(made(model, request_for(pack, identity=identity)), person)
    both = made(model, request_for(pack, adapter=one, identity=identity))
    assert not same(both, person)
    assert not same(both, with_one)
    assert same(made(model, request_for(pack, adapter=two)), with_two)
    assert same(made(model, request_for(pack, adapter=one)), with_one)
    assert same(made(model, request_for(pack)), plain)


def test_strength_scales_the_adapter(model: StableDiffusion, pack: Path, adapter: Callable[..., AdapterUse]) -> None:
    plain = made(model, request_for(pack))
    full, half = adapter("full.safetensors", scale=0.2), adapter("half.safetensors", scale=0.1)
    weak = made(model, request_for(pack, adapter=dataclasses.replace(full, strength=0.5)))
    assert max(np.abs(weak[k] - made(model, request_for(pack, adapter=half))[k]).max() for k in weak) <= 1
    assert not same(weak, made(model, request_for(pack, adapter=full)))
    assert same(made(model, request_for(pack, adapter=dataclasses.replace(full, strength=0.0))), plain)


def test_alpha_counts_where_it_differs_from_the_rank(
    model: StableDiffusion, pack: Path, adapter: Callable[..., AdapterUse]
) -> None:
    doubled = made(model, request_for(pack, adapter=adapter("a.safetensors", rank=4, alpha=8.0, scale=0.1)))
    plain = made(model, request_for(pack, adapter=adapter("b.safetensors", rank=4, alpha=4.0, scale=0.2)))
    assert max(np.abs(doubled[k] - plain[k]).max() for k in plain) <= 1


def test_the_layout_of_kohya_means_the_same(
    model: StableDiffusion, pack: Path, adapter: Callable[..., AdapterUse]
) -> None:
    ours = made(model, request_for(pack, adapter=adapter("peft.safetensors")))
    assert same(made(model, request_for(pack, adapter=adapter("kohya.safetensors", layout="kohya"))), ours)


def test_a_changed_adapter_is_refused(model: StableDiffusion, pack: Path, adapter: Callable[..., AdapterUse]) -> None:
    use = adapter()
    Path(use.path).write_bytes(Path(use.path).read_bytes() + b"x")
    with pytest.raises(RunError, match="not the file that was recorded"):
        made(model, request_for(pack, adapter=use))


@pytest.mark.parametrize(
    ("name", "sentence"), [("lora.ckpt", "not a safetensors file"), ("gone.safetensors", "cannot be read")]
)
def test_other_adapter_files_are_refused(
    model: StableDiffusion, pack: Path, tmp_path: Path, name: str, sentence: str
) -> None:
    (tmp_path / "lora.ckpt").write_bytes(b"x")
    with pytest.raises(RunError, match=sentence):
        made(model, request_for(pack, adapter=AdapterUse(path=str(tmp_path / name), sha256="0" * 64)))


def test_an_adapter_of_another_model_is_refused_and_forgotten(pack: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    from gpu_worker.packs import digest_of

    model = loaded(pack)
    plain = made(model, request_for(pack))
    layer = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
    for name, prefix, width in (("wide", "unet", 999), ("foreign", "transformer", 64)):
        path = tmp_path / f"{name}.safetensors"
        save_file(
            {
                f"{prefix}.{layer}.lora_A.weight": torch.ones(4, width),
                f"{prefix}.{layer}.lora_B.weight": torch.ones(64, 4),
            },
            path,
        )
        with pytest.raises(RunError, match="does not fit the model tiny"):
            made(model, request_for(pack, adapter=AdapterUse(path=str(path), sha256=digest_of(path))))
        assert same(made(model, request_for(pack)), plain)


# --------------------------------------------------------------------------------------------- running, failing
def test_progress_counts_every_step_of_every_picture(model: StableDiffusion, pack: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    list(model.generate(request_for(pack, 3), should_stop=lambda: False, on_progress=lambda *what: seen.append(what)))
    assert [done for done, _, _ in seen] == [2, 4, 6, 7, 8, 9]
    assert {total for _, total, _ in seen} == {9}
    assert seen[-1][2] == "Picture 3 of 3"


def test_stopping_ends_between_two_steps(model: StableDiffusion, pack: Path) -> None:
    seen: list[int] = []
    results = model.generate(
        request_for(pack, 4, steps=10),
        should_stop=lambda: len(seen) >= 13,
        on_progress=lambda done, *_: seen.append(done),
    )
    assert [spec.index for spec, _, _ in results] == [0, 1]
    assert len(seen) == 13


def test_a_batch_that_does_not_fit_is_halved(pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = loaded(pack)
    expected = made(model, request_for(pack, 5, batch_size=1))
    sizes, real = [], model.pipe.unet.forward

    def small(sample: torch.Tensor, *arguments: Any, **named: Any) -> Any:
        sizes.append(len(sample) // 2)
        if len(sample) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(sample, *arguments, **named)

    monkeypatch.setattr(model.pipe.unet, "forward", small)
    got = made(model, request_for(pack, 5, batch_size=4))
    assert max(np.abs(got[k] - expected[k]).max() for k in expected) <= 1
    assert sizes == [4, 2, *[1] * 15]


def test_one_picture_that_does_not_fit_says_what_to_do(pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: Any, **named: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    model = loaded(pack)
    monkeypatch.setattr(model.pipe.unet, "forward", never)
    with pytest.raises(
        RunError, match=r"too small for one picture of 32 x 32 pixels\. Choose a smaller size"
    ) as caught:
        made(model, request_for(pack))
    assert caught.value.retryable


def test_a_model_that_breaks_down_says_so(pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = loaded(pack)
    real = model.pipe.unet.forward

    def broken(*arguments: Any, **named: Any) -> Any:
        return (real(*arguments, **named)[0] * float("nan"),)

    monkeypatch.setattr(model.pipe.unet, "forward", broken)
    with pytest.raises(RunError, match="values are not finite"):
        made(model, request_for(pack))


def test_odd_sizes_are_refused(model: StableDiffusion, pack: Path) -> None:
    with pytest.raises(RunError, match="multiples of 2 pixels"):
        made(model, request_for(pack, width=33))


def test_a_prompt_that_is_cut_is_noticed(model: StableDiffusion, pack: Path) -> None:
    long = " ".join(["happy"] * 40) + " forest"
    request = dataclasses.replace(request_for(pack), pictures=(PictureSpec(index=0, prompt=long, seed=1),))
    (notice,) = model.notices(request)
    assert notice.code == "prompt-cut"
    assert notice.data["cut"].split() == ["happy"] * 10 + ["forest"]
    assert model.notices(request_for(pack)) == []


def test_a_pack_that_brings_its_own_classes_is_refused(pack: Path, tmp_path: Path, make: SimpleNamespace) -> None:
    copy = Path(shutil.copytree(pack, tmp_path / "pack"))
    index = copy / "pipeline" / "model_index.json"
    index.write_text(index.read_text().replace('"diffusers",\n    "AutoencoderKL"', '"common",\n    "PatchCodec"'))
    make.relist(copy)
    with pytest.raises(PackError, match=r"names common\.PatchCodec for its vae"):
        loaded(copy)


def test_a_damaged_pack_is_refused(pack: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(pack, tmp_path / "pack"))
    (copy / "ip_adapter.safetensors").write_bytes(b"")
    with pytest.raises(PackError, match=r"ip_adapter\.safetensors has another hash"):
        loaded(copy)


# ------------------------------------------------------------------------------------------------- several people
LEFT, RIGHT, ALL = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0), (0.0, 0.0, 1.0, 1.0)


def test_a_region_of_the_whole_picture_is_no_region(model: StableDiffusion, pack: Path, make: SimpleNamespace) -> None:
    person = IdentityUse(embedding=make.embedding(1), strength=0.6)
    alone = made(model, request_for(pack, identity=person))
    everywhere = dataclasses.replace(person, region=ALL)
    assert np.abs(made(model, request_for(pack, identity=everywhere))[0] - alone[0]).max() <= 1
    silent = IdentityUse(embedding=make.embedding(2), strength=0.0, region=RIGHT)
    with_silent = made(model, request_for(pack, identity=everywhere, companions=(silent,)))
    assert np.abs(with_silent[0] - alone[0]).max() <= 1


def test_each_person_is_heard_most_in_their_own_region(
    model: StableDiffusion, pack: Path, make: SimpleNamespace
) -> None:
    def pair(left: int, right: int) -> NDArray[np.int16]:
        request = request_for(
            pack,
            count=1,
            width=64,
            identity=IdentityUse(embedding=make.embedding(left), strength=0.9, region=LEFT),
            companions=(IdentityUse(embedding=make.embedding(right), strength=0.9, region=RIGHT),),
        )
        return made(model, request)[0]

    base = pair(1, 2)
    assert base.shape == (32, 64, 3)
    for other, own in ((pair(3, 2), slice(0, 32)), (pair(1, 3), slice(32, 64))):
        changed = np.abs(other - base).mean((0, 2))
        rest = np.delete(changed, np.r_[own])
        assert changed[own].mean() > rest.mean() > -1
    assert not np.array_equal(pair(2, 1), base)


# -------------------------------------------------------------------------------------------------- identity ControlNet
@pytest.fixture(scope="module")
def controlled(tiny_packs: Callable[..., Path]) -> Path:
    return tiny_packs(controlnet=True)


@pytest.fixture(scope="module")
def controlled_model(controlled: Path) -> StableDiffusion:
    return loaded(controlled)


def with_identity(pack: Path, embedding: tuple[float, ...], **fields: Any) -> GenerateRequest:
    return request_for(pack, identity=IdentityUse(embedding=embedding, **fields))


def test_a_silent_controlnet_leaves_no_trace(
    controlled: Path, controlled_model: StableDiffusion, tiny_pack: Path, make: SimpleNamespace
) -> None:
    person = make.embedding()
    heard = made(controlled_model, with_identity(controlled, person, control=0.8))
    silent = made(controlled_model, with_identity(controlled, person, control=0.0))
    assert np.abs(heard[0] - silent[0]).mean() > 1
    assert same(silent, made(loaded(tiny_pack), with_identity(tiny_pack, person)))


def test_the_controlnet_follows_person_and_keypoints_but_no_text(
    controlled: Path, controlled_model: StableDiffusion, make: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers import ControlNetModel

    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    forward = ControlNetModel.forward

    def watched(self: Any, sample: Any, timestep: Any, states: Any, controlnet_cond: Any, **options: Any) -> Any:
        seen.append((states, controlnet_cond))
        return forward(self, sample, timestep, states, controlnet_cond, **options)

    monkeypatch.setattr(ControlNetModel, "forward", watched)

    def watch(person: int, prompt: str, keypoints: tuple[tuple[float, float], ...] = ()) -> tuple[Any, Any]:
        seen.clear()
        request = with_identity(controlled, make.embedding(person), control=0.8)
        picture = PictureSpec(index=0, prompt=prompt, seed=1, keypoints=keypoints)
        made(controlled_model, dataclasses.replace(request, pictures=(picture,)))
        return seen[0]

    tokens, image = watch(1, "portrait of a sad man")
    assert tokens.shape[0] == 2  # without and with the person
    assert not torch.equal(tokens[0], tokens[1])
    assert image.shape == (2, 3, 32, 32)
    assert image.max() > 0.5
    other_text = watch(1, "woman forest")
    assert torch.equal(other_text[0], tokens)
    assert torch.equal(other_text[1], image)
    assert not torch.equal(watch(2, "portrait of a sad man")[0], tokens)
    assert not torch.equal(watch(1, "portrait of a happy man")[1], image)  # the pack has a place of its own for it
    points = ((8.0, 8.0), (24.0, 8.0), (16.0, 16.0), (10.0, 24.0), (22.0, 24.0))
    placed = watch(1, "portrait of a sad man", points)[1]
    for x, y in points:
        assert placed[0, :, int(y), int(x)].max() > 0.9


def test_a_lora_is_heard_with_the_controlnet(
    controlled: Path, controlled_model: StableDiffusion, tmp_path: Path, make: SimpleNamespace
) -> None:
    path = tmp_path / "lora.safetensors"
    use = AdapterUse(path=str(path), sha256=make.lora_file(path, controlled), strength=1.0)
    request = with_identity(controlled, make.embedding(), control=0.8)
    plain = made(controlled_model, request)
    assert not same(made(controlled_model, dataclasses.replace(request, adapter=use)), plain)
    assert same(made(controlled_model, request), plain)


def test_a_changed_controlnet_is_refused(controlled: Path, tmp_path: Path, make: SimpleNamespace) -> None:
    pack = shutil.copytree(controlled, tmp_path / "pack")
    with (pack / "controlnet" / "config.json").open("a") as file:
        file.write(" ")
    model = loaded(pack)
    with pytest.raises(PackError, match="another hash"):
        made(model, with_identity(pack, make.embedding(), control=0.8))
