"""Trackers that write plain files below the run directory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recsys_lab.config import UserError
from recsys_lab.files.atomic import write_text
from recsys_lab.pages.csv_text import frame_as_csv, rows_as_csv
from recsys_lab.pages.markdown import table

if TYPE_CHECKING:
    from pathlib import Path

    from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger

    from recsys_lab.tracking.base import End, Start


class CsvTracker:
    """``csv/metrics.csv`` by epoch, ``csv/summary.csv`` and the tables at the end."""

    def __init__(self) -> None:
        self._logger: CSVLogger | None = None

    def start(self, run: Start, folder: Path) -> tuple[str, Logger]:
        """See `Tracker`."""
        from recsys_lab.tracking.csv_logger import ContinuedCsvLogger

        self._logger = ContinuedCsvLogger(folder, name="", version="csv")
        return run.name, self._logger

    def finish(self, end: End) -> None:
        """See `Tracker`."""
        if self._logger is None:
            return
        from pathlib import Path

        folder = Path(self._logger.log_dir)
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "summary.csv", rows_as_csv([("metric", "value"), *end.summary.items()]))
        for name, frame in end.tables.items():
            write_text(folder / f"{name}.csv", frame_as_csv(frame))


class TensorboardTracker:
    """``tensorboard/`` below the run directory: ``tensorboard --logdir runs``."""

    def __init__(self) -> None:
        self._logger: TensorBoardLogger | None = None

    def start(self, run: Start, folder: Path) -> tuple[str, Logger]:
        """See `Tracker`."""
        try:
            import tensorboard  # noqa: F401
        except ImportError:
            raise UserError(
                "tracking=tensorboard needs TensorBoard: pip install 'recsys-lab[tensorboard]'"
            ) from None
        from pytorch_lightning.loggers import TensorBoardLogger

        self._logger = TensorBoardLogger(
            folder, name="", version="tensorboard", default_hp_metric=False
        )
        return run.name, self._logger

    def finish(self, end: End) -> None:
        """See `Tracker`."""
        if self._logger is None:
            return
        writer: Any = self._logger.experiment
        for name, value in end.summary.items():
            writer.add_scalar(f"summary/{name}", value)
        for name, frame in end.tables.items():
            rows = ([*map(str, row)] for row in frame.iter_rows())
            writer.add_text(name, table(frame.columns, rows))
        self._logger.save()
        writer.close()
        self._logger = None
