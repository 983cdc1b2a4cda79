"""``recsys-lab export RUN_DIR output=DIR``: write a run as a folder that needs no lab."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from recsys_lab.deploy.export.export import Options, export
from recsys_lab.deploy.export.folder import refuse_used
from recsys_lab.experiment.restore import restore
from recsys_lab.pages.terminal import Terminal
from recsys_lab.runs.failure import refuse_unfinished
from recsys_lab.runs.find import whole_record

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run(cfg: DictConfig, output_dir: Path) -> None:
    """Write the folder and say what was compared."""
    del output_dir
    output = Path(cfg.output)
    refuse_used(output)
    record = whole_record(Path(cfg.run))
    if "windows" not in record.values:
        refuse_unfinished(record, "no model to export")
    parts = restore(record, cfg.verify, prepare=cfg.prepare)
    options = Options(cfg.k, cfg.program, cfg.int8, cfg.users, cfg.check_users)
    console = Terminal()
    for line in export(record, parts, output, options):
        console.print(line, soft_wrap=True, highlight=False, markup=False)
