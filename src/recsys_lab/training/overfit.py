"""``recipe.overfit_loss``: whether a model can learn one batch by heart."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch

from recsys_lab.config import Verdict
from recsys_lab.training.module import SequentialModule

if TYPE_CHECKING:
    from rich.console import Console

    from recsys_lab.contracts import Batch


class OneBatch:
    """One batch, again and again; an epoch has a fixed number of steps.

    Args:
        batch: the batch.
        steps: number of steps of an epoch.
    """

    def __init__(self, batch: Batch, steps: int) -> None:
        self._batch, self._steps = batch, steps
        self._done = 0

    def __len__(self) -> int:
        """Number of steps of an epoch."""
        return self._steps

    def __iter__(self) -> Iterator[Batch]:
        """The rest of the current epoch, or the next epoch when the current one is done."""
        if self._done >= self._steps:
            self._done = 0
        while self._done < self._steps:
            self._done += 1
            yield self._batch

    def state_dict(self) -> dict[str, int]:
        """The steps done in this epoch."""
        return {"batch": self._done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue from a stored state."""
        self._done = state["batch"]


class Overfit(pl.Callback):
    """Draws the same random numbers in each step, and stops below a loss.

    With other masks, negatives or dropout in each step, the loss would not come near zero.

    Args:
        below: the loss to reach.
        console: for the result.
    """

    def __init__(self, below: float, console: Console) -> None:
        self._below = below
        self._console = console
        self._first = self._last = math.nan
        self._unreached: set[str] | None = None

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seed torch's generators."""
        del trainer, pl_module, batch, batch_idx
        torch.manual_seed(0)

    def on_after_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note which weights had a gradient; a zero of one step may be that of a new output."""
        del trainer
        weights = dict(pl_module.named_parameters())
        if self._unreached is None:
            self._unreached = {name for name, one in weights.items() if one.requires_grad}
        self._unreached = {name for name in self._unreached if not _has_gradient(weights[name])}

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any,
        batch_idx: int,
    ) -> None:  # fmt: skip
        """Stop if the loss is low enough."""
        del outputs, batch, batch_idx
        assert isinstance(pl_module, SequentialModule)
        self._last = float(pl_module.last_loss)
        if math.isnan(self._first):
            self._first = self._last
        if self._last < self._below:
            trainer.should_stop = True

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Tell the result.

        Raises:
            Verdict: the loss was not reached.
        """
        path = f"{self._first:.4g} to {self._last:.4g} in {trainer.global_step} steps"
        if self._last < self._below:
            self._console.print(f"overfit: the loss of one batch fell from {path}", highlight=False)
            return
        never = self._unreached or set()
        silent = [name for name, _ in pl_module.named_parameters() if name in never]
        unreached = f" No gradient reaches {', '.join(silent[:5])}." if silent else ""
        raise Verdict(
            f"overfit: the loss of one batch went from {path}, expected below {self._below:g}."
            f"{unreached} Either the model or the loss cannot learn these targets (a target that "
            "is not that of its position, a detached tensor, states without the history), or the "
            "training is too short: use a larger recipe.max_steps or recipe.learning_rate. Exit "
            "status 3"
        )


def _has_gradient(weight: torch.nn.Parameter) -> bool:
    if weight.grad is None:
        return False
    values = weight.grad.coalesce().values() if weight.grad.is_sparse else weight.grad
    return bool(values.any())
