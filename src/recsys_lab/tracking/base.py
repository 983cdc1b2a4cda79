"""The interface of trackers, and the handling of their failures."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl
    from pytorch_lightning.loggers import Logger

_log = logging.getLogger(__name__)
FAILURES = (Exception, SystemExit)
"""Exceptions of trackers that do not stop the run; client libraries may call `sys.exit`."""


@dataclass(frozen=True)
class Start:
    """What a tracker receives at the start of a run.

    Attributes:
        id: the tracker's id of a resumed run, or None.
        name: of the run; not unique.
        group: label shared by related runs, or None.
        tags: labels.
        job_type: ``train``, or ``trial`` for a trial of a sweep.
        config: of the run, nested, without secrets.
        notes: free text, or None.
        commit: of the code, or None.
    """

    id: str | None
    name: str
    group: str | None
    tags: Sequence[str]
    job_type: str
    config: Mapping[str, Any]
    notes: str | None = None
    commit: str | None = None


@dataclass(frozen=True)
class End:
    """What a tracker receives at the end of a run.

    Attributes:
        summary: final values by name: ``val/...`` of the best epoch, ``test/...``, ``compute/...``.
        tables: small tables by name, e.g. ``slices``.
        files: the best weights, the per-user results and the record, by name.
        failed: whether the run ended with an error.
    """

    summary: Mapping[str, float]
    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)
    failed: bool = False


class Tracker:
    """Base class of trackers; derive your own from it.

    The methods do nothing by default, and receive copies. If one raises an exception or calls
    `sys.exit`, a warning is printed and the run continues. Only a `UserError` from `__init__` or
    `start` ends the run, before training.

    Args:
        config: the options.
    """

    @dataclass(frozen=True)
    class Config:
        """Options; none by default."""

    def __init__(self, config: Any) -> None:
        self.config = config

    def start(self, run: Start, folder: Path) -> str | None:
        """Open the run, or resume the one with the id ``run.id``.

        Args:
            run: the run.
            folder: the run directory, where the tracker may write files.

        Returns:
            The tracker's id of the run, which is recorded and passed when the run is resumed; None
            if the tracker is disabled, in which case it is not called again.
        """
        del folder
        return run.id or run.name

    def log(self, metrics: Mapping[str, float], step: int | None) -> None:
        """Log values of an epoch, e.g. ``val/ndcg@10``, ``train/loss``, ``epoch`` (from 1).

        It may be called several times per epoch, and never for a model fitted in one pass.

        Args:
            metrics: name -> value.
            step: number of the last optimizer step, from 0.
        """

    def logger(self) -> Logger:
        """The Lightning logger of the open run; by default it calls `log`."""
        from recsys_lab.tracking.epoch_logger import EpochLogger

        return EpochLogger(type(self).__name__, self.log)

    def finish(self, end: End) -> None:
        """Write the final results and close the run."""


def guarded(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a call so that exceptions become warnings, each shown once."""
    reported: set[str] = set()

    def safe(*args: Any, **kwargs: Any) -> Any:
        try:
            return call(*args, **kwargs)
        except FAILURES as error:
            problem = in_words(error)
            if problem not in reported:
                reported.add(problem)
                _log.warning("%s failed, the run continues without it: %s", name, problem)
            return None

    return safe


def in_words(error: BaseException) -> str:
    """The message of an exception of a tracker."""
    return f"it called sys.exit({error})" if isinstance(error, SystemExit) else str(error)


def guard_logger(name: str, logger: Logger) -> Logger:
    """Guard every call of Lightning to a logger, which gets a copy of the metrics.

    Lightning counts epochs from 0, and its loggers log the number: people read it, so here it is
    counted from 1.
    """
    for method in ("log_hyperparams", "log_graph", "save", "finalize"):
        setattr(logger, method, guarded(name, getattr(logger, method)))
    log_metrics: Any = logger.log_metrics

    def log_copy(metrics: Mapping[str, float], step: int | None = None) -> None:
        counted = {"epoch": metrics["epoch"] + 1} if "epoch" in metrics else {}
        log_metrics({**metrics, **counted}, step)

    logger.log_metrics = guarded(name, log_copy)  # type: ignore[method-assign]
    return logger
