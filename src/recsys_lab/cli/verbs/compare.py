"""``recsys-lab compare RUN...``: compare runs with significance tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recsys_lab.cli.output import output_folder
from recsys_lab.comparison.backtests import FEWEST_WINDOWS, compare_backtests, find_backtests
from recsys_lab.comparison.collect import find_runs, refuse_unlike
from recsys_lab.comparison.compare import Options, compare
from recsys_lab.comparison.example_users import example_users
from recsys_lab.comparison.export import write_exports
from recsys_lab.comparison.page import html
from recsys_lab.comparison.terminal import print_comparison
from recsys_lab.config import UserError
from recsys_lab.experiment.backtest import backtest_tables
from recsys_lab.files.atomic import write_text
from recsys_lab.pages.csv_text import rows_as_csv
from recsys_lab.pages.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from omegaconf import DictConfig

    from recsys_lab.runs.record import RunRecord


def run(cfg: DictConfig, output_dir: Path) -> None:
    """Print the comparison, and write it to the folder ``output`` if given."""
    del output_dir
    output = output_folder(cfg.output)
    tests = [] if cfg.force else find_backtests(list(cfg.runs))
    if tests:
        _compare_windows(cfg, tests, output)
        return
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


def _compare_windows(
    cfg: DictConfig, tests: Sequence[Sequence[RunRecord]], output: Path | None
) -> None:
    """Compare back-tests with the first one, window by window."""
    if cfg.baseline != "first":
        raise UserError(
            f"baseline={cfg.baseline}: back-tests are compared with the first one given; give the "
            "baseline first and omit the option"
        )
    result = compare_backtests(tests, metric=cfg.metric, level=cfg.level, by=cfg.by)
    console = Terminal()
    for table in backtest_tables(result):
        console.print(table)
    console.print(
        f"* differs from {result.systems[0]} at the {cfg.level:.4g} level (Holm), by a paired "
        f"t-test over at least {FEWEST_WINDOWS} windows, which share users and items and so are "
        "not independent.",
        highlight=False,
    )
    if output is not None:
        rows = [
            [name, system, window, float(value)]
            for name, values_SW in result.values.items()
            for system, values_W in zip(result.systems, values_SW, strict=True)
            for window, value in enumerate(values_W)
        ]
        path = output / "windows.csv"
        write_text(path, rows_as_csv([["metric", "system", "window", "value"], *rows]))
        console.print(f"written: {path}", soft_wrap=True, highlight=False)
