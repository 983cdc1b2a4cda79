"""Loss, learning rate and gradient norm within an epoch, for the trackers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch

from recsys_lab.contracts import fetch_later
from recsys_lab.training.module import SequentialModule

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


class StepLog(pl.Callback):
    """Logs every n-th optimizer step, counted from 1, without waiting for the device.

    ``step/loss`` is the mean since the last logged step of the epoch, ``step/learning_rate`` that
    of the step, ``step/gradient_norm`` that before clipping. Values are copied to the host while
    the next steps run, and given to the trackers when the next ones are copied, or at the end.

    Args:
        every: n.
    """

    def __init__(self, every: int) -> None:
        self._every = every
        self._waiting: tuple[int, float, Callable[[], list[float]]] | None = None
        self._before: tuple[Tensor | float, int] = (0.0, 0)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A resumed epoch has a loss already."""
        del trainer
        assert isinstance(pl_module, SequentialModule)
        self._before = pl_module.loss_sum, pl_module.loss_steps
        pl_module.look_every = self._every

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The loss is that of this epoch."""
        del trainer, pl_module
        self._before = 0.0, 0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any,
        batch_idx: int,
    ) -> None:  # fmt: skip
        """Copy the values of an n-th step."""
        del outputs, batch, batch_idx
        assert isinstance(pl_module, SequentialModule)
        if pl_module.seen is None:
            return
        (norm, rate), pl_module.seen = pl_module.seen, None
        self._flush(trainer)
        (total, steps), now = self._before, (pl_module.loss_sum, pl_module.loss_steps)
        loss = torch.as_tensor((now[0] - total) / max(1, now[1] - steps))
        self._before = now
        values = torch.stack([loss.to(norm).detach(), norm])
        self._waiting = trainer.global_step - 1, rate, fetch_later(values)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Give the trackers the last values before those of the epoch."""
        del pl_module
        self._flush(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The same, in an epoch without validation."""
        del pl_module
        self._flush(trainer)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """The same, in a training that ends early."""
        del pl_module, exception
        self._flush(trainer)

    def _flush(self, trainer: pl.Trainer) -> None:
        if self._waiting is None:
            return
        step, rate, read = self._waiting
        self._waiting = None
        loss, norm = read()
        metrics = {"step/loss": loss, "step/learning_rate": rate, "step/gradient_norm": norm}
        for logger in trainer.loggers:
            logger.log_metrics(metrics, step)
