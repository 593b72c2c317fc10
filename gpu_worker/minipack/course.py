"""The course of a training in one process: how long it takes, its learning rate, and where it goes on after a stop."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

SAVED_EVERY = 60.0
"""Seconds of processor time between two checkpoints."""


class Course:
    """Iterating yields, before each step, the share of the course that is over, 0-1, until `minutes` are over.

    The minutes are processor time, so that other work on the machine costs patience and not quality. The learning rate
    rises over `warmup` steps and falls along half a cosine.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        optimiser: torch.optim.Optimizer,
        checkpoint: Path,
        *,
        minutes: float,
        rate: float,
        warmup: int = 50,
    ) -> None:
        self.model, self.optimiser, self.checkpoint = model, optimiser, checkpoint
        self.minutes, self.rate, self.warmup = minutes, rate, warmup
        self.step, self.spent = 0, 0.0
        if checkpoint.exists():
            state: dict[str, Any] = torch.load(checkpoint, weights_only=True)
            model.load_state_dict(state["model"])
            optimiser.load_state_dict(state["optimiser"])
            self.step, self.spent = state["step"], state["spent"]

    def __iter__(self) -> Iterator[float]:
        before, saved = time.process_time() - self.spent, self.spent
        while (done := self.spent / (60 * self.minutes)) < 1:
            yield done
            for group in self.optimiser.param_groups:
                rise = min(1, (self.step + 1) / self.warmup)
                group["lr"] = self.rate * rise * (0.5 * (1 + math.cos(math.pi * done)) + 0.01)
            self.optimiser.step()
            self.step += 1
            self.spent = time.process_time() - before
            if self.spent - saved > SAVED_EVERY:
                saved = self.spent
                self._save()

    def learn(self, loss: torch.Tensor) -> None:
        """Set the gradients of this step, which is taken when the iteration goes on."""
        self.optimiser.zero_grad()
        loss.backward()

    def _save(self) -> None:
        state = {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict()}
        part = self.checkpoint.with_suffix(".part")
        torch.save({**state, "step": self.step, "spent": self.spent}, part)
        part.rename(self.checkpoint)
