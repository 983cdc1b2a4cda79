"""Plans of how a column of a log is made from a column of its source."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import narwhals as nw
import polars as pl

from recsys_lab.data.columns.missing import missing_value_note
from recsys_lab.data.raw import ParquetLog, Unreadable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FILE = "_recsys_lab_file"
"""Column with the name of the file that a row is from, where there are several."""

LONGEST = 60
"""Largest number of characters of a value in a message."""


@dataclass(frozen=True)
class ColumnPlan:
    """How a column is made.

    Attributes:
        source: name of the column in the source.
        prepare: the first step, which needs polars (parsing text, unusual types), or None.
        make: the second step, which runs on every engine.
        unreadable: values of a numeric column that are not numbers; None if there are none.
        missing: word for a missing value, as written -> number of rows.
        note: on how values are read; empty for none.
    """

    source: str
    prepare: pl.Expr | None
    make: Callable[[nw.Expr], nw.Expr]
    unreadable: Unreadable | None = None
    missing: Mapping[str, int] = field(default_factory=dict)
    note: str = ""

    def as_flag(self) -> ColumnPlan:
        """A bool column: whether this one has a value."""
        return ColumnPlan(self.source, self.prepare, lambda values: ~self.make(values).is_null())


def same(column: nw.Expr) -> nw.Expr:
    """The identity, for `ColumnPlan.make`."""
    return column


def apply_plans(frame: pl.LazyFrame, plans: Mapping[str, ColumnPlan]) -> pl.LazyFrame:
    """Make the planned columns with polars.

    Args:
        frame: has the source columns.
        plans: name -> how it is made.
    """
    prepared = frame.select(
        (pl.col(plan.source) if plan.prepare is None else plan.prepare).alias(f"_{name}")
        for name, plan in plans.items()
    )
    columns = nw.from_native(prepared).select(
        plan.make(nw.col(f"_{name}")).alias(name) for name, plan in plans.items()
    )
    result: pl.LazyFrame = columns.to_native()
    return result


def unreadable(plans: Mapping[str, ColumnPlan], prefix: str = "") -> dict[str, Unreadable]:
    """The values of numeric columns that are not numbers.

    Args:
        plans: name -> how it is made.
        prefix: before the names.
    """
    return {
        f"{prefix}{name}": plan.unreadable
        for name, plan in plans.items()
        if plan.unreadable is not None
    }


def column_notes(plans: Mapping[str, ColumnPlan], prefix: str = "") -> list[str]:
    """Notes about words for a missing value, and how values are read; arguments as `unreadable`."""
    notes = []
    for name, plan in plans.items():
        if plan.missing:
            notes.append(missing_value_note(f"{prefix}{name}", plan.source, plan.missing))
        if plan.note:
            notes.append(f"{prefix}{name}: {plan.note}")
    return notes


def as_parquet_log(files: Sequence[str], plans: Mapping[str, ColumnPlan]) -> ParquetLog | None:
    """The log as any engine can scan it, or None if a column needs polars."""
    if any(plan.prepare is not None for plan in plans.values()):
        return None
    columns = {name: plan.make(nw.col(plan.source)) for name, plan in plans.items()}
    return ParquetLog(tuple(files), columns)


def one_row(frame: pl.LazyFrame, **values: pl.Expr) -> dict[str, Any]:
    """Aggregates of a frame that may be larger than memory."""
    return frame.select(**values).collect(engine="streaming").row(0, named=True)


def first_row(frame: pl.LazyFrame, column: str, condition: pl.Expr) -> tuple[str, Any] | None:
    """The first row where a condition holds, e.g. ``row 3 of b.csv``, and the column's value there.

    Rows are counted from 1, within their file if the frame has a column `FILE`.
    """
    file = pl.col(FILE).cast(pl.String) if FILE in frame.collect_schema() else pl.lit(None)
    rows = frame.select(pl.col(column).alias("value"), condition.alias("holds"), file.alias("file"))
    rows = rows.with_row_index("row", 1)
    first = rows.filter(pl.col("holds")).head(1).collect(engine="streaming")
    if first.is_empty():
        return None
    row, value, name = (first[key][0] for key in ("row", "value", "file"))
    if name is None:
        return f"row {row}", value
    start = one_row(rows.filter(pl.col("file") == name), row=pl.col("row").min())["row"]
    return f"row {row - start + 1} of {name}", value


def pick_rows(frame: pl.LazyFrame, rows: NDArray[np.int64]) -> pl.LazyFrame:
    """Select rows of a frame by their indices, counted from 0, ascending."""
    number = "_recsys_lab_row"
    wanted = pl.LazyFrame({number: rows}, schema={number: pl.get_index_type()})
    return frame.with_row_index(number).join(wanted, on=number, how="semi").sort(number)


def describe_rows(
    frame: pl.LazyFrame, columns: Sequence[str], rows: NDArray[np.int64]
) -> list[str]:
    """Describe rows of a frame, e.g. ``row 3 of b.csv: user_id='a', item_id=None``.

    Args:
        frame: its rows are counted within their file if it has a column `FILE`.
        columns: the columns to show.
        rows: counted from 0, ascending.
    """
    import numpy as np

    starts, names = np.zeros(1, dtype=np.int64), [""]
    if FILE in frame.collect_schema():
        lengths = frame.group_by(FILE, maintain_order=True).len().collect(engine="streaming")
        names = [f" of {name}" for name in lengths[FILE]]
        starts = np.cumsum([0, *lengths["len"][:-1]])
    files = np.searchsorted(starts, rows, side="right") - 1
    shown = pick_rows(frame, rows).select(*dict.fromkeys(columns)).collect()
    return [
        f"row {row - starts[file] + 1}{names[file]}: "
        + ", ".join(f"{name}={_short(value)}" for name, value in values.items())
        for row, file, values in zip(rows, files, shown.iter_rows(named=True), strict=True)
    ]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
