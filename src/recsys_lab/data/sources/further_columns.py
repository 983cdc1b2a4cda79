"""Columns of the user's log that the mapping does not name: of ``filter.where``, and of returns."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import polars as pl

from recsys_lab.config import UserError, did_you_mean
from recsys_lab.data.columns.column_plan import ColumnPlan, apply_plans, one_row
from recsys_lab.data.columns.conditions import Condition
from recsys_lab.data.columns.ids import Spelling
from recsys_lab.data.columns.missing import is_missing
from recsys_lab.data.columns.quantities import QUANTITIES
from recsys_lab.data.columns.timestamps import plan_times
from recsys_lab.data.raw import RUNS, LogColumn
from recsys_lab.data.sources.log_columns import NUMBERS, plan_feature, plan_numbers
from recsys_lab.data.sources.table_files import OpenTables

_MAPPED = ("user", "item", "timestamp", "order", "event_type", *RUNS, *NUMBERS)
_QUANTITIES = tuple(
    spelt for name in QUANTITIES for spelt in (name, name.capitalize(), name.upper())
)
_SIDES = ("item.", "user.")


@runtime_checkable
class HasConditions(Protocol):
    """A reader of columns that the user names, which also reads those of conditions.

    Attributes:
        where_conditions: of ``filter.where``; set before `Reader.read_raw`.
    """

    where_conditions: Sequence[Condition]


def further_names(config: Any, conditions: Sequence[Condition]) -> list[str]:
    """Names of columns to read if the log has them.

    Args:
        config: the mapping.
        conditions: of ``filter.where``.
    """
    quantities = _QUANTITIES if config.quantity_column is None else ()
    return list(dict.fromkeys([*(condition.column for condition in conditions), *quantities]))


def plan_conditions(
    log: OpenTables, frame: pl.LazyFrame, config: Any, conditions: Sequence[Condition]
) -> tuple[dict[str, LogColumn], dict[str, ColumnPlan]]:
    """What the names in conditions mean, and plans of the columns that the mapping does not name.

    Args:
        log: the source.
        frame: its rows, with the columns of `further_names` that it has.
        config: the mapping.
        conditions: of ``filter.where``.

    Raises:
        UserError: a name is unknown, or means two columns.
    """
    mapped = _mapped(config)
    aliases = {column: LogColumn(name, name == "timestamp") for name, column in mapped.items()}
    plans: dict[str, ColumnPlan] = {}
    # A column that is compared with a date holds times, also in its other conditions.
    for condition in sorted(conditions, key=lambda condition: not _has_date(condition)):
        name = condition.column
        if name in config.event_features or name in aliases or name.startswith(_SIDES):
            continue
        if name in mapped and name in log.header and mapped[name] != name:
            raise UserError(
                f"{condition.option}: {condition.text!r}: {name!r} is the lab's name of column "
                f"{mapped[name]!r} and also another column of {log.where}; write "
                f"{mapped[name]}{condition.sign}..., or rename the other one in the source"
            )
        if name in mapped:
            continue
        if name not in frame.collect_schema():
            names = list(dict.fromkeys([*log.header, *mapped, *config.event_features]))
            raise UserError(
                f"{condition.option}: {condition.text!r}: the log has no column {name!r}"
                f"{did_you_mean(name, names)} It has: {', '.join(names)}"
            )
        plan, is_time = _plan(log, frame, condition, Spelling.of(config))
        own = f"_where_{len(plans)}"
        plans[own] = plan
        aliases[name] = LogColumn(own, is_time, _as_numbers(name))
    return aliases, plans


def _mapped(config: Any) -> dict[str, str]:
    """The lab's name of a column -> that of the source."""
    options = {
        f"{name}_id" if name in ("user", "item") else name: getattr(config, f"{name}_column")
        for name in _MAPPED
    }
    return {name: column for name, column in options.items() if column is not None}


def _plan(
    log: OpenTables, frame: pl.LazyFrame, condition: Condition, spelling: Spelling
) -> tuple[ColumnPlan, bool]:
    """How a column is compared: as times, numbers or text; and whether they are times."""
    column, where = condition.column, log.where
    kind, option = frame.collect_schema()[column], f"{condition.option}: {condition.text!r}"
    if isinstance(kind, pl.Date | pl.Datetime) or (kind == pl.String and _has_date(condition)):
        path, portable = where.partition("=")[2], log.parquet is not None
        plans = plan_times(frame, column, path, portable=portable)
        return plans["timestamp"], True
    if kind.is_nested():
        raise UserError(f"{option}: column {column!r} is of type {kind}, which cannot be compared")
    numbers = kind.is_float() or isinstance(kind, pl.Decimal)
    if numbers or (log.is_text and _holds_numbers(frame, column, spelling)):
        return plan_numbers(frame, column, option, where, spelling), False
    return plan_feature(frame, column, "categorical", option, where, spelling), False


def _as_numbers(column: str) -> str:
    if column in NUMBERS:
        return f"data.{column}_column={column}"
    return shlex.quote(f"data.event_features={{{column}: numeric}}")


def _has_date(condition: Condition) -> bool:
    return condition.is_order and "-" in condition.value[1:]


def _holds_numbers(frame: pl.LazyFrame, column: str, spelling: Spelling) -> bool:
    """Whether all values of a column of text are numbers."""
    text = pl.col(column)
    is_there = ~is_missing(text, spelling.missing)
    number = text.str.strip_chars().cast(pl.Float64, strict=False)
    counts = one_row(frame, there=is_there.sum(), numbers=(is_there & number.is_not_null()).sum())
    return bool(counts["there"]) and counts["there"] == counts["numbers"]


def likely_quantity(config: Any, header: Sequence[str]) -> str | None:
    """A column that may be the quantity, if the mapping names none."""
    if config.quantity_column is not None:
        return None
    taken = {*_mapped(config).values(), *config.event_features}
    return next((name for name in header if name in _QUANTITIES and name not in taken), None)


def return_notes(
    frame: pl.LazyFrame,
    config: Any,
    plans: Mapping[str, ColumnPlan],
    where: str,
    conditions: Sequence[Condition],
) -> list[str]:
    """A note about rows with a negative quantity that count as events.

    None if ``filter.where`` looks at the column: these rows are what the user wants.

    Args:
        frame: the source, with the column of `likely_quantity`.
        config: the mapping.
        plans: of the log's columns.
        where: the option and the path.
        conditions: of ``filter.where``.
    """
    column = likely_quantity(config, frame.collect_schema().names())
    if config.quantity_column is not None and config.keep_returns:
        plan, cure = plans["quantity"], "data.keep_returns=false drops them"
        column = config.quantity_column
    elif column is not None:
        option, cure = f"data.quantity_column={column}", f"data.quantity_column={column} drops them"
        try:
            plan = plan_numbers(frame, column, option, where, Spelling.of(config))
        except UserError:  # no numbers
            return []
    else:
        return []
    if {"quantity", column} & {condition.column for condition in conditions}:
        return []
    numbers = apply_plans(frame, {"quantity": plan})
    rows = one_row(numbers, returns=(pl.col("quantity") < 0).sum())["returns"]
    if not rows:
        return []
    return [
        f"returns: {rows:,} rows with a negative value in column '{column}' count as events like "
        f"purchases. If they are returns, {cure}"
    ]
