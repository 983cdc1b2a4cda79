"""Filters by counts of training events only (``filter.counts=training``).

A k-core of the whole log depends on the test period: an item with one event before the cut and
thirty after is kept, one with four before and none after is dropped. With
``filter.counts=training`` users and items are counted by their training events, and `max_history`
limits the training events of a user. Filters change the input of the split (a quantile, the last
events of a user), so both are repeated in turn until nothing changes: the limits then hold for the
resulting split.

Users held out by the split have no training events by design; their input is counted instead.

Shapes: T events before, t events that are left, U and V users and items before, n training rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_lab.data.preparation.event_units import IS_TARGET, known_runs
from recsys_lab.data.preparation.history_filters import HistoryFilters
from recsys_lab.data.preparation.row_counts import RowCounts
from recsys_lab.data.preparation.row_filters import Filters
from recsys_lab.data.raw import PART
from recsys_lab.data.splits.base import FlatLog, Segments, Split
from recsys_lab.data.splits.cold_start import first_rows
from recsys_lab.data.splits.ranges import count_items, range_chunks


@dataclass
class _Dropped:
    """Numbers of dropped events by reason, and of passes."""

    history: int = 0
    rare: int = 0
    passes: int = 0


def filter_training(
    trim: HistoryFilters,
    columns: Mapping[str, NDArray[Any]],
    filters: Filters,
    split: Split,
    row_counts: RowCounts,
    scratch: Path,
) -> None:
    """Apply the filters that count training events, in turn with the split, until nothing changes.

    Args:
        trim: the events that the filters of `HistoryFilters.apply` keep.
        columns: of `Coded`.
        filters: the settings.
        split: selects the training events.
        row_counts: records the drops.
        scratch: a folder for the events of a pass.

    Raises:
        UserError: if nothing is left, or the split of the rest lacks a part.
    """
    config = filters.config
    dropped = _Dropped()
    while True:  # the counts and `max_history`, in turn with the split
        dropped.passes += 1
        log = _flat_log(trim, columns, scratch)
        if split.config.unit != "event":
            known = known_runs(trim, columns, filters, split, scratch)
            log = replace(log, sessions=known.sessions, baskets=known.baskets)
        rows = split.segments(log)
        stays_t = np.ones(len(log.items), dtype=np.bool_)
        train, held = rows.train.copy(), _held_out(split, rows)
        if config.max_history:
            for runs in (train, held):
                _cut(runs, config.max_history, stays_t)
        dropped.history += int((~stays_t).sum())
        before = int(stays_t.sum())
        _drop_rare(log, train, held, filters, stays_t)
        dropped.rare += before - int(stays_t.sum())
        trim.keep_T[trim.keep_T.copy()] = stays_t
        trim.recount()
        if stays_t.all() or not stays_t.any() or not config.iterative:
            break
    _note(trim, filters, dropped, row_counts)


def _flat_log(trim: HistoryFilters, columns: Mapping[str, NDArray[Any]], scratch: Path) -> FlatLog:
    """The kept events; items keep their codes, users are renumbered."""
    written = {
        name: trim.kept(columns[name], scratch / f"left_{name}.npy")
        for name in ("item", "timestamp", PART, IS_TARGET)
        if name in columns
    }
    return FlatLog(
        written["item"],
        trim.kept_offsets(),
        written.get("timestamp"),
        len(trim.item_counts),
        written.get(PART),
        written.get(IS_TARGET),
    )


def _held_out(split: Split, rows: Segments) -> NDArray[np.int64]:
    """Inputs of held-out users, before their first targets: rows (user, start, end)."""
    phases = [first_rows(getattr(rows, phase))[:, :3] for phase in split.held_out_phases]
    held = np.concatenate([*phases, np.empty((0, 3), dtype=np.int64)])
    return held[~np.isin(held[:, 0], rows.train[:, 0])].astype(np.int64)


def _cut(runs: NDArray[np.int64], limit: int, stays_t: NDArray[np.bool_]) -> None:
    """Mark all but the last ``limit`` events of each run as dropped; shorten the runs, in place."""
    starts = np.maximum(runs[:, 1], runs[:, 2] - limit)
    for indices in range_chunks(runs[:, 1], starts):
        stays_t[indices] = False
    runs[:, 1] = starts


def _drop_rare(
    log: FlatLog,
    train: NDArray[np.int64],
    held: NDArray[np.int64],
    filters: Filters,
    stays_t: NDArray[np.bool_],
) -> None:
    """Mark all events of rare items and users as dropped, in place."""
    config = filters.config
    counts_V = count_items(log.items, train[:, 1], train[:, 2], log.num_items)
    is_rare_V = counts_V < config.min_item_count
    runs = np.concatenate([train, held])
    counts_U = np.zeros(len(log.offsets) - 1, dtype=np.int64)
    counts_U[runs[:, 0]] = runs[:, 2] - runs[:, 1]
    if not config.iterative:  # items first
        for indices in range_chunks(runs[:, 1], runs[:, 2]):
            rare = indices[is_rare_V[log.items[indices]]]
            users = np.searchsorted(log.offsets, rare, side="right") - 1
            counts_U -= np.bincount(users, minlength=len(counts_U))
    is_rare_U = counts_U < config.min_user_count
    for indices in range_chunks(log.offsets[:-1], log.offsets[1:]):
        users = np.searchsorted(log.offsets, indices, side="right") - 1
        stays_t[indices] &= ~(is_rare_V[log.items[indices]] | is_rare_U[users])


def _note(trim: HistoryFilters, filters: Filters, dropped: _Dropped, row_counts: RowCounts) -> None:
    config = filters.config
    if config.max_history:
        reason = f"older than the user's last {config.max_history} training events"
        row_counts.drop("history", dropped.history, reason)
    if max(config.min_user_count, config.min_item_count) > 0:
        passes = f"{dropped.passes} pass{'es' if dropped.passes > 1 else ''}"
        reason = (
            f"user with fewer than {config.min_user_count} or item with fewer than "
            f"{config.min_item_count} training events ({passes})"
        )
        step = "k-core" if config.iterative else "counts"
        row_counts.drop(step, dropped.rare, reason, **trim.distinct())
    row_counts.refuse_nothing()
