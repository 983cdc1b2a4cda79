"""Plans of how columns of a table become columns of the log."""

from __future__ import annotations

from typing import Any

import narwhals as nw
import polars as pl

from recsys_lab.config import UserError
from recsys_lab.data.columns.column_plan import ColumnPlan, first_row, one_row, same
from recsys_lab.data.columns.ids import Spelling, plan_ids, whole_numbers
from recsys_lab.data.columns.missing import is_missing, missing_values
from recsys_lab.data.columns.timestamps import LARGEST, plan_times
from recsys_lab.data.preparation.source_warnings import decimal_hint
from recsys_lab.data.raw import OWN, RUNS, SEPARATOR, FeatureType, Unreadable

NUMBERS = ("rating", "price", "quantity")
"""Numeric columns of the log."""

RESERVED = (*OWN["event"], "event_type", *RUNS, *NUMBERS)
"""Names that features of events cannot have, as the log has such columns already."""


def wanted_columns(config: Any) -> dict[str, str | None]:
    """Option -> the column of the log that it names, or None if it is off.

    Raises:
        UserError: users and items are one column, or a feature has a reserved name.
    """
    if config.user_column == config.item_column:
        raise UserError(
            f"data.user_column and data.item_column: both are {config.user_column!r}; name the "
            "column of the items, too"
        )
    names = ("user", "item", "timestamp", "order", "event_type", *RUNS, *NUMBERS)
    options = [f"{name}_column" for name in names]
    for name in config.event_features:
        if name in RESERVED:
            other = f"data.{name}_column" if f"{name}_column" in options else "its own option"
            raise UserError(
                f"data.event_features.{name}: the log has a column of this name already; name the "
                f"source's column with {other}, or rename it in the source"
            )
    return {
        **{option: getattr(config, option) for option in options},
        **{f"event_features.{name}": name for name in config.event_features},
    }


def plan_events(
    frame: pl.LazyFrame, config: Any, where: str, *, untyped: bool, portable: bool
) -> dict[str, ColumnPlan]:
    """Plan every column of the log.

    Args:
        frame: the whole source; all values decide the type of a column.
        config: the names of columns and the format of times.
        where: the option and the path, named in errors.
        untyped: whether strings may be read as numbers.
        portable: whether datetimes must be read by operations that every engine has.

    Raises:
        UserError: for a column of an unsuitable type.
    """
    spelling = Spelling.of(config)
    plans = {
        f"{side}_id": plan_ids(
            frame, getattr(config, f"{side}_column"), where, untyped=untyped, spelling=spelling
        )
        for side in ("user", "item")
    }
    if config.timestamp_column is not None:
        path = where.partition("=")[2]
        plans |= plan_times(
            frame,
            config.timestamp_column,
            path,
            config.timestamp_unit,
            config.timestamp_format,
            portable=portable,
        )
    if config.order_column is not None:
        plans["order"] = _positions(frame, config.order_column, where)
    if config.event_type_column is not None:
        plans["event_type"] = _texts(frame, config.event_type_column, spelling)
    for name in RUNS:
        column = getattr(config, f"{name}_column")
        if column is not None:
            plans[name] = _texts(frame, column, spelling)
    for name in NUMBERS:
        column = getattr(config, f"{name}_column")
        if column is not None:
            option = f"data.{name}_column={column}"
            plans[name] = plan_numbers(frame, column, option, where, spelling)
    for name, kind in config.event_features.items():
        option = f"data.event_features.{name}"
        plans[name] = plan_feature(frame, name, kind, option, where, spelling)
    return plans


def event_features(config: Any) -> dict[str, FeatureType]:
    """Columns of the log that models may read -> their types."""
    kinds: dict[str, FeatureType] = {}
    if config.event_type_column is not None:
        kinds["event_type"] = "categorical"
    kinds |= {name: "numeric" for name in NUMBERS if getattr(config, f"{name}_column") is not None}
    return {**kinds, **config.event_features}


def plan_feature(
    frame: pl.LazyFrame, column: str, kind: FeatureType, option: str, where: str, spelling: Spelling
) -> ColumnPlan:
    """Plan how a column becomes a feature.

    Categories are strings or integers unchanged, other types as text; numbers are float64; text is
    strings; lists are unchanged, or text split at ``|`` if any value of the column has one, else at
    blanks.

    Args:
        frame: the source.
        column: its name.
        kind: type of the feature.
        option: where it is declared, named in errors.
        where: the option and the path of the source, named in errors.
        spelling: how values are written.

    Raises:
        UserError: if the column cannot be read as this type.
    """
    if kind == "numeric":
        return plan_numbers(frame, column, option, where, spelling)
    stored = frame.collect_schema()[column]
    if kind == "list":
        if stored == pl.String:
            return ColumnPlan(column, _split(frame, column), same)
        if not isinstance(stored, pl.List | pl.Array):
            raise UserError(
                f"{option}=list: column '{column}' of {where} is of type {stored}; expected lists, "
                f"or text with '{SEPARATOR}' or blanks between the values"
            )
        return ColumnPlan(column, None, same)
    if stored.is_nested():
        raise UserError(
            f"{option}={kind}: column '{column}' of {where} is of type {stored}; declare it as "
            "list, or store one value per row"
        )
    if kind == "categorical" and stored.is_integer() and stored not in (pl.UInt64, pl.Int128):
        return ColumnPlan(column, None, lambda values: values.cast(nw.Int64))
    return _texts(frame, column, spelling)


def _split(frame: pl.LazyFrame, column: str) -> pl.Expr:
    """Split text at ``|`` if any value has one (so 'Film Noir' is one word), else at blanks."""
    text = pl.col(column)
    bars = one_row(frame, bars=text.str.contains(SEPARATOR, literal=True).any())["bars"]
    parts = text.str.split(SEPARATOR if bars else " ")
    return parts.list.eval(pl.element().str.strip_chars()).list.filter(pl.element() != "")


def _texts(frame: pl.LazyFrame, column: str, spelling: Spelling) -> ColumnPlan:
    """Strings; null where missing."""
    stored = frame.collect_schema()[column]
    if stored == pl.String:
        missing = missing_values(frame, column, spelling.missing)
        words = ["", *missing]
        return ColumnPlan(
            column, None, lambda values: nw.when(~values.is_in(words)).then(values), missing=missing
        )
    if stored == pl.Categorical or isinstance(stored, pl.Enum) or stored.is_integer():
        return ColumnPlan(column, None, lambda values: _not_blank(values.cast(nw.String)))
    return ColumnPlan(column, pl.col(column).cast(pl.String), same)


def _not_blank(values: nw.Expr) -> nw.Expr:
    return nw.when(values != "").then(values)


def plan_numbers(
    frame: pl.LazyFrame, column: str, option: str, where: str, spelling: Spelling
) -> ColumnPlan:
    """Plan how a column becomes float64 numbers; null where missing, NaN or not a number.

    Args:
        frame: the source.
        column: its name.
        option: where it is declared, named in errors.
        where: the option and the path of the source, named in errors.
        spelling: how values are written.

    Raises:
        UserError: if no value is a number.
    """
    stored = frame.collect_schema()[column]
    if stored == pl.String:
        text = pl.col(column).str.strip_chars()
        plain = _with_point(text) if spelling.decimal_comma else text
        number = plain.cast(pl.Float64, strict=False)
        odd = number.is_null() & ~is_missing(text, spelling.missing)
        counts = one_row(frame, numbers=number.count(), texts=text.count(), odd=odd.sum())
        if counts["texts"] and not counts["numbers"]:
            first = first_row(frame, column, pl.col(column).is_not_null())
            raise UserError(
                f"{option}: column '{column}' of {where} has no numbers; the first value is "
                f"{first[1] if first else None!r}"
                f"{decimal_hint(first[1]) if first else ''}"
            )
        first = first_row(frame, column, odd) if counts["odd"] else None
        unreadable = None if first is None else Unreadable(counts["odd"], first[1], first[0])
        return ColumnPlan(column, number, _not_nan, unreadable)
    if not (stored.is_numeric() or stored in (pl.Boolean, pl.Null)):
        raise UserError(
            f"{option}: column '{column}' of {where} is of type {stored}; expected numbers"
        )
    wide = isinstance(stored, pl.Decimal) or stored in (pl.Int128, pl.UInt128, pl.Boolean, pl.Null)
    prepare = pl.col(column).cast(pl.Float64) if wide else None
    return ColumnPlan(column, prepare, _not_nan)


def _with_point(text: pl.Expr) -> pl.Expr:
    """Rewrite 1.234,5 as 1234.5; null where a point does not separate thousands."""
    in_groups = text.str.contains(r"^[+-]?\d{1,3}(\.\d{3})+(,\d*)?$")
    whole = pl.when(in_groups).then(text.str.replace_all(".", "", literal=True)).otherwise(text)
    has_point = whole.str.contains(".", literal=True)
    return pl.when(~has_point).then(whole.str.replace_all(",", ".", literal=True))


def _not_nan(values: nw.Expr) -> nw.Expr:
    numbers = values.cast(nw.Float64)
    return nw.when(~numbers.is_nan()).then(numbers)


def _positions(frame: pl.LazyFrame, column: str, where: str) -> ColumnPlan:
    """Plan positions in a history: exact integers; floats would merge neighbours beyond 2^53."""
    stored = frame.collect_schema()[column]
    path = where.partition("=")[2]
    value = pl.col(column)
    if stored.is_integer() and not stored.is_unsigned_integer() and stored != pl.Int128:
        return ColumnPlan(column, None, lambda values: values.cast(nw.Int64))
    prepare: pl.Expr | None = value
    if stored.is_integer():
        return ColumnPlan(column, value.cast(pl.Int64, strict=False), same)
    if stored == pl.String or isinstance(stored, pl.Decimal):
        value = value.cast(pl.Float64, strict=False)
        prepare = value
    elif stored.is_float():
        prepare = None
    else:
        raise _no_positions(frame, column, path)
    first = first_row(frame, column, value.is_finite() & (value != value.floor()))
    if first is not None:
        raise UserError(
            f"data.order_column={column}: {path} has positions that are not whole numbers, such as "
            f"{first[1]}; rounding them would change the order. Number the events, or use "
            "data.timestamp_column"
        )
    if not one_row(frame, some=value.is_finite().any())["some"]:
        raise _no_positions(frame, column, path)
    if stored == pl.String and _all_whole(frame, column):
        return ColumnPlan(column, pl.col(column).cast(pl.Int64, strict=False), same)
    return ColumnPlan(column, prepare, whole_numbers(LARGEST))


def _all_whole(frame: pl.LazyFrame, column: str) -> bool:
    text = pl.col(column)
    number, whole = text.cast(pl.Float64, strict=False), text.cast(pl.Int64, strict=False)
    counts = one_row(frame, number=number.count(), whole=whole.count())
    return bool(counts["number"] == counts["whole"])


def _no_positions(frame: pl.LazyFrame, column: str, path: str) -> UserError:
    first = frame.select(column).head(1).collect().item()
    return UserError(
        f"data.order_column={column}: no value in this column of {path} is a whole number; the "
        f"first is {first!r}. For times use data.timestamp_column"
    )
