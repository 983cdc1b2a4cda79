"""``recsys-lab train``: train one run, one per window, or several with --multirun."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from recsys_lab.cli.multirun import LABEL
from recsys_lab.experiment.recording import recorded
from recsys_lab.experiment.run_folder import run_folder
from recsys_lab.pages.terminal import Terminal

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run(cfg: DictConfig, output_dir: Path) -> Path:
    """Start a run, or resume the one of ``resume``, and return its directory."""
    hydra = HydraConfig.get()
    if hydra.mode == RunMode.MULTIRUN and cfg.group is None:
        cfg.group = Path(hydra.sweep.dir).name  # groups the runs of one command
    label = os.environ.get(LABEL)
    fields: dict[str, Any] = {"job": label} if label else {}
    record = recorded(cfg, run_folder(cfg, output_dir), Terminal(), **fields)
    Terminal().print(f"run: {record.folder}", soft_wrap=True)
    return record.folder
