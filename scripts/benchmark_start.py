"""What checking the prepared files costs: seconds from start to first step, verify=full and sizes.

    python scripts/benchmark_start.py [--rows 1e6 1e7] [--repeats 5]

SASRec (hidden 64, last 50 events, batch 128, sampled softmax) on the log of
benchmark_preparation.py, which is prepared before. *train* is the whole command, from the start of
its process; *trial* is one of a sweep in a worker that has loaded everything: it looks at lengths
alone, because the sweep's parent has checked the files, and stands here with both for comparison.
*hash* is the check itself. Each figure is the median of alternating repeats.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median
from unittest.mock import patch

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table

from benchmark_preparation import write_log
from recsys_lab.config import Interrupted, config_dir
from recsys_lab.config.commands import Verify
from recsys_lab.data.prepared import PreparedDataset
from recsys_lab.experiment import recording
from recsys_lab.experiment import run as execute
from recsys_lab.experiment.prepare import prepare_from
from recsys_lab.files.digests import damage

CHECKS: tuple[Verify, Verify] = ("full", "sizes")
TRAIN = """
import os, sys, time
import recsys_lab.training.module as module
def first(*_):
    print(time.time(), flush=True)
    os._exit(0)
module.SequentialModule.training_step = first
from recsys_lab.cli.main import run_command
run_command(sys.argv[1:])
"""


def options(log: Path) -> list[str]:
    """Overrides of every command."""
    return [
        "data=table", f"data.path={log}", f"prepared_dir={log.parent}", "engine=duckdb",
        "loss=sampled_softmax", "recipe.accelerator=cpu", "recipe.max_epochs=1", "tracking=none",
    ]  # fmt: skip


def train_start(log: Path, folder: Path, verify: str) -> float:
    """Seconds from the start of the process to the first step."""
    command = [sys.executable, "-c", TRAIN, "train", *options(log)]
    began = time.time()
    done = subprocess.run(
        [*command, f"verify={verify}", f"run_dir={folder}"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return float(done.stdout.split()[-1]) - began


def trial_starts(log: str, prepared: str, repeats: str) -> dict[str, float]:
    """Seconds to the first step of a run in this process, which has done one before."""
    from pytorch_lightning import Callback

    class Stop(Callback):
        def on_train_batch_start(self, *_: object) -> None:
            raise Interrupted("measured")

    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = compose("train", overrides=[*options(Path(log)), "run_dir=unused"])
    GlobalHydra.instance().clear()
    OmegaConf.set_struct(cfg, False)
    found: dict[str, list[float]] = {verify: [] for verify in CHECKS}
    for number in range(int(repeats) + 1):
        for verify in CHECKS:
            checked = partial(_opened, verify)
            with (
                patch.object(execute, "PreparedDataset", checked),
                tempfile.TemporaryDirectory() as folder,
            ):
                began = time.perf_counter()
                try:
                    recording.recorded(
                        cfg, Path(folder) / "run", Console(quiet=True),
                        execute.TrialRun(lambda: [Stop()]), Path(prepared),
                    )  # fmt: skip
                except Interrupted:
                    seconds = time.perf_counter() - began
            if number:  # the first one loads what all others find
                found[verify].append(seconds)
    return {verify: median(values) for verify, values in found.items()}


def _opened(verify: Verify, path: Path, _: Verify) -> PreparedDataset:
    return PreparedDataset(path, verify)


def measure(rows: int, repeats: int) -> list[tuple[str, float, float]]:
    """What, seconds with verify=full, seconds with verify=sizes."""
    with tempfile.TemporaryDirectory() as name:
        log = Path(name) / "log.parquet"
        write_log(log, rows)
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            data = prepare_from(compose("train", overrides=[*options(log), "run_dir=unused"]))
        found: dict[str, list[float]] = {verify: [] for verify in CHECKS}
        for number in range(repeats):
            for verify in CHECKS:
                run = Path(name) / f"run{number}-{verify}"
                found[verify].append(train_start(log, run, verify))
        command = [sys.executable, __file__, "--trial", str(log), str(data.path), str(repeats)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        trial = json.loads(done.stdout.splitlines()[-1])
        hashing: dict[str, float] = {}
        for verify in CHECKS:
            began = time.perf_counter()
            assert damage(data.path, data.manifest["files"], verify) is None
            hashing[verify] = time.perf_counter() - began
        size = sum(noted["bytes"] for noted in data.manifest["files"].values())
    return [
        ("train", median(found["full"]), median(found["sizes"])),
        ("trial", trial["full"], trial["sizes"]),
        (f"hash, {size / 1e6:,.0f} MB", hashing["full"], hashing["sizes"]),
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=float, nargs="+", default=[1e6, 1e7])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--trial", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.trial:
        print(json.dumps(trial_starts(*chosen.trial)))
        return
    table = Table(title="seconds to the first step", title_justify="left")
    for heading in ("rows", "start of", "verify=full", "verify=sizes", "ratio"):
        table.add_column(heading, justify="left" if heading == "start of" else "right")
    for rows in map(int, chosen.rows):
        for what, full, sizes in measure(rows, chosen.repeats):
            ratio = f"{full / sizes:.3f}" if not what.startswith("hash") else ""
            table.add_row(f"{rows:,}", what, f"{full:.3f}", f"{sizes:.3f}", ratio)
        table.add_section()
    Console().print(table)


if __name__ == "__main__":
    main()
