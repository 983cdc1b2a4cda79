"""Which events a split may ask for, and which belong together.

**A session or basket is a run of consecutive events of a user** with one session or basket id; an
event without an id is a run of its own. Without a column of ids, sessions end where the user has no
event for longer than ``filter.session_gap``, and baskets hold the events of one time. Ids that come
again after another one are told: their events are several runs.

Shapes: T events, U users, S runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from recsys_lab.config import UserError
from recsys_lab.data.formats.npy import map_npy, npy_writer
from recsys_lab.data.formats.paths import did_you_mean
from recsys_lab.data.preparation.encode_events import EVENT, KIND
from recsys_lab.data.raw import RUNS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from numpy.typing import NDArray

    from recsys_lab.data.preparation.encode_events import Coded
    from recsys_lab.data.preparation.history_filters import HistoryFilters
    from recsys_lab.data.preparation.row_filters import Filters
    from recsys_lab.data.splits.base import FlatLog, Split

IS_TARGET = "is_target"
"""Column of `Coded` that tells whether an event may be a target, bool, where not all may."""

_CHUNK = 1 << 22


def with_units(coded: Coded, split: Split, scratch: Path) -> Coded:
    """The coded log with the columns that a split needs besides.

    Args:
        coded: the log.
        split: its ``target_events`` become the column `IS_TARGET`.
        scratch: where that is written.

    Raises:
        UserError: the log has no event types, or none of these.
    """
    wanted = split.config.target_events
    if wanted is None:
        return coded
    codes = _codes_of(coded, wanted)
    file = scratch / f"{IS_TARGET}.npy"
    kinds = coded.columns[KIND]
    with npy_writer(file, np.dtype(np.bool_), len(kinds)) as write:
        for first in range(0, len(kinds), _CHUNK):
            write(np.isin(kinds[first : first + _CHUNK], codes))
    return replace(coded, columns={**coded.columns, IS_TARGET: map_npy(file)})


def _codes_of(coded: Coded, wanted: Sequence[str]) -> list[int]:
    """Codes of some event types.

    Raises:
        UserError: for one that no event has.
    """
    option = f"split.target_events=[{','.join(wanted)}]"
    if KIND not in coded.columns:
        raise UserError(
            f"{option}: this log has no event types. Name their column with "
            "data.event_type_column where the source has one, or set split.target_events=null"
        )
    values = coded.values[KIND if KIND in coded.values else f"{EVENT}event_type"].to_pylist()
    kinds = coded.columns[KIND]
    counts = np.zeros(len(values) + 1, dtype=np.int64)  # of -1, missing, first
    for first in range(0, len(kinds), _CHUNK):
        counts += np.bincount(kinds[first : first + _CHUNK] + 1, minlength=len(counts))
    places = {str(value): code for code, value in enumerate(values) if counts[code + 1]}
    unknown = [kind for kind in wanted if kind not in places]
    if unknown or not wanted:
        said = f"no event is of type '{unknown[0]}'" if unknown else "no type is given"
        hint = did_you_mean(unknown[0], places) if unknown else ""
        listed = ", ".join(f"{kind} ({counts[code + 1]:,})" for kind, code in places.items())
        raise UserError(f"{option}: {said}.{hint} Types of the events that were kept: {listed}")
    return [places[kind] for kind in wanted]


@dataclass
class Runs:
    """The sessions and baskets of what is left of the log.

    Attributes:
        sessions: place of the first event of each, ascending, int64 (S,); None: not known.
        baskets: likewise.
        warnings: what is odd about them.
    """

    sessions: NDArray[np.int64] | None = None
    baskets: NDArray[np.int64] | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """How many there are of what is known."""
        known = {"sessions": self.sessions, "baskets": self.baskets}
        return {name: len(starts) for name, starts in known.items() if starts is not None}


def known_runs(
    trim: HistoryFilters,
    columns: Mapping[str, NDArray[Any]],
    filters: Filters,
    split: Split,
    scratch: Path,
) -> Runs:
    """Sessions, where the log or the filters say what they are, and baskets, if the split asks.

    Args:
        trim: what is left.
        columns: of `Coded`.
        filters: for ``session_gap``.
        split: for ``unit``.
        scratch: for the columns of what is left.

    Raises:
        UserError: sessions are given twice, or a gap without times.
    """
    gap = filters.config.session_gap
    lengths = trim.user_counts[trim.user_counts > 0]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)

    def kept(name: str) -> NDArray[Any]:
        file = scratch / f"runs_{name}.npy"
        trim.write_kept(columns[name], file)
        return map_npy(file)

    found = Runs()
    session, basket = RUNS
    if gap is not None:
        option = f"filter.session_gap={gap:g}"
        if session in columns:
            raise UserError(
                f"{option}: the log has sessions of its own (data.session_column); set one of the "
                "two to null"
            )
        if "timestamp" not in columns:
            raise UserError(f"{option}: the log has no times; name data.timestamp_column")
        found.sessions = _by_time(offsets, kept("timestamp"), 60 * gap)
    elif session in columns:
        found.sessions = _by_id(offsets, kept(session), session, found.warnings)
    if basket in columns and split.config.unit != "basket":
        found.warnings.append("data.basket_column: is read with split.unit=basket alone")
    if split.config.unit == "basket":
        if basket in columns:
            found.baskets = _by_id(offsets, kept(basket), basket, found.warnings)
        elif "timestamp" in columns:
            found.baskets = _by_time(offsets, kept("timestamp"), 0)
    return found


def content_of(log: FlatLog, split: Split) -> list[NDArray[Any]]:
    """What the targets of a split depend on besides items and times, for the fingerprint."""
    runs = {"event": None, "session": log.sessions, "basket": log.baskets}[split.config.unit]
    return [array for array in (log.is_target, runs) if array is not None]


def _by_time(
    offsets: NDArray[np.int64], times_T: NDArray[np.int64], gap: float
) -> NDArray[np.int64]:
    return _starts(
        offsets, lambda first, end: times_T[first:end] - times_T[first - 1 : end - 1] > gap
    )


def _by_id(
    offsets: NDArray[np.int64], codes_T: NDArray[np.int32], name: str, warnings: list[str]
) -> NDArray[np.int64]:
    def other(first: int, end: int) -> NDArray[np.bool_]:
        here = codes_T[first:end]
        changes: NDArray[np.bool_] = (here != codes_T[first - 1 : end - 1]) | (here < 0)
        return changes

    starts = _starts(offsets, other)
    codes = codes_T[starts].astype(np.int64)
    users = np.searchsorted(offsets, starts, side="right") - 1
    known = codes >= 0
    again = int(known.sum()) - len(np.unique((users[known] << 32) | codes[known]))
    if again:
        warnings.append(
            f"data.{name}_column: {again:,} of {len(starts):,} {name}s have the id of an earlier "
            f"one of the same user, with another between; each run of events counts as a {name}"
        )
    if not known.all():
        warnings.append(
            f"data.{name}_column: {int((~known).sum()):,} events have no {name} id; each counts as "
            f"a {name} of its own"
        )
    return starts


def _starts(
    offsets: NDArray[np.int64], begins: Callable[[int, int], NDArray[np.bool_]]
) -> NDArray[np.int64]:
    """Places where a user or a run begins.

    Args:
        offsets: user u owns the places ``offsets[u] .. offsets[u + 1]``, at least one.
        begins: whether a run begins at each of the places ``first .. end``, from 1 on.
    """
    is_start_T = np.zeros(int(offsets[-1]), dtype=np.bool_)
    for first in range(1, len(is_start_T), _CHUNK):
        end = min(first + _CHUNK, len(is_start_T))
        is_start_T[first:end] = begins(first, end)
    is_start_T[offsets[:-1]] = True
    return np.flatnonzero(is_start_T)
