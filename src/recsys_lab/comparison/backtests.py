"""Comparison of rolling back-tests, paired by window.

The difference of two systems is the mean of their differences by window; its interval and p are of
Student's t over windows, and generalize to similar windows. Successive windows share users and
items, so they are not fully independent. Seeds of one system are averaged in each window.

Shapes: W windows, S systems.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from recsys_lab.comparison.collect import find_folders, refuse_unlike
from recsys_lab.comparison.identity import CODE, code_names
from recsys_lab.comparison.per_user import higher_is_better, shared_metrics
from recsys_lab.comparison.permutation_test import holm
from recsys_lab.comparison.systems import group_runs, system_names, system_settings
from recsys_lab.config import UserError
from recsys_lab.evaluation.intervals import TAIL
from recsys_lab.evaluation.student import quantile, two_sided_p
from recsys_lab.runs.find import is_smoke_test
from recsys_lab.runs.record import RunRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FEWEST_WINDOWS = 3
"""Fewest windows for an interval of the mean."""


@dataclass(frozen=True)
class Difference:
    """A system minus the first one, in one metric.

    Attributes:
        system: its name.
        by_window: difference in each window.
        interval: 95% interval of the mean; None for fewer than `FEWEST_WINDOWS` windows.
        p: two-sided, adjusted by Holm's method for all systems; None likewise.
        significant: whether p is at most the level.
    """

    system: str
    by_window: tuple[float, ...]
    interval: tuple[float, float] | None
    p: float | None
    significant: bool


@dataclass(frozen=True)
class BackTests:
    """The result.

    Attributes:
        systems: names; the first is the baseline.
        starts: start of each test window, seconds since the epoch.
        main_metric: the model selection metric.
        values: metric -> (S, W).
        differences: metric -> a difference for each system but the first.
        higher_is_better: direction of each metric.
    """

    systems: tuple[str, ...]
    starts: tuple[int, ...]
    main_metric: str
    values: dict[str, Floats]
    differences: dict[str, tuple[Difference, ...]]
    higher_is_better: dict[str, bool]

    def is_better(self, name: str, difference: float) -> bool:
        """Whether a difference of a metric is in favour of the first of the two."""
        return difference != 0 and (difference > 0) == self.higher_is_better[name]


def find_backtests(arguments: Sequence[str]) -> list[list[RunRecord]]:
    """The runs of the windows of each finished back-test.

    Empty unless the arguments name two or more back-tests and nothing else.

    Args:
        arguments: see `recsys_lab.comparison.collect.find_runs`.
    """
    whole: list[RunRecord] = []
    others: list[Path] = []
    for folder in find_folders(arguments):
        record = RunRecord.load(folder)
        if "windows" in record.values and record.done and not is_smoke_test(record):
            whole.append(record)
        else:
            others.append(folder)
    parents = {record.folder for record in whole}
    if len(whole) < 2 or any(folder.parent not in parents for folder in others):
        return []
    return [
        [RunRecord.load(record.folder / window["folder"]) for window in record.values["windows"]]
        for record in whole
    ]


def compare_backtests(
    tests: Sequence[Sequence[RunRecord]], *, metric: str | None, level: float, by: str
) -> BackTests:
    """Compare back-tests window by window.

    Args:
        tests: the runs of the windows of each back-test, in order.
        metric: the main metric; None for the model selection metric of the first.
        level: significance level.
        by: what groups runs into systems, see `recsys_lab.comparison.compare.Options`.

    Raises:
        UserError: the windows differ, or all back-tests are of one system.
    """
    _refuse_other_windows(tests)
    first = [windows[0] for windows in tests]
    groups = group_runs(first, by)
    main, metrics, _ = shared_metrics([run for windows in tests for run in windows], metric)
    names = code_names(first)
    settings = [system_settings(first[group[0]], by) for group in groups]
    for of in settings:
        if CODE in of:
            of[CODE] = names[of[CODE]]
    systems = system_names(settings, [None] * len(groups))
    if len(systems) < 2:
        raise UserError(
            f"runs: all {len(tests)} back-tests are of one system, {systems[0]}; add a back-test "
            "of another system"
        )
    values = {
        name: np.array(
            [
                [
                    np.mean([tests[run][window].values["test"][name] for run in group])
                    for window in range(len(tests[0]))
                ]
                for group in groups
            ]
        )
        for name in metrics
    }
    differences = {name: _differences(of_SW, systems, level) for name, of_SW in values.items()}
    starts = tuple(int(run.values["split"]["test_start_time"]) for run in tests[0])
    higher = {name: higher_is_better(name, first[0]) for name in metrics}
    return BackTests(systems, starts, main, values, differences, higher)


def mean_of_windows_interval(
    name: str, values_W: Sequence[float] | Floats
) -> tuple[float, float] | None:
    """`mean_interval` of a metric, clipped to 0 to 1 for hit-based metrics."""
    from recsys_lab.evaluation.metrics.registry import largest_value  # imports torch

    interval = mean_interval(values_W)
    if interval is None or largest_value(name, 1) is None:
        return interval
    return max(interval[0], 0.0), min(interval[1], 1.0)


def mean_interval(values_W: Sequence[float] | Floats) -> tuple[float, float] | None:
    """Student's 95% interval of the mean over windows; None for fewer than `FEWEST_WINDOWS`."""
    windows = len(values_W)
    if windows < FEWEST_WINDOWS:
        return None
    middle, error = float(np.mean(values_W)), float(np.std(values_W, ddof=1)) / math.sqrt(windows)
    half = quantile(TAIL, windows - 1) * error
    return middle - half, middle + half


def _differences(values_SW: Floats, systems: Sequence[str], level: float) -> tuple[Difference, ...]:
    gaps = values_SW[1:] - values_SW[0]
    known = values_SW.shape[1] >= FEWEST_WINDOWS
    p_values = holm([_p(gap_W) for gap_W in gaps]) if known else [None] * len(gaps)
    return tuple(
        Difference(
            name,
            tuple(gap_W.tolist()),
            mean_interval(gap_W),
            p,
            significant=p is not None and p <= level,
        )
        for name, gap_W, p in zip(systems[1:], gaps, p_values, strict=True)
    )


def _p(gap_W: Floats) -> float:
    error = float(gap_W.std(ddof=1)) / math.sqrt(len(gap_W))
    if error == 0:
        return 1.0 if gap_W[0] == 0 else 0.0
    return two_sided_p(float(gap_W.mean()) / error, len(gap_W) - 1)


def _refuse_other_windows(tests: Sequence[Sequence[RunRecord]]) -> None:
    counts = {len(windows) for windows in tests}
    if len(counts) > 1:
        listed = "; ".join(f"{windows[0].folder.parent}: {len(windows)}" for windows in tests)
        raise UserError(f"runs: the back-tests have different numbers of windows: {listed}")
    for of_window in zip(*tests, strict=True):
        refuse_unlike(of_window)
