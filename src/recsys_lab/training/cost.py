"""Cost of training: events, FLOPs, time, memory, energy."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch

from recsys_lab.training.energy import EnergyCounter
from recsys_lab.training.flops import counter

if TYPE_CHECKING:
    from torch.utils.flop_counter import FlopCounterMode

    from recsys_lab.contracts import Batch

_COUNTED = 3  # steps whose FLOPs are counted: counting slows a step down
_STORED = (
    "events", "steps", "step_seconds", "wait_seconds", "counted_events", "counted_flops", "joules",
)  # fmt: skip


class CostMonitor(pl.Callback):
    """Measures the training steps of a run, including those before a resume."""

    def __init__(self) -> None:
        self.events = 0
        self.steps = 0
        self.step_seconds = 0.0
        self.wait_seconds = 0.0
        self.counted_events = 0
        self.counted_flops = 0
        self.joules = 0.0
        self._energy = EnergyCounter()
        self._mark: float | None = None
        self._counter: FlopCounterMode | None = None

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Reset the mark: validation between epochs is not waiting time."""
        del trainer, pl_module
        self._mark = None

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """Count the time since the last step as waiting for the batch."""
        del trainer, pl_module, batch, batch_idx
        now = time.perf_counter()
        if self._mark is not None:
            self.wait_seconds += now - self._mark
        self._mark = now
        if self.steps < _COUNTED:
            self._counter = counter()
            self._counter.__enter__()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch,
        batch_idx: int,
    ) -> None:  # fmt: skip
        """Count a step, including backward pass and optimizer."""
        del trainer, pl_module, outputs, batch_idx
        events = batch.items_T.shape[0]
        if self._counter is not None:
            self._counter.__exit__(None, None, None)
            self.counted_flops += self._counter.get_total_flops()
            self.counted_events += events
            self._counter = None
        now = time.perf_counter()
        assert self._mark is not None
        self.step_seconds += now - self._mark
        self._mark = now
        self.steps += 1
        self.events += events if batch.share is None else batch.share.num_events

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Leave the counting mode; an unfinished step is not counted."""
        del trainer, pl_module, exception
        if self._counter is not None:
            self._counter.__exit__(None, None, None)
            self._counter = None

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Wait for the device: its remaining work belongs to the steps."""
        del trainer, pl_module
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            begun = time.perf_counter()
            torch.cuda.synchronize()
            self.step_seconds += time.perf_counter() - begun
        self.joules += self._energy.spent()

    def values(self) -> dict[str, float | int | None]:
        """The measured values, for the run record.

        Returns:
            ``events`` read in training (over all epochs), ``steps``, ``step_seconds``,
            ``wait_seconds`` (for batches), ``events_per_second``, ``training_flops`` (counted in
            `_COUNTED` steps and scaled to all events; a multiply-add is two), ``joules`` (of the
            processor packages or the GPU, including other processes; None if not readable) and
            ``device_peak_mebibytes`` (None without CUDA).
        """
        spent = self.step_seconds + self.wait_seconds
        per_event = self.counted_flops / max(1, self.counted_events)
        on_gpu = torch.cuda.is_available() and torch.cuda.is_initialized()
        return {
            "events": self.events,
            "steps": self.steps,
            "step_seconds": round(self.step_seconds, 3),
            "wait_seconds": round(self.wait_seconds, 3),
            "events_per_second": round(self.events / spent, 1) if spent else None,
            "training_flops": round(per_event * self.events),
            "joules": round(self.joules, 1) if self._energy.readable else None,
            "device_peak_mebibytes": (
                round(torch.cuda.max_memory_allocated() / 2**20, 1) if on_gpu else None
            ),
        }

    @property
    def state_key(self) -> str:
        """Its name in checkpoint files, which does not change with the name of the class."""
        return "Meter"

    def state_dict(self) -> dict[str, Any]:
        """The counters, stored by Lightning in every checkpoint."""
        return {name: vars(self)[name] for name in _STORED}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The reverse of `state_dict`."""
        vars(self).update(state_dict)
