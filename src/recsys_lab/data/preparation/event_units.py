"""Target events of a split, and the sessions and baskets of a log.

**A session or basket is a run of consecutive events of a user** with the same session or basket id;
an event without an id is a run by itself. Without a column of ids, a session ends where the user
has no event for longer than ``filter.session_gap``, and a basket holds the events of one time. If
an id occurs again after another one, its events are several runs, and a warning says so.

Shapes: T events, U users, S runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_lab.config import UserError, did_you_mean
from recsys_lab.data.formats.npy import map_npy, npy_writer
from recsys_lab.data.preparation.encode_events import EVENT, KIND, Coded
from recsys_lab.data.preparation.history_filters import HistoryFilters
from recsys_lab.data.preparation.row_filters import Filters
from recsys_lab.data.raw import RUNS
from recsys_lab.data.splits.base import FlatLog, Split

IS_TARGET = "is_target"
"""Column of `Coded`: whether an event may be a target, bool; absent if all may."""

_CHUNK = 1 << 22


def with_targets(coded: Coded, wanted: Sequence[str], scratch: Path) -> Coded:
    """The coded log with the column `IS_TARGET`.

    Args:
        coded: the log.
        wanted: event types of the targets: ``split.target_events``.
        scratch: the folder where it is written.

    Raises:
        UserError: if the log has no event types, or lacks one of these.
    """
    codes = _codes_of(coded, wanted)
    file = scratch / f"{IS_TARGET}.npy"
    kinds = coded.columns[KIND]
    with npy_writer(file, np.dtype(np.bool_), len(kinds)) as write:
        for first in range(0, len(kinds), _CHUNK):
            write(np.isin(kinds[first : first + _CHUNK], codes))
    return replace(coded, columns={**coded.columns, IS_TARGET: map_npy(file)})


def _codes_of(coded: Coded, wanted: Sequence[str]) -> list[int]:
    """Codes of the wanted event types.

    Raises:
        UserError: for a type that no event has.
    """
    option = f"split.target_events=[{','.join(wanted)}]"
    if KIND not in coded.columns:
        raise UserError(
            f"{option}: this log has no event types. Name their column with "
            "data.event_type_column if the source has one, or set split.target_events=null"
        )
    values = coded.values[KIND if KIND in coded.values else f"{EVENT}event_type"].to_pylist()
    kinds = coded.columns[KIND]
    counts = np.zeros(len(values) + 1, dtype=np.int64)  # of -1, missing, first
    for first in range(0, len(kinds), _CHUNK):
        counts += np.bincount(kinds[first : first + _CHUNK] + 1, minlength=len(counts))
    codes = {str(value): code for code, value in enumerate(values) if counts[code + 1]}
    unknown = [kind for kind in wanted if kind not in codes]
    if unknown or not wanted:
        problem = f"no event is of type '{unknown[0]}'" if unknown else "no type is given"
        hint = did_you_mean(unknown[0], codes) if unknown else "."
        listed = ", ".join(f"{kind} ({counts[code + 1]:,})" for kind, code in codes.items())
        raise UserError(f"{option}: {problem}{hint} Types of the events that were kept: {listed}")
    return [codes[kind] for kind in wanted]


@dataclass
class Runs:
    """The sessions and baskets of the kept events.

    Attributes:
        sessions: index of the first event of each session, ascending, int64 (S,); None: unknown.
        baskets: likewise.
        warnings: about their ids.
    """

    sessions: NDArray[np.int64] | None = None
    baskets: NDArray[np.int64] | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """The numbers of sessions and baskets, without unknown ones."""
        known = {"sessions": self.sessions, "baskets": self.baskets}
        return {name: len(starts) for name, starts in known.items() if starts is not None}


def known_runs(
    trim: HistoryFilters,
    columns: Mapping[str, NDArray[Any]],
    filters: Filters,
    split: Split,
    scratch: Path,
) -> Runs:
    """Sessions and baskets, if the log, the filters or the split define them.

    Args:
        trim: the kept events.
        columns: of `Coded`.
        filters: for ``session_gap``.
        split: for ``unit``.
        scratch: a folder for the columns of the kept events.

    Raises:
        UserError: if both define sessions, or a gap is given for a log without times.
    """
    gap = filters.config.session_gap
    offsets = trim.kept_offsets()

    def kept(name: str) -> NDArray[Any]:
        return trim.kept(columns[name], scratch / f"runs_{name}.npy")

    runs = Runs()
    session, basket = RUNS
    if gap is not None:
        option = f"filter.session_gap={gap:g}"
        if session in columns:
            raise UserError(
                f"{option}: the log already has sessions (data.session_column); set one of the "
                "two to null"
            )
        if "timestamp" not in columns:
            raise UserError(f"{option}: the log has no times; name data.timestamp_column")
        runs.sessions = _by_time(offsets, kept("timestamp"), 60 * gap)
    elif session in columns:
        runs.sessions = _by_id(offsets, kept(session), session, runs.warnings)
    if basket in columns:
        runs.baskets = _by_id(offsets, kept(basket), basket, runs.warnings)
    elif split.config.unit == "basket" and "timestamp" in columns:
        runs.baskets = _by_time(offsets, kept("timestamp"), 0)
    return runs


def content_of(log: FlatLog, split: Split) -> list[NDArray[Any]]:
    """Arrays besides items and times that a split's targets depend on, for the fingerprint."""
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
            f"{name} of the same user, with another one between; each run of events counts as a "
            f"{name}"
        )
    if not known.all():
        warnings.append(
            f"data.{name}_column: {int((~known).sum()):,} events have no {name} id; each counts as "
            f"a separate {name}"
        )
    return starts


def _starts(
    offsets: NDArray[np.int64], begins: Callable[[int, int], NDArray[np.bool_]]
) -> NDArray[np.int64]:
    """Indices of the events where a user or a run begins.

    Args:
        offsets: user u owns events ``offsets[u] .. offsets[u + 1]``, at least one.
        begins: whether a run begins at each of the events ``first .. end``, from 1 on.
    """
    is_start_T = np.zeros(int(offsets[-1]), dtype=np.bool_)
    for first in range(1, len(is_start_T), _CHUNK):
        end = min(first + _CHUNK, len(is_start_T))
        is_start_T[first:end] = begins(first, end)
    is_start_T[offsets[:-1]] = True
    return np.flatnonzero(is_start_T)
