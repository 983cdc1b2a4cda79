"""Counts and history lengths of the training part alone: what filters may know of a log.

A k-core of the whole log knows the test period: an item with one event before the cut and thirty
after stays, one with four before and none after goes. With ``filter.counts=training`` users and
items are counted by their training events, and `max_history` cuts the training events of a user,
not the targets' neighbours. Filters change what the split divides (a quantile, the last events of
a user), so both are done in turn until nothing changes: the limits hold of the split that results.

Users whom the split holds out have no training event by design: their input counts instead.

Shapes: T events before, t events that are left, U and V users and items before, n training rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_lab.data.formats.npy import map_npy
from recsys_lab.data.preparation.event_units import IS_TARGET, known_runs
from recsys_lab.data.raw import PART
from recsys_lab.data.splits.base import FlatLog
from recsys_lab.data.splits.cold_start import first_rows
from recsys_lab.data.splits.ranges import count_items, range_chunks

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from recsys_lab.data.preparation.history_filters import HistoryFilters
    from recsys_lab.data.preparation.row_counts import RowCounts
    from recsys_lab.data.preparation.row_filters import Filters
    from recsys_lab.data.splits.base import Segments, Split


@dataclass
class _Dropped:
    """How many events went, by reason."""

    history: int = 0
    rare: int = 0
    passes: int = 0


def apply_filters(
    trim: HistoryFilters,
    columns: Mapping[str, NDArray[Any]],
    filters: Filters,
    split: Split,
    row_counts: RowCounts,
    scratch: Path,
) -> None:
    """Apply all filters that look at more than a row.

    Args:
        trim: nothing is dropped yet.
        columns: of `Coded`.
        filters: their limits.
        split: what is trained on.
        row_counts: the drops are noted.
        scratch: for the events of a pass.

    Raises:
        UserError: when nothing is left, or the split of what is left lacks a part.
    """
    trim.apply(filters, row_counts)
    if filters.config.counts == "training":
        _filter_by_training(trim, columns, filters, split, row_counts, scratch)


def _filter_by_training(
    trim: HistoryFilters,
    columns: Mapping[str, NDArray[Any]],
    filters: Filters,
    split: Split,
    row_counts: RowCounts,
    scratch: Path,
) -> None:
    """The counts and `max_history`, in turn with the split."""
    config = filters.config
    found = _Dropped()
    while True:
        found.passes += 1
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
        found.history += int((~stays_t).sum())
        before = int(stays_t.sum())
        _drop_rare(log, train, held, filters, stays_t)
        found.rare += before - int(stays_t.sum())
        trim.keep_T[trim.keep_T.copy()] = stays_t
        trim.recount()
        if stays_t.all() or not stays_t.any() or not config.iterative:
            break
    _note(trim, filters, found, row_counts)


def _flat_log(trim: HistoryFilters, columns: Mapping[str, NDArray[Any]], scratch: Path) -> FlatLog:
    """What is left; items keep their codes, users are numbered anew."""
    written = {}
    for name in ("item", "timestamp", PART, IS_TARGET):
        if name in columns:
            file = scratch / f"left_{name}.npy"
            trim.write_kept(columns[name], file)
            written[name] = map_npy(file)
    lengths = trim.user_counts[trim.user_counts > 0]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return FlatLog(
        written["item"], offsets, written.get("timestamp"), len(trim.item_counts),
        written.get(PART), written.get(IS_TARGET),
    )  # fmt: skip


def _held_out(split: Split, rows: Segments) -> NDArray[np.int64]:
    """The inputs of users who are held out, before their first targets: rows (user, start, end)."""
    phases = [first_rows(getattr(rows, phase))[:, :3] for phase in split.held_out_phases]
    held = np.concatenate([*phases, np.empty((0, 3), dtype=np.int64)])
    return held[~np.isin(held[:, 0], rows.train[:, 0])].astype(np.int64)


def _cut(runs: NDArray[np.int64], limit: int, stays_t: NDArray[np.bool_]) -> None:
    """Mark all but the last events of each run as dropped, and shorten the runs, in place."""
    starts = np.maximum(runs[:, 1], runs[:, 2] - limit)
    for places in range_chunks(runs[:, 1], starts):
        stays_t[places] = False
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
        for places in range_chunks(runs[:, 1], runs[:, 2]):
            rare = places[is_rare_V[log.items[places]]]
            users = np.searchsorted(log.offsets, rare, side="right") - 1
            counts_U -= np.bincount(users, minlength=len(counts_U))
    is_rare_U = counts_U < config.min_user_count
    for places in range_chunks(log.offsets[:-1], log.offsets[1:]):
        users = np.searchsorted(log.offsets, places, side="right") - 1
        stays_t[places] &= ~(is_rare_V[log.items[places]] | is_rare_U[users])


def _note(trim: HistoryFilters, filters: Filters, found: _Dropped, row_counts: RowCounts) -> None:
    config = filters.config
    if config.max_history:
        reason = f"older than the user's last {config.max_history} training events"
        row_counts.drop("history", found.history, reason)
    if max(config.min_user_count, config.min_item_count) > 0:
        passes = f"{found.passes} pass{'es' if found.passes > 1 else ''}"
        reason = (
            f"user with fewer than {config.min_user_count} or item with fewer than "
            f"{config.min_item_count} training events ({passes})"
        )
        step = "k-core" if config.iterative else "counts"
        row_counts.drop(step, found.rare, reason, **trim.distinct())
    row_counts.refuse_nothing()
