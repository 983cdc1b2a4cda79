"""Lightning's side of a tracker that knows nothing of Lightning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pytorch_lightning.loggers import Logger


class EpochLogger(Logger):
    """Passes what Lightning logs on to a tracker.

    Args:
        name: of the tracker.
        log: `recsys_lab.tracking.base.Tracker.log` of it.
    """

    def __init__(self, name: str, log: Callable[[Mapping[str, float], int | None], None]) -> None:
        super().__init__()
        self._name, self._log = name, log

    @property
    def name(self) -> str:
        """Of the tracker."""
        return self._name

    @property
    def version(self) -> str:
        """None: the record keeps the tracker's id."""
        return ""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Pass them on."""
        self._log(metrics, step)

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """Not needed: the tracker has the run's whole config."""
