"""Parallel coordinates: the settings of runs against a metric."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recsys_lab.dashboard.index import Run
from recsys_lab.pages.charts.parallel import Line, ParallelAxis, parallel_chart
from recsys_lab.pages.charts.xy import Axis, padded
from recsys_lab.pages.markup import Markup
from recsys_lab.pages.number_format import format_value

MOST_AXES = 8
_MOST_CHOICES = 16
_LONGEST_NAME, _LONGEST_CHOICE = 26, 13
_LOG_RANGE = 30  # ratio of largest to smallest value from which the scale is logarithmic


@dataclass(frozen=True)
class Parallel:
    """The chart.

    Attributes:
        chart: None if there is nothing to draw.
        runs: number of runs with a value of the metric.
        left_out: settings with too many different texts for an axis.
    """

    chart: Markup | None
    runs: int
    left_out: list[str]


@dataclass(frozen=True)
class _Scale:
    """One axis, with the position of each value."""

    axis: ParallelAxis
    places: Mapping[Any, float]


def draw_parallel(
    runs: Sequence[Run], settings: Sequence[str], metric: str, ticked: Sequence[str]
) -> Parallel:
    """Draw one line for each run with a value of the metric; higher values are drawn stronger.

    Args:
        runs: in any order.
        settings: columns, from the left; at most `MOST_AXES` are drawn.
        metric: column of the last axis.
        ticked: ids of the runs that are drawn in their colours.
    """
    measured = [run for run in runs if _is_number(run.row.get(metric))]
    scales = {key: _scale(key, [run.row.get(key) for run in measured]) for key in settings}
    drawn = {key: scale for key, scale in scales.items() if scale is not None}
    left_out = [key for key in settings if key not in drawn]
    drawn = dict(list(drawn.items())[:MOST_AXES])
    if not measured or not drawn:
        return Parallel(None, len(measured), left_out)
    values = [float(run.row[metric]) for run in measured]
    height = padded(metric, values)
    rank = {value: place for place, value in enumerate(sorted(set(values)))}
    lines = []
    for run, value in zip(measured, values, strict=True):
        at = [scale.places.get(_key(run.row.get(key))) for key, scale in drawn.items()]
        said = ", ".join(f"{key}={format_value(run.row.get(key))}" for key in drawn)
        tip = f"{run.row['name']} ({run.row['folder']}): {metric} {value:.4g}; {said}"
        colour = ticked.index(run.id) if run.id in ticked else None
        strength = 1.0 if colour is not None else (rank[value] / max(1, len(rank) - 1)) ** 3
        lines.append(Line([*at, height.share(value)], strength, tip, colour))
    chart = parallel_chart(
        [*(scale.axis for scale in drawn.values()), ParallelAxis(_name(metric), height.ticks())],
        lines,
        key="parallel",
        title=f"Settings against {metric}",
        description=f"{len(lines)} runs as lines over {len(drawn)} settings, with {metric} at the "
        "right; higher values are drawn stronger.",
    )
    return Parallel(chart, len(lines), left_out)


def _scale(name: str, values: Sequence[Any]) -> _Scale | None:
    """The axis of a setting; None if no run has it, or with too many different texts."""
    known = {_key(value): value for value in values if value is not None}
    if not known:
        return None
    if all(map(_is_number, known.values())):
        numbers = [float(value) for value in known.values()]
        low, high = min(numbers), max(numbers)
        whole = all(number.is_integer() for number in numbers)
        log = low > 0 and high / low >= _LOG_RANGE
        axis = Axis(name, low, high, log=log, whole=whole and not log)
        places = {key: axis.share(float(value)) for key, value in known.items()}
        return _Scale(ParallelAxis(_name(name), axis.ticks()), places)
    if len(known) > _MOST_CHOICES:
        return None
    choices = sorted(known, key=str)
    axis = Axis(name, names=[_short(format_value(known[key])) for key in choices])
    places = {key: axis.share(place) for place, key in enumerate(choices)}
    return _Scale(ParallelAxis(_name(name), axis.ticks()), places)


def _key(value: Any) -> Any:
    """A value as the key of a mapping, in which true is not 1."""
    return float(value) if _is_number(value) else None if value is None else format_value(value)


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value)


def _name(text: str) -> str:
    return text if len(text) <= _LONGEST_NAME else f"…{text[1 - _LONGEST_NAME :]}"


def _short(text: str) -> str:
    """The end of a choice, where the name of a class is."""
    return text if len(text) <= _LONGEST_CHOICE else f"…{text[1 - _LONGEST_CHOICE :]}"
