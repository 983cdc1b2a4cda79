"""``recsys-lab show RUN_DIR``: one run in full."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from recsys_lab.runs.record import RunRecord
from recsys_lab.runs.showing import print_run

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run(cfg: DictConfig, output_dir: Path) -> None:
    """Print the run."""
    del output_dir
    print_run(Console(), RunRecord.load(Path(cfg.run)))
