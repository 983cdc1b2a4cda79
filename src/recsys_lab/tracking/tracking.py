"""Runs the configured trackers, whose failures do not stop the run."""

from __future__ import annotations

import logging
from copy import deepcopy
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Gt

from recsys_lab.config import Choice, Chosen, UserError, build_chosen, class_of_chosen
from recsys_lab.config.choice import say
from recsys_lab.tracking.base import FAILURES, guard_logger, guarded, in_words

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytorch_lightning.loggers import Logger

    from recsys_lab.tracking.base import End, Start, Tracker

_log = logging.getLogger(__name__)
TRACKERS = Choice(
    "tracker",
    "recsys_lab.tracking",
    {
        "wandb": "wandb.WandbTracker",
        "mlflow": "mlflow.MlflowTracker",
        "tensorboard": "tensorboard.TensorboardTracker",
        "csv": "csv.CsvTracker",
    },
    base="base.Tracker",
)


class Tracking:
    """Any number of trackers.

    Args:
        config: the options.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of `Tracking`.

        Attributes:
            trackers: names of the lab's trackers, or your own classes: see
                `recsys_lab.tracking.base`. The options below are for the lab's trackers.
            project: W&B project, MLflow experiment.
            mode: of W&B: "offline" writes into the run directory, and ``wandb sync
                RUN_DIR/wandb/offline-run-*`` uploads it later; "online" needs a login.
            entity: W&B team or user; null for the default of the login.
            init_timeout: seconds that W&B waits for login and network before it switches to
                offline, and for the last upload at the end.
            mlflow_uri: of MLflow's store: a server, or ``sqlite:///FILE``; null: the environment
                variable MLFLOW_TRACKING_URI, which may contain a password.
            artifacts: upload the best weights and the per-user results to W&B and MLflow.
        """

        trackers: list[Annotated[Chosen, TRACKERS]]
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
        """Open or resume the run in every tracker.

        Args:
            run: the run.
            folder: the run directory.
            ids: tracker -> its id of a resumed run.

        Returns:
            The ids of the trackers that started.

        Raises:
            UserError: a tracker is not installed.
        """
        from pytorch_lightning.loggers import Logger

        started: dict[str, str] = {}
        for name, chosen in {say(chosen): chosen for chosen in self.config.trackers}.items():
            try:
                tracker = self._made(chosen)
                identifier = tracker.start(deepcopy(replace(run, id=ids.get(name))), folder)
                if identifier is None:
                    continue
                _check_kind("start", identifier, str, "a text or None")
                logger = tracker.logger()
                _check_kind("logger", logger, Logger, "a Logger of Lightning")
            except UserError:
                raise
            except FAILURES as error:
                problem = in_words(error)
                _log.warning("%s did not start, the run continues without it: %s", name, problem)
                continue
            started[name] = identifier
            self._open[name] = tracker
            self._loggers.append(guard_logger(name, logger))
        return started

    def loggers(self) -> list[Logger]:
        """The Lightning loggers, which never raise."""
        return self._loggers

    def finish(self, end: End) -> None:
        """Pass the results to all trackers and close them."""
        for name, tracker in self._open.items():
            guarded(name, tracker.finish)(deepcopy(end))
        self._open, self._loggers = {}, []

    def _made(self, chosen: Chosen) -> Tracker:
        """Build a tracker; the lab's take the options of this class with the same names."""
        tracker: Tracker
        if isinstance(chosen, str):
            kind = class_of_chosen(TRACKERS, chosen)
            options = {f.name: getattr(self.config, f.name) for f in fields(kind.Config)}
            tracker = kind(kind.Config(**options))
        else:
            tracker = build_chosen(TRACKERS, chosen)
        return tracker


def _check_kind(method: str, value: object, kind: type, expected: str) -> None:
    """Check the return value of a user's own tracker."""
    if not isinstance(value, kind):
        raise TypeError(f"{method} returned {type(value).__name__}, expected {expected}")
