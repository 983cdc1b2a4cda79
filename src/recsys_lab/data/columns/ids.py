"""Raw ids of users and items: integers or strings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import polars as pl

from recsys_lab.config import UserError
from recsys_lab.data.columns.column_plan import (
    ColumnPlan,
    apply_plans,
    column_notes,
    first_row,
    one_row,
    same,
)
from recsys_lab.data.columns.id_spellings import DECIMAL, SHORTENED, normalized
from recsys_lab.data.columns.missing import missing_values, missing_words

WHOLE: dict[Any, int] = {pl.Float32: 2**24, pl.Float64: 2**53}
"""Float type -> the largest number up to which it represents every whole number exactly."""

LEAST, MOST = -(2**63), 2**63 - 1


@dataclass(frozen=True)
class Spelling:
    """How ids, numbers and missing values are written.

    Attributes:
        missing: words that mean a missing value: see
            `recsys_lab.data.columns.missing.missing_words`.
        normalization: differences in spelling that are ignored: see
            `recsys_lab.data.columns.id_spellings`.
        decimal_comma: whether numbers that are text are written 1.234,5.
    """

    missing: Sequence[str] = missing_words(None)
    normalization: Sequence[str] = ()
    decimal_comma: bool = False

    @classmethod
    def of(cls, config: Any) -> Spelling:
        """The spelling that the options of a reader describe."""
        return cls(
            missing_words(config.missing_values),
            tuple(config.id_normalization),
            config.decimal_comma,
        )


def clean_ids(
    ids: pl.Series, source: str, *, untyped: bool, spelling: Spelling
) -> tuple[pl.Series, list[str]]:
    """Ids as int64 or strings, and notes about missing values: see `plan_ids`.

    Args:
        ids: the column.
        source: the file and its option, named in the errors.
        untyped: whether strings may be read as numbers.
        spelling: how they are written.

    Raises:
        UserError: for other types, and numbers that are not whole.
    """
    frame = ids.to_frame().lazy()
    plans = {ids.name: plan_ids(frame, ids.name, source, untyped=untyped, spelling=spelling)}
    return apply_plans(frame, plans).collect()[ids.name], column_notes(plans)


def plan_ids(
    frame: pl.LazyFrame, column: str, source: str, *, untyped: bool, spelling: Spelling
) -> ColumnPlan:
    """Plan how a column becomes ids, int64 or strings.

    Floats that are all whole (a column with gaps, written by pandas) become integers; NaN becomes
    null.

    Args:
        frame: the whole log; all values decide the type.
        column: its name.
        source: the file and its option, named in the errors.
        untyped: whether strings may be read as numbers: see `numbers_if_alike`.
        spelling: how they are written.

    Raises:
        UserError: for other types, and numbers that are not whole or beyond 64 bits.
    """
    where = f"{source}: id column '{column}'"
    kind = frame.collect_schema()[column]
    if kind == pl.String:
        return _plan_texts(frame, column, where, untyped=untyped, spelling=spelling)
    if kind == pl.Categorical or isinstance(kind, pl.Enum):
        return ColumnPlan(column, None, lambda values: values.cast(nw.String))
    if isinstance(kind, pl.Decimal) and _all_whole(frame, column):
        _require_64_bits(frame, column, where)
        return ColumnPlan(column, pl.col(column).cast(pl.Int64), same)
    if kind.is_float():
        limit = WHOLE.get(type(kind), 2**11)
        _require_whole(frame, column, where, limit)
        return ColumnPlan(column, None, whole_numbers(limit))
    if not (kind.is_integer() or kind == pl.Null):
        raise UserError(f"{where} is of type {kind}; expected integers or strings")
    if kind in (pl.UInt64, pl.Int128, pl.UInt128):
        _require_64_bits(frame, column, where)
    wide = kind in (pl.Int128, pl.UInt128, pl.Null)
    prepare = pl.col(column).cast(pl.Int64) if wide else None
    return ColumnPlan(column, prepare, lambda values: values.cast(nw.Int64))


def _plan_texts(
    frame: pl.LazyFrame, column: str, where: str, *, untyped: bool, spelling: Spelling
) -> ColumnPlan:
    """Strings, or integers if ``untyped`` and every present value is one."""
    missing = missing_values(frame, column, spelling.missing)
    value = pl.col(column)
    if missing:
        value = pl.when(~value.is_in(list(missing))).then(value)
    note, one_spelling = "", normalized(value, spelling.normalization)
    reads_decimals = "decimal" in spelling.normalization
    seen = one_row(
        frame, other=(one_spelling != value).any(), short=value.str.contains(SHORTENED).any()
    )
    if reads_decimals and seen["short"]:
        _refuse_shortened(frame, column, where)
    is_respelt = bool(seen["other"])
    if is_respelt:  # else an engine may scan the file itself
        note = _decimal_note(frame, column, where) if reads_decimals else ""
        value = one_spelling
    if untyped and _all_numbers(frame.select(value), column):
        whole = value.cast(pl.Int64, strict=False)
        return ColumnPlan(column, whole, same, missing=missing, note=note)
    if is_respelt:
        return ColumnPlan(column, value, same, missing=missing, note=note)
    if not missing:
        return ColumnPlan(column, None, same)
    words = list(missing)
    return ColumnPlan(
        column, None, lambda ids: nw.when(~ids.is_in(words)).then(ids), missing=missing
    )


def _decimal_note(frame: pl.LazyFrame, column: str, where: str) -> str:
    """A note about ids such as 100.0, if there are any.

    Raises:
        UserError: one is so large that its last digits were lost where it was written.
    """
    is_decimal = pl.col(column).str.contains(DECIMAL)
    number = pl.when(is_decimal).then(pl.col(column)).cast(pl.Float64, strict=False)
    too_large = first_row(frame, column, number.abs() >= WHOLE[pl.Float64])
    if too_large is not None:
        row, got = too_large
        raise UserError(
            f"{where} holds {got} in {row}, a decimal number too large to be exact; write ids as "
            "integers or strings, or set data.id_normalization=[] to read it as text"
        )
    counts = one_row(frame, rows=is_decimal.sum(), first=pl.col(column).filter(is_decimal).first())
    if not counts["rows"]:
        return ""
    first = counts["first"]
    return (
        f"{counts['rows']:,} rows of column '{column}' hold whole numbers with a point, such as "
        f"{first!r}, which is read as {first.partition('.')[0]} (data.id_normalization)"
    )


def _refuse_shortened(frame: pl.LazyFrame, column: str, where: str) -> None:
    """Refuse ids that a spreadsheet wrote as 4.00638E+12: different ids have become equal.

    Raises:
        UserError: always.
    """
    first = first_row(frame, column, pl.col(column).str.contains(SHORTENED))
    assert first is not None
    row, got = first
    raise UserError(
        f"{where} holds {got} in {row}, a number that was shortened where it was written, e.g. by "
        "a spreadsheet: ids that differ in the lost digits are equal. Export the column as text, "
        "or, if these are the ids, set data.id_normalization=[]"
    )


def _all_whole(frame: pl.LazyFrame, column: str) -> bool:
    """Whether all decimals are whole numbers; those beyond 64 bits are refused later."""
    value = pl.col(column)
    return bool(one_row(frame, whole=(value == value.floor()).all())["whole"])


def whole_numbers(limit: float) -> Callable[[nw.Expr], nw.Expr]:
    """A function that makes int64 of floats: rounded down; null for NaN and beyond the limit."""

    def make(values: nw.Expr) -> nw.Expr:
        # Also `is_finite`: DuckDB skips a comparison that holds for the maximum in a Parquet
        # file's statistics, and that maximum ignores NaN.
        inside = nw.when(values.is_finite() & (values.abs() <= limit)).then(values)
        return inside.floor().cast(nw.Int64)

    return make


def _all_numbers(frame: pl.LazyFrame, column: str) -> bool:
    alike, blank = _alike(pl.col(column))
    every = one_row(frame, alike=alike.all(), blank=blank.all())
    return bool(every["alike"]) and not every["blank"]


def _alike(ids: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
    """Whether a value is blank or a whole number in the usual form, and whether it is blank."""
    blank = (ids.str.strip_chars() == "").fill_null(True)
    numbers = ids.cast(pl.Int64, strict=False)
    return (numbers.cast(pl.String) == ids).fill_null(False) | blank, blank


def _require_whole(frame: pl.LazyFrame, column: str, where: str, limit: int) -> None:
    value = pl.col(column)
    # NaN only marks a missing id, but compares as the largest number.
    odd = ((value != value.floor()) | (value.abs() > limit)) & value.is_not_nan()
    first = first_row(frame, column, odd)
    if first is None:
        return
    row, got = first
    if abs(got) > limit and got == got // 1:
        raise UserError(
            f"{where} holds {got:.0f} in {row}, a float too large to be exact; write "
            "ids as integers or strings"
        )
    raise UserError(f"{where} holds {got} in {row}; expected whole numbers or strings")


def _require_64_bits(frame: pl.LazyFrame, column: str, where: str) -> None:
    first = first_row(frame, column, ~pl.col(column).is_between(LEAST, MOST))
    if first is not None:
        raise UserError(
            f"{where} holds numbers beyond 64 bits, such as {first[1]} in {first[0]}; write "
            "them as strings"
        )


def numbers_if_alike(ids: pl.Series) -> pl.Series:
    """Text as int64 if every value is a whole number in its usual form, else unchanged.

    With 007 among them ids stay strings, so 007 and 7 are different. Blank values are missing.
    """
    alike = _all_numbers(ids.to_frame().lazy(), ids.name)
    return ids.cast(pl.Int64, strict=False) if alike else ids
