"""Lightning's CSV logger, which keeps the rows of a run's earlier processes."""

from __future__ import annotations

import csv
from pathlib import Path

from lightning_fabric.loggers.logger import rank_zero_experiment
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter


class ContinuedCsvLogger(CSVLogger):
    """Adds to the file that is there; Lightning's would delete it."""

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
