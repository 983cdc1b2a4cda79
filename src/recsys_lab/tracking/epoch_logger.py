"""Lightning's side of a tracker that knows nothing of Lightning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytorch_lightning.loggers import Logger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recsys_lab.tracking.base import Tracker


class EpochLogger(Logger):
    """Passes what Lightning logs on to `Tracker.log`.

    Args:
        tracker: receives it.
    """

    def __init__(self, tracker: Tracker) -> None:
        super().__init__()
        self._tracker = tracker

    @property
    def name(self) -> str:
        """Of the tracker's class."""
        return type(self._tracker).__name__

    @property
    def version(self) -> str:
        """None: the record keeps the tracker's id."""
        return ""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Pass them on."""
        self._tracker.log(metrics, step)

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """Not needed: the tracker has the run's whole config."""
