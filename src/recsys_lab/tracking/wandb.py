"""Weights & Biases through Lightning's logger."""

from __future__ import annotations

import logging
import os
import shlex
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Gt
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities import rank_zero_only

from recsys_lab.tracking.base import Tracker
from recsys_lab.tracking.wandb_service import import_wandb

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import polars as pl
    from wandb import Run

    from recsys_lab.tracking.base import End, Start

_log = logging.getLogger(__name__)
_STEP = "trainer/global_step"


class WandbTracker(Tracker):
    """Logs online if configured and reachable, else offline.

    The environment variable ``WANDB_MODE`` is respected if it is ``offline`` or ``disabled``.

    Args:
        config: the options.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of `WandbTracker`.

        Attributes:
            project: W&B project.
            mode: "offline" writes into the run directory, and ``wandb sync
                RUN_DIR/wandb/offline-run-*`` uploads it later; "online" needs a login.
            entity: W&B team or user; null for the default of the login.
            init_timeout: seconds to wait for login and network before switching to offline, and
                for the last upload at the end.
            artifacts: upload the files too, as an artifact of the run.
        """

        project: str
        mode: Literal["offline", "online"]
        entity: str | None
        init_timeout: Annotated[float, Gt(0)]
        artifacts: bool

    config: Config

    def start(self, run: Start, folder: Path) -> str | None:
        """See `Tracker`."""
        if os.environ.get("WANDB_MODE") == "disabled":
            _log.info("W&B is off: WANDB_MODE=disabled")
            return None
        if self.config.mode == "online" and os.environ.get("WANDB_MODE") != "offline":
            try:
                return self._start(run, folder, "online")
            except Exception as error:
                _log.warning("W&B (online) did not start: %s", error)
                _log.warning("continuing offline; upload it later with: %s", sync_command(folder))
        return self._start(run, folder, "offline")

    def _start(self, run: Start, folder: Path, mode: str) -> str:
        wandb = import_wandb()
        experiment = wandb.init(
            project=self.config.project,
            entity=self.config.entity,
            id=run.id or uuid.uuid4().hex[:8],
            resume="allow" if run.id and mode == "online" else None,
            name=run.name,
            group=run.group,
            tags=list(run.tags),
            notes=run.notes,
            job_type=run.job_type,
            config={**run.config, "code_commit": run.commit},
            dir=str(folder),
            settings=wandb.Settings(
                mode=mode,
                init_timeout=self.config.init_timeout,
                login_timeout=self.config.init_timeout,
                finish_timeout=self.config.init_timeout,
                silent=True,
                disable_git=True,
                x_disable_meta=True,
            ),
            reinit="finish_previous",
        )
        self._logger = SteppedWandbLogger(experiment)
        return str(experiment.id)

    def logger(self) -> WandbLogger:
        """See `Tracker`."""
        return self._logger

    def finish(self, end: End) -> None:
        """Write the summary of the best epoch and the tables, and close the run.

        W&B overwrites the summary with the last logged values when it commits a row, so the open
        row is committed before the summary is set.
        """
        experiment: Any = self._logger.experiment
        try:
            tables = {name: _table(frame) for name, frame in end.tables.items()}
            experiment.log(tables, commit=True)
            if self.config.artifacts and end.files:
                self._upload(experiment, end)
            experiment.summary.update(dict(end.summary))
        finally:
            experiment.finish(exit_code=int(end.failed))

    @staticmethod
    def _upload(experiment: Any, end: End) -> None:
        import wandb

        artifact = wandb.Artifact(f"run-{experiment.id}", type="run")
        for name, path in end.files.items():
            artifact.add_file(str(path), name=name)
        experiment.log_artifact(artifact)


class SteppedWandbLogger(WandbLogger):
    """Uses the optimizer step as the x axis of W&B.

    Offline, W&B counts the rows of each process from 0, so the rows of a resumed run would overlap
    earlier ones. Lightning sets the x axis only for runs that it opens itself.

    Args:
        experiment: the open run.
    """

    def __init__(self, experiment: Run) -> None:
        super().__init__(experiment=experiment)
        experiment.define_metric(_STEP)
        experiment.define_metric("epoch")
        experiment.define_metric("*", step_metric=_STEP, step_sync=True)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """See `WandbLogger`."""
        if step is None:
            self.experiment.log(dict(metrics))
        else:
            self.experiment.log({**metrics, _STEP: step}, step=step)


def sync_command(folder: Path) -> str:
    """The command, for a shell, that uploads what was logged offline in a run directory."""
    return f"wandb sync {shlex.quote(str(folder / 'wandb'))}/offline-run-*"


def _table(frame: pl.DataFrame) -> Any:
    import wandb

    rows = [list(row) for row in frame.iter_rows()]
    return wandb.Table(columns=list[str | int](frame.columns), data=rows)
