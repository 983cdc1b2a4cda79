"""The charts of a comparison's report; systems have the page's numbers and colours, in order."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from recsys_lab.pages.charts.bars import compact
from recsys_lab.pages.charts.interval_bars import Interval, interval_chart
from recsys_lab.pages.charts.xy import Axis, Series, padded, xy_chart
from recsys_lab.pages.markup import Markup
from recsys_lab.pages.number_format import decimal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from recsys_lab.comparison.results import Comparison, Metric, Run

WIDE = 900


@dataclass(frozen=True)
class Drawn:
    """A chart and what it shows.

    Attributes:
        chart: the drawing.
        said: what can be seen, in words.
        lines: to be listed below these words.
        systems: places of those that are in it.
    """

    chart: Markup
    said: str
    lines: tuple[str, ...]
    systems: tuple[int, ...]


def shown_metrics(comparison: Comparison) -> list[Metric]:
    """Those of users at the main metric's list length, the main one first; four at most."""
    length = comparison.main_metric.partition("@")[2]
    others = [
        metric
        for metric in comparison.metrics
        if metric.of_users
        and metric.higher_is_better
        and metric.name.partition("@")[2] == length
        and metric.name != comparison.main_metric
    ]
    return [comparison.metric, *others][:4]


def bars(comparison: Comparison, metric: Metric) -> Markup | None:
    """Means of all systems with their intervals; None where users have no value."""
    rows = []
    for place, system in enumerate(comparison.systems):
        score = system.scores[metric.name]
        if score.interval is None:
            return None
        low, high = score.interval.low, score.interval.high
        name = f"{place + 1}  {system.name}"
        rows.append(Interval(name, score.mean, low, high, decimal(score.mean)))
    key = f"bars-{metric.name.replace('@', '-')}"
    return interval_chart(rows, key=key, title=f"test {metric.name} with 95% intervals")


def curves(comparison: Comparison) -> Drawn | None:
    """The main metric on the validation split after every epoch; None where nothing was trained."""
    key = f"val/{comparison.main_metric}"
    series: list[Series] = []
    shown: dict[int, None] = {}
    for place, system in enumerate(comparison.systems):
        for number in system.runs:
            run = comparison.runs[number]
            label = f"{system.name}, seed {run.seed}"
            points = [(float(e["epoch"]), float(e[key]), label) for e in run.epochs if key in e]
            if points:
                mark = "" if place in shown else str(place + 1)
                line = Series(points, "line", label=label, colour=place, mark=mark)
                series.append(line if len(points) > 1 else Series(points, colour=place, mark=mark))
                shown[place] = None
    if not series:
        return None
    values = [value for one in series for _, value, _ in one.points]
    last = max(one.points[-1][0] for one in series)
    said = f"A line is a run ({len(series)} in all); the best value is {max(values):.4f}."
    chart = xy_chart(
        series,
        Axis("epoch (the first is 0)", 0.0, 1.02 * max(last, 1.0), whole=True),
        padded(key, values),
        key="curves",
        title=f"{key} by epoch",
        description=said,
        width=WIDE,
    )
    return Drawn(chart, said, (), tuple(shown))


def costs(comparison: Comparison) -> list[tuple[str, Drawn]]:
    """Quality against time, and against training FLOPs where two systems at least counted them."""
    kinds: list[tuple[str, Callable[[Run], float | None]]] = [
        ("seconds", lambda run: run.seconds),
        ("training FLOPs", lambda run: run.compute.get("training_flops")),
    ]
    drawn = []
    for name, spent in kinds:
        found = {place: value for place, value in of_systems(comparison, spent).items() if value}
        if len(found) > 1:
            title = f"Quality against {name}, with the Pareto front"
            drawn.append((title, _cost(comparison, name, found)))
    return drawn


def of_systems(comparison: Comparison, value: Callable[[Run], float | None]) -> dict[int, float]:
    """Mean over its runs of each system that has the value in all of them."""
    found = {}
    for place, system in enumerate(comparison.systems):
        values = [value(comparison.runs[run]) for run in system.runs]
        known = [one for one in values if one is not None]
        if len(known) == len(values):
            found[place] = fmean(known)
    return found


def _cost(comparison: Comparison, name: str, spent: Mapping[int, float]) -> Drawn:
    """A dot a system; a line through those that nothing beats in both."""
    metric, systems = comparison.metric, comparison.systems
    reached = {place: systems[place].scores[metric.name].mean for place in spent}
    places = list(spent)
    front = [
        places[one]
        for one in pareto_front(
            list(spent.values()), list(reached.values()), higher_is_better=metric.higher_is_better
        )
    ]
    line = Series([(spent[p], reached[p], "") for p in front], "steps", "muted", "Pareto front")
    said = "On the Pareto front, where no other is both cheaper and better, cheapest first:"
    lines = tuple(f"{p + 1} {systems[p].name}, {compact(spent[p])} {name}" for p in front)
    chart = xy_chart(
        [line, *_dots(comparison, spent, name)],
        padded(name, list(spent.values()), log=True),
        padded(f"test {metric.name}", list(reached.values())),
        key=f"cost-{name.split()[-1]}",
        title=f"test {metric.name} against {name}",
        description=f"{said} {'; '.join(lines)}.",
    )
    return Drawn(chart, said, lines, tuple(places))


def pareto_front(
    spent: list[float], reached: list[float], *, higher_is_better: bool = True
) -> list[int]:
    """Places that no other beats in cost and quality, cheapest first."""
    sign = 1.0 if higher_is_better else -1.0
    front: list[int] = []
    for place in sorted(range(len(spent)), key=lambda p: (spent[p], -sign * reached[p])):
        if not front or sign * reached[place] > sign * reached[front[-1]]:
            front.append(place)
    return front


def popularity(comparison: Comparison) -> Drawn | None:
    """Quality against how popular the listed items are; None where it was not measured."""
    kinds = {"popularity": "mean interactions of a listed item", "novelty": "bits of a listed item"}
    main = comparison.main_metric
    measured = [name for run in comparison.runs for name in run.test]
    found: dict[str, dict[int, float]] = {
        name: of_systems(comparison, lambda run, name=name: run.test.get(name))  # type: ignore[misc]
        for name in dict.fromkeys(measured)
        if name.partition("@")[0] in kinds and name != main
    }
    best = {name: places for name, places in found.items() if len(places) > 1}
    if not best:
        return None
    # Popularity says it plainest, at the list length of the main metric.
    name = min(best, key=lambda n: (n[0] != "p", n.partition("@")[2] != main.partition("@")[2]))
    places = best[name]
    unit = kinds[name.partition("@")[0]]
    said = f"{name}, {unit}, from the lowest to the highest:"
    lines = tuple(
        f"{place + 1} {comparison.systems[place].name}, {decimal(value)}"
        for place, value in sorted(places.items(), key=lambda item: item[1])
    )
    ys = [comparison.systems[place].scores[main].mean for place in places]
    chart = xy_chart(
        _dots(comparison, places, name),
        padded(f"{name}, {unit}", list(places.values())),
        padded(f"test {main}", ys),
        key="popularity",
        title=f"test {main} against {name}",
        description=f"{said} {'; '.join(lines)}.",
    )
    return Drawn(chart, said, lines, tuple(places))


def _dots(comparison: Comparison, xs: Mapping[int, float], name: str) -> list[Series]:
    dots = []
    for place, x in xs.items():
        system = comparison.systems[place]
        y = system.scores[comparison.main_metric].mean
        tip = f"{system.name}: {comparison.main_metric} {decimal(y)}, {name} {compact(x)}"
        dots.append(Series([(x, y, tip)], colour=place, mark=str(place + 1)))
    return dots
