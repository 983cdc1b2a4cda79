"""Raw log -> coded events in order, written once in narwhals for every engine.

Shapes: T events, U users, V items.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from recsys_lab.config import UserError
from recsys_lab.data.columns.column_plan import describe_rows
from recsys_lab.data.columns.id_spellings import spelling_warning
from recsys_lab.data.engines.base import ROW, running_rows
from recsys_lab.data.formats.delimited import SHORT
from recsys_lab.data.formats.paths import did_you_mean, safe_name
from recsys_lab.data.preparation.row_counts import BAD, READER
from recsys_lab.data.preparation.row_filters import Rule
from recsys_lab.data.raw import PART, RUNS, ParquetLog

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from recsys_lab.data.engines.base import Frame, Session
    from recsys_lab.data.preparation.row_counts import RowCounts
    from recsys_lab.data.preparation.row_filters import Filters
    from recsys_lab.data.raw import RawData

TIE_RULE = "file order"
"""Events of a user that share their time (and order, where there is one) keep the file's order."""

FIRST_SECOND, LAST_SECOND = -62_135_596_800, 253_402_300_799
"""Of the years that a calendar date can have, in seconds since the epoch."""

EVENT = "event_"
"""Before the name of a feature in `Coded`."""

BLANKS = " \t\n\v\f\r\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
"""Characters that are white space in Unicode; what an engine strips by itself differs."""

SOURCE_ROW = "_source_row"
"""Column of `Coded` with each event's `ROW`, where something is taken from the rows of the log."""

_RULE = "_failed_rule"
_KEY = "_user_and_time"

EXAMPLES = 3
"""Bad rows that are shown for each reason."""

KIND = "kind"
"""Column of `Coded` with the event type, where the log has one: not always a feature."""


@dataclass(frozen=True)
class Coded:
    """The log in order of user, part, time, order and row, on disk column by column.

    Attributes:
        columns: ``user`` and ``item`` (int32 codes), ``timestamp``, ``order`` (int64) and `PART`
            (int8), where there are, features of events (int32 codes, -1 where missing, or float64),
            `KIND` and `RUNS` (likewise), and, where `RawData.from_log` has columns, `SOURCE_ROW`
            (int64) and ``present`` of each (bool), (T,) each, memory-mapped.
        values: of every coded column its raw values by code, Arrow arrays, ascending.
        warnings: what is odd about the ids.
    """

    columns: Mapping[str, Any]
    values: Mapping[str, Any]
    warnings: Sequence[str]


def order_events(
    session: Session, raw: RawData, filters: Filters, row_counts: RowCounts, scratch: Path
) -> Coded:
    """Drop bad rows, give ids dense codes, put events in order.

    Raises:
        UserError: when the log is empty, all its times are unreadable, or nothing is left.
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

    frame = _trimmed(frame, [column for column in coded.values() if not column.endswith("_id")])
    values = {}
    for name, column in coded.items():
        values[name] = _distinct(frame, column)
        frame = _encode(session, frame, f"_{name}", column, values[name])
    rules = _bad_rows(keys, has_mark=SHORT in present) + filters.rules(present)
    frame = frame.select(
        *(nw.col(f"_{name}").alias(name) for name in coded),
        *keys,
        *(nw.col(name).cast(nw.Float64).alias(f"{EVENT}{name}") for name in numbers),
        *taken,
        *beside,
        ROW,
        _first_failed(rules).alias(_RULE),
    )
    frame = session.keep(frame)
    _count(frame, raw, rules, row_counts, filters.config.max_bad_rows)
    kept = frame.filter(nw.col(_RULE) == len(rules)).drop(_RULE)
    frame = _ordered(session, kept, keys)
    names = [*coded, *keys, *(f"{EVENT}{name}" for name in numbers)]
    names += [*taken, SOURCE_ROW] if taken else []
    columns = _write(session, frame.select(*names), names, row_counts.rows, scratch)
    if f"{EVENT}event_type" in columns:
        columns[KIND] = columns[f"{EVENT}event_type"]
    doubts = (_spelling_warning(values[side], side, raw) for side in ("user", "item"))
    return Coded(columns, values, [doubt for doubt in doubts if doubt])


def _spelling_warning(ids: pa.Array, side: str, raw: RawData) -> str | None:
    if pa.types.is_integer(ids.type):
        return None
    return spelling_warning(ids, side, normalizable=raw.normalizes_ids)


def _event_features(raw: RawData, present: Sequence[str]) -> list[tuple[str, str]]:
    """Name and type of every declared column of the events."""
    for name, kind in raw.features.events.items():
        if name not in present:
            raise UserError(
                f"data.event_features: the log has no column '{name}'."
                f"{did_you_mean(name, present)} It has: {', '.join(present)}"
            )
        if kind not in ("categorical", "numeric"):
            raise UserError(
                f"data.event_features: '{name}' is declared {kind}; columns of events are "
                "categorical or numeric"
            )
    return list(raw.features.events.items())


def _trimmed(frame: Frame, columns: Sequence[str]) -> Frame:
    """Categories without blanks around them, as those of items and users are."""
    schema = frame.collect_schema()
    texts = [name for name in columns if schema[name] == nw.String]
    return frame.with_columns(nw.col(name).str.strip_chars(BLANKS) for name in texts)


def _distinct(frame: Frame, column: str) -> pa.Array:
    """The values of a column, ascending: numbers by size, strings by their bytes.

    Nulls, and strings without a visible character, are missing and not among them.

    Raises:
        UserError: when they are neither integers nor strings.
    """
    found = frame.select(column).unique().collect(backend="pyarrow").to_native()[column]
    array = found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
    kind = array.type
    if pa.types.is_null(kind):
        return pa.array([], pa.int64())
    if pa.types.is_integer(kind):
        array = array.cast(pa.int64())
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind == pa.string_view():
        array = array.cast(pa.large_string())
        array = array.filter(pc.not_equal(pc.utf8_trim_whitespace(array), ""))
    else:
        raise UserError(f"{column}: is {kind}; allowed are integers and strings")
    array = array.drop_null()
    if len(array) > np.iinfo(np.int32).max:
        raise UserError(f"{column}: {len(array):,} different values are more than int32 can count")
    return array.take(pc.sort_indices(array))


def _encode(session: Session, frame: Frame, name: str, column: str, values: pa.Array) -> Frame:
    """Add the place of every value among the sorted ones, int32; null where missing."""
    codes = pa.array(np.arange(len(values), dtype=np.int32))
    key = f"{name}_value"
    table = session.table(pa.table({key: values, name: codes}))
    return frame.join(table, left_on=column, right_on=key, how="left")


def _bad_rows(keys: Sequence[str], *, has_mark: bool) -> list[Rule]:
    rules = [
        Rule(BAD, f"missing {name}", nw.col(f"_{name}").is_null()) for name in ("user", "item")
    ]
    names = {"timestamp": "unparseable timestamp", "order": "unparseable order"}
    rules += [Rule(BAD, said, nw.col(key).is_null()) for key, said in names.items() if key in keys]
    if has_mark:  # of a row that lacks something, the reason; a row that lacks nothing stays
        lacks = nw.any_horizontal(*(rule.fails for rule in rules[1:]), ignore_nulls=True)
        rules.insert(1, Rule(BAD, "row with too few values", nw.col(SHORT) & lacks))
    if "timestamp" in keys:
        time = nw.col("timestamp")
        beyond = (time < FIRST_SECOND) | (time > LAST_SECOND)
        rules.append(Rule(BAD, "timestamp outside the years 1 to 9999", beyond))
    return rules


def _first_failed(rules: Sequence[Rule]) -> nw.Expr:
    """Number of the first rule that a row fails; ``len(rules)`` for rows that stay."""
    number = nw.lit(len(rules))
    for place, rule in reversed(list(enumerate(rules))):
        number = nw.when(rule.fails).then(nw.lit(place)).otherwise(number)
    return number.cast(nw.Int8)


def _count(
    frame: Frame, raw: RawData, rules: Sequence[Rule], row_counts: RowCounts, max_bad_rows: float
) -> None:
    """Note how many rows each rule drops, and some of the bad ones."""
    table = frame.group_by(_RULE).agg(nw.len().alias("rows")).collect(backend="pyarrow")
    rows = dict(zip(table[_RULE].to_list(), table["rows"].to_list(), strict=True))
    dropped = dict(raw.dropped or {})
    row_counts.read(sum(rows.values()) + sum(dropped.values()))
    for reason, number in dropped.items():
        row_counts.drop(READER, number, reason)
    for place, rule in enumerate(rules):
        number = rows.get(place, 0)
        row_counts.drop(rule.step, number, rule.reason)
        if number and rule.step == BAD:
            row_counts.show(_examples(frame, raw, place))
    row_counts.refuse_nothing()
    row_counts.refuse_many(max_bad_rows)


def _examples(frame: Frame, raw: RawData, place: int) -> list[str]:
    """The first rows that fail a rule, for people."""
    failing = frame.filter(nw.col(_RULE) == place).select(nw.col(ROW).cast(nw.Int64))
    found = failing.sort(ROW).head(EXAMPLES).collect(backend="pyarrow")[ROW].to_numpy()
    rows = running_rows(found, raw.interactions)
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
    """By user, then the keys, then the row in the file, which makes the order unique."""
    if not keys:
        return session.ordered(frame, ["user"])
    first = nw.col(keys[0])
    ends = frame.select(first.min().alias("low"), first.max().alias("high"),
                        nw.col("user").max().alias("user"))  # fmt: skip
    low, high, last_user = (int(value) for value in ends.collect(backend="pyarrow").row(0))
    span = high - low + 1
    if (last_user + 1) * span >= 2**63:
        return session.ordered(frame, ["user", *keys])
    # User and first key in one number: one comparison for two.
    packed = nw.col("user").cast(nw.Int64) * span + (first - low)
    frame = frame.with_columns(packed.alias(_KEY))
    return session.ordered(frame, [_KEY, *keys[1:]]).drop(_KEY)


def _write(
    session: Session, frame: Frame, names: Sequence[str], rows: int, scratch: Path
) -> dict[str, NDArray[Any]]:
    """Stream the frame to disk and map it."""
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
