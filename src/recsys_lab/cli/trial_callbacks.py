"""What a sweep's worker hears from the training of a trial."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytorch_lightning as pl

from recsys_lab.config import Pruned
from recsys_lab.sweeps.patience import patiently
from recsys_lab.sweeps.study import FIRST_STEP
from recsys_lab.training.module import SequentialModule

if TYPE_CHECKING:
    from optuna.trial import Trial

    from recsys_lab.contracts import Batch


class FirstStep(pl.Callback):
    """Notes with a trial how long it took to its first training step, as `FIRST_STEP`.

    Args:
        trial: of the run.
        begun: seconds since the epoch when its process began to look for a trial.
    """

    def __init__(self, trial: Trial, begun: float) -> None:
        self._trial = trial
        self._begun = begun
        self._noted = False

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """Before every step; the first one counts."""
        del trainer, pl_module, batch, batch_idx
        if not self._noted:
            self._noted = True
            seconds = time.time() - self._begun
            patiently(lambda: self._trial.set_user_attr(FIRST_STEP, seconds))


class Deadline(pl.Callback):
    """Stops the training as Ctrl-C does, at the next whole step and with a checkpoint.

    Args:
        due: seconds since the epoch, or None for never.

    Attributes:
        reached: whether it did.
    """

    def __init__(self, due: float | None) -> None:
        self._due = due
        self.reached = False

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """Before every step."""
        del trainer, pl_module, batch, batch_idx
        if self._due is not None and not self.reached and time.time() >= self._due:
            self.reached = True
            signal.raise_signal(signal.SIGINT)


class Report(pl.Callback):
    """Tells the study every validation, and stops the run where the pruner says so.

    Args:
        trial: of the run.
        objective: the watched metric, ``val/...``.
    """

    def __init__(self, trial: Trial, objective: str) -> None:
        self._trial = trial
        self._objective = objective
        frozen = trial.study.trials[trial.number]
        self._told = set(frozen.intermediate_values)  # by the process that died

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """After every validation."""
        assert isinstance(pl_module, SequentialModule)
        value = pl_module.validation[self._objective]
        if trainer.current_epoch not in self._told:
            patiently(lambda: self._trial.report(float(value), trainer.current_epoch))
        if patiently(self._trial.should_prune):
            raise Pruned(f"pruned at epoch {trainer.current_epoch}")
