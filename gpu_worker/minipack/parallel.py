"""Training on several processes of one thread each, which average their gradients after every step.

On a machine whose cores other work shares, this is several times faster than one process with several threads: those
wait for each other at every operation, these once a step.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

BFLOAT16 = torch.cpu._is_avx512_bf16_supported()
"""Whether the processor has instructions for bfloat16. Without them it is ten times slower than float32."""
LAYOUT = torch.channels_last if BFLOAT16 else torch.contiguous_format
"""The faster memory layout of the generator in that precision."""


def launch(entry: Callable[..., None], processes: int, **arguments: Any) -> None:
    """Run `entry(rank=..., world=..., **arguments)` in every process and wait. Raises what a process raised. A single
    one is this process."""
    if processes == 1:
        entry(rank=0, world=1, **arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        store = f"file://{Path(folder) / 'store'}"
        spawn(_begin, args=(processes, store, entry, arguments), nprocs=processes)


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


def average(parameters: Iterable[torch.nn.Parameter], done: float) -> float:
    """Average the gradients over all processes, in place. Returns the mean of `done`, so that all stop at one step."""
    if not dist.is_initialized():
        return done
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([torch.tensor([done], dtype=torch.float32), *(g.reshape(-1) for g in gradients)])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    start = 1
    for gradient in gradients:
        gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
        start += gradient.numel()
    return float(flat[0])
