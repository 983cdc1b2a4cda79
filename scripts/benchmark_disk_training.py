"""Batches per second and resident memory of training, by the length of the log.

    python scripts/benchmark_disk_training.py                     1M and 10M interactions
    python scripts/benchmark_disk_training.py --rows 1e6 1e8      1M and 100M

SASRec (hidden 64, 2 blocks, last 50 events, batch 128, sampled softmax over 50k items) for a
fixed number of steps through the lab's own `fit`, in a process of its own for each log. The logs
differ in users, not in histories or items, so that a step is the same work.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from benchmark_preparation import write_log
from recsys_lab.config import build, config_dir
from recsys_lab.contracts import Batch
from recsys_lab.data.batches import EvaluationBatches, TrainingBatches
from recsys_lab.data.prepared import PreparedDataset
from recsys_lab.experiment.prepare import prepare_from

STEPS = 220
READ_ONLY_BATCHES = 3000


class FirstBatches(TrainingBatches):
    """The first batches of the epoch; the order is that of the whole epoch."""

    seconds = 0.0

    def __len__(self) -> int:
        """Exactly `STEPS`."""
        assert super().__len__() >= STEPS
        return STEPS

    def __iter__(self) -> Iterator[Batch]:
        """The batches; `seconds` is the time from the first to the last, steps included."""
        began = None
        for batch in super().__iter__():
            began = began or time.perf_counter()
            yield batch
            self.seconds = time.perf_counter() - began


def config(log: Path) -> DictConfig:
    """The lab's own defaults for a table."""
    options = [
        "data=table", f"data.path={log}", f"prepared_dir={log.parent}", "engine=duckdb",
        "recipe.max_epochs=1", "recipe.accelerator=cpu", "run_dir=unused",
        "loss=sampled_softmax",
    ]  # fmt: skip
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return compose("train", overrides=options)


def resident() -> dict[str, int]:
    """Bytes of this process in memory: all, and of mapped files; and the peak of all."""
    lines = Path("/proc/self/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    names = {"all": "VmRSS", "files": "RssFile", "peak": "VmHWM"}
    return {name: int(fields[field].split()[0]) << 10 for name, field in names.items()}


def train(log: str, folder: str) -> dict[str, float]:
    """Train for `STEPS` steps and read many batches without training."""
    from recsys_lab.training.fit import fit

    cfg = config(Path(log))
    data = PreparedDataset(folder)
    model = build(cfg.model, num_items=data.num_items)
    protocol, recipe = build(cfg.evaluation), build(cfg.recipe)
    few = EvaluationBatches(
        data, "validation", batch_size=64, window=50, exclude_seen=True,
        shard=(0, max(1, len(data.segments("validation")) // 64)),
    )  # fmt: skip
    training = FirstBatches(data, batch_size=128, window=51, seed=0)
    with tempfile.TemporaryDirectory() as checkpoints:
        fit(
            model, build(cfg.loss), recipe, protocol, training, few, Path(checkpoints),
            loggers=[], console=Console(quiet=True), on_epoch=lambda _: None,
        )  # fmt: skip
    reading = TrainingBatches(data, batch_size=128, window=51, seed=1)
    began = time.perf_counter()
    number = sum(1 for _ in _first(iter(reading), READ_ONLY_BATCHES))
    rate = number / (time.perf_counter() - began)
    return {"rate": STEPS / training.seconds, "read_rate": rate, **resident()}


def _first(batches: Iterator[Batch], number: int) -> Iterator[Batch]:
    for _, batch in zip(range(number), batches, strict=False):
        yield batch


def measure(log: Path) -> dict[str, float]:
    """Prepare in this process, train in another."""
    folder = prepare_from(config(log)).path
    command = [sys.executable, __file__, "--train", str(log), str(folder)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    result: dict[str, float] = json.loads(output.splitlines()[-1])
    return result


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=float, nargs="+", default=[1e6, 1e7])
    parser.add_argument("--folder", type=Path, help="where logs are written (default: temporary)")
    parser.add_argument("--train", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train:
        print(json.dumps(train(*arguments.train)))
        return
    table = Table(title=f"SASRec, {STEPS} steps of 128 histories")
    headings = ("interactions", "steps/s", "batches read/s", "resident GiB", "peak", "files")
    for heading in headings:
        table.add_column(heading, justify="right")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        for rows in map(int, arguments.rows):
            log = Path(folder) / f"log_{rows}.parquet"
            write_log(log, rows)
            got = measure(log)
            sizes = [f"{got[name] / 2**30:.2f}" for name in ("all", "peak", "files")]
            table.add_row(f"{rows:,}", f"{got['rate']:.2f}", f"{got['read_rate']:,.0f}", *sizes)
    Console().print(table)


if __name__ == "__main__":
    main()
