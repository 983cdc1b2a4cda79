"""Kill a sweep repeatedly and check that every trial is done once.

    python scripts/checks/chaos_sweep.py [--trials 30] [--worker-kills 6] [--parent-kills 2]

Runs a sweep on a small synthetic shop with two workers. While it runs, a random worker is killed
(SIGKILL) several times and the parent several times; after a parent's death the same command is
run again. At the end the study must have exactly the requested number of finished trials, no
duplicate point, and a run directory for each trial.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from recsys_lab.sweeps.space import identity
from recsys_lab.sweeps.storage.backends import open_storage


def command(folder: Path, options: argparse.Namespace) -> list[str]:
    """The one command, given again after every death of the parent."""
    return [
        sys.executable, "-m", "recsys_lab", "sweep", "data.num_users=300", "data.num_items=80",
        "search.params.model.hidden_dim=choice(8,16,32)",
        "search.params.recipe.learning_rate=tag(log,interval(1e-4,1e-2))",
        "model.max_length=20", f"recipe.max_epochs={options.epochs}", "tracking=none",
        f"prepared_dir={folder / 'prepared'}", f"sweep.dir={folder}", "sweep.name=chaos",
        f"sweep.n_trials={options.trials}", "sweep.workers=2", f"sweep.storage={options.storage}",
    ]  # fmt: skip


def workers_of(parent: int) -> list[int]:
    """Process numbers of a parent's workers."""
    told = subprocess.run(
        ["pgrep", "-P", str(parent)], capture_output=True, text=True, check=False
    ).stdout
    return [int(number) for number in told.split()]


def disturbed(folder: Path, options: argparse.Namespace, console: Console) -> int:
    """Run to the end, with all the kills on the way; how often the command was given."""
    generator = random.Random(options.seed)
    kills = ["worker"] * options.worker_kills + ["parent"] * options.parent_kills
    generator.shuffle(kills)
    given = 0
    while True:
        given += 1
        log = (folder / f"parent{given}.log").open("wb")
        parent = subprocess.Popen(command(folder, options), stdout=log, stderr=log)
        due = time.time() + generator.uniform(*options.every)
        while parent.poll() is None:
            time.sleep(0.1)
            if not kills or time.time() < due:
                continue
            targets = workers_of(parent.pid)
            if not targets:
                continue
            kind = kills.pop()
            target = parent.pid if kind == "parent" else generator.choice(targets)
            with suppress(ProcessLookupError):
                os.kill(target, signal.SIGKILL)
            console.print(f"killed a {kind} ({target})")
            due = time.time() + generator.uniform(*options.every)
        log.close()
        if parent.returncode == 0 and kills:
            raise SystemExit(f"the sweep ended with {len(kills)} kills to come; use --epochs more")
        if parent.returncode == 0:
            return given
        if parent.returncode != -signal.SIGKILL:
            raise SystemExit(f"the sweep itself failed: see {folder}/parent{given}.log")


def judged(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """What the study and the folders say; fails where something is lost or done twice."""
    import optuna

    study = optuna.load_study(study_name="chaos", storage=open_storage(options.storage))
    trials = study.trials
    states = [trial.state.name for trial in trials]
    attempts = [trial.user_attrs["attempts"] for trial in trials]
    runs = sorted(path.parent.name for path in folder.glob("chaos/trials/*/run.json"))
    statuses = [
        json.loads((folder / "chaos" / "trials" / name / "run.json").read_text())["status"]
        for name in runs
    ]
    assert len(trials) == options.trials, f"{len(trials)} trials"
    assert all(state in ("COMPLETE", "PRUNED", "FAIL") for state in states), states
    assert len({identity(trial.params) for trial in trials}) == len(trials), "a point twice"
    assert runs == [f"{number:04d}" for number in range(len(trials))], runs
    assert set(statuses) <= {"finished", "pruned", "failed"}, statuses
    return {
        "finished trials": len(trials),
        "complete": states.count("COMPLETE"),
        "pruned": states.count("PRUNED"),
        "failed by their own error": states.count("FAIL"),
        "trials resumed after a crash": sum(count > 1 for count in attempts),
        "run directories": len(runs),
        "best val/ndcg@10": round(study.best_value, 4),
    }


def main() -> None:
    """Run the sweep under kills, check it and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--worker-kills", type=int, default=6)
    parser.add_argument("--parent-kills", type=int, default=2)
    parser.add_argument("--every", type=float, nargs=2, default=(4.0, 7.0), help="seconds")
    parser.add_argument("--storage", help="of the study; a journal by default")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        options.storage = options.storage or str(folder / "study.journal")
        begun = time.time()
        given = disturbed(folder, options, console)
        found = judged(folder, options)
        found |= {"commands given": given, "seconds": round(time.time() - begun)}
    table = Table(title="after the chaos", title_justify="left")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for key, value in found.items():
        table.add_row(key, str(value))
    console.print(table)


if __name__ == "__main__":
    main()
