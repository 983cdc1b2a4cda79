"""Leaks through users or items with two ids: the twin reveals the target.

Twins have equal sequences of (item, time), or of (user, time). Sequences are compared by the sum of
a 64-bit hash of each event, so only the sums are sorted. Item ids that differ only in spelling are
twins as well.

Shapes: T events concatenated by user, U users, V items, G targets of some rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from recsys_lab.data.columns.id_spellings import DIFFERENCES, normalized
from recsys_lab.data.leaks.finding import PHASES, Kind, Leak, leak, weighed
from recsys_lab.data.leaks.world import World
from recsys_lab.data.shuffle import scattered
from recsys_lab.data.splits.cold_start import target_ranges
from recsys_lab.data.splits.ranges import count_items, flat_index, repeated, row_chunks

USER_EVENTS, USER_TIMES, ITEM_EVENTS = 3, 3, 5
"""Shorter sequences, or with fewer different times, may be equal by chance: two users who buy the
same basket on one day, two rare items that are only bought together."""

AT_ONCE = 1 << 16
"""Events hashed at once; they fit into a core's cache."""

KINDS: Mapping[str, Kind] = {
    "twin_users": Kind(
        "warning",
        "are of users with a twin: another user with the same items at the same times",
        "If they are one person, give them one id in the source, or remove the copies: they count "
        "twice, and a split of users trains on one and tests on the other",
        by_time=True,
    ),
    "twin_items": Kind(
        "leak",
        "have a twin in the history: another item with the same users at the same times",
        "If they are one item, give them one id in the source; keep one row of an event that is "
        "logged under two ids",
        by_time=True,
    ),
    "respelled_targets": Kind(
        "leak",
        "are in the history in another spelling",
        f"If they are one item, set data.id_normalization=[{','.join(DIFFERENCES)}], or spell its "
        "id consistently in the source",
    ),
}


class Groups(NamedTuple):
    """Users or items that are the same.

    Attributes:
        code: users or items with one code are the same, int64.
        has_twin: whether another one has the code.
    """

    code: NDArray[np.int64]
    has_twin: NDArray[np.bool_]


def find(world: World) -> Iterator[Leak]:
    """All findings of the family: see `recsys_lab.data.leaks.check`."""
    if world.log.timestamps is not None:
        sums_U, sums_V = _sums(world)
        yield from _twin_users(world, _user_groups(world, sums_U))
        yield from _in_history(world, "twin_items", _item_groups(world, sums_V))
    spelled = _spelled(world.item_ids)
    if spelled is not None:
        yield from _in_history(world, "respelled_targets", spelled)


def _sums(world: World) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """A hash of the sequence of each user and of each item."""
    log = world.log
    assert log.timestamps is not None
    lengths = np.diff(log.offsets)
    sums_U = np.zeros(len(lengths), dtype=np.uint64)
    sums_V = np.zeros(log.num_items, dtype=np.uint64)
    for part in row_chunks(lengths, AT_ONCE):
        first, last = int(log.offsets[part.start]), int(log.offsets[part.stop])
        items, times = log.items[first:last], log.timestamps[first:last].view(np.uint64)
        ends = np.zeros(last - first + 1, dtype=np.uint64)
        np.cumsum(_mixed(items.astype(np.uint64), times), out=ends[1:])
        local = log.offsets[part.start : part.stop + 1] - first
        sums_U[part] = np.diff(ends[local])
        users = np.repeat(np.arange(part.start, part.stop, dtype=np.uint64), lengths[part])
        np.add.at(sums_V, items, _mixed(users, times))
    return sums_U, sums_V


def _mixed(codes: NDArray[np.uint64], times: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A hash of each pair, folded as in splitmix64 (Steele et al. 2014)."""
    state = codes * np.uint64(0x9E3779B97F4A7C15)
    state += times * np.uint64(0xD1B54A32D192ED03) + np.uint64(1)  # no event may hash to 0
    return scattered(state)


def _groups(sums: NDArray[np.uint64], is_long: NDArray[np.bool_]) -> Groups:
    """Groups with equal sums among the long sequences; every other one is a group by itself."""
    code = np.arange(len(sums))
    long = np.flatnonzero(is_long)
    _, first, of, counts = np.unique(
        sums[long], return_index=True, return_inverse=True, return_counts=True
    )
    code[long] = long[first[of]]
    has_twin = np.zeros(len(sums), dtype=np.bool_)
    has_twin[long] = counts[of] > 1
    return Groups(code, has_twin)


def _item_groups(world: World, sums_V: NDArray[np.uint64]) -> Groups:
    """Items with equal, sufficiently long sequences."""
    groups = _groups(sums_V, sums_V > 0)  # items without events are not twins
    if groups.has_twin.any():
        offsets = world.log.offsets
        events_V = count_items(world.log.items, offsets[:-1], offsets[1:], world.log.num_items)
        groups.has_twin[events_V < ITEM_EVENTS] = False
    return groups


def _user_groups(world: World, sums_U: NDArray[np.uint64]) -> Groups:
    """Users with equal, sufficiently long sequences of several times."""
    offsets, times = world.log.offsets, world.log.timestamps
    assert times is not None
    groups = _groups(sums_U, np.diff(offsets) >= USER_EVENTS)
    twins = np.flatnonzero(groups.has_twin)
    starts, ends = offsets[twins], offsets[twins + 1]
    for part in row_chunks(ends - starts):
        lengths = ends[part] - starts[part]
        when = times[flat_index(starts[part], ends[part])]
        of = np.repeat(np.arange(len(lengths)), lengths)
        is_new = (when[1:] != when[:-1]) | (of[1:] != of[:-1])  # but for the very first
        several = 1 + np.bincount(of[1:][is_new], minlength=len(lengths))
        several[1:] -= 1
        groups.has_twin[twins[part]] = several >= USER_TIMES
    return groups


def _twin_users(world: World, groups: Groups) -> Iterator[Leak]:
    """Findings on targets of twins, and on those among them that a twin is trained on."""
    if not groups.has_twin.any():
        return
    offsets = world.log.offsets
    trained_U = np.zeros(len(groups.code), dtype=np.int64)  # events from a user's first one on
    trained_U[world.train[:, 0]] = world.train[:, 2] - offsets[world.train[:, 0]]
    reach_U = np.zeros_like(trained_U)  # by group
    np.maximum.at(reach_U, groups.code, trained_U)
    one = int(np.flatnonzero(groups.has_twin)[0])
    pair = np.flatnonzero(groups.code == groups.code[one])[:2]
    for phase in PHASES:
        rows = world.rows(phase)
        targets, of_row = target_ranges(rows, world.segments.dropped_targets)
        users = rows[of_row, 0]
        is_twin = groups.has_twin[users]
        count = int(is_twin.sum())
        if not count:
            continue
        trained = int((is_twin & (targets - offsets[users] < reach_U[groups.code[users]])).sum())
        message = f"{KINDS['twin_users'].message}, such as {_shown(world.user_ids, pair)}"
        if trained:
            message += f"; {trained:,} of these targets are trained on in the twin's history"
        severity = weighed(count, len(targets), "warning")
        if trained and severity != "note":
            severity = "leak"
        yield leak(
            KINDS, "twin_users", phase, count, len(targets), message=message, severity=severity
        )


def _in_history(world: World, kind: str, groups: Groups) -> Iterator[Leak]:
    """Findings on targets that are not in the history, but have a twin there."""
    if not groups.has_twin.any():
        return
    log = world.log
    for phase in PHASES:
        rows, total, count, example = world.rows(phase), 0, 0, None
        for part in row_chunks(rows[:, 3] - rows[:, 1]):
            targets, of_row = target_ranges(rows[part], world.segments.dropped_targets)
            total += len(targets)
            is_twin = groups.has_twin[log.items[targets]]
            mine = targets[is_twin]
            own_rows, of = np.unique(of_row[is_twin], return_inverse=True)
            own = rows[part][own_rows]
            hit = repeated(log.items, own, mine, of, groups.code)
            hit &= ~repeated(log.items, own, mine, of)
            count += int(hit.sum())
            if example is None and hit.any():
                item = log.items[mine[hit][0]]
                example = np.flatnonzero(groups.code == groups.code[item])[:2]
        if example is not None:
            message = f"{KINDS[kind].message}, such as {_shown(world.item_ids, example)}"
            severity = weighed(count, total, KINDS[kind].severity)
            yield leak(KINDS, kind, phase, count, total, message=message, severity=severity)


def _spelled(ids: Any) -> Groups | None:
    """Items whose ids only differ in blanks, case, Unicode form or ``.0``."""
    if ids is None or not len(ids) or pa.types.is_integer(ids.type):
        return None
    frame = pl.DataFrame({"id": pl.from_arrow(ids)})
    keys = frame.select(normalized(pl.col("id"), DIFFERENCES)).to_series()
    if keys.n_unique() == len(keys):
        return None
    code = keys.rank("dense").cast(pl.Int64).to_numpy() - 1
    return Groups(code, np.bincount(code)[code] > 1)


def _shown(ids: Any, pair: NDArray[np.int64]) -> str:
    named = pair.tolist() if ids is None else ids.take(pa.array(pair)).to_pylist()
    return " and ".join(map(repr, named))
