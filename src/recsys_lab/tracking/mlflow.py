"""MLflow, with a server or a local store."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from pytorch_lightning.loggers import MLFlowLogger

from recsys_lab.config import UserError, install_hint
from recsys_lab.pages.csv_text import frame_as_csv
from recsys_lab.runs.find import flatten
from recsys_lab.tracking.base import End, Start, Tracker

if TYPE_CHECKING:
    from mlflow import MlflowClient

_LONGEST = 500  # characters of a parameter's value
_CREDENTIALS = ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_USERNAME")


class MlflowTracker(Tracker):
    """Logs the params, metrics, tables and optionally files of a run.

    Args:
        config: the options.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of `MlflowTracker`.

        Attributes:
            project: MLflow's experiment.
            mlflow_uri: a server's address, or ``sqlite:///mlflow.db``; null: the environment
                variable MLFLOW_TRACKING_URI.
            artifacts: store the files too.
        """

        project: str
        mlflow_uri: str | None
        artifacts: bool

    config: Config

    def start(self, run: Start, folder: Path) -> str:
        """See `Tracker`."""
        del folder
        uri = store_uri(self.config.mlflow_uri)
        _prepare_import("tracking=mlflow")
        tags = {f"tag.{tag}": "true" for tag in run.tags} | {"job_type": run.job_type}
        known = {"group": run.group, "mlflow.note.content": run.notes, "commit": run.commit}
        tags |= {name: value for name, value in known.items() if value}
        self._logger = NamedMlflowLogger(
            experiment_name=self.config.project,
            run_name=run.name,
            tracking_uri=uri,
            tags=tags,
            run_id=run.id,
        )
        identifier = self._logger.run_id
        assert identifier is not None
        if run.id is None:
            for name, value in flatten(run.config).items():
                self._logger.experiment.log_param(identifier, name, str(value)[:_LONGEST])
        return identifier

    def logger(self) -> MLFlowLogger:
        """See `Tracker`."""
        return self._logger

    def finish(self, end: End) -> None:
        """See `Tracker`."""
        client, identifier = self._logger.experiment, self._logger.run_id
        assert identifier is not None
        for name, value in end.summary.items():
            client.log_metric(identifier, f"summary/{_without_at(name)}", float(value))
        for name, frame in end.tables.items():
            client.log_text(identifier, frame_as_csv(frame), f"{name}.csv")
        if self.config.artifacts:
            for path in end.files.values():
                client.log_artifact(identifier, str(path))
        client.set_terminated(identifier, "FAILED" if end.failed else "FINISHED")


class NamedMlflowLogger(MLFlowLogger):
    """Logs ``val/ndcg@10`` as ``val/ndcg_at_10``; otherwise Lightning warns and drops the sign."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """See `MLFlowLogger`."""
        super().log_metrics({_without_at(name): value for name, value in metrics.items()}, step)


def _without_at(name: str) -> str:
    return name.replace("@", "_at_")


def client_of(uri: str, option: str) -> MlflowClient:
    """A client of a store.

    Args:
        uri: of the store.
        option: that needs it, for the message.

    Raises:
        UserError: MLflow is not installed.
    """
    _prepare_import(option)
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def store_uri(configured: str | None) -> str:
    """The configured address of the store, or MLFLOW_TRACKING_URI.

    Raises:
        UserError: neither is set, or the environment's credentials are for another server.
    """
    if configured is not None:
        _refuse_credentials(configured)
        return configured
    if "MLFLOW_TRACKING_URI" not in os.environ:
        raise UserError(
            "tracking.mlflow_uri: got null, and the environment variable MLFLOW_TRACKING_URI is "
            "not set; set one of them"
        )
    return os.environ["MLFLOW_TRACKING_URI"]


def _prepare_import(option: str) -> None:
    """Check that MLflow is there; keep it from retrying an unreachable server for minutes."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    if find_spec("mlflow") is None:
        raise UserError(f"{option} needs MLflow: {install_hint('mlflow')}")
    logging.getLogger("alembic").setLevel(logging.WARNING)


def _refuse_credentials(uri: str) -> None:
    """Refuse to send credentials of the environment to a server that only the config names.

    Raises:
        UserError: credentials are set, but MLFLOW_TRACKING_URI is not this server.
    """
    held = [name for name in _CREDENTIALS if name in os.environ]
    if held and uri.startswith("http") and os.environ.get("MLFLOW_TRACKING_URI") != uri:
        raise UserError(
            f"tracking.mlflow_uri={uri}: MLflow would send {', '.join(held)} of the environment to "
            f"this server. If you trust it: export MLFLOW_TRACKING_URI={uri}"
        )
