"""Trackers receive copies of a run; losing one never loses the run."""

from __future__ import annotations

import logging
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
    """None, one or several trackers.

    Args:
        config: the options.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of `Tracking`.

        Attributes:
            trackers: where copies go; names of the lab, or classes of your own: see
                `recsys_lab.tracking.base`. The options below are those of the lab's.
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
        from pytorch_lightning.loggers import Logger

        found: dict[str, str] = {}
        for name, chosen in {say(chosen): chosen for chosen in self.config.trackers}.items():
            try:
                tracker = self._made(chosen)
                identifier = tracker.start(replace(run, id=ids.get(name)), folder)
                if identifier is None:
                    continue
                _check_kind("start", identifier, str, "a text or None")
                logger = tracker.logger()
                _check_kind("logger", logger, Logger, "a Logger of Lightning")
            except UserError:
                raise
            except FAILURES as error:
                problem = in_words(error)
                _log.warning("%s did not start, the run goes on without it: %s", name, problem)
                continue
            found[name] = identifier
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

    def _made(self, chosen: Chosen) -> Tracker:
        """A tracker; the options of the lab's are those of this class that have their names."""
        made: Tracker
        if isinstance(chosen, str):
            kind = class_of_chosen(TRACKERS, chosen)
            options = {f.name: getattr(self.config, f.name) for f in fields(kind.Config)}
            made = kind(kind.Config(**options))
        else:
            made = build_chosen(TRACKERS, chosen)
        return made


def _check_kind(method: str, value: object, kind: type, expected: str) -> None:
    """Refuse what a method of a user's own tracker returned."""
    if not isinstance(value, kind):
        raise TypeError(f"{method} returned {type(value).__name__}, expected {expected}")
