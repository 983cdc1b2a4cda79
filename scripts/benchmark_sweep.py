"""What pruning saves, and what a sweep itself costs.

    python scripts/benchmark_sweep.py --data ../shared/data/ml-100k [--trials 40] [--epochs 20]

The same sweep of SASRec on MovieLens-100k (configs/search/sasrec.yaml, TPE, two workers), with and
without the median pruner, one after the other. Beside the best value: the wall time of the whole
command, the share of their lives that the workers spent on no trial (their start included), the
share of the wall time that no trial used (what the parent does before and after them, too), the
seconds between the end of one trial and the first training step of the next, and the share of
one core that the parent took.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import optuna
from rich.console import Console
from rich.table import Table

from recsys_lab.files.atomic import write_text
from recsys_lab.sweeps.storage.attributes import FIRST_STEP
from recsys_lab.sweeps.storage.backends import open_storage

WORKERS = 2


def command(folder: Path, pruner: str, options: argparse.Namespace) -> list[str]:
    """One sweep."""
    return [
        sys.executable, "-m", "recsys_lab", "sweep", "search=sasrec", "data=recbole",
        f"data.path={options.data.resolve()}", f"recipe.max_epochs={options.epochs}",
        "tracking=none", f"prepared_dir={folder / 'prepared'}", f"sweep.dir={folder}",
        f"sweep.name={pruner}", f"sweep.n_trials={options.trials}", f"sweep.workers={WORKERS}",
        f"sweep.pruner={pruner}", "sweep.sampler=tpe",
    ]  # fmt: skip


def timed(arguments: list[str], log: Path) -> tuple[float, float]:
    """Wall seconds of a command, and processor seconds of its first process alone."""
    begun = time.perf_counter()
    with log.open("wb") as handle:
        process = subprocess.Popen(arguments, stdout=handle, stderr=handle)
    own = 0.0
    while process.poll() is None:
        own = processor_seconds(process.pid) or own
        time.sleep(0.2)
    if process.returncode:
        raise SystemExit(f"the sweep failed:\n{log.read_text()[-2000:]}")
    return time.perf_counter() - begun, own


def processor_seconds(pid: int) -> float | None:
    """Of a process without its children; None when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measured(folder: Path, pruner: str, options: argparse.Namespace) -> dict[str, Any]:
    """The figures of one sweep."""
    wall, own = timed(command(folder, pruner, options), folder / f"{pruner}.log")
    storage = open_storage(str(folder / pruner / "study.journal"))
    study = optuna.load_study(study_name=pruner, storage=storage)
    summary = json.loads((folder / pruner / "sweep.json").read_text())
    states = [trial.state.name for trial in study.trials]
    seen: set[int] = set()
    starts = []
    for trial in study.trials:
        worker = trial.user_attrs["owner"]["pid"]
        first = trial.user_attrs.get(FIRST_STEP)  # None: it failed before
        # The first trial of a process also loads what all the others find.
        if worker in seen and first is not None:
            starts.append(first)
        seen.add(worker)
    workers = summary["workers"]
    busy = sum(worker["busy"] for worker in workers)
    idle = 1 - busy / sum(worker["now"] - worker["began"] for worker in workers)
    return {
        "best val/ndcg@10": round(study.best_value, 4),
        "trials": len(states),
        "pruned": f"{states.count('PRUNED') / len(states):.0%}",
        "failed": states.count("FAIL"),
        "wall seconds": round(wall, 1),
        "workers' idle share of their own time": f"{idle:.1%}",
        "cores without a trial, share of the wall time": f"{1 - busy / (WORKERS * wall):.1%}",
        "seconds to a trial's first step, median": round(median(starts), 2),
        "seconds to a trial's first step, largest": round(max(starts), 2),
        "parent, share of one core": f"{own / wall:.1%}",
    }


def main() -> None:
    """Both sweeps, then a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of ml-100k.inter")
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    console = Console()
    found = {}
    with tempfile.TemporaryDirectory() as name:
        for pruner in ("median", "none"):
            console.print(f"sweep with pruner {pruner}: {options.trials} trials")
            found[pruner] = measured(Path(name), pruner, options)
    table = Table(
        title=f"{options.trials} trials of at most {options.epochs} epochs", title_justify="left"
    )
    table.add_column("figure")
    for pruner in found:
        table.add_column(f"pruner {pruner}", justify="right")
    for figure in found["median"]:
        table.add_row(figure, *(str(column[figure]) for column in found.values()))
    console.print(table)
    if options.json:
        write_text(options.json, json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
