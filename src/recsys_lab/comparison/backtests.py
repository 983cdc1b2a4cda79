"""Back-tests set side by side: paired window by window.

A window is one draw of a training period and of the time that follows it. Systems differ by the
mean of their differences by window, whose interval and p are of Student's t over windows: it speaks
of other windows like these. Windows follow each other and share users and items, so they are not
quite independent. Runs of one system with other seeds are averaged in each window.

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
from recsys_lab.runs.record import RunRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FEWEST_WINDOWS = 3
"""Whose mean has an interval."""


@dataclass(frozen=True)
class Difference:
    """A system against the first, in one metric.

    Attributes:
        system: its name.
        by_window: system minus first, by window.
        interval: 95%, of the mean; None for fewer than `FEWEST_WINDOWS` windows.
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
    """What was found.

    Attributes:
        systems: names, the first is what the others are compared with.
        starts: where each test window starts, seconds since the epoch.
        main_metric: the one that models were chosen by.
        values: metric -> (S, W).
        differences: metric -> of each system but the first.
        higher_is_better: of each metric.
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
    """The windows' runs of every finished back-test, if nothing but two or more was given.

    Args:
        arguments: as of `recsys_lab.comparison.collect.find_runs`.
    """
    whole: list[RunRecord] = []
    others: list[Path] = []
    for folder in find_folders(arguments):
        record = RunRecord.load(folder)
        if "windows" in record.values and record.done:
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
    """Pair the windows of back-tests.

    Args:
        tests: the runs of the windows of each, in order.
        metric: the main one; None for the one that the first was chosen by.
        level: of significance.
        by: what makes a system besides the config, see `judging.Options`.

    Raises:
        UserError: their windows are not the same, or they are all of one system.
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
            f"runs: {len(tests)} back-tests of one system, {systems[0]}; give another one to "
            "compare it with"
        )
    values = {
        name: np.array(
            [
                [
                    np.mean([tests[place][window].values["test"][name] for place in group])
                    for window in range(len(tests[0]))
                ]
                for group in groups
            ]
        )
        for name in metrics
    }
    found = {name: _differences(values_SW, systems, level) for name, values_SW in values.items()}
    starts = tuple(int(run.values["split"]["test_start_time"]) for run in tests[0])
    higher = {name: higher_is_better(name, first[0]) for name in metrics}
    return BackTests(systems, starts, main, values, found, higher)


def mean_of_windows_interval(
    name: str, values_W: Sequence[float] | Floats
) -> tuple[float, float] | None:
    """`mean_interval` of a metric; one of hits stays between 0 and 1."""
    from recsys_lab.evaluation.metrics.registry import largest_value  # torch: not needed before

    found = mean_interval(values_W)
    if found is None or largest_value(name, 1) is None:
        return found
    return max(found[0], 0.0), min(found[1], 1.0)


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
        raise UserError(f"runs: back-tests of other numbers of windows ({listed}) do not compare")
    for of_window in zip(*tests, strict=True):
        refuse_unlike(of_window)
