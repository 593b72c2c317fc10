"""Training on several processes of one thread each, which average their gradients after every step.

On a machine whose cores other work shares, this is several times faster than one process with several threads: those
wait for each other at every operation, these once a step.
"""

from __future__ import annotations

import copy
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

BFLOAT16 = torch.cpu._is_avx512_bf16_supported()
"""Whether the processor has instructions for bfloat16. Without them it is ten times slower than float32."""
RATE = 1.1e-3
"""Learning rate of a model that begins from nothing."""


def launch(entry: Callable[..., None], processes: int, *, log: Callable[[str], None], **arguments: Any) -> None:
    """Run `entry(rank=..., world=..., log=..., **arguments)` in this process and in as many more as are wanted, and
    wait. Raises what a process raised. The others do not log."""
    if processes == 1:
        entry(rank=0, world=1, log=log, **arguments)
        return
    threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        store = f"file://{Path(folder) / 'store'}"
        others: Any = spawn(_other, args=(processes, store, entry, arguments), nprocs=processes - 1, join=False)
        try:
            _begin(0, processes, store, entry, {**arguments, "log": log})
            while not others.join():
                pass
        finally:
            torch.set_num_threads(threads)
            for process in others.processes:
                process.kill()


def _other(number: int, processes: int, store: str, entry: Callable[..., None], arguments: dict[str, Any]) -> None:
    _begin(number + 1, processes, store, entry, {**arguments, "log": _silent})


def _silent(text: str) -> None:
    pass


def _begin(rank: int, world: int, store: str, entry: Callable[..., None], arguments: dict[str, Any]) -> None:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world)
    try:
        entry(rank=rank, world=world, **arguments)
    finally:
        dist.destroy_process_group()


def autocast(device: str = "cpu") -> torch.autocast:
    """bfloat16 arithmetic where it pays. `device`: `cpu` or `cuda`."""
    return torch.autocast(device, torch.bfloat16, enabled=BFLOAT16 or device == "cuda")


class Gradients:
    """The gradients of all parameters as one vector, so that clearing, averaging and clipping are one pass each."""

    def __init__(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        self.flat = torch.zeros(1 + sum(p.numel() for p in parameters), device=parameters[0].device)
        start = 1
        for parameter in parameters:
            parameter.grad = self.flat[start : start + parameter.numel()].view_as(parameter)
            start += parameter.numel()

    def average(self, done: float) -> float:
        """Average over all processes. Returns the mean of `done`, so that all stop at one step."""
        if not dist.is_initialized():
            return done
        self.flat[0] = done
        dist.all_reduce(self.flat)
        self.flat /= dist.get_world_size()
        return float(self.flat[0])

    def clip(self, most: float) -> None:
        """Shorten the vector to the length `most` where it is longer."""
        self.flat[0] = 0
        self.flat *= (most / (self.flat.norm() + 1e-6)).clamp(max=1)


def learn(
    model: torch.nn.Module,
    loss: Callable[[np.random.Generator, int, int], torch.Tensor],
    checkpoint: Path,
    *,
    seed: int,
    minutes: float,
    rate: float | None,
    size: int,
    rank: int,
    world: int,
    log: Callable[[str], None],
) -> None:
    """Train `model` in every process that `launch` runs, until `minutes` are spent.

    The minutes are processor time, as those of a `Course`, and count what `checkpoint` has spent: called with more of
    them it goes on. `loss(rng, step, size)` is the mean loss of so many samples. All processes together take `size` of
    them a step, from the middle on twice as many. The learning rate, by default the checkpoint's, falls in the last
    third. The checkpoint is written every two minutes and at the end; its `average` is the model with weights averaged
    over the latest few hundred steps, which is what to use.
    """
    name, average = checkpoint.stem, copy.deepcopy(model).eval() if rank == 0 else None
    parameters: list[Any] = list(model.parameters())
    gradients = Gradients(parameters)
    step, seen, spent = 0, 0, 0.0
    state: dict[str, Any] = {}
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True, map_location=parameters[0].device)
        model.load_state_dict(state["model"])
        if average is not None:
            average.load_state_dict(state["average"])
        step, seen, spent = state["step"], state["seen"], state["spent"]
    rate = rate or state.get("rate") or RATE
    optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=1e-2, betas=(0.9, 0.98), fused=True)
    if state.get("optimiser") is not None:
        optimiser.load_state_dict(state["optimiser"])
    del state
    if rank == 0:
        count = sum(p.numel() for p in parameters) / 1e6
        log(f"{name}: {count:.2f} M parameters, learning rate {rate:g}, begins at step {step}, {spent:.0f} s")
    rng = np.random.default_rng((seed, step, rank))
    torch.manual_seed(seed + 100_003 * rank + step)
    before, saved, mean = time.process_time() - spent, spent, 0.0
    begun, already, done = time.monotonic(), seen, spent / (60 * minutes)

    def save() -> None:
        means = average.state_dict() if average is not None else {}
        kept = {"model": model.state_dict(), "average": means, "optimiser": optimiser.state_dict()}
        part = checkpoint.with_suffix(".part")
        torch.save({**kept, "rate": rate, "step": step, "seen": seen, "spent": time.process_time() - before}, part)
        part.rename(checkpoint)

    while done < 1:
        count = max(1, size * (1 if done < 0.5 else 2) // world)
        gradients.flat.zero_()
        value = loss(rng, step, count)
        value.backward()
        done = gradients.average((time.process_time() - before) / (60 * minutes))
        gradients.clip(1.0)
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 150) * min(1, max(0.02, (1 - done) / 0.35))
        optimiser.step()
        step, seen = step + 1, seen + count * world
        if average is not None and step % 5 == 0:
            with torch.no_grad():
                keep = min(0.99, (1 + step) / (60 + step))
                torch._foreach_lerp_(list(average.parameters()), parameters, 1 - keep)
        mean = value.item() if not mean else 0.98 * mean + 0.02 * value.item()
        spent = time.process_time() - before
        if rank == 0 and step % 100 == 0:
            pace = (seen - already) / (time.monotonic() - begun)
            log(f"{name}: step {step}, {seen} pictures, {spent:.0f} s, {pace:.1f} pictures/s, loss {mean:.4f}")
        if rank == 0 and spent - saved > 120:
            saved = spent
            save()
    if rank == 0 and seen > already:
        save()
        log(f"{name}: finished after {step} steps, {seen} pictures, {spent:.0f} s, loss {mean:.4f}")
