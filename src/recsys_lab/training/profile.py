"""A profile of some training steps, in the run directory."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch
from torch.profiler import ProfilerActivity, profile

from recsys_lab.files.atomic import replace_atomically, write_text

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger(__name__)

SKIPPED = 3
"""Steps before the profile: they allocate memory, compile, and have their FLOPs counted."""
ROWS = 10
TRACE, TABLE = "trace.json", "operations.txt"


class Profile(pl.Callback):
    """Profiles steps with torch's profiler.

    Writes `TRACE`, for https://ui.perfetto.dev, and `TABLE`, the `ROWS` operations that take most
    time of the device, without those that they call.

    Args:
        steps: number of batches; fewer if the training ends.
        folder: made for the two files.
    """

    def __init__(self, steps: int, folder: Path) -> None:
        self._steps, self._folder = steps, folder
        self._seen = 0
        self._profiler: profile | None = None

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Begin after the skipped steps."""
        del trainer, pl_module, batch, batch_idx
        if self._seen == SKIPPED:
            activities = [ProfilerActivity.CPU]
            if torch.cuda.is_available():
                activities.append(ProfilerActivity.CUDA)
            self._profiler = profile(activities=activities)
            self._profiler.__enter__()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any,
        batch_idx: int,
    ) -> None:  # fmt: skip
        """End after the profiled steps."""
        del trainer, pl_module, outputs, batch, batch_idx
        self._seen += 1
        if self._seen == SKIPPED + self._steps:
            self._write()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A profile has no validation: end with the epoch."""
        del trainer, pl_module
        self._write()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Tell of a training that was too short."""
        del trainer, pl_module
        self._write()
        if self._seen <= SKIPPED:
            _log.warning(
                "recipe.profile: the training had %d steps, and the first %d are not profiled",
                self._seen,
                SKIPPED,
            )

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Leave the profiler; half a step is no profile."""
        del trainer, pl_module, exception
        if self._profiler is not None:
            self._profiler.__exit__(None, None, None)
            self._profiler = None

    def _write(self) -> None:
        if self._profiler is None:
            return
        done, self._profiler = self._profiler, None
        done.__exit__(None, None, None)
        self._seen = max(self._seen, SKIPPED + self._steps)  # not again in the next epoch
        self._folder.mkdir(parents=True, exist_ok=True)
        replace_atomically(self._folder / TRACE, lambda path: done.export_chrome_trace(str(path)))
        device = "cuda" if torch.cuda.is_available() else "cpu"
        table = done.key_averages().table(sort_by=f"self_{device}_time_total", row_limit=ROWS)
        write_text(self._folder / TABLE, f"{table}\n")
