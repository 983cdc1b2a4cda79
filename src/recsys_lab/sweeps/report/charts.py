"""Charts of a sweep's report."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Any

from recsys_lab.evaluation.student import quantile
from recsys_lab.pages.charts.parallel import Line, ParallelAxis, parallel_chart
from recsys_lab.pages.charts.xy import Axis, Key, Series, padded, style_legend, xy_chart
from recsys_lab.pages.number_format import counted
from recsys_lab.sweeps.report.summary import brief, format_point

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optuna.trial import FrozenTrial

    from recsys_lab.pages.charts.xy import Style
    from recsys_lab.pages.markup import Markup
    from recsys_lab.sweeps.report.summary import SweepSummary
    from recsys_lab.sweeps.space import Dimension

WIDE = 900


def history_chart(story: SweepSummary, objective: int) -> Markup:
    """Values by trial, with the best so far."""
    name, better = story.objectives[objective], _better(story, objective)
    best, reached = None, []
    for trial in story.complete:
        value = trial.values[objective]
        best = value if best is None else better(best, value)
        reached.append((float(trial.number), best, f"trial {trial.number}: best {best:.4g}"))
    values = [
        (float(t.number), t.values[objective], _tip(t, t.values[objective])) for t in story.complete
    ]
    stopped = [
        (float(t.number), last, f"trial {t.number}, pruned at {last:.4g}")
        for t in story.trials
        if t.state.name == "PRUNED" and (last := _last(t)) is not None
    ]
    last_number = max(trial.number for trial in story.trials)
    return xy_chart(
        [
            Series(stopped, style="muted"),
            Series(
                [*reached, (float(last_number), reached[-1][1], "")], "steps", "good", "best so far"
            ),
            Series(values),
        ],
        Axis("trial", -0.5, last_number + 0.5, whole=True),
        padded(name, [v for points in (values, stopped) for _, v, _ in points]),
        key=f"history-{objective}",
        title=f"{name} by trial",
        description=(
            f"{counted(len(values), 'finished trial')} as dots, {len(stopped)} pruned as paler "
            f"dots at the last value, and a line of the best so far, ending at "
            f"{reached[-1][1]:.4g}."
        ),
        width=WIDE,
    )


def history_legend(story: SweepSummary) -> Markup:
    """Of `history_chart`."""
    keys: list[Key] = [("strong", "dots", "finished trial"), ("good", "line", "best so far")]
    if any(t.state.name == "PRUNED" and _last(t) is not None for t in story.trials):
        keys.insert(1, ("muted", "dots", "pruned trial, at its last value"))
    return style_legend(keys)


def slice_legend(story: SweepSummary) -> Markup:
    """Of `slice_chart` and `front_chart`."""
    best = "trial of the Pareto front" if len(story.directions) > 1 else "best trial"
    return style_legend([("faint", "dots", "finished trial"), ("good", "dots", best)])


def curves_legend(story: SweepSummary) -> Markup:
    """Of `curves_chart`: the styles that it has."""
    shown = {_curve_style(story, trial) for trial in story.trials if trial.intermediate_values}
    keys: list[Key] = [
        ("good", "line", "best"),
        ("faint", "line", "other trial"),
        ("muted", "line", "pruned trial"),
    ]
    return style_legend([key for key in keys if key[0] in shown])


def slice_chart(story: SweepSummary, dimension: Dimension, objective: int) -> Markup | None:
    """Value against one searched key; None if no finished trial has it."""
    name, key = story.objectives[objective], dimension.key
    having = [trial for trial in story.complete if key in trial.params]
    if not having:
        return None
    values = [str(value) for value in dimension.values]
    points = [
        (_coordinate(dimension, t.params[key]), t.values[objective], _tip(t, t.values[objective]))
        for t in having
    ]
    chosen = [p for p, t in zip(points, having, strict=True) if t.number in story.best]
    axis = (
        Axis(key, names=values)
        if values
        else padded(
            key, [dimension.low, dimension.high], log=dimension.log, whole=dimension.integer
        )
    )
    return xy_chart(
        [Series(points, style="faint"), Series(chosen, style="good")],
        axis,
        padded(name, [trial.values[objective] for trial in story.complete]),
        key=f"slice-{story.space.dimensions.index(dimension)}-{objective}",
        title=f"{name} against {key}",
        description=f"{counted(len(points), 'finished trial')} as dots; the best one is green.",
    )


def parallel(story: SweepSummary) -> Markup:
    """Parallel coordinates of all finished trials; better trials are drawn stronger."""
    uprights = [ParallelAxis(d.key, _axis_of(d).ticks()) for d in story.space.dimensions]
    value_axis = padded(story.objectives[0], [trial.values[0] for trial in story.complete])
    uprights.append(ParallelAxis(value_axis.name, value_axis.ticks()))
    ranks = {t.number: rank for rank, t in enumerate(reversed(story.ranked))}
    lines = [
        Line(
            [
                *(
                    _axis_of(d).share(_coordinate(d, trial.params[d.key]))
                    if d.key in trial.params
                    else None
                    for d in story.space.dimensions
                ),
                value_axis.share(trial.values[0]),
            ],
            (ranks[trial.number] / max(1, len(ranks) - 1)) ** 3,
            _tip(trial, trial.values[0]),
        )
        for trial in story.complete
    ]
    return parallel_chart(
        uprights,
        lines,
        key="parallel",
        title="Parameters of every finished trial",
        description=(
            f"{counted(len(lines), 'finished trial')} as lines over "
            f"{counted(len(uprights) - 1, 'searched key')}, with {story.objectives[0]} at the "
            "right; better trials are drawn stronger."
        ),
    )


def front_chart(story: SweepSummary) -> Markup:
    """The first two objectives with the Pareto front."""
    first, second = story.objectives[:2]
    points = [(t.values[1], t.values[0], _tip(t, t.values[0])) for t in story.complete]
    front = sorted(
        (t.values[1], t.values[0], _tip(t, t.values[0]))
        for t in story.complete
        if t.number in story.best
    )
    return xy_chart(
        [
            Series(points, style="faint"),
            Series(front, "line", "good", "Pareto front"),
            Series(front, style="good"),
        ],
        padded(second, [x for x, _, _ in points]),
        padded(first, [y for _, y, _ in points]),
        key="front",
        title=f"{first} against {second}",
        description=(
            f"{counted(len(points), 'finished trial')} as dots, and a line through the "
            f"{counted(len(front), 'trial')} of the Pareto front."
        ),
        width=WIDE,
    )


def curves_chart(story: SweepSummary) -> Markup | None:
    """Validation values by epoch of every trial; None without any."""
    series = []
    for trial in story.trials:
        values = sorted(trial.intermediate_values.items())
        if not values:
            continue
        style = _curve_style(story, trial)
        tip = f"trial {trial.number} ({trial.state.name.lower()})"
        points = [
            (epoch + 1.0, value, f"{tip}, epoch {epoch + 1}: {value:.4g}")
            for epoch, value in values
        ]
        series.append(Series(points, "line" if len(points) > 1 else "dots", style, tip))
    if not series:
        return None
    series.sort(key=lambda one: ("muted", "faint", "good").index(one.style))
    last = max(x for one in series for x, _, _ in one.points)
    return xy_chart(
        series,
        Axis("epoch", 1.0, max(2.0, last), whole=True),
        padded(story.objectives[0], [y for one in series for _, y, _ in one.points]),
        key="curves",
        title=f"{story.objectives[0]} by epoch",
        description=(
            f"{counted(len(series), 'trial')} as lines up to the last epoch: the best green, "
            "pruned ones grey."
        ),
        width=WIDE,
    )


def seeds_chart(story: SweepSummary, phase: str) -> Markup:
    """Runs of the best configs, with their mean and, for several seeds, its 95% interval."""
    dots, lines = [], []
    for x, config in enumerate(story.top):
        values = [run[phase] for run in config["runs"]]
        dots += [
            (
                float(x),
                run[phase],
                f"trial {config['trial']}, seed {run['seed']}: {run[phase]:.4f}",
            )
            for run in config["runs"]
        ]
        mean = statistics.fmean(values)
        tip = f"trial {config['trial']}: mean {mean:.4f}"
        lines.append(Series([(x - 0.16, mean, ""), (x + 0.16, mean, "")], "line", "strong", tip))
        if len(values) > 1:
            half = interval_half(values)
            ends = [(float(x), mean - half, ""), (float(x), mean + half, "")]
            lines.append(Series(ends, "line", "strong", f"{tip} ± {half:.4f} (95%)"))
    heights = [y for one in [*lines, Series(dots)] for _, y, _ in one.points]
    names = [str(config["trial"]) for config in story.top]
    return xy_chart(
        [*lines, Series(dots, style="good")],
        Axis("trial", names=names),
        padded(f"{phase} {story.metric}", heights),
        key=f"seeds-{phase}",
        title=f"{phase} {story.metric} by seed",
        description=(
            f"One dot per run of {counted(len(names), 'config')}; a horizontal bar is the "
            "mean, a vertical line its 95% interval (Student's t) for several seeds."
        ),
    )


def interval_half(values: Sequence[float]) -> float:
    """Half the 95% interval of the mean of normal values, by Student's t."""
    return quantile(0.05, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))


def _curve_style(story: SweepSummary, trial: FrozenTrial) -> Style:
    if trial.number in story.best:
        return "good"
    return "muted" if trial.state.name == "PRUNED" else "faint"


def _better(story: SweepSummary, objective: int) -> Any:
    return max if story.directions[objective] == "maximize" else min


def _tip(trial: FrozenTrial, value: float) -> str:
    return f"trial {trial.number}: {value:.4g}; {format_point(trial.params)}"


def _last(trial: FrozenTrial) -> float | None:
    values = trial.intermediate_values
    return values[max(values)] if values else None


def _coordinate(dimension: Dimension, value: Any) -> float:
    return float(dimension.values.index(value) if dimension.values else value)


def _axis_of(dimension: Dimension) -> Axis:
    if dimension.values:
        return Axis(dimension.key, names=[brief(value) for value in dimension.values])
    low, high = dimension.low, dimension.high
    return Axis(dimension.key, low, high, log=dimension.log, whole=dimension.integer)
