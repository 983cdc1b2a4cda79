"""The default Lightning logger of a tracker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pytorch_lightning.loggers import Logger


class EpochLogger(Logger):
    """Passes logged metrics to a tracker.

    Args:
        name: of the tracker.
        log: its `recsys_lab.tracking.base.Tracker.log`.
    """

    def __init__(self, name: str, log: Callable[[Mapping[str, float], int | None], None]) -> None:
        super().__init__()
        self._name, self._log = name, log

    @property
    def name(self) -> str:
        """The name of the tracker."""
        return self._name

    @property
    def version(self) -> str:
        """Empty: the record keeps the tracker's id."""
        return ""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Pass the metrics to the tracker."""
        self._log(metrics, step)

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """Do nothing: the tracker has the config already."""
