"""``recsys-lab train``: the run's folder, its record and log; one run or one for each window."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

from recsys_lab.config import UserError
from recsys_lab.config.secrets import scrubbed
from recsys_lab.experiment.recording import _identity, recorded
from recsys_lab.pages.terminal import Terminal
from recsys_lab.runs.find import whole_record
from recsys_lab.runs.record import (
    RECORD,
)

if TYPE_CHECKING:
    from omegaconf import DictConfig

_log = logging.getLogger(__name__)


def run(cfg: DictConfig, output_dir: Path) -> None:
    """Start a run, or continue the one that ``resume`` names."""
    hydra = HydraConfig.get()
    if hydra.mode == RunMode.MULTIRUN and cfg.group is None:
        cfg.group = Path(hydra.sweep.dir).name  # the runs of one command stand side by side
    record = recorded(cfg, _folder(cfg, output_dir), Terminal())
    Terminal().print(f"run: {record.folder}", soft_wrap=True)


def _folder(cfg: DictConfig, output_dir: Path) -> Path:
    """The run directory; ``resume=auto`` finds the latest unfinished run of this config."""
    chosen = any(o.startswith("run_dir=") for o in HydraConfig.get().overrides.task)
    if cfg.resume != "auto" or chosen or (output_dir / RECORD).exists():
        return output_dir
    wanted = _identity(scrubbed(OmegaConf.to_container(cfg, resolve=True)))
    candidates = []
    for path in output_dir.parents[1].glob(f"*/*/{RECORD}"):  # runs/DAY/RUN/run.json
        try:
            record = whole_record(path.parent)
        except UserError:  # another run's damaged record is no reason to stop
            continue
        if not record.done and _identity(record.values["config"]) == wanted:
            candidates.append((record.values["created"], path.parent))
    if not candidates:
        return output_dir
    with suppress(OSError):
        output_dir.rmdir()  # Hydra made it, empty, before anybody knew
    return max(candidates)[1]
