"""Curves of several runs in one chart."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recsys_lab.dashboard.index import Run
from recsys_lab.pages.charts.xy import Axis, Series, legend, padded, xy_chart
from recsys_lab.pages.markup import Markup

WIDE = 900
_MOST_TIPS = 1500
_MOST_MARKS = 20


@dataclass(frozen=True)
class Curves:
    """The chart of one key of the epochs.

    Attributes:
        key: e.g. ``val/ndcg@10``; empty if no run has epochs.
        keys: of all epochs.
        chart: None if no run has values of the key.
        legend: names beside numbers and colours.
        lacking: names of the runs without values.
    """

    key: str
    keys: list[str]
    chart: Markup | None
    legend: Markup
    lacking: list[str]


def draw_curves(runs: Sequence[tuple[Run, Sequence[Mapping[str, Any]]]], wanted: str) -> Curves:
    """Draw the curves; a run keeps the number and the colour of its place.

    Args:
        runs: with their epochs.
        wanted: key of the epochs; empty for the model selection metric of the first run that has
            epochs.
    """
    keys = sorted({key for _, epochs in runs for row in epochs for key in row if key != "epoch"})
    usual = [str(run.row.get("recipe.monitor")) for run, epochs in runs if epochs]
    key = wanted or next((name for name in usual if name in keys), keys[0] if keys else "")
    curves = {place: _points(epochs, key) for place, (_, epochs) in enumerate(runs)}
    names = _names([run for run, _ in runs])
    drawn = {place: points for place, points in curves.items() if points}
    if not drawn:
        return Curves(key, keys, None, legend({}), list(names.values()))
    values = [value for points in drawn.values() for _, value in points]
    last = max(points[-1][0] for points in drawn.values())
    marked = len(drawn) <= _MOST_MARKS
    chart = xy_chart(
        [
            *(_line(place, names[place], points, marked) for place, points in drawn.items()),
            *(_tips(place, names[place], points, len(values)) for place, points in drawn.items()),
        ],
        Axis("epoch", 1.0, max(2.0, 1 + 1.02 * (last - 1)), whole=True),
        padded(key, values),
        key="curves",
        title=f"{key} by epoch",
        description=f"{len(drawn)} runs as lines; values from {min(values):.4g} to "
        f"{max(values):.4g}.",
        width=WIDE,
    )
    lacking = [name for place, name in names.items() if place not in drawn]
    return Curves(key, keys, chart, legend({place: names[place] for place in drawn}), lacking)


def _names(runs: Sequence[Run]) -> dict[int, str]:
    """Names of the runs by their places, with their folders where a name is not unique."""
    count = Counter(str(run.row["name"]) for run in runs)
    names = enumerate(str(run.row["name"]) for run in runs)
    return {
        place: name if count[name] == 1 else f"{name} {runs[place].row['folder']}"
        for place, name in names
    }


def _points(epochs: Sequence[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    """Epochs, counted from 1, and finite values."""
    points = []
    for place, row in enumerate(epochs):
        value, epoch = row.get(key), row.get("epoch")
        if value is not None and math.isfinite(value):
            points.append((1.0 + (place if epoch is None else float(epoch)), float(value)))
    return points


def _line(place: int, name: str, points: Sequence[tuple[float, float]], marked: bool) -> Series:
    if len(points) == 1:  # a short line, as a point is not a line
        [(x, y)] = points
        points = [(x, y), (x + 0.05, y)]
    given = [(x, y, "") for x, y in points]
    mark = str(place + 1) if marked else ""
    return Series(given, "line", label=f"{place + 1} {name}", colour=place, mark=mark)


def _tips(place: int, name: str, points: Sequence[tuple[float, float]], total: int) -> Series:
    """Dots that show only under the pointer, with their values; not all of very many."""
    every = math.ceil(total / _MOST_TIPS)
    return Series(
        [(x, y, f"{place + 1} {name}, epoch {x:.0f}: {y:.4g}") for x, y in points[::-every]],
        colour=place,
    )
