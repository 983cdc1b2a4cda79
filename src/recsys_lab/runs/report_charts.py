"""The charts of a comparison's report; systems have the page's colours, in their order."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING

from recsys_lab.pages.dots import Axis, Series, padded, xy_chart
from recsys_lab.pages.whiskers import Whisker, whisker_chart
from recsys_lab.runs import tables

if TYPE_CHECKING:
    from recsys_lab.pages.markup import Markup
    from recsys_lab.runs.comparison import Comparison, Metric

WIDE = 900


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
    for system in comparison.systems:
        score = system.scores[metric.name]
        if score.interval is None:
            return None
        low, high = score.interval.low, score.interval.high
        rows.append(Whisker(system.name, score.mean, low, high, tables.number(score.mean)))
    key = f"bars-{metric.name.replace('@', '-')}"
    return whisker_chart(rows, key=key, title=f"test {metric.name} with 95% intervals")


def curves(comparison: Comparison) -> Markup | None:
    """The main metric on the validation split after every epoch; None where nothing was trained."""
    key = f"val/{comparison.main_metric}"
    series, values, last = [], [], 0.0
    for place, system in enumerate(comparison.systems):
        for number in system.runs:
            run = comparison.runs[number]
            points = [
                (float(epoch["epoch"]), float(epoch[key]), f"{system.name}, seed {run.seed}")
                for epoch in run.epochs
                if key in epoch
            ]
            if not points:
                continue
            values += [value for _, value, _ in points]
            last = max(last, points[-1][0])
            kind = "line" if len(points) > 1 else "dots"
            series.append(
                Series(points, kind, label=f"{system.name}, seed {run.seed}", colour=place)  # type: ignore[arg-type]
            )
    if not series:
        return None
    return xy_chart(
        series, Axis("epoch", 0.0, max(last, 1.0), whole=True), padded(key, values), key="curves",
        title=f"{key} by epoch", width=WIDE,
        description=f"{len(series)} runs, a line each; the best value is {max(values):.4f}.",
    )  # fmt: skip


def cost(comparison: Comparison) -> Markup:
    """Quality against time, one dot a system; a line through those that nothing beats in both."""
    metric = comparison.metric
    spent = [
        max(fmean(comparison.runs[run].seconds for run in system.runs), 1e-3)
        for system in comparison.systems
    ]
    reached = [system.scores[metric.name].mean for system in comparison.systems]
    front = pareto_front(spent, reached, higher_is_better=metric.higher_is_better)
    on_it = [comparison.systems[place].name for place in front]
    line = [(spent[place], reached[place], "") for place in front]
    dots = [
        Series([(seconds, value, f"{system.name}: {value:.4f} in {seconds:,.1f} s")], colour=place)
        for place, (system, seconds, value) in enumerate(
            zip(comparison.systems, spent, reached, strict=True)
        )
    ]
    return xy_chart(
        [Series(line, "steps", "muted", "Pareto front"), *dots],
        padded("seconds of a run", spent, log=True),
        padded(f"test {metric.name}", reached),
        key="cost", title=f"test {metric.name} against seconds",
        description=f"On the Pareto front: {', '.join(on_it)}.",
    )  # fmt: skip


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


def popularity(comparison: Comparison) -> Markup | None:
    """Quality against how popular the recommended items are; None where it was not measured."""
    named = {metric.name.partition("@")[0]: metric.name for metric in reversed(comparison.metrics)}
    name = named.get("popularity") or named.get("novelty")
    if name is None or name == comparison.main_metric:
        return None
    xs = [system.scores[name].mean for system in comparison.systems]
    ys = [system.scores[comparison.main_metric].mean for system in comparison.systems]
    dots = [
        Series([(x, y, f"{system.name}: {name} {tables.number(x)}")], colour=place)
        for place, (system, x, y) in enumerate(zip(comparison.systems, xs, ys, strict=True))
    ]
    what = {"popularity": "mean interactions of a listed item", "novelty": "bits"}
    label = f"{name}, {what[name.partition('@')[0]]}"
    said = "; ".join(
        f"{system.name} {tables.number(x)}"
        for system, x in zip(comparison.systems, xs, strict=True)
    )
    return xy_chart(
        dots, padded(label, xs), padded(f"test {comparison.main_metric}", ys), key="popularity",
        title=f"test {comparison.main_metric} against {name}", description=f"{name}: {said}.",
    )  # fmt: skip
