"""CSV files in the run directory."""

from __future__ import annotations

import csv
from pathlib import Path

from lightning_fabric.loggers.logger import rank_zero_experiment
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter

from recsys_lab.files.atomic import write_text
from recsys_lab.pages.csv_text import frame_as_csv, rows_as_csv
from recsys_lab.tracking.base import End, Start, Tracker


class CsvTracker(Tracker):
    """``csv/metrics.csv`` by epoch, ``csv/summary.csv`` and the tables at the end."""

    def start(self, run: Start, folder: Path) -> str:
        """See `Tracker`."""
        self._logger = ContinuedCsvLogger(folder, name="", version="csv")
        return run.name

    def logger(self) -> CSVLogger:
        """See `Tracker`."""
        return self._logger

    def finish(self, end: End) -> None:
        """See `Tracker`."""
        folder = Path(self._logger.log_dir)
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "summary.csv", rows_as_csv([("metric", "value"), *end.summary.items()]))
        for name, frame in end.tables.items():
            write_text(folder / f"{name}.csv", frame_as_csv(frame))


class ContinuedCsvLogger(CSVLogger):
    """Appends to an existing file, which Lightning's logger would delete."""

    @property
    @rank_zero_experiment
    def experiment(self) -> ExperimentWriter:
        """See `CSVLogger`."""
        if self._experiment is None:
            self._experiment = _Writer(self.log_dir)
        assert isinstance(self._experiment, ExperimentWriter)
        return self._experiment


class _Writer(ExperimentWriter):
    def _check_log_dir_exists(self) -> None:
        file = Path(self.metrics_file_path)
        if file.exists():
            with file.open(newline="") as text:
                self.metrics_keys = next(csv.reader(text), [])
