"""Tables of the results of one run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recsys_lab.pages.number_format import decimal, interval_text
from recsys_lab.pages.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import polars as pl

    from recsys_lab.runs.record import RunRecord


def result_tables(
    record: RunRecord,
    columns: Mapping[str, Mapping[str, float | None]],
    caption: str,
    results: Mapping[str, Any],
    slices: pl.DataFrame | None,
) -> Iterator[Table]:
    """The tables of one run's results: metrics, off-policy estimates, slices.

    Args:
        record: names the metric that is shown by slice.
        columns: system -> metric -> value.
        caption: of the first table.
        results: ``intervals`` and ``off_policy``, as in a record.
        slices: as `slices_table` reads them.
    """
    if columns:
        yield result_table(columns, caption, results.get("intervals"))
    if results.get("off_policy"):
        yield off_policy_table(results["off_policy"])
    if slices is not None and (table := slices_table(slices, record.main_metric)).rows:
        yield table


def result_table(
    columns: Mapping[str, Mapping[str, float | None]],
    caption: str,
    intervals: Mapping[str, Sequence[float]] | None = None,
) -> Table:
    """One row per metric and one column per split, with the intervals of the last one."""
    rows = []
    for metric in dict.fromkeys(name for values in columns.values() for name in values):
        values_of = [values.get(metric) for values in columns.values()]
        bounds = " - ".join(map(decimal, (intervals or {}).get(metric, ())))
        numbers = ("-" if value is None else decimal(value) for value in values_of)
        rows.append([metric, *numbers, *([bounds] if intervals else [])])
    heads = ["metric", *columns, *(["95% interval"] if intervals else [])]
    return Table(caption, heads, rows, right=range(1, len(heads)), whole=(0,))


def slices_table(slices: pl.DataFrame, metric: str) -> Table:
    """One metric by slice, with the number of users and the interval."""
    rows: list[Sequence[str]] = []
    before = None
    for row in slices.filter(slices["metric"] == metric).iter_rows(named=True):
        name = row["slice"] if row["slice"] != before else ""
        if name and rows:
            rows.append(())
        before = row["slice"]
        bounds = interval_text(row["low"], row["high"])
        rows.append((name, row["value"], f"{row['users']:,}", decimal(row["mean"]), bounds))
    heads = ("slice", "value", "users", "mean", "95% interval")
    return Table(f"test {metric} by slice", heads, rows, right=(2, 3, 4))


def off_policy_table(estimates: Sequence[Mapping[str, Any]]) -> Table:
    """Off-policy estimates with intervals, matched events and mean weights."""
    rows = []
    for row in estimates:
        value = "-" if row["value"] is None else decimal(row["value"])
        matched = f"{row['matched']:,} of {row['events']:,}"
        bounds = interval_text(row["low"], row["high"])
        weight = f"{row['mean_weight']:.2f}"
        rows.append((str(row["k"]), row["estimator"], value, bounds, matched, weight))
    caption = f"off-policy: mean {estimates[0]['off_policy_reward']} of an exposure"
    heads = ("k", "estimate", "value", "95% interval", "matched", "mean weight")
    return Table(caption, heads, rows, right=(0, 2, 3, 4, 5), whole=(2, 3, 4, 5))
