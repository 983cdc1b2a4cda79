"""``recsys-lab compare RUN...``: whether the difference between runs is real."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recsys_lab.cli.comparison_examples import example_users
from recsys_lab.cli.output import output_folder
from recsys_lab.files.atomic import write_text
from recsys_lab.pages.terminal import Terminal
from recsys_lab.runs.collect import find_runs, refuse_unlike
from recsys_lab.runs.exports import write_exports
from recsys_lab.runs.judging import Options, compare
from recsys_lab.runs.report import html
from recsys_lab.runs.terminal import print_comparison

if TYPE_CHECKING:
    from pathlib import Path

    from omegaconf import DictConfig


def run(cfg: DictConfig, output_dir: Path) -> None:
    """Print the tables; write them too when ``output`` names a folder."""
    del output_dir
    output = output_folder(cfg.output)
    records, left_out = find_runs(list(cfg.runs))
    if not cfg.force:
        refuse_unlike(records)
    options = Options(
        baseline=cfg.baseline,
        metric=cfg.metric,
        level=cfg.level,
        resamples=cfg.resamples,
        permutations=cfg.permutations,
        seed=cfg.seed,
        by=cfg.by,
    )
    comparison = compare(records, left_out, options)
    console = Terminal()
    print_comparison(console, comparison)
    if output is not None:
        report = output / "report.html"
        write_text(report, html(comparison, example_users(comparison)))
        for path in [*write_exports(comparison, output), report]:
            console.print(f"written: {path}", soft_wrap=True, highlight=False)
