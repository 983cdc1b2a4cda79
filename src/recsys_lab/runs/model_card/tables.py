"""The tables of a run's model card; what the record lacks is left out."""

from __future__ import annotations

from datetime import UTC, datetime
from math import isfinite
from typing import TYPE_CHECKING, Any

from recsys_lab.pages.number_format import decimal, interval_text, percent
from recsys_lab.pages.table import Table
from recsys_lab.runs.summary_tables import result_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Rows = Sequence[Sequence[str]]
    Values = Mapping[str, Any]

CURVE_ROWS = 12


def main_metric(values: Values) -> str:
    """The model selection metric, or the first metric where it is not recorded."""
    recipe = (values.get("config") or {}).get("recipe") or {}
    known = values.get("test") or values.get("validation") or {}
    chosen = str(recipe.get("monitor", "")).partition("/")[2]
    return chosen or next(iter(known), "")


def results(values: Values) -> Iterator[Table]:
    """Every metric with its interval; for a back-test, by window."""
    windows = values.get("windows") or []
    if windows:
        yield _by_window(values, windows)
        return
    phases = {name: values[name] for name in ("validation", "test") if values.get(name)}
    if not phases:
        return
    intervals = values.get("intervals")
    caption = "Means over users" + ("; intervals over test users." if intervals else ".")
    if values.get("refit"):
        caption += " Validation metrics are of the selected model, test metrics of the refit one."
    yield result_table(phases, caption, intervals)


def slice_grids(slices: Sequence[Values]) -> Iterator[Table]:
    """One metric by slice."""
    if slices:
        rows = [
            [
                f"{row['slice']} {row['value']}",
                f"{row['users']:,}",
                decimal(row["mean"]),
                interval_text(row["low"], row["high"]),
            ]
            for row in slices
        ]
        heads = ("slice", "users", "mean", "95% interval")
        caption = f"Test {slices[0]['metric']} by slice of users or targets."
        yield _table(caption, heads, rows, 3)


def off_policy_grids(values: Values) -> Iterator[Table]:
    """Off-policy estimates of a policy that shows one of the first k items."""
    estimates: list[dict[str, Any]] = values.get("off_policy") or []
    if not estimates:
        return
    rows = [
        [
            row["estimator"],
            str(row["k"]),
            _number(row["value"]),
            interval_text(row["low"], row["high"]),
            f"{row['events']:,}",
            f"{row['matched']:,}",
            decimal(row["mean_weight"]),
            decimal(row["largest_weight"]),
        ]
        for row in estimates
    ]
    first = estimates[0]
    clip = first["off_policy_clip"]
    source = first["off_policy_propensity"] or f"1 / {first['off_policy_items']:,}"
    caption = (
        f"Mean {first['off_policy_reward']} of an exposure if one of the first k items of the list "
        f"were shown; propensity {source}; "
        f"{'weights not clipped' if clip is None else f'weights at most {clip:g}'}. A mean weight "
        "far from 1 means that the propensities are wrong or do not cover the lists."
    )
    heads = ("estimator", "k", "value", "95% interval", "events", "matched", "mean weight")
    yield _table(caption, (*heads, "largest"), rows, 7)


def fairness_grids(values: Values) -> Iterator[Table]:
    """Gaps between groups of users, and the exposure of groups of items."""
    fairness = values.get("fairness") or {}
    if fairness.get("gaps"):
        yield _gaps(fairness["gaps"])
    if fairness.get("exposure"):
        yield _exposure(fairness["exposure"])


def curve_grids(values: Values) -> Iterator[Table]:
    """At most `CURVE_ROWS` epochs, including the best one."""
    epochs: list[dict[str, Any]] = values.get("epochs") or []
    keys = [f"val/{main_metric(values)}", "train/loss"]
    keys = [key for key in keys if any(key in epoch for epoch in epochs)]
    if not keys:
        return
    best = (values.get("best") or {}).get("epoch")
    shown = {round(n * (len(epochs) - 1) / (CURVE_ROWS - 2)) for n in range(CURVE_ROWS - 1)}
    rows = [
        [
            f"{epoch['epoch'] + 1}{' (best)' if epoch['epoch'] == best else ''}",
            *(_number(epoch.get(key)) for key in keys),
        ]
        for index, epoch in enumerate(epochs)
        if index in shown or epoch["epoch"] == best
    ]
    yield _table("Some of the epochs.", ("epoch", *keys), rows, len(keys))


def _gaps(gaps: Sequence[Values]) -> Table:
    def end(row: Values, name: str) -> str:
        return f"{row[name]}: {decimal(row[f'{name}_mean'])} ({row[f'{name}_users']:,} users)"

    def interval(row: Values) -> str:  # older records have none
        return interval_text(row["gap_low"], row["gap_high"]) if "gap_low" in row else "-"

    rows = [
        (
            row["groups"],
            row["metric"],
            decimal(row["gap"]),
            interval(row),
            end(row, "highest"),
            end(row, "lowest"),
        )
        for row in gaps
    ]
    heads = ("user groups", "metric", "gap", "95% interval", "highest", "lowest")
    caption = (
        "Largest difference of a metric between groups of users; with many groups, some difference "
        "is due to chance."
    )
    return _table(caption, heads, rows, 4)


def _exposure(exposure: Sequence[Values]) -> Table:
    rows = [
        [
            f"{row['groups']}: {row['value']}",
            str(row["k"]),
            f"{row['items']:,}",
            *(_percent(row[key]) for key in ("exposure", "events", "catalogue")),
            _number(row["exposure_per_event"]),
        ]
        for row in exposure
    ]
    heads = (
        "item group",
        "k",
        "items",
        "share of lists",
        "share of events",
        "share of items",
        "lists / events",
    )
    caption = "Exposure: share of the top k by group of items, compared with events and items."
    return _table(caption, heads, rows, 6)


def _by_window(values: Values, windows: Sequence[Values]) -> Table:
    names = list(dict.fromkeys(metric for window in windows for metric in window["test"]))
    rows = [
        [
            metric,
            *(_number(w["test"].get(metric)) for w in windows),
            _number((values.get("test") or {}).get(metric)),
        ]
        for metric in names
    ]
    days = [_day(window.get("split") or {}) for window in windows]
    heads = ["metric", *(f"window {n}{day}" for n, day in enumerate(days)), "mean"]
    caption = "Test metrics by window; the folder of each window has its own card."
    return _table(caption, heads, rows, len(heads) - 1)


def _day(split: Values) -> str:
    moment = split.get("test_start_time")
    return "" if moment is None else f", from {datetime.fromtimestamp(moment, UTC).date()}"


def _percent(share: float) -> str:
    return percent(share) if isfinite(share) else "-"


def _table(caption: str, heads: Sequence[str], rows: Rows, numbers: int) -> Table:
    """A table whose last ``numbers`` columns are right-aligned."""
    return Table(caption, heads, rows, range(len(heads) - numbers, len(heads)))


def _number(value: float | None) -> str:
    return "-" if value is None else decimal(value)
