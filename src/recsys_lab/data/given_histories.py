"""Histories from outside a prepared dataset, encoded for evaluation batches.

Shapes: n histories, T known events of all histories concatenated, U users of the dataset.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from recsys_lab.config import UserError
from recsys_lab.data.features.store import Lists
from recsys_lab.data.history_lists import Histories, as_lists
from recsys_lab.data.raw_ids import UNKNOWN, RawIds
from recsys_lab.data.splits.ranges import first_from
from recsys_lab.files.columns import FIRST_KNOWN, LIST

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recsys_lab.data.histories import EncodedColumns
    from recsys_lab.data.prepared import PreparedDataset

_MISSING_CODE, _UNKNOWN_CODE = 0, 1
_COLUMNS = "give a polars frame with the columns user_id, item_id"


@dataclass(frozen=True)
class GivenHistories:
    """Satisfies `recsys_lab.data.histories.FlatData`; every phase has these rows, without targets.

    Attributes:
        keys: name of each history: ``history`` (its index), ``user_id`` (and ``list``), or
            ``user``, an index in the dataset.
        items: item index of every known event, int32 (T,).
        timestamps: seconds since the epoch, int64 (T,), or None.
        features: encoded columns.
        rows: (user, start, end, end), (n, 4); an unknown user has the index U.
        num_unknown: number of events skipped because their item is not in the catalogue.
    """

    keys: pl.DataFrame
    items: NDArray[np.int32]
    timestamps: NDArray[np.int64] | None
    features: EncodedColumns
    rows: NDArray[np.int64]
    num_unknown: int

    @property
    def dropped_targets(self) -> NDArray[np.int64]:
        """Empty: there are no targets."""
        return np.empty(0, dtype=np.int64)

    def segments(self, phase: str) -> NDArray[np.int64]:
        """The rows."""
        del phase
        return self.rows

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of known events of each history, (n,)."""
        lengths: NDArray[np.int64] = self.rows[:, 2] - self.rows[:, 1]
        return lengths

    def range(self, first: int, last: int) -> GivenHistories:
        """The histories ``first`` to ``last`` (exclusive)."""
        keys, rows = self.keys[first:last], self.rows[first:last]
        return replace(self, keys=keys, rows=rows)


@dataclass(frozen=True)
class GivenColumns:
    """The columns that a model reads.

    Attributes:
        stored: columns of items, and of users with a last row for unknown users.
        of_events: columns of the given events, (T,).
    """

    stored: dict[str, NDArray[Any] | Lists]
    of_events: dict[str, NDArray[Any]]

    def column(self, name: str) -> NDArray[Any] | Lists:
        """The column ``side.column``."""
        return self.of_events[name] if name in self.of_events else self.stored[name]


class HistoryReader:
    """Encodes raw histories with the ids and columns of a prepared dataset.

    Ids are compared as text, so ``7`` and ``"7"`` are one item. A frame has a row for each event:
    ``user_id``, ``item_id``, optionally ``timestamp`` (seconds since the epoch, or datetimes; the
    events of a user are then sorted by it, otherwise they keep their order), optionally ``list``
    (for several histories per user), and the event columns that the model reads.

    Args:
        data: the dataset that the model was trained on.
        model: its name, for errors.
        features: columns that it reads.
        reads_times: whether it reads timestamps.

    Attributes:
        items: the catalogue.
    """

    def __init__(
        self, data: PreparedDataset, model: str, features: Sequence[str], *, reads_times: bool
    ) -> None:
        self._model, self._reads_times = model, reads_times
        self._data, self.items = data, RawIds(data.raw_ids("item"))
        store = data.features
        self._stored = {
            name: _with_missing_row(store.column(name)) if side == "user" else store.column(name)
            for name in features
            if (side := name.partition(".")[0]) != "event"
        }
        self._codes: dict[str, dict[str, int] | None] = {}
        for name in (name for name in features if name.startswith("event.")):
            is_numeric = store.entry(name)["type"] == "numeric"
            values = [] if is_numeric else store.values(name)
            codes = {str(value): FIRST_KNOWN + code for code, value in enumerate(values)}
            self._codes[name] = None if is_numeric else codes

    @cached_property
    def users(self) -> RawIds:
        """The users of the dataset; read on first use, as there may be many."""
        return RawIds(self._data.raw_ids("user"))

    @property
    def event_columns(self) -> list[str]:
        """The columns of events that the model reads, besides the timestamp."""
        return [name.partition(".")[2] for name in self._codes]

    def __call__(self, histories: Histories, before: int | None = None) -> GivenHistories:
        """Encode; unknown items are skipped and counted.

        Args:
            histories: lists of raw item ids, or a frame.
            before: only events before this time, in seconds since the epoch; needs timestamps.

        Raises:
            UserError: the histories have another form, or lack a column that the model reads.
        """
        if not isinstance(histories, pl.DataFrame):
            return self._of_lists(as_lists(histories))
        keys, events = self._from_frame(histories)
        if before is not None:
            events = events.filter(pl.col("timestamp") < before)
        return self._encode(keys, events)

    def of_users(self, users: NDArray[np.int64], before: int | None = None) -> GivenHistories:
        """The whole histories of users of the dataset: training and held-out events.

        Args:
            users: their indices, int64 (n,).
            before: only events before this time, in seconds since the epoch; needs timestamps.
        """
        data = self._data
        starts, ends = data.offsets[users], data.offsets[users + 1]
        if before is not None:
            assert data.timestamps is not None, "checked by the caller"
            ends = first_from(data.timestamps, starts, ends, before)
        rows = np.stack([users, starts, ends, ends], axis=1)
        keys = pl.DataFrame({"user": users})
        return GivenHistories(keys, data.items, data.timestamps, data.features, rows, 0)

    def nothing(self) -> GivenHistories:
        """One history without an event."""
        columns = ["row", "item", "timestamp", *self.event_columns]
        events = pl.DataFrame(schema=dict.fromkeys(columns, pl.Int64))
        return self._encode(pl.DataFrame({"history": [0]}), events)

    def _encode(self, keys: pl.DataFrame, events: pl.DataFrame) -> GivenHistories:
        known = events.filter(pl.col("item") >= 0)
        lengths = np.bincount(known["row"].to_numpy(), minlength=len(keys))
        ends = np.cumsum(lengths)
        users = np.full(len(keys), self._data.num_users)
        if "user_id" in keys.columns:
            known_users = self.users.indices(keys["user_id"])
            users = np.where(known_users == UNKNOWN, len(self.users), known_users)
        columns = {name: self._encoded(name, known[name.partition(".")[2]]) for name in self._codes}
        return GivenHistories(
            keys=keys,
            items=known["item"].to_numpy().astype(np.int32),
            timestamps=known["timestamp"].to_numpy() if "timestamp" in known.columns else None,
            features=GivenColumns(self._stored, columns),
            rows=np.stack([users, ends - lengths, ends, ends], axis=1).astype(np.int64),
            num_unknown=len(events) - len(known),
        )

    def _of_lists(self, histories: list[list[Any]]) -> GivenHistories:
        """Encode lists of raw item ids; by arrays, as a server does this for every request."""
        self._require(set(), "lists of item ids")
        size = len(histories)
        items = self.items.indices([raw for history in histories for raw in history])
        is_known = items != UNKNOWN
        of_event = np.repeat(np.arange(size), [len(history) for history in histories])
        lengths = np.bincount(of_event[is_known], minlength=size)
        ends = np.cumsum(lengths)
        users = np.full(size, self._data.num_users)
        return GivenHistories(
            keys=pl.DataFrame({"history": np.arange(size)}),
            items=items[is_known].astype(np.int32),
            timestamps=None,
            features=GivenColumns(self._stored, {}),
            rows=np.stack([users, ends - lengths, ends, ends], axis=1).astype(np.int64),
            num_unknown=int((~is_known).sum()),
        )

    def _from_frame(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        self._require(set(frame.columns), f"the columns {', '.join(frame.columns)}")
        missing = {"user_id", "item_id"} - set(frame.columns)
        if missing:
            raise UserError(
                f"histories: the frame has no column {' and '.join(sorted(missing))}; {_COLUMNS} "
                f"and, for chronological order, timestamp. Got: {', '.join(frame.columns)}"
            )
        by = ["user_id", *([LIST] if LIST in frame.columns else [])]
        for name in ("item_id", *by):
            if frame[name].dtype.is_nested() or frame[name].dtype == pl.Object:
                raise UserError(
                    f"histories: {name} has the type {frame[name].dtype}; a row is one event, with "
                    "a number or a text in each column (for cells that hold lists: "
                    f"frame.explode({name!r}))"
                )
        keys = frame.select(by).unique(maintain_order=True)
        rows = frame.select(by).join(
            keys.with_row_index("row"), on=by, how="left", nulls_equal=True, maintain_order="left"
        )["row"]
        items = self.items.indices(frame["item_id"])
        events = frame.drop("row", "item", strict=False).with_columns(
            row=rows, item=pl.Series(items)
        )
        if "timestamp" in frame.columns:
            events = events.with_columns(_seconds(frame["timestamp"]))
            order = pl.DataFrame({"row": rows, "time": frame["timestamp"]}).with_row_index()
            events = events[order.sort("row", "time", maintain_order=True)["index"]]
        else:
            events = events.sort("row", maintain_order=True)
        return keys, events

    def _require(self, columns: set[str], got: str) -> None:
        """Refuse histories that lack columns which the model reads besides items."""
        needed = [*self.event_columns, *(["timestamp"] if self._reads_times else [])]
        missing = [name for name in needed if name not in columns]
        if missing:
            raise UserError(
                f"histories: {self._model} reads {', '.join(missing)} of every event, and {got} do "
                f"not have it; {_COLUMNS}, {', '.join(needed)}"
            )

    def _encoded(self, name: str, column: pl.Series) -> NDArray[Any]:
        codes = self._codes[name]
        if codes is None:
            return column.cast(pl.Float32).fill_null(float("nan")).to_numpy()
        values = column.cast(pl.String).str.strip_chars().to_list()
        encoded = (codes.get(value, _UNKNOWN_CODE) if value else _MISSING_CODE for value in values)
        return np.fromiter(encoded, np.int32, len(values))


def _seconds(column: pl.Series) -> pl.Series:
    """Whole seconds since the epoch.

    Raises:
        UserError: the values are not times, or some are missing.
    """
    if column.dtype in (pl.Datetime, pl.Date):
        column = column.cast(pl.Datetime("us")).dt.epoch("s")
    if not column.dtype.is_integer() or column.null_count():
        raise UserError(
            f"histories: timestamp has {column.null_count():,} missing values and the type "
            f"{column.dtype}; seconds since the epoch (integers) or datetimes are needed, one for "
            "each event"
        )
    return column.cast(pl.Int64)


def _with_missing_row(column: NDArray[Any] | Lists) -> NDArray[Any] | Lists:
    """The column with a last row, a missing value, for unknown users."""
    if isinstance(column, Lists):
        return Lists(column.codes, np.append(column.offsets, column.offsets[-1]))
    nothing = np.nan if column.dtype == np.float32 else _MISSING_CODE
    return np.append(column, np.array([nothing], column.dtype))
