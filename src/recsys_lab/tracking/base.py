"""What the trackers share: what they are given, and that their failures cost nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl
    from pytorch_lightning.loggers import Logger

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """What a tracker must know to open its run.

    Attributes:
        id: the tracker's own id of the run from an earlier start, or None.
        name: for people.
        group: puts runs side by side, or None.
        tags: words to find it by.
        job_type: e.g. ``train``.
        config: of the run, nested.
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
    """What a tracker is told when the run ends.

    Attributes:
        summary: the best epoch's numbers.
        tables: small tables by name, e.g. ``slices``.
        files: worth keeping with the run, by name.
        failed: whether the run ended by an error.
    """

    summary: Mapping[str, float]
    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)
    failed: bool = False


class Tracker(Protocol):
    """One place that receives copies; may raise anything at any time."""

    def start(self, run: Start, folder: Path) -> tuple[str, Logger]:
        """Open the run, or continue it: its id, and what Lightning logs to."""
        ...

    def finish(self, end: End) -> None:
        """Write what is left and close the run."""
        ...


def guarded(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """The same call, with an exception turned into a warning; the same one is told once."""
    told: set[str] = set()

    def safe(*args: Any, **kwargs: Any) -> Any:
        try:
            return call(*args, **kwargs)
        except Exception as error:
            if str(error) not in told:
                told.add(str(error))
                _log.warning("%s failed and is left behind, the run goes on: %s", name, error)
            return None

    return safe


def guard_logger(name: str, logger: Logger) -> Logger:
    """Guard every call that Lightning makes while training."""
    for method in ("log_metrics", "log_hyperparams", "log_graph", "save", "finalize"):
        setattr(logger, method, guarded(name, getattr(logger, method)))
    return logger


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested config with dotted keys."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def without_at(name: str) -> str:
    """A metric's name for places that refuse ``@``: ``ndcg@10`` is ``ndcg_at_10``."""
    return name.replace("@", "_at_")
