"""Stable Diffusion 1.x: `StableDiffusionPipeline` with an IP-Adapter FaceID image prompt, LoRA adapters and an identity
ControlNet.

Rombach et al. 2022 (arXiv 2112.10752), Ye et al. 2023 (IP-Adapter, arXiv 2308.06721), Hu et al. 2021 (LoRA, arXiv
2106.09685), Wang et al. 2024 (InstantID, arXiv 2401.07519). Runs any pack whose pipeline folder has that shape,
whatever its size and prediction type.
"""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from diffusers import StableDiffusionControlNetPipeline, StableDiffusionPipeline
from diffusers.utils import logging as diffusers_logging
from PIL import Image
from safetensors import SafetensorError, safe_open
from transformers.utils import logging as transformers_logging

from gpu_worker.contracts import AdapterUse, GenerateRequest, IdentityUse, Notice, PictureSpec, RunError
from gpu_worker.packs import Pack, PackError, digest_of, verify
from gpu_worker.pipelines import Meta, OnProgress
from gpu_worker.pipelines.identity_net import IdentityNet, keypoint_image

LIBRARIES: Final = frozenset({"diffusers", "transformers"})
"""Libraries whose classes a pipeline folder may name; anything else would be code the pack brings along."""
Pipe = Any
"""A StableDiffusionPipeline; diffusers types little of it."""
LORA: Final = "character"
MASK_CELL: Final = 8
"""Pixels on the side of a cell of the people's regions; finer than any attention."""
FACEID_LORA: Final = "faceid_0"  # diffusers' name for the LoRA that the published FaceID files carry

diffusers_logging.set_verbosity_error()
diffusers_logging.disable_progress_bar()
transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()


class OutOfMemory(RunError):
    """The model does not fit. Another worker, or a later time, may do."""

    retryable = True


# ---------------------------------------------------------------------------------------------------- loading
def dtype_for(device: str) -> torch.dtype:
    return torch.float16 if torch.device(device).type == "cuda" else torch.float32


def load_pipeline(pack: Pack, device: str, dtype: torch.dtype) -> Pipe:
    """Verify the pack and load its pipeline folder, with nothing attached. Raises PackError."""
    if pack.family != "sd" or pack.pipeline is None:
        raise PackError(f"The pack {pack.name} is not of the family sd, so it cannot make pictures here.")
    verify(pack, under=[pack.pipeline])
    folder = pack.path(pack.pipeline)
    _check_classes(pack, folder)
    pipe = StableDiffusionPipeline.from_pretrained(
        folder,
        dtype=dtype,
        variant=_variant(folder),
        local_files_only=True,
        use_safetensors=True,
        safety_checker=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    for part in (pipe.unet, pipe.vae, pipe.text_encoder):
        part.eval().requires_grad_(False)
    pipe.vae.to(memory_format=torch.channels_last)  # decoding is all convolutions: a third faster on processors
    return pipe.to(device)


def attach_image_prompt(pipe: Pipe, pack: Pack) -> None:
    """Verify and attach the pack's IP-Adapter; it is silent until a scale is set. Raises PackError."""
    if pack.ip_adapter is None:
        raise PackError(f"The pack {pack.name} has no image prompt.")
    verify(pack, under=[pack.ip_adapter.file])
    state: dict[str, dict[str, torch.Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    with safe_open(pack.path(pack.ip_adapter.file), framework="pt") as file:
        for key in file.keys():  # noqa: SIM118 - a safetensors handle is no mapping
            group, _, name = key.partition(".")
            if group not in state:
                raise PackError(
                    f"{pack.ip_adapter.file} of the pack {pack.name} is not in the IP-Adapter layout: {key}."
                )
            state[group][name] = file.get_tensor(key)
    pipe.load_ip_adapter(state, subfolder="", weight_name="", image_encoder_folder=None)
    for part in pipe.unet.encoder_hid_proj, *pipe.unet.attn_processors.values():
        if isinstance(part, torch.nn.Module):
            part.eval().requires_grad_(False)
    pipe.set_ip_adapter_scale(0.0)


def has_faceid_lora(pipe: Pipe) -> bool:
    return FACEID_LORA in getattr(pipe.unet, "peft_config", {})


def _check_classes(pack: Pack, folder: Path) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    for part, named in index.items():
        if isinstance(named, list) and named[0] is not None and named[0] not in LIBRARIES:
            raise PackError(
                f"The pack {pack.name} names {'.'.join(map(str, named))} for its {part}, which is not a stock class."
            )


def _variant(folder: Path) -> str | None:
    return "fp16" if any((folder / "unet").glob("*.fp16.safetensors")) else None


# ------------------------------------------------------------------------------------------------- generating
class StableDiffusion:
    def __init__(self) -> None:
        self._pipe: Pipe | None = None
        self._lora: str | None = None  # digest of the LoRA that is loaded
        self._controlled: Pipe | None = None  # the same models with the identity ControlNet, once it is wanted

    def load(self, pack: Pack, device: str) -> None:
        self.pack, self.device = pack, device
        self._pipe, self._lora, self._controlled = self._loaded(pack, device), None, None

    @staticmethod
    def _loaded(pack: Pack, device: str) -> Pipe:
        pipe = load_pipeline(pack, device, dtype_for(device))
        if pack.ip_adapter is not None:
            attach_image_prompt(pipe, pack)
        return pipe

    def unload(self) -> None:
        self._pipe = self._lora = self._controlled = None
        free_memory()

    @property
    def pipe(self) -> Pipe:
        if self._pipe is None:
            self._pipe = self._loaded(self.pack, self.device)
        return self._pipe

    def notices(self, request: GenerateRequest) -> list[Notice]:
        tokenizer = self.pipe.tokenizer
        found = []
        for prompt in dict.fromkeys([*(picture.prompt for picture in request.pictures), request.negative_prompt]):
            ids = tokenizer(prompt).input_ids
            if len(ids) > tokenizer.model_max_length:
                cut = tokenizer.decode(ids[tokenizer.model_max_length - 1 : -1]).strip()
                text = f"The prompt is longer than the model reads; this end of it was left out: {cut}"
                found.append(Notice(code="prompt-cut", sentence=text, data={"prompt": prompt, "cut": cut}))
        return found

    def generate(
        self, request: GenerateRequest, *, should_stop: Callable[[], bool], on_progress: OnProgress
    ) -> Iterator[tuple[PictureSpec, Image.Image, Meta]]:
        """Yield (spec, RGB picture of height x width, what it was made with), batch by batch.

        Each picture draws from a generator of its own, seeded on the CPU, so that it is the same in any batch and on
        any device up to rounding. Runs out of memory: the batch is halved. Raises RunError.
        """
        self._check(request)
        self._use(request.adapter)
        self._activate(request.adapter, _people(request))
        waiting, size, done = list(request.pictures), request.batch_size, 0
        while waiting and not should_stop():
            batch = waiting[:size]
            begun = time.perf_counter()
            try:
                pictures = self._batch(request, batch, should_stop, self._reporter(request, batch, done, on_progress))
            except (torch.OutOfMemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                pictures = None
            if pictures is None:  # outside the handler, so that the failed batch's tensors are free
                free_memory()
                if len(batch) == 1:
                    raise OutOfMemory(
                        f"The memory of the {self.device} device is too small for one picture of {request.width} x "
                        f"{request.height} pixels. Choose a smaller size, or a worker with more memory."
                    )
                size = len(batch) // 2
                continue
            if not pictures:
                return
            seconds = (time.perf_counter() - begun) / len(batch)
            for spec, picture in zip(batch, pictures, strict=True):
                yield (
                    spec,
                    picture,
                    {"seconds": round(seconds, 4), "sampler": type(self.pipe.scheduler).__name__, "batch": len(batch)},
                )
            waiting, done = waiting[len(batch) :], done + len(batch)

    def _batch(
        self,
        request: GenerateRequest,
        batch: Sequence[PictureSpec],
        should_stop: Callable[[], bool],
        on_step: Callable[[int, int], None],
    ) -> list[Image.Image]:
        """Return the pictures of `batch`, or none at all if stopped."""
        pipe, control = self.pipe, {}
        prompt = self._image_prompt(request, len(batch))
        if prompt is not None and request.identity is not None and request.identity.control > 0:
            pipe = self._with_control()
            pipe.controlnet.tokens = self._tokens(prompt[0])
            control = {
                "image": [self._keypoint_image(request, spec) for spec in batch],
                "controlnet_conditioning_scale": float(request.identity.control),
            }

        def after_step(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            on_step(step + 1, pipe.num_timesteps)
            if should_stop():
                pipe._interrupt = True
            return {}

        latents = pipe(
            prompt=[spec.prompt for spec in batch],
            negative_prompt=[request.negative_prompt] * len(batch),
            width=request.width,
            height=request.height,
            num_inference_steps=request.steps,
            guidance_scale=request.guidance,
            generator=[torch.Generator().manual_seed(spec.seed) for spec in batch],
            ip_adapter_image_embeds=prompt,
            cross_attention_kwargs=self._regions(request),
            **control,
            output_type="latent",
            callback_on_step_end=after_step,
        ).images  # [B, C, height / f, width / f], f: the factor of the codec
        if pipe.interrupt:
            return []
        if not torch.isfinite(latents).all():
            raise RunError(
                "The model broke down and made no picture (its values are not finite). Lower the guidance or the "
                "adapter's strength, or train the adapter with a lower learning rate."
            )
        return [self._decode(latents[k : k + 1]) for k in range(len(batch))]

    @torch.no_grad()
    def _decode(self, latents: torch.Tensor) -> Image.Image:
        vae = self.pipe.vae
        shift = getattr(vae.config, "shift_factor", None) or 0.0
        decoded = vae.decode(latents.to(vae.dtype) / vae.config.scaling_factor + shift, return_dict=False)[0]
        pictures: list[Image.Image] = self.pipe.image_processor.postprocess(decoded, output_type="pil")
        return pictures[0]

    def _image_prompt(self, request: GenerateRequest, batch: int) -> list[torch.Tensor] | None:
        """[2 B, n, 512] for n people and classifier-free guidance (zeros are the negative), [B, n, 512] without it."""
        if self.pack.ip_adapter is None:
            return None
        size = self.pack.ip_adapter.embedding_size
        wanted = [person.embedding for person in _people(request)] or [(0.0,) * size]
        positive = torch.tensor(wanted, device=self.pipe.device, dtype=self.pipe.unet.dtype)
        positive = positive.expand(batch, len(wanted), size)
        return [torch.cat([torch.zeros_like(positive), positive]) if request.guidance > 1 else positive]

    def _regions(self, request: GenerateRequest) -> dict[str, Any] | None:
        """Arguments of cross-attention: a mask [1, n, h, w] of 0 and 1 that keeps each of n people in their place."""
        people = _people(request)
        if self.pack.ip_adapter is None or all(person.region is None for person in people):
            return None
        height, width = request.height // MASK_CELL, request.width // MASK_CELL
        masks = torch.zeros(1, len(people), height, width, device=self.pipe.device, dtype=self.pipe.unet.dtype)
        for k, person in enumerate(people):
            left, top, right, bottom = person.region or (0.0, 0.0, 1.0, 1.0)
            rows, columns = (round(top * height), round(bottom * height)), (round(left * width), round(right * width))
            masks[0, k, slice(*rows), slice(*columns)] = 1
        return {"ip_adapter_masks": [masks]}

    def _with_control(self) -> Pipe:
        """The pipeline with the pack's identity ControlNet, which is loaded the first time. Raises PackError."""
        if self._controlled is None:
            part = self.pack.controlnet
            if part is None:
                raise RunError(f"The model {self.pack.name} has no identity ControlNet. Choose another tier.")
            verify(self.pack, under=[part.folder])
            net = IdentityNet.from_pretrained(
                self.pack.path(part.folder),
                torch_dtype=self.pipe.unet.dtype,
                local_files_only=True,
                use_safetensors=True,
            )
            parts = {**self.pipe.components, "controlnet": net.eval().requires_grad_(False).to(self.pipe.device)}
            controlled: Pipe = StableDiffusionControlNetPipeline(**parts, requires_safety_checker=False)
            controlled.set_progress_bar_config(disable=True)
            self._controlled = controlled
        return self._controlled

    @torch.no_grad()
    def _tokens(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Tokens [B, n, d] of the image prompt's embeddings [B, 1, 512]."""
        tokens: torch.Tensor = self.pipe.unet.encoder_hid_proj([embeddings])[0]
        return tokens.flatten(1, 2)

    def _keypoint_image(self, request: GenerateRequest, spec: PictureSpec) -> Image.Image:
        part = self.pack.controlnet
        points = spec.keypoints or (part.keypoints(spec.prompt, request.width, request.height) if part else ())
        return keypoint_image(points, request.width, request.height)

    def _reporter(
        self, request: GenerateRequest, batch: Sequence[PictureSpec], done: int, on_progress: OnProgress
    ) -> Callable[[int, int], None]:
        count = len(request.pictures)
        which = f"{done + 1}" if len(batch) == 1 else f"{done + 1}-{done + len(batch)}"

        def on_step(step: int, steps: int) -> None:
            on_progress(done * steps + step * len(batch), count * steps, f"Picture {which} of {count}")

        return on_step

    # ------------------------------------------------------------------------------------------------ adapters
    def _check(self, request: GenerateRequest) -> None:
        factor = self.pipe.vae_scale_factor
        if request.width % factor or request.height % factor:
            raise RunError(f"The model {self.pack.name} makes pictures whose sides are multiples of {factor} pixels.")
        adapter = self.pack.ip_adapter
        for person in (person for person in _people(request) if person.strength > 0):
            if adapter is None:
                raise RunError(
                    f"The model {self.pack.name} takes no image prompt. Train an adapter, or choose another model."
                )
            if len(person.embedding) != adapter.embedding_size:
                raise RunError(
                    f"The image prompt of {self.pack.name} takes embeddings of {adapter.embedding_size} values."
                )

    def _use(self, adapter: AdapterUse | None) -> None:
        """Have this LoRA loaded, and no other. It is not active yet."""
        digest = adapter.sha256 if adapter else None
        if digest == self._lora:
            return
        if self._lora is not None:
            self._drop()
        if adapter is None:
            return
        path = Path(adapter.path)
        if path.suffix != ".safetensors":
            raise RunError(f"The adapter {path.name} is not a safetensors file; other formats are refused.")
        try:
            found = digest_of(path)
        except OSError:
            raise RunError(
                f"The adapter {path.name} cannot be read. Train it again, or choose another version."
            ) from None
        if found != adapter.sha256:
            raise RunError(f"The adapter {path.name} is not the file that was recorded (its hash differs). Restore it.")
        misfit = RunError(
            f"The adapter {path.name} does not fit the model {self.pack.name}: it was made for another one."
        )
        try:
            self.pipe.load_lora_weights(
                str(path.parent),
                weight_name=path.name,
                adapter_name=LORA,
                local_files_only=True,
                use_safetensors=True,
            )
        except (ValueError, RuntimeError, KeyError, SafetensorError) as error:
            if is_out_of_memory(error):
                raise
            self._pipe = self._lora = self._controlled = None  # half a LoRA may hang in it: load afresh next time
            raise misfit from error
        self._lora = adapter.sha256
        if not any(LORA in names for names in self.pipe.get_list_adapters().values()):
            self._lora = None
            raise misfit

    def _drop(self) -> None:
        if has_faceid_lora(self.pipe):
            self.pipe.delete_adapters(LORA)
        else:
            self.pipe.unload_lora_weights()
        self._lora = None

    def _activate(self, adapter: AdapterUse | None, people: Sequence[IdentityUse]) -> None:
        """Set what is heard of the image prompt and the LoRAs. What is silent leaves no trace in the picture, bit for
        bit."""
        strengths = [person.strength for person in people]
        strength = max(strengths, default=0.0)
        if self.pack.ip_adapter is not None:
            self.pipe.set_ip_adapter_scale([strengths] if len(strengths) > 1 else strength)
        heard = {}
        if has_faceid_lora(self.pipe) and strength > 0:
            heard[FACEID_LORA] = 1.0  # as published: fixed, whatever the scale of the image prompt
        if adapter is not None and adapter.strength > 0:
            heard[LORA] = adapter.strength
        if heard:
            self.pipe.enable_lora()
            self.pipe.set_adapters(list(heard), list(heard.values()))
        elif getattr(self.pipe.unet, "peft_config", None) or getattr(self.pipe.text_encoder, "peft_config", None):
            self.pipe.disable_lora()


def _people(request: GenerateRequest) -> list[IdentityUse]:
    return [request.identity, *request.companions] if request.identity else []


# ---------------------------------------------------------------------------------------------------- memory
def is_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
