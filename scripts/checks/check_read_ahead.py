"""Whether batches are ready when a device needs them: an epoch beside the sum of its steps.

    python scripts/checks/check_read_ahead.py [--events 1e8] [--step_ms 5] [--steps 1000]

The log is memory-mapped, in a temporary folder. The device is a sleep for each step, during which
the host is free, as it is while a GPU computes. A batch that is late makes the epoch longer than
its steps. Read by the training loop itself, and ahead in a thread, in turn, the first time with a
cold cache of the system. Fails if no epoch read ahead takes at most 1.05 times its steps: other
work on the machine makes some of them longer.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from recsys_lab.contracts.read_ahead import ResumableReadAhead
from recsys_lab.data.batches import TrainingBatches
from recsys_lab.data.formats.npy import map_npy, npy_writer

LENGTH, ITEMS, CHUNK = 100, 100_000, 1_000_000
MOST = 1.05


def log(folder: Path, events: int) -> Any:
    """A memory-mapped log of users with `LENGTH` events each."""
    rng = np.random.default_rng(0)
    users = events // LENGTH
    for name, dtype, high in (("items", np.int32, ITEMS), ("times", np.int64, 10**9)):
        with npy_writer(folder / f"{name}.npy", dtype, users * LENGTH) as write:
            for first in range(0, users * LENGTH, CHUNK):
                size = min(CHUNK, users * LENGTH - first)
                write(rng.integers(high, size=size).astype(dtype))
    starts = np.arange(users) * LENGTH
    segments = np.stack([np.arange(users), starts, starts + LENGTH], 1)
    return SimpleNamespace(
        items=map_npy(folder / "items.npy"),
        timestamps=map_npy(folder / "times.npy"),
        segments=lambda _: segments,
    )


def epoch(batches: Iterable[Any], steps: int, seconds: float) -> tuple[float, float]:
    """Seconds of an epoch, and of its sleeps, which take longer than asked for."""
    began, slept = time.perf_counter(), 0.0
    for _ in islice(batches, steps):
        before = time.perf_counter()
        time.sleep(seconds)
        slept += time.perf_counter() - before
    return time.perf_counter() - began, slept


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=float, default=1e8)
    parser.add_argument("--step_ms", type=float, default=5)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch_size", type=int, default=128)
    parser.add_argument("--window", type=int, default=51)
    chosen = parser.parse_args()
    table = Table(title=f"{int(chosen.events):,} events, steps of {chosen.step_ms:g} ms")
    for column in ("batches", "epoch s", "steps s", "epoch / steps"):
        table.add_column(column, justify="left" if column == "batches" else "right")
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        data = log(Path(folder), int(chosen.events))
        for turn in range(2):
            for kind in ("read by the loop", "read ahead"):
                batches: Any = TrainingBatches(
                    data, batch_size=chosen.batch_size, window=chosen.window, seed=turn
                )
                if kind == "read ahead":
                    batches = ResumableReadAhead(batches, lambda batch: batch)
                spent, slept = epoch(batches, chosen.steps, chosen.step_ms / 1e3)
                if kind == "read ahead":
                    ratios.append(spent / slept)
                row = (f"{spent:.2f}", f"{slept:.2f}", f"{spent / slept:.3f}")
                table.add_row(kind, *row)
    Console().print(table)
    if min(ratios) > MOST:
        raise SystemExit(f"read ahead: expected at most {MOST} times the steps")


if __name__ == "__main__":
    main()
