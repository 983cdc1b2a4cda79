"""``recsys-lab train``: train one run, one per window, or several with --multirun."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from recsys_lab.cli.multirun import LABEL
from recsys_lab.contracts.processes import from_first, is_first
from recsys_lab.experiment.recording import recorded
from recsys_lab.experiment.run_folder import run_folder
from recsys_lab.experiment.stored.from_run import FROM, changes, in_words, noted
from recsys_lab.pages.terminal import Terminal
from recsys_lab.runs.find import is_smoke_test
from recsys_lab.runs.record import RECORD

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run(cfg: DictConfig, output_dir: Path) -> Path:
    """Start a run, or resume the one of ``resume``, and return its directory."""
    hydra = HydraConfig.get()
    if hydra.mode == RunMode.MULTIRUN and cfg.group is None:
        cfg.group = Path(hydra.sweep.dir).name  # groups the runs of one command
    console, label = Terminal(quiet=not is_first()), os.environ.get(LABEL)
    folder = Path(from_first(lambda: str(run_folder(cfg, output_dir))))
    fields = _origin(cfg, console) if not (folder / RECORD).exists() else {}
    fields |= {"job": label} if label else {}
    record = recorded(cfg, folder, console, **fields)
    if is_smoke_test(record):
        console.print(f"debug={cfg.debug}: a smoke test; compare leaves it out", highlight=False)
    console.print(f"run: {record.folder}", soft_wrap=True)
    return record.folder


def _origin(cfg: DictConfig, console: Terminal) -> dict[str, Any]:
    """Tell what differs from the run of ``from``; the field for the record."""
    if cfg.get(FROM) is None:
        return {}
    found = changes(cfg)
    console.print(f"from {cfg[FROM]}: {in_words(found)}", soft_wrap=True, highlight=False)
    return noted(cfg, found)
