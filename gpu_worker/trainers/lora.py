"""LoRA training for the family `sd` (Hu et al. 2021, arXiv 2106.09685), with peft, resumable to the bit.

Everything random comes from two generators of the run's own (torch for noise, timesteps and dropout seeds; numpy for
order, captions and flips). A checkpoint holds both, with the weights, the optimizer and the losses; the learning rate
is a function of the step. So a run that was killed and taken up ends with the same bytes as one that was not, on the
same kind of machine.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Callable, Generator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler
from peft import LoraConfig, get_peft_model_state_dict

from gpu_worker.checks import check_train
from gpu_worker.contracts import Checkpoint, Message, Notice, Output, Progress, RunError, Stopped, TrainRequest
from gpu_worker.packs import Pack, digest_of
from gpu_worker.pipelines.sd import (
    FACEID_LORA,
    LORA,
    OutOfMemory,
    attach_image_prompt,
    has_faceid_lora,
    is_out_of_memory,
    load_pipeline,
)
from gpu_worker.scorers.picture import read_picture
from gpu_worker.trainers.adapter_file import write_adapter
from gpu_worker.trainers.checkpoints import Checkpoints, Saved
from gpu_worker.trainers.dataset import Cached, Order, bucket_for, buckets, fit

FLOOR: Final = 0.05  # of the peak learning rate, at the end of the cosine
CLIP: Final = 1.0  # norm of all gradients
DECAY: Final = 1e-2
CHECKPOINT_SECONDS: Final = 30.0
"""Longest time between checkpoints, whatever the recipe says: it is there that shorter work gets its turn."""
EMBEDDING_DROPOUT: Final = 0.1
"""Share of samples whose image prompt is zeros, which is the negative of classifier-free guidance."""
SILENT: Final = 0.25
"""Share of samples without any image prompt: the LoRA is also used alone."""


class LoraTrainer:
    """`run` trains and yields messages; the last is an adapter Output, or Stopped."""

    def __init__(self, request: TrainRequest, pack: Pack, device: str, workdir: Path) -> None:
        check_train(request, pack)
        self.request, self.pack, self.device, self.workdir = request, pack, device, workdir
        folder = Path(request.checkpoint_dir) if request.checkpoint_dir else workdir / "checkpoints"
        self.checkpoints = Checkpoints(folder, request.keep_checkpoints)
        self.started = datetime.now(UTC)
        self.sampled = 0  # the last step whose samples were all made

    def run(self, should_stop: Callable[[], bool]) -> Iterator[Message]:
        try:
            yield from self._run(should_stop)
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise OutOfMemory(
                f"The memory of the {self.device} device is too small for this training. Lower the batch size "
                f"({self.request.batch_size}) or the resolution ({self.request.resolution}), or use a worker with more "
                "memory."
            ) from error

    def _run(self, should_stop: Callable[[], bool]) -> Iterator[Message]:
        request, total = self.request, self.request.steps
        saved, damaged = self.checkpoints.newest()
        done = saved.step if saved is not None else 0
        yield Progress(step=done, total=total, note="Reading the pictures")
        pixels = [read_picture(picture.path) for picture in request.pictures]
        for step in damaged:
            text = f"The checkpoint of step {step} is damaged, so the training goes on from an older one."
            yield Notice(code="checkpoint-damaged", sentence=text, data={"step": step})
        if saved is not None:
            self._recognise(saved)
        yield Progress(step=done, total=total, note="Loading the model")
        self._load()
        yield Progress(step=done, total=total, note="Preparing the pictures")
        items = self._cache(pixels)
        self._add_lora()
        order = Order(items, request.batch_size, request.seed)
        optimizer = torch.optim.AdamW(self.weights.values(), lr=request.learning_rate, weight_decay=DECAY)
        losses: list[float] = []
        if saved is not None:
            losses = self._restore(saved, optimizer, order)
            yield Progress(step=done, total=total, note=f"Going on from step {done}")
            # Its file may have been lost with the run that wrote the checkpoint.
            yield from self._due_file(done, losses)
        pace = _Pace(done)
        written = time.monotonic()
        yield from self._due_samples(done, pace, should_stop)
        while done < total or self._owes_samples(done):
            if should_stop():
                if done not in self.checkpoints.steps():
                    yield from self._write(done, optimizer, order, losses)
                yield Stopped(step=done)
                return
            if done == total:
                break
            losses.append(self._step(done, [items[k] for k in order.draw()], optimizer, order))
            done += 1
            yield self._progress(done, losses, pace)
            yield from self._due_file(done, losses)
            yield from self._due_samples(done, pace, should_stop)
            late = time.monotonic() - written > CHECKPOINT_SECONDS
            # Whoever takes a checkpoint has taken what came before it, so a file handed out is never lost.
            if late or done % request.checkpoint_every == 0 or done == total or done in request.hand_out_at:
                yield from self._write(done, optimizer, order, losses)
                written = time.monotonic()
        yield self._file(total, losses, index=0, kind="adapter")

    # ------------------------------------------------------------------------------------------------ preparing
    def _load(self) -> None:
        self.pipe: Any = load_pipeline(self.pack, self.device, torch.float32)
        unet = self.pipe.unet
        self.joint = self.pack.ip_adapter is not None and any(p.embedding is not None for p in self.request.pictures)
        self.heard = torch.ones(0)
        if self.joint:
            attach_image_prompt(self.pipe, self.pack)
            unet.encoder_hid_proj.register_forward_hook(self._silence)
        if (
            torch.device(self.device).type == "cuda"
            and torch.cuda.get_device_properties(self.device).total_memory < 16 * 2**30
        ):
            unet.enable_gradient_checkpointing()
        config = self.pipe.scheduler.config
        self.flow = config.prediction_type == "flow_prediction"
        if not self.flow and config.prediction_type not in ("epsilon", "v_prediction"):
            raise RunError(
                f"The model {self.pack.name} predicts {config.prediction_type!r}, which cannot be trained here."
            )
        self.schedule = None if self.flow else DDPMScheduler.from_config(config)
        self.noise = torch.Generator().manual_seed(self.request.seed)

    @torch.no_grad()
    def _cache(self, pixels: list[Any]) -> list[Cached]:
        """Encode each picture and each caption once. As a VAE's posterior is narrow, its mean stands for it."""
        request, vae = self.request, self.pipe.vae
        multiple = self.pipe.vae_scale_factor * 2 ** (len(self.pipe.unet.config.block_out_channels) - 1)
        choices = buckets(request.resolution, multiple)

        def encode(picture: torch.Tensor) -> torch.Tensor:
            mean = vae.encode(picture[None].to(self.device)).latent_dist.mode()[0]
            return ((mean - (getattr(vae.config, "shift_factor", None) or 0.0)) * vae.config.scaling_factor).cpu()

        items = []
        for shown, picture in zip(pixels, request.pictures, strict=True):
            size = bucket_for(shown.shape[1], shown.shape[0], choices)
            fitted = fit(shown, size)
            embedding = None if picture.embedding is None else torch.tensor(picture.embedding)
            flipped = encode(fitted.flip(2)) if request.flip else None
            items.append(Cached(size, encode(fitted), flipped, picture.caption, embedding))
        self.texts = {text: self._encode_text(text) for text in {"", *(item.caption for item in items)}}
        self.embeddings = [item.embedding for item in items if item.embedding is not None]
        return items

    def _encode_text(self, text: str) -> torch.Tensor:
        """[tokens, width]."""
        encoded: torch.Tensor = self.pipe.encode_prompt(text, self.device, 1, do_classifier_free_guidance=False)[0][0]
        return encoded

    def _add_lora(self) -> None:
        request, unet = self.request, self.pipe.unet
        config = LoraConfig(
            r=request.rank,
            lora_alpha=request.alpha,  # type: ignore[arg-type]  # declared int, used as a number
            lora_dropout=request.dropout,
            target_modules=list(request.targets),
            init_lora_weights=True,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(request.seed)
            try:
                unet.add_adapter(config, adapter_name=LORA)
            except ValueError as error:
                raise RunError(
                    f"The recipe's layers ({', '.join(request.targets)}) are not in the model {self.pack.name}."
                ) from error
        if has_faceid_lora(self.pipe) and self.joint:
            unet.set_adapters([FACEID_LORA, LORA], [1.0, 1.0])
        for name, parameter in unet.named_parameters():
            parameter.requires_grad_(f".{LORA}." in name)
        self.weights = {name: p for name, p in sorted(unet.named_parameters()) if p.requires_grad}

    # ------------------------------------------------------------------------------------------------- training
    def _step(self, step: int, batch: list[Cached], optimizer: torch.optim.Optimizer, order: Order) -> float:
        request, unet = self.request, self.pipe.unet
        latents = torch.stack(
            [b.flipped if b.flipped is not None and order.rng.random() < 0.5 else b.latents for b in batch]
        )
        captions = ["" if order.rng.random() < request.caption_dropout else b.caption for b in batch]
        text = torch.stack([self.texts[caption] for caption in captions])
        noisy, t, target = self._noised(latents)
        rate = learning_rate(step, request)
        for group in optimizer.param_groups:
            group["lr"] = rate
        devices = [torch.device(self.device)] if torch.device(self.device).type == "cuda" else []
        dropout_seed = int(torch.randint(2**62, (1,), generator=self.noise))
        with torch.random.fork_rng(devices=devices, enabled=request.dropout > 0):
            if request.dropout > 0:
                torch.manual_seed(dropout_seed)
            unet.train()
            with torch.autocast("cuda", torch.bfloat16, enabled=bool(devices)):
                predicted = unet(
                    noisy.to(self.device),
                    t.to(self.device),
                    text,
                    added_cond_kwargs=self._image_prompt(len(batch), order),
                ).sample
            loss = F.mse_loss(predicted.float(), target.to(self.device))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(list(self.weights.values()), CLIP)
        value = loss.item()
        if not (math.isfinite(value) and math.isfinite(norm.item())):
            raise RunError(
                f"The training broke down at step {step + 1}: the loss is not a finite number. The learning rate "
                f"{request.learning_rate:g} is too high for it; try {request.learning_rate / 3:.2g}."
            )
        optimizer.step()
        return value

    def _noised(self, latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Noisy latents [B, C, h, w], timesteps [B] and what the network should answer [B, C, h, w].

        Flow: z = (1 - s) x + s n, answer n - x, s logit-normal and shifted like the pack's sampler (Esser et al. 2024,
        arXiv 2403.03206, eq. 19 and 23); else the pack's noise schedule with uniform timesteps (Ho et al. 2020, arXiv
        2006.11239).
        """
        noise = torch.randn(latents.shape, generator=self.noise)
        config = self.pipe.scheduler.config
        if self.schedule is None:
            shift = math.log(config.get("flow_shift", None) or 1.0)
            s = torch.sigmoid(torch.randn(len(latents), generator=self.noise) + shift)
            wide = s.view(-1, 1, 1, 1)
            return (1 - wide) * latents + wide * noise, s * config.num_train_timesteps, noise - latents
        t = torch.randint(config.num_train_timesteps, (len(latents),), generator=self.noise)
        noisy = self.schedule.add_noise(latents, noise, t)
        velocity = config.prediction_type == "v_prediction"
        return noisy, t, self.schedule.get_velocity(latents, noise, t) if velocity else noise

    def _image_prompt(self, count: int, order: Order) -> dict[str, list[torch.Tensor]] | None:
        """Each sample gets the embedding of some picture of the character - rarely its own, lest it be copied -, zeros,
        or none."""
        if not self.joint:
            return None
        chosen = torch.stack([self.embeddings[int(k)] for k in order.rng.integers(len(self.embeddings), size=count)])
        kept = torch.from_numpy(order.rng.random(count) >= EMBEDDING_DROPOUT).float()
        self.heard = torch.from_numpy(order.rng.random(count) >= SILENT).float().to(self.device)
        self.pipe.set_ip_adapter_scale(1.0)
        return {"image_embeds": [(chosen * kept[:, None])[:, None].to(self.device)]}  # [B, 1, 512]

    def _silence(self, module: Any, arguments: Any, tokens: list[torch.Tensor]) -> list[torch.Tensor]:
        """Blank the image tokens [B, 1, T, D] of samples without image prompt: keys and values have no bias, so nothing
        is left."""
        if not self.pipe.unet.training:
            return tokens
        return [part * self.heard.view(-1, *[1] * (part.ndim - 1)).to(part.dtype) for part in tokens]

    def _progress(self, done: int, losses: list[float], pace: _Pace) -> Progress:
        total = self.request.steps
        speed = pace.after(done)
        values = {"loss": losses[-1], "learning_rate": learning_rate(done - 1, self.request), "steps_per_second": speed}
        if speed > 0:
            values["seconds_left"] = (total - done) / speed
        return Progress(step=done, total=total, note=f"Step {done} of {total}", values=values)

    # -------------------------------------------------------------------------------------------------- results
    def _owes_samples(self, done: int) -> bool:
        """Whether samples are due at this step and were not all made: a stop may have cut them short."""
        request = self.request
        due = done > 0 and (done % request.sample_every == 0 or done == request.steps)
        return bool(request.samples) and due and self.sampled != done

    def _due_samples(self, done: int, pace: _Pace, should_stop: Callable[[], bool]) -> Iterator[Message]:
        if not self._owes_samples(done):
            return
        with pace.paused():
            yield Progress(step=done, total=self.request.steps, note="Making sample pictures")
            if (yield from self._samples(done, should_stop)):
                self.sampled = done

    def _samples(self, done: int, should_stop: Callable[[], bool]) -> Generator[Output, None, bool]:
        """Returns whether all were made."""
        defaults, pipe = self.pack.defaults, self.pipe
        side = self.request.resolution
        width, height = min(
            self.pack.sizes, key=lambda size: abs(size[0] * size[1] - side * side), default=(side, side)
        )
        silent = None
        guidance = float(defaults.get("guidance", 3.0))
        if self.joint:
            pipe.set_ip_adapter_scale(0.0)
            silent = [torch.zeros(2 if guidance > 1 else 1, 1, 512, device=self.device)]
        pipe.unet.eval()

        def after_step(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            pipe._interrupt = should_stop()
            return {}

        for k, sample in enumerate(self.request.samples):
            picture = pipe(
                prompt=sample.prompt,
                negative_prompt=str(defaults.get("negative_prompt", "")),
                width=width,
                height=height,
                num_inference_steps=int(defaults.get("steps", 20)),
                guidance_scale=guidance,
                generator=torch.Generator().manual_seed(sample.seed),
                ip_adapter_image_embeds=silent,
                callback_on_step_end=after_step,
            ).images[0]
            if pipe.interrupt:
                return False
            path = self.workdir / f"sample-{done:06d}-{k:02d}.png"
            picture.save(path)
            data = {"step": done, "prompt": sample.prompt, "seed": sample.seed, "width": width, "height": height}
            yield Output(index=done * 1000 + k, kind="sample", path=path.name, sha256=digest_of(path), data=data)
        return True

    def _due_file(self, done: int, losses: list[float]) -> Iterator[Output]:
        if done in self.request.hand_out_at and done < self.request.steps:
            yield self._file(done, losses, index=done * 1000 + 999, kind="checkpoint")

    def _file(self, done: int, losses: list[float], *, index: int, kind: str) -> Output:
        """The LoRA as it is after `done` steps."""
        request = dataclasses.replace(self.request, steps=done)
        weights = get_peft_model_state_dict(self.pipe.unet, adapter_name=LORA)
        about = {
            "ss_training_started_at": str(self.started.timestamp()),
            "ss_training_finished_at": str(datetime.now(UTC).timestamp()),
            "ss_training_comment": "trained together with the image prompt" if self.joint else "",
        }
        path = self.workdir / (f"step-{done:06d}.safetensors" if kind == "checkpoint" else "adapter.safetensors")
        config = self.pipe.unet.peft_config[LORA].to_dict()
        digest = write_adapter(path, weights, config, request=request, pack=self.pack, about=about)
        tail = losses[-max(len(losses) // 10, 1) :]
        data = {
            "trigger": request.trigger,
            "rank": request.rank,
            "alpha": request.alpha,
            "steps": done,
            "pack": {"name": self.pack.name, "version": self.pack.version, "sha256": self.pack.sha256},
            "joint": self.joint,
            "loss": sum(tail) / len(tail),
            "bytes": path.stat().st_size,
            "device": torch.device(self.device).type,
        }
        return Output(index=index, kind=kind, path=path.name, sha256=digest, data=data)

    # ---------------------------------------------------------------------------------------------- checkpoints
    def _write(
        self, done: int, optimizer: torch.optim.Optimizer, order: Order, losses: list[float]
    ) -> Iterator[Checkpoint]:
        if done == 0:
            return
        tensors = {f"weight.{name}": p.detach().cpu().contiguous() for name, p in self.weights.items()}
        for name, parameter in self.weights.items():
            tensors |= {
                f"optimizer.{key}.{name}": v.detach().cpu().contiguous()
                for key, v in optimizer.state[parameter].items()
            }
        for k, picture in enumerate(self.request.pictures):
            if picture.embedding is not None:
                tensors[f"embedding.{k}"] = torch.tensor(picture.embedding, dtype=torch.float64)
        tensors["rng"] = self.noise.get_state()
        state = {
            "fingerprint": self._fingerprint(),
            "order": order.state,
            "losses": losses,
            "sampled": self.sampled,
            "started": self.started.isoformat(),
        }
        self.checkpoints.write(Saved(done, tensors, state))
        yield Checkpoint(step=done)

    def _recognise(self, saved: Saved) -> None:
        """Refuse a checkpoint of another training; take the embeddings that its run began with, even where the faces
        have been looked at anew since."""
        if saved.state["fingerprint"] != self._fingerprint():
            raise RunError(
                "The checkpoint belongs to another training: the pictures, the captions, the recipe or the model "
                "differ. Start this training anew, with an empty checkpoint folder."
            )
        kept = [saved.tensors.get(f"embedding.{k}") for k in range(len(self.request.pictures))]
        pictures = tuple(
            dataclasses.replace(picture, embedding=None if tensor is None else tuple(tensor.tolist()))
            for picture, tensor in zip(self.request.pictures, kept, strict=True)
        )
        self.request = dataclasses.replace(self.request, pictures=pictures)

    def _restore(self, saved: Saved, optimizer: torch.optim.Optimizer, order: Order) -> list[float]:
        """Take up where `saved` left off; returns the losses so far."""
        with torch.no_grad():
            for name, parameter in self.weights.items():
                parameter.copy_(saved.tensors[f"weight.{name}"])
                keys = {"exp_avg", "exp_avg_sq", "step"}
                kept = {key: saved.tensors[f"optimizer.{key}.{name}"] for key in keys}
                optimizer.state[parameter] = {k: v if k == "step" else v.to(parameter.device) for k, v in kept.items()}
        self.noise.set_state(saved.tensors["rng"])
        order.state = saved.state["order"]
        self.sampled = int(saved.state["sampled"])
        self.started = datetime.fromisoformat(saved.state["started"])
        return list(saved.state["losses"])

    def _fingerprint(self) -> str:
        """What must be the same for a run to go on: all that shapes the weights."""
        told = dataclasses.asdict(self.request)
        for name in (
            "pack",
            "pictures",
            "checkpoint_dir",
            "checkpoint_every",
            "keep_checkpoints",
            "hand_out_at",
            "sample_every",
            "samples",
            "encoders",
            "metadata",
        ):
            del told[name]
        pictures = [(digest_of(Path(p.path)), p.caption) for p in self.request.pictures]
        return hashlib.sha256(json.dumps([told, pictures, self.pack.sha256]).encode()).hexdigest()


def learning_rate(step: int, request: TrainRequest) -> float:
    """Rate of step `step` (from 0): a linear rise over the warm-up, then a cosine from the peak to 5 % of it."""
    warmup = min(request.warmup_steps, request.steps - 1)
    if step < warmup:
        return request.learning_rate * (step + 1) / (warmup + 1)
    share = (step - warmup) / max(request.steps - 1 - warmup, 1)
    return request.learning_rate * (FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * share)))


class _Pace:
    """Steps per second, sample pictures left out; of the last 20 steps or so."""

    def __init__(self, step: int) -> None:
        self._marks = [(step, time.perf_counter())]
        self._lost = 0.0

    def after(self, step: int) -> float:
        self._marks = [*self._marks[-20:], (step, time.perf_counter() - self._lost)]
        (first, begun), (last, ended) = self._marks[0], self._marks[-1]
        return (last - first) / max(ended - begun, 1e-6)

    def paused(self) -> _Pause:
        return _Pause(self)

    def lose(self, seconds: float) -> None:
        self._lost += seconds


class _Pause:
    def __init__(self, pace: _Pace) -> None:
        self._pace = pace

    def __enter__(self) -> None:
        self._begun = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        self._pace.lose(time.perf_counter() - self._begun)
