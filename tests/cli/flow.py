"""Whole runs on a small log of their own, for the tests of the flow."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from recsys_lab.cli.main import run_command
from recsys_lab.runs.record import RunRecord

USERS, ITEMS = 60, 25
SMALL = [
    "data=table", "data.path=log.csv", "model.hidden_dim=8", "model.feedforward_dim=8",
    "model.max_length=6", "recipe.max_epochs=3", "recipe.batch_size=16",
]  # fmt: skip
COUNTS = ["data=table", "data.path=log.csv", "model=popularity", "tracking=none"]


@contextmanager
def in_shop(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder with a log to work in; one thread, here and in processes that are started.

    Models this small gain nothing from more, and lose much when the machine is busy.
    """
    monkeypatch.chdir(folder)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    write_log()
    yield
    torch.set_num_threads(threads)


def write_log() -> None:
    """Eight different items a user, the lower numbers more often; rows in any order."""
    rng = np.random.default_rng(3)
    weights = 1 / np.arange(1, ITEMS + 1)
    rows = [
        (f"u{user}", f"i{item}", 1000 * place + user)
        for user in range(USERS)
        for place, item in enumerate(rng.choice(ITEMS, 8, False, weights / weights.sum()))
    ]
    frame = pl.DataFrame(rows, ["user_id", "item_id", "timestamp"], orient="row")
    frame.sample(fraction=1.0, shuffle=True, seed=1).write_csv("log.csv")


def train(*overrides: str, tracking: str = "none", base: list[str] = SMALL) -> int:
    """The exit code of a run."""
    return run_command(["train", *base, f"tracking={tracking}", *overrides])


def rewrite(folder: str | Path, values: dict[str, Any]) -> None:
    """Change a run's record by hand, and say so in it: else it is refused as damaged."""
    (Path(folder) / "run.json").write_text(json.dumps({**values, "digest": None}))


def until(condition: Callable[[], object]) -> None:
    """Wait for something to be so, however busy the machine is."""
    end = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def record(folder: str | Path) -> dict[str, Any]:
    """What a run's record says, also while it trains."""
    return RunRecord.load(Path(folder)).values
