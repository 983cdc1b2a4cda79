"""Rolling back-tests: one run per window, and the mean over windows."""

from __future__ import annotations

from datetime import UTC, datetime
from statistics import fmean
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from recsys_lab.comparison.backtests import mean_of_windows_interval
from recsys_lab.pages.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from omegaconf import DictConfig

    from recsys_lab.comparison.backtests import BackTests
    from recsys_lab.runs.record import RunRecord


def window_configs(cfg: DictConfig) -> list[DictConfig]:
    """One config per window if ``split.window`` is null, else only the config itself."""
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
    """The record fields of a back-test: windows, unweighted means over windows, and intervals.

    A metric that is undefined in a window has no mean.
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
    intervals = {
        name: list(bounds)
        for name in shared
        if (bounds := mean_of_windows_interval(name, [test[name] for test in tests])) is not None
    }
    return {"windows": windows, "test": mean, "intervals": intervals}


def window_table(values: Mapping[str, Any]) -> Table:
    """One row per metric, with a column per window and the mean; a dash without a value."""
    windows = values["windows"]
    rows: list[Sequence[str]] = []
    for label, key in {"test from": "test_start_time", "test to": "test_end_time"}.items():
        days = (datetime.fromtimestamp(w["split"][key], UTC).date() for w in windows)
        rows.append((label, *map(str, days), ""))
    rows += [("users", *(f"{w['split']['test_rows']:,}" for w in windows), ""), ()]
    tests = [*(window["test"] for window in windows), values["test"]]
    for name in dict.fromkeys(name for test in tests for name in test):
        numbers = [f"{test[name]:.4f}" if name in test else "-" for test in tests]
        bounds = (values.get("intervals") or {}).get(name)
        below = f"\n{bounds[0]:.4f} - {bounds[1]:.4f}" if bounds else ""
        rows.append((name, *numbers[:-1], numbers[-1] + below))
    heads = ("", *(f"window {number}" for number in range(len(windows))), "mean\n95% interval")
    caption = f"{values['name']}: test metrics by window"
    return Table(caption, heads, rows, right=range(1, len(heads)), whole=(len(windows) + 1,))


def backtest_tables(result: BackTests) -> Iterator[Table]:
    """Means over windows with intervals, then the main metric by window."""
    rows: list[Sequence[str]] = []
    for name, values_SW in result.values.items():
        cells = []
        marks = ["", *("*" if d.significant else "" for d in result.differences[name])]
        for values_W, mark in zip(values_SW, marks, strict=True):
            bounds = mean_of_windows_interval(name, values_W)
            shown = f"\n{bounds[0]:.4f} - {bounds[1]:.4f}" if bounds else ""
            cells.append(f"{values_W.mean():.4f}{mark}{shown}")
        rows.append((name, *cells))
    heads = ("metric", *result.systems)
    yield Table("back-tests: means over windows", heads, rows, right=range(1, len(heads)))
    name = result.main_metric
    tested = result.differences[name]
    rows = [
        (str(datetime.fromtimestamp(start, UTC)), *(f"{d.by_window[i]:+.4f}" for d in tested))
        for i, start in enumerate(result.starts)
    ]
    spans = (f"{d.interval[0]:+.4f} to {d.interval[1]:+.4f}" if d.interval else "-" for d in tested)
    won = (sum(result.is_better(name, gap) for gap in d.by_window) for d in tested)
    rows += [
        (),
        ("mean", *(f"{fmean(d.by_window):+.4f}" for d in tested)),
        ("95% interval", *spans),
        ("p (Holm)", *("-" if d.p is None else f"{d.p:.4f}" for d in tested)),
        ("windows won", *(f"{count} of {len(result.starts)}" for count in won)),
    ]
    caption = f"{name}: differences from {result.systems[0]}"
    heads = ("test window from", *(difference.system for difference in tested))
    yield Table(caption, heads, rows, right=range(1, len(heads)))
