"""Trackers receive copies of a run; losing one never loses the run."""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Gt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pytorch_lightning.loggers import Logger, WandbLogger

_log = logging.getLogger(__name__)


class NoTracking:
    """``tracking=none``: the run record alone.

    Args:
        config: no options.
    """

    @dataclass(frozen=True)
    class Config:
        """`NoTracking` has no options."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def start(self, run: Mapping[str, Any], folder: Path) -> str | None:
        """Nothing to start."""
        del run, folder
        return None

    def logger(self) -> Logger | None:
        """Lightning logs nowhere."""
        return None

    def finish(self, summary: Mapping[str, float], failed: bool = False) -> None:
        """Nothing to finish."""
        del summary, failed


class WandbTracking:
    """Weights & Biases through Lightning's logger; offline unless told otherwise.

    Args:
        config: the options.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of `WandbTracking`.

        Attributes:
            mode: "offline" writes beside the run (``wandb sync`` sends it later); "online"
                needs a login.
            project: W&B project.
            entity: W&B team or user; null for the login's own.
            init_timeout: seconds to wait for login and network before going on offline, and
                for the last upload at the end.
        """

        mode: Literal["offline", "online"]
        project: str
        entity: str | None
        init_timeout: Annotated[float, Gt(0)]

    def __init__(self, config: Config) -> None:
        self.config = config
        self._logger: WandbLogger | None = None

    def start(self, run: Mapping[str, Any], folder: Path) -> str | None:
        """Open the tracker's run, or continue it.

        Args:
            run: ``id`` (of an earlier start, or None), ``name``, ``group``, ``tags``,
                ``config``, ``job_type``.
            folder: where offline files go.

        Returns:
            The tracker's run id, or None when it could not be started.
        """
        modes = ["online", "offline"] if self.config.mode == "online" else ["offline"]
        for mode in modes:
            try:
                return self._start(run, folder, mode)
            except Exception as error:
                _log.warning("W&B (%s) did not start: %s", mode, error)
                if mode == "online":
                    _log.warning("going on offline; send it later with: wandb sync %s", folder)
        return None

    def _start(self, run: Mapping[str, Any], folder: Path, mode: str) -> str:
        import wandb
        from pytorch_lightning.loggers import WandbLogger

        experiment = wandb.init(
            project=self.config.project,
            entity=self.config.entity,
            id=run["id"] or uuid.uuid4().hex[:8],
            resume="allow" if run["id"] and mode == "online" else None,
            name=run["name"],
            group=run["group"],
            tags=list(run["tags"]),
            job_type=run["job_type"],
            config=dict(run["config"]),
            dir=str(folder),
            settings=wandb.Settings(
                mode=mode,  # type: ignore[arg-type]
                init_timeout=self.config.init_timeout,
                login_timeout=self.config.init_timeout,
                finish_timeout=self.config.init_timeout,
                silent=True,
                disable_git=True,
                x_disable_meta=True,
            ),
            reinit="finish_previous",
        )
        self._logger = WandbLogger(experiment=experiment)
        return str(experiment.id)

    def logger(self) -> Logger | None:
        """Lightning's logger, which never raises."""
        return None if self._logger is None else _harmless(self._logger)

    def finish(self, summary: Mapping[str, float], failed: bool = False) -> None:
        """Put the best epoch's numbers into the summary and close the run.

        W&B fills the summary with the last logged values, which are the last epoch's.
        """
        if self._logger is None:
            return
        experiment = self._logger.experiment

        def close() -> None:
            experiment.summary.update(dict(summary))
            experiment.finish(exit_code=int(failed))

        _guarded(close)()
        self._logger = None


def _guarded(call: Callable[..., Any]) -> Callable[..., Any]:
    """The same call, with an exception turned into a warning."""

    def safe(*args: Any, **kwargs: Any) -> Any:
        try:
            return call(*args, **kwargs)
        except Exception as error:
            _log.warning("the tracker failed and is left behind, the run goes on: %s", error)
            return None

    return safe


def _harmless(logger: Logger) -> Logger:
    """Guard every call that Lightning makes while training."""
    for name in ("log_metrics", "log_hyperparams", "log_graph", "save", "finalize"):
        setattr(logger, name, _guarded(getattr(logger, name)))
    return logger
