"""``recsys-lab doctor``: what this machine has, for bug reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from recsys_lab.doctor import examine
from recsys_lab.doctor.terminal import print_report
from recsys_lab.pages.terminal import Terminal, printable

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run(cfg: DictConfig, output_dir: Path) -> None:
    """Print the report."""
    del output_dir
    report = examine(Path.cwd())
    if cfg.format == "json":
        print(printable(json.dumps(report.as_dict(), indent=1, allow_nan=False)))
    else:
        print_report(Terminal(), report)
