"""What the trackers share: what they are given, and that their failures cost nothing."""

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
"""What a tracker may raise at no cost to the run; client libraries call `sys.exit`."""


@dataclass(frozen=True)
class Start:
    """A run when it begins, as a tracker receives it.

    Attributes:
        id: the tracker's own id of the run from an earlier start, or None.
        name: of the run; not unique.
        group: shared by runs that belong together, or None.
        tags: labels.
        job_type: ``train``, or ``trial`` for a run of a sweep.
        config: of the run, nested; it holds no secret.
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
    """A run when it ends, as a tracker receives it.

    Attributes:
        summary: final values by name: ``val/...`` of the best epoch, ``test/...``, ``compute/...``.
        tables: small tables by name, e.g. ``slices``.
        files: the best weights, the per-user results and the record, by name.
        failed: whether the run ended by an error.
    """

    summary: Mapping[str, float]
    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)
    failed: bool = False


class Tracker:
    """One place that receives copies of a run; derive your own from it.

    Every method has a default that does nothing. A method may raise anything, or call `sys.exit`: a
    warning is printed and the run goes on. Only a `UserError` of `__init__` or `start` ends the
    run, before it trains.

    Args:
        config: the options.
    """

    @dataclass(frozen=True)
    class Config:
        """Options; none by default."""

    def __init__(self, config: Any) -> None:
        self.config = config

    def start(self, run: Start, folder: Path) -> str | None:
        """Open the run, or continue the one with the id ``run.id``.

        Args:
            run: what the run is.
            folder: the run directory; files of the tracker's own may be written there.

        Returns:
            The tracker's id of the run, kept in the run's record and given again when the run is
            resumed; None where the tracker is turned off, which then is not called again.
        """
        del folder
        return run.id or run.name

    def log(self, metrics: Mapping[str, float], step: int | None) -> None:
        """Take the values of an epoch, e.g. ``val/ndcg@10``, ``train/loss``, ``epoch``.

        An epoch may come in several calls. A model that is fitted in one pass has no epochs.

        Args:
            metrics: name -> value.
            step: number of the last optimizer step, counted from 0.
        """

    def logger(self) -> Logger:
        """What Lightning logs to, once the run is open; by default it calls `log`."""
        from recsys_lab.tracking.epoch_logger import EpochLogger

        return EpochLogger(type(self).__name__, self.log)

    def finish(self, end: End) -> None:
        """Write what is left and close the run."""


def guarded(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """The same call, with an exception turned into a warning; the same one is told once."""
    told: set[str] = set()

    def safe(*args: Any, **kwargs: Any) -> Any:
        try:
            return call(*args, **kwargs)
        except FAILURES as error:
            problem = in_words(error)
            if problem not in told:
                told.add(problem)
                _log.warning("%s failed and is left behind, the run goes on: %s", name, problem)
            return None

    return safe


def in_words(error: BaseException) -> str:
    """What a tracker raised."""
    return f"it called sys.exit({error})" if isinstance(error, SystemExit) else str(error)


def guard_logger(name: str, logger: Logger) -> Logger:
    """Guard every call that Lightning makes while training."""
    for method in ("log_metrics", "log_hyperparams", "log_graph", "save", "finalize"):
        setattr(logger, method, guarded(name, getattr(logger, method)))
    return logger
