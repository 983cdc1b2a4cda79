"""Progress display: loss, validation metric, time left."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

_EVERY = 8  # steps between refreshes: reading the loss makes a GPU wait


class ProgressDisplay(pl.Callback):
    """One line: epoch, steps done, mean loss of the epoch, validation metric, time left.

    Time left assumes that all epochs are run, without early stopping.

    Args:
        console: the console.
        monitor: validation metric to show; None without validation.
    """

    def __init__(self, console: Console, monitor: str | None) -> None:
        self._monitor = monitor
        self._progress = Progress(
            TextColumn("epoch {task.fields[epoch]}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}{task.fields[validation]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=console,
            transient=False,
        )
        self._task: TaskID | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the display, at the resumed step if there is one."""
        del pl_module
        steps = int(trainer.num_training_batches)
        total = steps * (trainer.max_epochs or 1)
        total = min(total, trainer.max_steps) if trainer.max_steps > 0 else total
        self._progress.start()
        self._task = self._progress.add_task(
            "train",
            total=total,
            completed=trainer.global_step,
            epoch="1",
            loss="-",
            validation=self._judged("-"),
        )

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Refresh every `_EVERY` steps."""
        del outputs, batch
        if (batch_idx + 1) % _EVERY == 0:
            self._show(trainer, pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Show the validation metric."""
        if self._monitor is not None:
            value = f"{pl_module.validation.get(self._monitor, math.nan):.4f}"
            self._show(trainer, pl_module, validation=self._judged(value))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Show the finished epoch; it may have no validation."""
        self._show(trainer, pl_module)

    def _judged(self, value: str) -> str:
        return "" if self._monitor is None else f"  {self._monitor} {value}"

    def _show(self, trainer: pl.Trainer, pl_module: Any, **fields: Any) -> None:
        assert self._task is not None
        self._progress.update(
            self._task,
            completed=trainer.global_step,
            epoch=f"{trainer.current_epoch + 1}",
            loss=f"{pl_module.mean_loss:.4f}",
            **fields,
        )

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave the last line on screen."""
        del trainer, pl_module
        self._progress.stop()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Stop the display."""
        del trainer, pl_module, exception
        self._progress.stop()
