"""Weights & Biases through Lightning's logger."""

from __future__ import annotations

import logging
import os
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl
    from pytorch_lightning.loggers import Logger, WandbLogger

    from recsys_lab.tracking.base import End, Start

_log = logging.getLogger(__name__)


class WandbTracker:
    """Online where that is asked for and the network answers, else offline.

    The environment variable ``WANDB_MODE=offline`` is heeded.

    Args:
        mode: ``offline`` writes beside the run (``wandb sync`` sends it later); ``online`` needs
            a login.
        project: W&B project.
        entity: W&B team or user; None for the login's own.
        timeout: seconds to wait for login and network before going on offline, and for the last
            upload at the end.
        artifacts: upload the files too, as an artifact of the run.
    """

    def __init__(
        self, *, mode: str, project: str, entity: str | None, timeout: float, artifacts: bool
    ) -> None:
        self.mode = mode
        self.project = project
        self.entity = entity
        self.timeout = timeout
        self.artifacts = artifacts
        self._logger: WandbLogger | None = None

    def start(self, run: Start, folder: Path) -> tuple[str, Logger]:
        """See `Tracker`."""
        if self.mode == "online" and os.environ.get("WANDB_MODE") != "offline":
            try:
                return self._start(run, folder, "online")
            except Exception as error:
                _log.warning("W&B (online) did not start: %s", error)
                _log.warning("going on offline; send it later with: wandb sync %s", folder)
        return self._start(run, folder, "offline")

    def _start(self, run: Start, folder: Path, mode: str) -> tuple[str, Logger]:
        import wandb

        from recsys_lab.tracking.wandb_logger import SteppedWandbLogger

        experiment = wandb.init(
            project=self.project,
            entity=self.entity,
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
                mode=mode,  # type: ignore[arg-type]
                init_timeout=self.timeout,
                login_timeout=self.timeout,
                finish_timeout=self.timeout,
                silent=True,
                disable_git=True,
                x_disable_meta=True,
            ),
            reinit="finish_previous",
        )
        self._logger = SteppedWandbLogger(experiment)
        return str(experiment.id), self._logger

    def finish(self, end: End) -> None:
        """Put the best epoch's numbers into the summary, log the tables, close the run.

        W&B fills the summary with the last logged values, which are the last epoch's, whenever it
        ends a row; the last one, still open, is ended first, or it would come after the summary.
        """
        if self._logger is None:
            return
        experiment, self._logger = self._logger.experiment, None
        try:
            tables = {name: _table(frame) for name, frame in end.tables.items()}
            experiment.log(tables, commit=True)
            if self.artifacts and end.files:
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


def _table(frame: pl.DataFrame) -> Any:
    import wandb

    rows = [list(row) for row in frame.iter_rows()]
    return wandb.Table(columns=list[str | int](frame.columns), data=rows)
