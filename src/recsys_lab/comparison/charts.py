"""Charts of a comparison's report; systems keep their numbers and colours across the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import fmean

from recsys_lab.comparison.results import Comparison, Metric, Run
from recsys_lab.pages.charts.bars import compact
from recsys_lab.pages.charts.interval_bars import Interval, interval_chart
from recsys_lab.pages.charts.xy import Axis, Series, padded, xy_chart
from recsys_lab.pages.markup import Markup
from recsys_lab.pages.number_format import decimal

WIDE = 900


@dataclass(frozen=True)
class Drawn:
    """A chart with its description.

    Attributes:
        chart: the drawing.
        summary: what the chart shows, in words.
        lines: a list below the summary.
        systems: indices of the systems in it.
    """

    chart: Markup
    summary: str
    lines: tuple[str, ...]
    systems: tuple[int, ...]


def shown_metrics(comparison: Comparison) -> list[Metric]:
    """Up to four per-user metrics at the main metric's list length, the main one first."""
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
    """Means of all systems with their intervals; None for a metric without intervals."""
    rows = []
    for index, system in enumerate(comparison.systems):
        score = system.scores[metric.name]
        if score.interval is None:
            return None
        low, high = score.interval.low, score.interval.high
        name = f"{index + 1}  {system.name}"
        rows.append(Interval(name, score.mean, low, high, decimal(score.mean)))
    key = f"bars-{metric.name.replace('@', '-')}"
    return interval_chart(rows, key=key, title=f"test {metric.name} with 95% intervals")


def curves(comparison: Comparison) -> Drawn | None:
    """Validation curves of the main metric; None where no run has epochs."""
    key = f"val/{comparison.main_metric}"
    series: list[Series] = []
    shown: dict[int, None] = {}
    for index, system in enumerate(comparison.systems):
        for number in system.runs:
            run = comparison.runs[number]
            label = f"{system.name}, seed {run.seed}"
            points = [(e["epoch"] + 1.0, float(e[key]), label) for e in run.epochs if key in e]
            if points:
                mark = "" if index in shown else str(index + 1)
                line = Series(points, "line", label=label, colour=index, mark=mark)
                series.append(line if len(points) > 1 else Series(points, colour=index, mark=mark))
                shown[index] = None
    if not series:
        return None
    values = [value for one in series for _, value, _ in one.points]
    last = max(one.points[-1][0] for one in series)
    text = f"Each line is a run ({len(series)} in all); the best value is {max(values):.4f}."
    chart = xy_chart(
        series,
        Axis("epoch", 1.0, 1.02 * max(last, 2.0), whole=True),
        padded(key, values),
        key="curves",
        title=f"{key} by epoch",
        description=text,
        width=WIDE,
    )
    return Drawn(chart, text, (), tuple(shown))


def costs(comparison: Comparison) -> list[tuple[str, Drawn]]:
    """Quality against time, and against training FLOPs where at least two systems recorded them."""
    kinds: list[tuple[str, Callable[[Run], float | None]]] = [
        ("seconds", lambda run: run.seconds),
        ("training FLOPs", lambda run: run.compute.get("training_flops")),
    ]
    drawn = []
    for name, spent in kinds:
        means = {index: value for index, value in of_systems(comparison, spent).items() if value}
        if len(means) > 1:
            title = f"Quality against {name}, with the Pareto front"
            drawn.append((title, _cost(comparison, name, means)))
    return drawn


def of_systems(comparison: Comparison, value: Callable[[Run], float | None]) -> dict[int, float]:
    """Mean over the runs of each system, for systems with the value in all runs."""
    means = {}
    for index, system in enumerate(comparison.systems):
        values = [value(comparison.runs[run]) for run in system.runs]
        known = [one for one in values if one is not None]
        if len(known) == len(values):
            means[index] = fmean(known)
    return means


def _cost(comparison: Comparison, name: str, spent: Mapping[int, float]) -> Drawn:
    """One dot per system, and the Pareto front."""
    metric, systems = comparison.metric, comparison.systems
    reached = {index: systems[index].scores[metric.name].mean for index in spent}
    indices = list(spent)
    front = [
        indices[one]
        for one in pareto_front(
            list(spent.values()), list(reached.values()), higher_is_better=metric.higher_is_better
        )
    ]
    line = Series([(spent[p], reached[p], "") for p in front], "steps", "muted", "Pareto front")
    text = "On the Pareto front, where no other system is cheaper and better, cheapest first:"
    lines = tuple(f"{p + 1} {systems[p].name}, {compact(spent[p])} {name}" for p in front)
    chart = xy_chart(
        [line, *_dots(comparison, spent, name)],
        padded(name, list(spent.values()), log=True),
        padded(f"test {metric.name}", list(reached.values())),
        key=f"cost-{name.split()[-1]}",
        title=f"test {metric.name} against {name}",
        description=f"{text} {'; '.join(lines)}.",
    )
    return Drawn(chart, text, lines, tuple(indices))


def pareto_front(
    spent: list[float], reached: list[float], *, higher_is_better: bool = True
) -> list[int]:
    """Indices that no other beats in both cost and quality, cheapest first."""
    sign = 1.0 if higher_is_better else -1.0
    front: list[int] = []
    for index in sorted(range(len(spent)), key=lambda p: (spent[p], -sign * reached[p])):
        if not front or sign * reached[index] > sign * reached[front[-1]]:
            front.append(index)
    return front


def popularity(comparison: Comparison) -> Drawn | None:
    """Quality against the popularity of recommended items; None where it was not measured."""
    kinds = {
        "popularity": "mean interactions of a recommended item",
        "novelty": "bits of a recommended item",
    }
    main = comparison.main_metric
    measured = [name for run in comparison.runs for name in run.test]
    values: dict[str, dict[int, float]] = {
        name: of_systems(comparison, lambda run, name=name: run.test.get(name))  # type: ignore[misc]
        for name in dict.fromkeys(measured)
        if name.partition("@")[0] in kinds and name != main
    }
    best = {name: means for name, means in values.items() if len(means) > 1}
    if not best:
        return None
    # Prefer popularity over novelty, at the list length of the main metric.
    name = min(best, key=lambda n: (n[0] != "p", n.partition("@")[2] != main.partition("@")[2]))
    means = best[name]
    unit = kinds[name.partition("@")[0]]
    text = f"{name}, {unit}, from the lowest to the highest:"
    lines = tuple(
        f"{index + 1} {comparison.systems[index].name}, {decimal(value)}"
        for index, value in sorted(means.items(), key=lambda item: item[1])
    )
    ys = [comparison.systems[index].scores[main].mean for index in means]
    chart = xy_chart(
        _dots(comparison, means, name),
        padded(f"{name}, {unit}", list(means.values())),
        padded(f"test {main}", ys),
        key="popularity",
        title=f"test {main} against {name}",
        description=f"{text} {'; '.join(lines)}.",
    )
    return Drawn(chart, text, lines, tuple(means))


def _dots(comparison: Comparison, xs: Mapping[int, float], name: str) -> list[Series]:
    dots = []
    for index, x in xs.items():
        system = comparison.systems[index]
        y = system.scores[comparison.main_metric].mean
        tip = f"{system.name}: {comparison.main_metric} {decimal(y)}, {name} {compact(x)}"
        dots.append(Series([(x, y, tip)], colour=index, mark=str(index + 1)))
    return dots
