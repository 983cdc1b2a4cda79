"""Back-tests: one config with rolling windows -> one run for each window, and their mean."""

from __future__ import annotations

from datetime import UTC, datetime
from statistics import fmean
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from omegaconf import DictConfig

    from recsys_lab.runs.record import RunRecord


def window_configs(cfg: DictConfig) -> list[DictConfig]:
    """One config for each window that ``split.window=null`` stands for; else the config itself."""
    split = cfg.split
    if "num_windows" not in split or split.window is not None:
        return [cfg]
    configs = []
    for number in range(split.num_windows):
        config = cfg.copy()
        OmegaConf.update(config, "split.window", number)
        configs.append(config)
    return configs


def mean_of_windows(records: Sequence[RunRecord]) -> dict[str, Any]:
    """What the record of the whole back-test says: every window, and the plain mean of them.

    A metric that means nothing in one window (its record then lacks it) has no mean: that of the
    other windows would stand beside means over all of them.
    """
    windows = [
        {
            "folder": record.folder.name,
            "data": record.values["data"],
            "protocol": record.values["protocol"],
            "test": record.values["test"],
            "split": record.values["split"],
        }
        for record in records
    ]
    tests = [window["test"] for window in windows]
    shared = [name for name in tests[0] if all(name in test for test in tests)]
    mean = {name: fmean(test[name] for test in tests) for name in shared}
    return {"windows": windows, "test": mean}


def window_table(values: Mapping[str, Any]) -> Table:
    """One row per metric, one column per window, and the mean; a dash where there is no value."""
    windows = values["windows"]
    table = Table(title=f"{values['name']}: test metrics by window", title_justify="left")
    table.add_column("")
    for number in range(len(windows)):
        table.add_column(f"window {number}", justify="right")
    table.add_column("mean", justify="right")
    rows = {"test from": "test_start_time", "test to": "test_end_time"}
    for label, key in rows.items():
        days = [datetime.fromtimestamp(w["split"][key], UTC).date() for w in windows]
        table.add_row(label, *map(str, days), "")
    users = [f"{w['split']['test_rows']:,}" for w in windows]
    table.add_row("users", *users, "", end_section=True)
    tests = [*(window["test"] for window in windows), values["test"]]
    for name in dict.fromkeys(name for test in tests for name in test):
        table.add_row(name, *(f"{test[name]:.4f}" if name in test else "-" for test in tests))
    return table
