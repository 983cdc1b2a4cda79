"""MLflow: a server, or a local store that `mlflow ui` shows."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from recsys_lab.config import UserError
from recsys_lab.pages.csv_text import frame_as_csv
from recsys_lab.runs.find import flatten
from recsys_lab.tracking.base import without_at

if TYPE_CHECKING:
    from pathlib import Path

    from pytorch_lightning.loggers import Logger

    from recsys_lab.tracking.base import End, Start
    from recsys_lab.tracking.mlflow_logger import NamedMlflowLogger

_LONGEST = 500  # characters of a parameter's value


class MlflowTracker:
    """Params, metrics, tables and, if asked for, files of a run.

    Args:
        uri: of the store: a server's address, or ``sqlite:///mlflow.db``.
        experiment: MLflow's name for a project.
        artifacts: store the files too.
    """

    def __init__(self, *, uri: str, experiment: str, artifacts: bool) -> None:
        self.uri = uri
        self.experiment = experiment
        self.artifacts = artifacts
        self._logger: NamedMlflowLogger | None = None

    def start(self, run: Start, folder: Path) -> tuple[str, Logger]:
        """See `Tracker`."""
        del folder
        # Its own news on every start, and a retry of minutes where a server is gone.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        try:
            import mlflow  # noqa: F401
        except ImportError:
            raise UserError(
                "tracking=mlflow needs MLflow: pip install 'recsys-lab[mlflow]'"
            ) from None
        from recsys_lab.tracking.mlflow_logger import NamedMlflowLogger

        logging.getLogger("alembic").setLevel(logging.WARNING)
        tags = {f"tag.{tag}": "true" for tag in run.tags} | {"job_type": run.job_type}
        tags |= {
            name: value
            for name, value in (
                ("group", run.group), ("mlflow.note.content", run.notes), ("commit", run.commit),
            )
            if value
        }  # fmt: skip
        self._logger = NamedMlflowLogger(
            experiment_name=self.experiment, run_name=run.name, tracking_uri=self.uri,
            tags=tags, run_id=run.id,
        )  # fmt: skip
        identifier = self._logger.run_id
        assert identifier is not None
        if run.id is None:
            for name, value in flatten(run.config).items():
                self._logger.experiment.log_param(identifier, name, str(value)[:_LONGEST])
        return identifier, self._logger

    def finish(self, end: End) -> None:
        """See `Tracker`."""
        if self._logger is None:
            return
        client, identifier = self._logger.experiment, self._logger.run_id
        assert identifier is not None
        self._logger = None
        for name, value in end.summary.items():
            client.log_metric(identifier, f"summary/{without_at(name)}", float(value))
        for name, frame in end.tables.items():
            client.log_text(identifier, frame_as_csv(frame), f"{name}.csv")
        if self.artifacts:
            for path in end.files.values():
                client.log_artifact(identifier, str(path))
        client.set_terminated(identifier, "FAILED" if end.failed else "FINISHED")
