"""TensorBoard: ``tensorboard --logdir runs``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recsys_lab.config import UserError, install_hint
from recsys_lab.pages.markdown import table
from recsys_lab.tracking.base import Tracker

if TYPE_CHECKING:
    from pathlib import Path

    from pytorch_lightning.loggers import TensorBoardLogger

    from recsys_lab.tracking.base import End, Start


class TensorboardTracker(Tracker):
    """Writes ``tensorboard/`` in the run directory."""

    def start(self, run: Start, folder: Path) -> str:
        """See `Tracker`."""
        try:
            import tensorboard  # noqa: F401
        except ImportError:
            raise UserError(
                f"tracking=tensorboard needs TensorBoard: {install_hint('tensorboard')}"
            ) from None
        from pytorch_lightning.loggers import TensorBoardLogger

        self._logger = TensorBoardLogger(
            folder, name="", version="tensorboard", default_hp_metric=False
        )
        return run.name

    def logger(self) -> TensorBoardLogger:
        """See `Tracker`."""
        return self._logger

    def finish(self, end: End) -> None:
        """See `Tracker`."""
        writer: Any = self._logger.experiment
        for name, value in end.summary.items():
            writer.add_scalar(f"summary/{name}", value)
        for name, frame in end.tables.items():
            rows = ([*map(str, row)] for row in frame.iter_rows())
            writer.add_text(name, table(frame.columns, rows))
        self._logger.save()
        writer.close()
