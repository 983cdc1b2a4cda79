"""Progress of a training: a line per epoch, and in a terminal a bar."""

from __future__ import annotations

import math
import time
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

from recsys_lab.pages.number_format import decimal, duration
from recsys_lab.pages.terminal import PROGRESS

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

    from recsys_lab.training.recipe import Recipe

_EVERY = 8  # steps between refreshes: reading the loss makes a GPU wait


class ProgressDisplay(pl.Callback):
    """A line per epoch to `PROGRESS`, and in a terminal a bar with the steps.

    The line has the epoch, counted from 1, the mean loss, the validation metric, the seconds of the
    epoch and the time left. That assumes that all epochs are run; early stopping may make it less.

    Args:
        console: the console of the bar, which is shown in terminals only.
        recipe: the recipe's options.
        validates: whether the training has validations.
    """

    def __init__(self, console: Console, recipe: Recipe.Config, *, validates: bool) -> None:
        self._monitor = recipe.monitor if validates else None
        self._at_most = validates and recipe.patience is not None
        self._accumulate = recipe.accumulate_grad_batches
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
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None
        self._told = -1  # the last epoch with a line

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the display, at the resumed step if there is one."""
        del pl_module
        self._first_step = trainer.global_step
        self._began = self._epoch_began = time.monotonic()
        if not trainer.is_global_zero:
            return
        self._progress.start()
        self._task = self._progress.add_task(
            "train",
            total=self._total(trainer),
            completed=trainer.global_step,
            epoch=self._counted(trainer),
            loss="-",
            validation=self._judged("-"),
        )

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Refresh every `_EVERY` steps."""
        del outputs, batch
        if not self._progress.disable and (batch_idx + 1) % _EVERY == 0:
            self._show(trainer, pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Tell of a validated epoch, before a search may prune the run."""
        if self._monitor is not None:
            value = decimal(pl_module.validation.get(self._monitor, math.nan))
            self._show(trainer, pl_module, validation=self._judged(value))
            self._tell(trainer, pl_module, value)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Tell of an epoch without validation."""
        self._show(trainer, pl_module)
        if self._told != trainer.current_epoch:
            self._tell(trainer, pl_module, None)

    def _tell(self, trainer: pl.Trainer, pl_module: Any, value: str | None) -> None:
        """Write the line of an epoch."""
        self._told = trainer.current_epoch
        now = time.monotonic()
        seconds, self._epoch_began = now - self._epoch_began, now
        parts = [
            f"epoch {self._counted(trainer)}: loss {decimal(pl_module.mean_loss)}",
            *([] if value is None else [f"{self._monitor} {value}"]),
            duration(seconds),
            self._left(trainer, now - self._began),
        ]
        if trainer.is_global_zero:
            PROGRESS.info("%s", ", ".join(parts))

    def _left(self, trainer: pl.Trainer, spent: float) -> str:
        """Time left, by the time per step of this process, validations included."""
        done = trainer.global_step - self._first_step
        rest = max(0, self._total(trainer) - trainer.global_step)
        left = duration(math.ceil(spent / max(1, done) * rest))
        return f"{'at most ' if self._at_most and rest else ''}{left} left"

    def _total(self, trainer: pl.Trainer) -> int:
        """Optimizer steps of the whole training."""
        per_epoch = -(-int(trainer.num_training_batches) // self._accumulate)
        total = per_epoch * (trainer.max_epochs or 1)
        return total if trainer.max_steps < 0 else min(total, trainer.max_steps)

    @staticmethod
    def _counted(trainer: pl.Trainer) -> str:
        return f"{trainer.current_epoch + 1} of {trainer.max_epochs}"

    def _judged(self, value: str) -> str:
        return "" if self._monitor is None else f"  {self._monitor} {value}"

    def _show(self, trainer: pl.Trainer, pl_module: Any, **fields: Any) -> None:
        if self._task is None or self._progress.disable:
            return
        self._progress.update(
            self._task,
            completed=trainer.global_step,
            epoch=self._counted(trainer),
            loss=decimal(pl_module.mean_loss),
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
