"""Trackers receive copies of a run; losing one never loses the run."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Gt

from recsys_lab.config import UserError
from recsys_lab.tracking.base import guard_logger, guarded

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytorch_lightning.loggers import Logger

    from recsys_lab.tracking.base import End, Start, Tracker

_log = logging.getLogger(__name__)
_MLFLOW_CREDENTIALS = (
    "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_USERNAME",
)  # fmt: skip


class Tracking:
    """None, one or several trackers.

    Args:
        config: the options.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of `Tracking`.

        Attributes:
            trackers: where copies go.
            project: W&B's project, MLflow's experiment.
            mode: of W&B: "offline" writes beside the run (``wandb sync`` sends it later);
                "online" needs a login.
            entity: W&B team or user; null for the login's own.
            init_timeout: seconds that W&B waits for login and network before going on offline,
                and for the last upload at the end.
            mlflow_uri: of MLflow's store: a server, or ``sqlite:///FILE``; null: what the
                environment variable MLFLOW_TRACKING_URI holds, which may have a password.
            artifacts: W&B and MLflow also keep the best weights and the per-user results.
        """

        trackers: list[Literal["wandb", "mlflow", "tensorboard", "csv"]]
        project: str
        mode: Literal["offline", "online"]
        entity: str | None
        init_timeout: Annotated[float, Gt(0)]
        mlflow_uri: str | None
        artifacts: bool

    def __init__(self, config: Config) -> None:
        self.config = config
        self._open: dict[str, Tracker] = {}
        self._loggers: list[Logger] = []

    def start(self, run: Start, folder: Path, ids: Mapping[str, str]) -> dict[str, str]:
        """Open the run everywhere, or continue it.

        Args:
            run: what the trackers must know.
            folder: where they may put files.
            ids: their own ids of the run, from an earlier start.

        Returns:
            The ids; a tracker that could not be started is missing.

        Raises:
            UserError: a tracker is not installed.
        """
        found: dict[str, str] = {}
        for name in dict.fromkeys(self.config.trackers):
            if name == "wandb" and os.environ.get("WANDB_MODE") == "disabled":
                _log.info("W&B is off: WANDB_MODE=disabled")
                continue
            tracker = self._make(name)
            try:
                found[name], logger = tracker.start(replace(run, id=ids.get(name)), folder)
            except UserError:
                raise
            except Exception as error:
                _log.warning("%s did not start, the run goes on without it: %s", name, error)
                continue
            self._open[name] = tracker
            self._loggers.append(guard_logger(name, logger))
        return found

    def loggers(self) -> list[Logger]:
        """What Lightning logs to; none of them ever raises."""
        return self._loggers

    def finish(self, end: End) -> None:
        """Tell all how the run ended, and close them."""
        for name, tracker in self._open.items():
            guarded(name, tracker.finish)(end)
        self._open, self._loggers = {}, []

    def _make(self, name: str) -> Tracker:
        config = self.config
        if name == "wandb":
            from recsys_lab.tracking.wandb import WandbTracker

            return WandbTracker(
                mode=config.mode, project=config.project, entity=config.entity,
                timeout=config.init_timeout, artifacts=config.artifacts,
            )  # fmt: skip
        if name == "mlflow":
            from recsys_lab.tracking.mlflow import MlflowTracker

            return MlflowTracker(
                uri=_mlflow_uri(config.mlflow_uri),
                experiment=config.project,
                artifacts=config.artifacts,
            )
        from recsys_lab.tracking.local import CsvTracker, TensorboardTracker

        return CsvTracker() if name == "csv" else TensorboardTracker()


def _mlflow_uri(written: str | None) -> str:
    if written is not None:
        _refuse_credentials(written)
        return written
    if "MLFLOW_TRACKING_URI" not in os.environ:
        raise UserError(
            "tracking.mlflow_uri is null, and there is no environment variable "
            "MLFLOW_TRACKING_URI; set one of them"
        )
    return os.environ["MLFLOW_TRACKING_URI"]


def _refuse_credentials(uri: str) -> None:
    """Refuse a server that a config names, where MLflow would send it what the environment holds.

    Raises:
        UserError: the environment names another server, or none.
    """
    held = [name for name in _MLFLOW_CREDENTIALS if name in os.environ]
    if held and uri.startswith("http") and os.environ.get("MLFLOW_TRACKING_URI") != uri:
        raise UserError(
            f"tracking.mlflow_uri={uri}: this server would be sent {', '.join(held)} of the "
            f"environment. If it is yours: export MLFLOW_TRACKING_URI={uri}"
        )
