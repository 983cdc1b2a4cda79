"""Which columns of a table become which columns of the log, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals as nw
import polars as pl

from recsys_lab.config import UserError
from recsys_lab.data.columns.column_plan import ColumnPlan, first_row, one_row, same
from recsys_lab.data.columns.ids import Spelling, plan_ids, whole_numbers
from recsys_lab.data.columns.missing import is_missing, missing_values
from recsys_lab.data.columns.timestamps import LARGEST, plan_times
from recsys_lab.data.preparation.source_warnings import decimal_hint
from recsys_lab.data.raw import RUNS, SEPARATOR, Unreadable

if TYPE_CHECKING:
    from recsys_lab.data.raw import FeatureType

NUMBERS = ("rating", "price", "quantity")
"""Columns of the log that hold numbers."""

RESERVED = ("user", "item", "user_id", "item_id", "timestamp", "order", "row", "event_type",
            *RUNS, *NUMBERS)  # fmt: skip
"""Names that no feature of an event can have: they are columns of the log already."""


def wanted_columns(config: Any) -> dict[str, str | None]:
    """Option -> column of the log that it names, None where it is off.

    Raises:
        UserError: for a feature whose name the log uses itself.
    """
    options = ["user_column", "item_column", "timestamp_column", "order_column",
               "event_type_column", *(f"{name}_column" for name in (*RUNS, *NUMBERS))]  # fmt: skip
    for name in config.event_features:
        if name in RESERVED:
            other = f"data.{name}_column" if f"{name}_column" in options else "its own option"
            raise UserError(
                f"data.event_features.{name}: the log has a column of this name already; name the "
                f"source's column with {other}, or give it another name in the source"
            )
    return {
        **{option: getattr(config, option) for option in options},
        **{f"event_features.{name}": name for name in config.event_features},
    }


def plan_events(
    frame: pl.LazyFrame, config: Any, where: str, *, untyped: bool, portable: bool
) -> dict[str, ColumnPlan]:
    """How every column of the log is made.

    Args:
        frame: the source, all of it: one value may decide for all.
        config: the names of columns and the form of times.
        where: the option and the path, named in errors.
        untyped: whether strings may stand for numbers.
        portable: whether datetimes are to be read by what runs on every engine.

    Raises:
        UserError: for a column of a type that does not fit.
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
            frame, config.timestamp_column, path, config.timestamp_unit, config.timestamp_format,
            portable=portable,
        )  # fmt: skip
    if config.order_column is not None:
        plans["order"] = _places(frame, config.order_column, where)
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
    """The columns of the log that models may read, with their types."""
    kinds: dict[str, FeatureType] = {}
    if config.event_type_column is not None:
        kinds["event_type"] = "categorical"
    kinds |= {name: "numeric" for name in NUMBERS if getattr(config, f"{name}_column") is not None}
    return {**kinds, **config.event_features}


def plan_feature(
    frame: pl.LazyFrame,
    column: str,
    kind: FeatureType,
    option: str,
    where: str,
    spelling: Spelling,
) -> ColumnPlan:
    """How a column becomes a feature.

    Categories are strings or whole numbers as they are, anything else as text; numbers float64;
    text strings; lists as they are, or text split at ``|`` where any value of the column holds
    one, else at blanks.

    Args:
        frame: the source.
        column: its name.
        kind: of the feature.
        option: where it is declared, named in errors.
        where: the option and the path of the source, named in errors.
        spelling: how values are written.

    Raises:
        UserError: when the column cannot be read as this.
    """
    if kind == "numeric":
        return plan_numbers(frame, column, option, where, spelling)
    stored = frame.collect_schema()[column]
    if kind == "list":
        if stored == pl.String:
            return ColumnPlan(column, _split(frame, column), same)
        if not isinstance(stored, pl.List | pl.Array):
            raise UserError(
                f"{option}=list: column '{column}' of {where} is of type {stored}; a list, or "
                f"text with '{SEPARATOR}' or blanks between the values is needed"
            )
        return ColumnPlan(column, None, same)
    if stored.is_nested():
        raise UserError(
            f"{option}={kind}: column '{column}' of {where} is of type {stored}; declare it as "
            "list, or store one value a row"
        )
    if kind == "categorical" and stored.is_integer() and stored not in (pl.UInt64, pl.Int128):
        return ColumnPlan(column, None, lambda values: values.cast(nw.Int64))
    return _texts(frame, column, spelling)


def _split(frame: pl.LazyFrame, column: str) -> pl.Expr:
    """Lists of text: one value decides for all, so that 'Film Noir|Drama' and 'Film Noir' agree."""
    text = pl.col(column)
    bars = one_row(frame, bars=text.str.contains(SEPARATOR, literal=True).any())["bars"]
    parts = text.str.split(SEPARATOR if bars else " ")
    return parts.list.eval(pl.element().str.strip_chars()).list.filter(pl.element() != "")


def _texts(frame: pl.LazyFrame, column: str, spelling: Spelling) -> ColumnPlan:
    """Strings; null where missing."""
    stored = frame.collect_schema()[column]
    if stored == pl.String:
        found = missing_values(frame, column, spelling.missing)
        words = ["", *found]
        return ColumnPlan(
            column, None, lambda values: nw.when(~values.is_in(words)).then(values), missing=found
        )
    if stored == pl.Categorical or isinstance(stored, pl.Enum) or stored.is_integer():
        return ColumnPlan(column, None, lambda values: _not_blank(values.cast(nw.String)))
    return ColumnPlan(column, pl.col(column).cast(pl.String), same)


def _not_blank(values: nw.Expr) -> nw.Expr:
    return nw.when(values != "").then(values)


def plan_numbers(
    frame: pl.LazyFrame, column: str, option: str, where: str, spelling: Spelling
) -> ColumnPlan:
    """How a column becomes float64 numbers, null where there is none, as with NaN.

    Args:
        frame: the source.
        column: its name.
        option: where it is declared, named in errors.
        where: the option and the path of the source, named in errors.
        spelling: how values are written.

    Raises:
        UserError: when no value is a number.
    """
    stored = frame.collect_schema()[column]
    if stored == pl.String:
        text = pl.col(column).str.strip_chars()
        plain = _with_point(text) if spelling.decimal_comma else text
        number = plain.cast(pl.Float64, strict=False)
        odd = number.is_null() & ~is_missing(text, spelling.missing)
        found = one_row(frame, some=number.count(), given=text.count(), odd=odd.sum())
        if found["given"] and not found["some"]:
            first = first_row(frame, column, pl.col(column).is_not_null())
            raise UserError(
                f"{option}: column '{column}' of {where} holds no number; the first value is "
                f"{first[1] if first else None!r}"
                f"{decimal_hint(first[1]) if first else ''}"
            )
        first = first_row(frame, column, odd) if found["odd"] else None
        unreadable = None if first is None else Unreadable(found["odd"], first[1], first[0])
        return ColumnPlan(column, number, _not_nan, unreadable)
    if not (stored.is_numeric() or stored in (pl.Boolean, pl.Null)):
        raise UserError(
            f"{option}: column '{column}' of {where} is of type {stored}; numbers are needed"
        )
    wide = isinstance(stored, pl.Decimal) or stored in (pl.Int128, pl.UInt128, pl.Boolean, pl.Null)
    prepare = pl.col(column).cast(pl.Float64) if wide else None
    return ColumnPlan(column, prepare, _not_nan)


def _with_point(text: pl.Expr) -> pl.Expr:
    """1.234,5 as 1234.5; null where a point stands elsewhere than before three digits."""
    in_groups = text.str.contains(r"^[+-]?\d{1,3}(\.\d{3})+(,\d*)?$")
    whole = pl.when(in_groups).then(text.str.replace_all(".", "", literal=True)).otherwise(text)
    has_point = whole.str.contains(".", literal=True)
    return pl.when(~has_point).then(whole.str.replace_all(",", ".", literal=True))


def _not_nan(values: nw.Expr) -> nw.Expr:
    numbers = values.cast(nw.Float64)
    return nw.when(~numbers.is_nan()).then(numbers)


def _places(frame: pl.LazyFrame, column: str, where: str) -> ColumnPlan:
    """Places in a history: whole numbers, exact; beyond 2^53 a float would merge neighbours."""
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
        raise _no_places(frame, column, path)
    found = first_row(frame, column, value.is_finite() & (value != value.floor()))
    if found is not None:
        raise UserError(
            f"data.order_column={column}: {path} has places that are no whole numbers, such as "
            f"{found[1]}; cutting them would change the order. Number the events, or use "
            "data.timestamp_column"
        )
    if not one_row(frame, some=value.is_finite().any())["some"]:
        raise _no_places(frame, column, path)
    if stored == pl.String and _all_whole(frame, column):
        return ColumnPlan(column, pl.col(column).cast(pl.Int64, strict=False), same)
    return ColumnPlan(column, prepare, whole_numbers(LARGEST))


def _all_whole(frame: pl.LazyFrame, column: str) -> bool:
    text = pl.col(column)
    number, whole = text.cast(pl.Float64, strict=False), text.cast(pl.Int64, strict=False)
    found = one_row(frame, number=number.count(), whole=whole.count())
    return bool(found["number"] == found["whole"])


def _no_places(frame: pl.LazyFrame, column: str, path: str) -> UserError:
    first = frame.select(column).head(1).collect().item()
    return UserError(
        f"data.order_column={column}: no value in this column of {path} is a whole number; the "
        f"first is {first!r}. For times use data.timestamp_column"
    )
