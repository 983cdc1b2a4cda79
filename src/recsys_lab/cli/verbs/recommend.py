"""``recsys-lab recommend RUN``: lists for many users as files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from recsys_lab.cli.output import output_folder
from recsys_lab.config import UserError
from recsys_lab.deploy.recommend.folder import OutputFolder
from recsys_lab.deploy.recommend.job import run_job
from recsys_lab.deploy.recommend.plan import make_plan
from recsys_lab.experiment.distributed import choose_gpu, number_of_processes, rank
from recsys_lab.pages.terminal import Terminal

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run(cfg: DictConfig, output_dir: Path) -> None:
    """Write the lists, or what is left of them."""
    del output_dir
    number_of_processes()  # checks WORLD_SIZE
    choose_gpu()
    console = Terminal() if rank() == 0 else None
    if not cfg.output:
        raise UserError("output: got '', expected a folder, e.g. output=lists")
    plan = make_plan(cfg)
    path = output_folder(cfg.output)
    assert path is not None
    folder = OutputFolder(path, cfg.format, plan.sizes)
    folder.open(plan.settings)
    written = run_job(plan, folder, console)
    if console is None:
        return
    for note in plan.notes:
        console.print(f"note: {note}", soft_wrap=True, highlight=False)
    counts = json.loads(folder.manifest.read_text(encoding="utf-8"))["counts"]
    how = "" if written else ", which was complete"
    console.print(
        f"{counts['users_with_list']:,} of {counts['users']:,} users have a list, "
        f"{counts['short_lists']:,} of fewer than {cfg.k:,} items; {counts['rows']:,} rows in "
        f"{len(plan.sizes):,} files",
        highlight=False,
    )
    console.print(f"written: {folder.manifest}{how}", soft_wrap=True, highlight=False)
