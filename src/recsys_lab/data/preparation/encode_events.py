"""Encodes and orders the events of a raw log, in narwhals for every engine.

Shapes: T events, U users, V items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from recsys_lab.config import UserError, did_you_mean
from recsys_lab.data.columns.column_plan import describe_rows
from recsys_lab.data.columns.id_spellings import spelling_warning
from recsys_lab.data.engines.base import ROW, Frame, Session, running_rows
from recsys_lab.data.formats.delimited import SHORT
from recsys_lab.data.formats.paths import safe_name
from recsys_lab.data.preparation.codes import distinct, trimmed
from recsys_lab.data.preparation.row_conditions import RowConditions
from recsys_lab.data.preparation.row_counts import BAD, READER, RowCounts
from recsys_lab.data.preparation.row_filters import Filters, Rule
from recsys_lab.data.preparation.window import with_window
from recsys_lab.data.raw import PART, RUNS, ParquetLog, RawData

TIE_RULE = "file order"
"""Events of a user with equal time (and order, if there is one) keep the order of the file."""

FIRST_SECOND, LAST_SECOND = -62_135_596_800, 253_402_300_799
"""First and last second of the years 1 to 9999, in seconds since the epoch."""

EVENT = "event_"
"""Prefix of the names of features in `Coded`."""

SOURCE_ROW = "_source_row"
"""Column of `Coded` with each event's `ROW`, if values are read from the rows of the log later."""

_RULE = "_failed_rule"
_KEY = "_user_and_time"

EXAMPLES = 3
"""Number of bad rows shown for each reason."""

KIND = "kind"
"""Column of `Coded` with the event type, if the log has one; not always a feature."""


@dataclass(frozen=True)
class Coded:
    """The log in order of user, part, time, order and row, on disk column by column.

    Attributes:
        columns: ``user`` and ``item`` (int32 codes); where they exist, ``timestamp``, ``order``
            (int64), `PART` (int8), features of events, `KIND` and `RUNS` (int32 codes, -1 where
            missing, or float64); if `RawData.from_log` has columns, `SOURCE_ROW` (int64) and
            ``present`` of each (bool). All (T,), memory-mapped.
        values: coded column -> its raw values by code, an Arrow array, ascending.
        warnings: about the ids and the conditions on rows.
    """

    columns: Mapping[str, Any]
    values: Mapping[str, Any]
    warnings: Sequence[str]


def order_events(
    session: Session, raw: RawData, filters: Filters, row_counts: RowCounts, scratch: Path
) -> Coded:
    """Drop bad rows, encode ids as dense codes, and order the events.

    Raises:
        UserError: if the log is empty, none of its times can be read, or no row is left.
    """
    frame = session.scan(raw.interactions)
    present = frame.collect_schema().names()
    keys = [name for name in (PART, "timestamp", "order") if name in present]
    coded = {"user": "user_id", "item": "item_id"}
    features = _event_features(raw, present)
    coded |= {f"{EVENT}{name}": name for name, kind in features if kind == "categorical"}
    numbers = [name for name, kind in features if kind == "numeric"]
    if "event_type" in present and "event_type" not in dict(features):
        coded[KIND] = "event_type"
    coded |= {name: name for name in RUNS if name in present}
    taken = [column.present for side in raw.from_log.values() for column in side.values()]
    beside = [nw.col(ROW).cast(nw.Int64).alias(SOURCE_ROW)] if taken else []

    frame = trimmed(frame, [column for column in coded.values() if not column.endswith("_id")])
    values = {}
    for name, column in coded.items():
        values[name] = distinct(frame, column)
        frame = _encode(session, frame, f"_{name}", column, values[name])
    conditions = RowConditions(session, frame, present, raw, values)
    rules = _bad_rows(keys, has_mark=SHORT in present) + _returns(raw) + filters.rules(present)
    rules += conditions.rules(filters)
    frame = conditions.frame
    frame = frame.select(
        *(nw.col(f"_{name}").alias(name) for name in coded),
        *keys,
        *(nw.col(name).cast(nw.Float64).alias(f"{EVENT}{name}") for name in numbers),
        *taken,
        *beside,
        ROW,
        _first_failed(rules).alias(_RULE),
    )
    frame, rules = with_window(session.keep(frame), filters, rules, _RULE)
    _count(frame, raw, rules, row_counts, filters.config.max_bad_rows)
    kept = frame.filter(nw.col(_RULE) == len(rules)).drop(_RULE)
    frame = _ordered(session, kept, keys)
    names = [*coded, *keys, *(f"{EVENT}{name}" for name in numbers)]
    names += [*taken, SOURCE_ROW] if taken else []
    columns = _write(session, frame.select(*names), names, row_counts.rows, scratch)
    if f"{EVENT}event_type" in columns:
        columns[KIND] = columns[f"{EVENT}event_type"]
    spellings = (
        spelling_warning(values[side], side, normalizable=raw.normalizes_ids)
        for side in ("user", "item")
        if not pa.types.is_integer(values[side].type)
    )
    warnings = [*conditions.warnings, *(warning for warning in spellings if warning)]
    return Coded(columns, values, warnings)


def _event_features(raw: RawData, present: Sequence[str]) -> list[tuple[str, str]]:
    """Name and type of every declared event column."""
    for name, kind in raw.features.events.items():
        if name not in present:
            raise UserError(
                f"data.event_features: the log has no column '{name}'"
                f"{did_you_mean(name, present)} It has: {', '.join(present)}"
            )
        if kind not in ("categorical", "numeric"):
            raise UserError(
                f"data.event_features: '{name}' is declared {kind}; allowed for event columns are "
                "categorical and numeric"
            )
    return list(raw.features.events.items())


def _encode(session: Session, frame: Frame, name: str, column: str, values: pa.Array) -> Frame:
    """Add a column of codes: index of every value among the sorted ones, int32; null if missing."""
    codes = pa.array(np.arange(len(values), dtype=np.int32))
    key = f"{name}_value"
    table = session.table(pa.table({key: values, name: codes}))
    return frame.join(table, left_on=column, right_on=key, how="left")


def _bad_rows(keys: Sequence[str], *, has_mark: bool) -> list[Rule]:
    rules = [
        Rule(BAD, f"missing {name}", nw.col(f"_{name}").is_null()) for name in ("user", "item")
    ]
    names = {"timestamp": "unparseable timestamp", "order": "unparseable order"}
    rules += [
        Rule(BAD, reason, nw.col(key).is_null()) for key, reason in names.items() if key in keys
    ]
    if has_mark:  # too few values is the reason if one of them is needed; else the row stays
        lacks = nw.any_horizontal(*(rule.fails for rule in rules[1:]), ignore_nulls=True)
        rules.insert(1, Rule(BAD, "row with too few values", nw.col(SHORT) & lacks))
    if "timestamp" in keys:
        time = nw.col("timestamp")
        beyond = (time < FIRST_SECOND) | (time > LAST_SECOND)
        rules.append(Rule(BAD, "timestamp outside the years 1 to 9999", beyond))
    return rules


def _returns(raw: RawData) -> list[Rule]:
    """The rule that returns are no purchases."""
    if not raw.drops_returns:
        return []
    reason = "return (negative quantity); the purchases that it undoes are kept"
    return [Rule("returns", reason, nw.col("quantity") < 0)]


def _first_failed(rules: Sequence[Rule]) -> nw.Expr:
    """Index of the first rule that a row fails; ``len(rules)`` for rows to keep."""
    first = nw.lit(len(rules))
    for index, rule in reversed(list(enumerate(rules))):
        first = nw.when(rule.fails).then(nw.lit(index)).otherwise(first)
    return first.cast(nw.Int8)


def _count(
    frame: Frame, raw: RawData, rules: Sequence[Rule], row_counts: RowCounts, max_bad_rows: float
) -> None:
    """Record how many rows each rule drops, with examples of bad rows."""
    table = frame.group_by(_RULE).agg(nw.len().alias("rows")).collect(backend="pyarrow")
    rows = dict(zip(table[_RULE].to_list(), table["rows"].to_list(), strict=True))
    dropped = dict(raw.dropped or {})
    row_counts.read(sum(rows.values()) + sum(dropped.values()))
    for reason, number in dropped.items():
        row_counts.drop(READER, number, reason)
    for index, rule in enumerate(rules):
        number = rows.get(index, 0)
        row_counts.drop(rule.step, number, rule.reason)
        if number and rule.step == BAD:
            row_counts.show(_examples(frame, raw, index))
    row_counts.refuse_nothing()
    row_counts.refuse_many(max_bad_rows)


def _examples(frame: Frame, raw: RawData, rule: int) -> list[str]:
    """Descriptions of the first rows that fail a rule."""
    failing = frame.filter(nw.col(_RULE) == rule).select(nw.col(ROW).cast(nw.Int64))
    first = failing.sort(ROW).head(EXAMPLES).collect(backend="pyarrow")[ROW].to_numpy()
    rows = running_rows(first, raw.interactions)
    if raw.describe_rows is not None:
        return raw.describe_rows(rows)
    log = raw.interactions
    if isinstance(log, ParquetLog):
        files = nw.from_native(pl.scan_parquet(list(log.files), glob=False))
        log = files.select(**log.columns).to_native()
    names = log.collect_schema().names()
    shown = ("user_id", "item_id", "timestamp", "order")
    return describe_rows(log.lazy(), [name for name in shown if name in names], rows)


def _ordered(session: Session, frame: Frame, keys: Sequence[str]) -> Frame:
    """Order by user, then the keys, then the row of the file, which makes the order unique."""
    if not keys:
        return session.ordered(frame, ["user"])
    first = nw.col(keys[0])
    ends = frame.select(
        first.min().alias("low"), first.max().alias("high"), nw.col("user").max().alias("user")
    )
    low, high, last_user = (int(value) for value in ends.collect(backend="pyarrow").row(0))
    span = high - low + 1
    if (last_user + 1) * span >= 2**63:
        return session.ordered(frame, ["user", *keys])
    # User and first key as one number: a single comparison.
    packed = nw.col("user").cast(nw.Int64) * span + (first - low)
    frame = frame.with_columns(packed.alias(_KEY))
    return session.ordered(frame, [_KEY, *keys[1:]]).drop(_KEY)


def _write(
    session: Session, frame: Frame, names: Sequence[str], rows: int, scratch: Path
) -> dict[str, NDArray[Any]]:
    """Stream the frame to disk and memory-map it."""
    types: dict[str, np.dtype[Any]] = {}
    written = 0
    with ExitStack() as stack:
        files = {
            name: stack.enter_context((scratch / f"{safe_name(name)}.column").open("wb"))
            for name in names
        }
        for batch in session.batches(frame):
            written += len(batch)
            for name in names:
                column = batch.column(batch.schema.get_field_index(name))
                if pa.types.is_int32(column.type):
                    column = column.fill_null(-1)
                values = column.to_numpy(zero_copy_only=False)
                types[name] = values.dtype
                files[name].write(np.ascontiguousarray(values).data)
    assert written == rows, "a row was lost without being counted"
    return {
        name: np.memmap(scratch / f"{safe_name(name)}.column", types[name], mode="r").view(
            np.ndarray
        )
        for name in names
    }
