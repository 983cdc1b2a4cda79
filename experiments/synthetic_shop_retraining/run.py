"""Warm against cold retraining over four windows of the synthetic shop, at equal compute.

    python experiments/synthetic_shop_retraining/run.py OUTPUT [--users N] [--items N] [--epochs N]

The log of the shop is cut into a history and four equal windows. A first run is trained on the
history. For each window the log up to its end is retrained three times with the lab's own command:
cold and warm with the same small number of epochs (equal compute), and cold with all epochs of the
first run, the quality that a cold run can reach. A warm run starts with the weights of the warm run
of the window before. The test is the last tenth of the log up to the window's end
(split=global_temporal), so that the runs of a window rank the same users under one protocol. No
warm run has trained on events that are held out from it.

OUTPUT has the runs, and results.json with test metrics, epochs, steps' seconds and operations.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl

WINDOWS = 4
HISTORY = 0.6
"""Share of the events before the first window."""
ARMS = ("cold", "warm", "cold, all epochs")


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--users", type=int, default=5000)
    parser.add_argument("--items", type=int, default=1500)
    parser.add_argument("--epochs", type=int, default=20, help="of the first run")
    parser.add_argument("--few", type=int, default=4, help="of warm and cold runs at equal compute")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    rows = []
    logs = write_logs(args.output, args.users, args.items)
    for seed in range(args.seeds):
        rows += of_seed(args, logs, seed)
        (args.output / "results.json").write_text(json.dumps(rows, indent=1) + "\n")
    print(table(rows))


def of_seed(args: argparse.Namespace, logs: list[Path], seed: int) -> list[dict[str, Any]]:
    """The results of all windows with one seed."""
    folder = args.output / f"seed_{seed}"
    first = folder / "first"
    lab(
        *("train", "data=table", f"data.path={logs[0]}", "split=global_temporal", "tracking=none"),
        *("split.cold_items=report", f"recipe.max_epochs={args.epochs}", f"seed={seed}"),
        *(f"prepared_dir={args.output}/prepared", f"run_dir={first}", "resume=auto"),
    )
    rows, before = [], first
    for window, log in enumerate(logs[1:], 1):
        for arm in ARMS:
            run_dir = folder / f"{arm.replace(', ', '_').replace(' ', '_')}_{window}"
            epochs = args.epochs if arm == ARMS[2] else args.few
            parent = before if arm == "warm" else first
            warm = str(arm == "warm").lower()
            said = lab(
                *("retrain", str(parent), f"data.path={log}", f"warm={warm}"),
                *(f"recipe.max_epochs={epochs}", f"run_dir={run_dir}", "resume=auto"),
            )
            record = json.loads((run_dir / "run.json").read_text())
            rows.append(
                {
                    "seed": seed,
                    "window": window,
                    "arm": arm,
                    "epochs": epochs,
                    "test": record["test"],
                    "best_epoch": record["best"]["epoch"],
                    "compute": record["compute"],
                    "changes": json.loads(said.splitlines()[-1])["changes"],
                }
            )
        before = folder / f"warm_{window}"
    return rows


def write_logs(output: Path, users: int, items: int) -> list[Path]:
    """The history, and the log up to the end of each window, as Parquet files."""
    arguments = [f"data.num_users={users}", f"data.num_items={items}"]
    lab("prepare", *arguments, f"prepared_dir={output}/prepared", f"run_dir={output}/none")
    (folder,) = (output / "prepared").glob("synthetic_shop-*")
    log = pl.read_parquet(folder / "interactions.parquet").sort("timestamp", maintain_order=True)
    log = log.select(pl.col("user").alias("user_id"), pl.col("item").alias("item_id"), "timestamp")
    files = []
    for window in range(WINDOWS + 1):
        share = HISTORY + (1 - HISTORY) * window / WINDOWS
        files.append(output / f"log_{window}.parquet")
        log.head(round(share * len(log))).write_parquet(files[-1])
    return files


def lab(*arguments: str) -> str:
    """Run a command of the lab; returns its output."""
    done = subprocess.run(
        [sys.executable, "-m", "recsys_lab", *arguments],
        check=False,
        text=True,
        capture_output=True,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)}\n{done.stdout}{done.stderr}")
    return done.stdout


def table(rows: list[dict[str, Any]], metric: str = "ndcg@10") -> str:
    """Means over seeds by window, and the operations of an arm, as Markdown."""
    lines = [f"| window | {' | '.join(ARMS)} |", "|---|" + "---|" * len(ARMS)]
    for window in sorted({row["window"] for row in rows}):
        cells = []
        for arm in ARMS:
            values = [
                row["test"][metric] for row in rows if (row["window"], row["arm"]) == (window, arm)
            ]
            cells.append(f"{sum(values) / len(values):.4f}")
        lines.append(f"| {window} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
