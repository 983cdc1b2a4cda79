"""Results of one run as tables in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
from rich.table import Table

from recsys_lab.pages.number_format import interval_text

if TYPE_CHECKING:
    from collections.abc import Mapping


def result_table(
    columns: Mapping[str, Mapping[str, float]], title: str,
    intervals: Mapping[str, tuple[float, float]] | None = None,
) -> Table:  # fmt: skip
    """One row per metric, one column per system; the last one's intervals beside it."""
    table = Table(title=title, title_justify="left")
    table.add_column("metric", no_wrap=True)
    for system in columns:
        table.add_column(system, justify="right")
    if intervals:
        table.add_column("95% interval", justify="right")
    for name in dict.fromkeys(name for values in columns.values() for name in values):
        cells = [f"{values[name]:.4f}" if name in values else "" for values in columns.values()]
        if intervals and name in intervals:
            low, high = intervals[name]
            cells.append(f"{low:.4f} - {high:.4f}")
        table.add_row(name, *cells)
    return table


def slices_table(slices: pl.DataFrame, metric: str) -> Table:
    """One metric by slice, with the number of users and the interval."""
    table = Table(title=f"test {metric} by slice", title_justify="left")
    table.add_column("slice")
    table.add_column("value")
    for name in ("users", metric, "95% interval"):
        table.add_column(name, justify="right")
    before = None
    for row in slices.filter(pl.col("metric") == metric).iter_rows(named=True):
        name = row["slice"] if row["slice"] != before else ""
        if name and before is not None:
            table.add_section()
        before = row["slice"]
        bounds = interval_text(row["low"], row["high"])
        table.add_row(name, row["value"], f"{row['users']:,}", f"{row['mean']:.4f}", bounds)
    return table
