"""Callbacks of a trial's training: time to the first step, deadline, and pruning."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytorch_lightning as pl

from recsys_lab.config import Pruned
from recsys_lab.sweeps.storage.attributes import FIRST_STEP
from recsys_lab.sweeps.storage.retry import Patience
from recsys_lab.training.module import SequentialModule

if TYPE_CHECKING:
    from optuna.trial import Trial

    from recsys_lab.contracts import Batch
    from recsys_lab.sweeps.deadline import Deadline


class FirstStep(pl.Callback):
    """Stores the seconds until a trial's first training step as its attribute `FIRST_STEP`.

    Args:
        note: stores an attribute of the trial.
        begun: `time.monotonic` when the process started to look for a trial.
    """

    def __init__(self, note: Callable[[str, float], None], begun: float) -> None:
        self._note = note
        self._begun = begun
        self._noted = False

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """Store the time before the first step."""
        del trainer, pl_module, batch, batch_idx
        if not self._noted:
            self._noted = True
            self._note(FIRST_STEP, time.monotonic() - self._begun)


class StopAt(pl.Callback):
    """Stops the training as Ctrl-C does, at the next whole step and with a checkpoint.

    Args:
        deadline: of the worker.
    """

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """Check the deadline before every step."""
        del trainer, pl_module, batch, batch_idx
        if not self._deadline.reached and self._deadline.is_over:
            self._deadline.reached = True
            signal.raise_signal(signal.SIGINT)


class Report(pl.Callback):
    """Reports every validation to the study, and stops the run if the pruner decides so.

    Args:
        trial: of the run.
        objective: the monitored metric, ``val/...``.
        patiently: makes a call to the study's storage, with retries.
    """

    def __init__(self, trial: Trial, objective: str, patiently: Patience) -> None:
        self._trial = trial
        self._objective = objective
        self._patiently = patiently
        frozen = patiently(lambda: trial.study.trials)[trial.number]
        self._reported = set(frozen.intermediate_values)  # by a process that died

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report the value after every validation."""
        assert isinstance(pl_module, SequentialModule)
        value = pl_module.validation[self._objective]
        if trainer.current_epoch not in self._reported:
            self._patiently(lambda: self._trial.report(float(value), trainer.current_epoch))
        if self._patiently(self._trial.should_prune):
            raise Pruned(f"pruned after epoch {trainer.current_epoch + 1}")
