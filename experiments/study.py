"""What studies that train several runs share: finished runs are kept, the lab's own comparison.

Studies are modules, started from the folder of the project: `python -m experiments.STUDY.run`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[1]


def parser(description: str, *, seeds: int = 1, epochs: int) -> argparse.ArgumentParser:
    """Arguments of every study: the folder of its runs, and what it may spend."""
    made = argparse.ArgumentParser(description=description.partition("\n")[0])
    made.add_argument("output", type=Path, help="folder of the runs, records and comparisons")
    made.add_argument("--seeds", type=int, default=seeds)
    made.add_argument("--epochs", type=int, default=epochs, help="of every run, at most")
    made.add_argument("--patience", type=int, default=10, help="validations without a better one")
    made.add_argument("--validation-users", type=int, default=2000)
    made.add_argument("--only", nargs="+", metavar="RUN", help="names of the runs to train")
    made.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="for all runs")
    return made


def budget(chosen: argparse.Namespace) -> list[str]:
    """Overrides of the arguments of `parser`."""
    return [
        "tracking=none",
        f"prepared_dir={chosen.output / 'prepared'}",
        f"recipe.max_epochs={chosen.epochs}",
        f"recipe.patience={chosen.patience}",
        f"recipe.validation_users={chosen.validation_users}",
    ]


def train(chosen: argparse.Namespace, name: str, seed: int, overrides: Sequence[str]) -> Path:
    """Train a run, or go on with it; a finished one is left as it is. Keeps its short record.

    A run that `--only` leaves out is not trained; its folder is returned all the same.
    """
    run_dir = run_folder(chosen.output, name, seed)
    if not is_finished(run_dir):
        if chosen.only and name not in chosen.only:
            return run_dir
        own = (f"name={name}", f"seed={seed}", f"run_dir={run_dir}", "resume=auto")
        lab("train", *budget(chosen), *overrides, *chosen.set, *own)
    record = chosen.output / "records" / f"{run_dir.name}.json"
    keep = ("scripts/keep_result.py", str(run_dir), str(record))
    subprocess.run([sys.executable, *keep], check=True, cwd=ROOT)
    return run_dir


def run_folder(output: Path, name: str, seed: int) -> Path:
    """Where a run of a study lies."""
    return output / "runs" / f"{name}_seed{seed}"


def is_finished(run_dir: Path) -> bool:
    """Whether a run has its test results."""
    file = run_dir / "run.json"
    return file.is_file() and json.loads(file.read_text())["status"] == "finished"


def lab(*arguments: str) -> None:
    """Run a command of the lab; ends the study with its code if it fails."""
    command = [sys.executable, "-m", "recsys_lab", *arguments]
    code = subprocess.run(command, check=False).returncode
    if code:
        raise SystemExit(code)


def compare(runs: Sequence[Path], baseline: str, output: Path, metric: str | None = None) -> None:
    """Print intervals and paired tests, and write them below `output`; seeds are one system."""
    runs = [run for run in runs if is_finished(run)]
    if len(runs) > 1:
        chosen = (f"baseline={baseline}", f"metric={metric or 'null'}", f"output={output}")
        lab("compare", *map(str, runs), "by=name", *chosen)


def print_slice(runs: Sequence[Path], kind: str, values: Sequence[str], metric: str) -> None:
    """A table of a test metric in slices of one kind, e.g. target_popularity: head, cold.

    A slice of few users has no interval.
    """
    table = Table("run", *values, title=f"test {metric} by {kind}", title_justify="left")
    for run in filter(is_finished, runs):
        frame = pl.read_parquet(run / "slices.parquet")
        rows = frame.filter((pl.col("slice") == kind) & (pl.col("metric") == metric))
        found = {row["value"]: row for row in rows.iter_rows(named=True)}
        table.add_row(run.name, *(_cell(found.get(value)) for value in values))
    Console(width=120).print(table)


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return "no users"
    between = "few users" if row["low"] is None else f"{row['low']:.4f}-{row['high']:.4f}"
    return f"{row['mean']:.4f} ({between})"
