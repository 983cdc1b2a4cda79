"""Index ranges of the flat arrays: bounded chunks, searches by time, seeded choices.

Shapes: T events concatenated by user, n rows (of users or of one phase).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_lab.data.shuffle import scattered

CHUNK = 2_000_000
"""Events per chunk: temporary arrays stay below about 100 MB."""

_BINS = 1 << 16
_WORD = (1 << 64) - 1


def row_chunks(weights_n: NDArray[np.int64], size: int = CHUNK) -> Iterator[slice]:
    """Slices of consecutive rows whose weights sum to at most `size`; a heavier row is alone."""
    ends = np.cumsum(weights_n)
    first = 0
    while first < len(ends):
        before = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(ends, before + size, side="right")))
        yield slice(first, last)
        first = last


def flat_index(starts_n: NDArray[np.int64], ends_n: NDArray[np.int64]) -> NDArray[np.int64]:
    """The indices ``start .. end`` of all rows, concatenated."""
    lengths = ends_n - starts_n
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts_n - before, lengths) + np.arange(int(lengths.sum()))


def range_chunks(
    starts_n: NDArray[np.int64], ends_n: NDArray[np.int64]
) -> Iterator[NDArray[np.int64]]:
    """`flat_index` of all rows, in chunks of about `CHUNK` indices."""
    for rows in row_chunks(ends_n - starts_n):
        yield flat_index(starts_n[rows], ends_n[rows])


def count_items(
    items_T: NDArray[np.int32],
    starts_n: NDArray[np.int64],
    ends_n: NDArray[np.int64],
    num_items: int,
) -> NDArray[np.int64]:
    """Number of events of each item in the ranges ``start .. end`` of all rows, (V,)."""
    counts = np.zeros(num_items, dtype=np.int64)
    for places in range_chunks(starts_n, ends_n):
        counts += np.bincount(items_T[places], minlength=num_items)
    return counts


def first_times(
    items_T: NDArray[np.int32], times_T: NDArray[np.int64], num_items: int
) -> NDArray[np.int64]:
    """Time of the first event of each item, (V,); the largest int64 if it has none."""
    first_V = np.full(num_items, np.iinfo(np.int64).max)
    for start in range(0, len(items_T), CHUNK):
        part = slice(start, start + CHUNK)
        np.minimum.at(first_V, items_T[part], times_T[part])
    return first_V


def first_from(
    times_T: NDArray[np.int64] | NDArray[np.int8],
    starts_n: NDArray[np.int64],
    ends_n: NDArray[np.int64],
    time: int,
) -> NDArray[np.int64]:
    """The first index of every row whose time is at or after `time`; the row's end if none is.

    Times must not decrease within a row. One binary search for all rows at once.
    """
    low, high = starts_n.copy(), ends_n.copy()
    active = np.flatnonzero(low < high)
    while len(active):
        middle = (low[active] + high[active]) // 2
        earlier = times_T[middle] < time
        low[active[earlier]] = middle[earlier] + 1
        high[active[~earlier]] = middle[~earlier]
        active = active[low[active] < high[active]]
    return low


def time_at_share(
    times_T: NDArray[np.int64], starts_n: NDArray[np.int64], ends_n: NDArray[np.int64], share: float
) -> int:
    """The time before which at most this share of the rows' events lies.

    It is the time of event number ``floor(share * events)``, counted from 0 in order of time,
    computed exactly by successively finer histograms, so that no copy of the times is sorted.

    Args:
        times_T: seconds since the epoch, not decreasing within a row.
        starts_n: start of every row.
        ends_n: end (exclusive) of every row; at least one row has events.
        share: in 0 .. 1.
    """
    filled = ends_n > starts_n
    starts, ends = starts_n[filled], ends_n[filled]
    total = int((ends - starts).sum())
    rank = min(int(rounded_down(share, total)), total - 1)
    low, high = int(times_T[starts].min()), int(times_T[ends - 1].max())
    while low < high:
        width = (high - low) // _BINS + 1
        counts = np.zeros(_BINS, dtype=np.int64)
        for places in range_chunks(starts, ends):
            times = times_T[places]
            times = times[(times >= low) & (times <= high)]
            counts += np.bincount((times - low) // width, minlength=_BINS)
        up_to = np.cumsum(counts)
        chosen = int(np.searchsorted(up_to, rank, side="right"))
        rank -= int(up_to[chosen - 1]) if chosen else 0
        low += chosen * width
        high = min(high, low + width - 1)
    return low


def merged(
    starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The same indices as ascending ranges without overlap."""
    order = np.argsort(starts, kind="stable")
    starts, ends = starts[order], ends[order]
    ends = np.maximum.accumulate(ends)
    starts[1:] = np.maximum(starts[1:], ends[:-1])
    return starts, ends


def inside(
    runs: tuple[NDArray[np.int64], NDArray[np.int64]], places: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Whether each index lies in one of the ranges."""
    starts, ends = runs
    if not len(starts):
        return np.zeros(len(places), dtype=bool)
    at = np.searchsorted(starts, places, side="right") - 1
    return (at >= 0) & (places < ends[np.maximum(at, 0)])


def repeated(
    items_T: NDArray[np.int32],
    rows_n4: NDArray[np.int64],
    places_G: NDArray[np.int64],
    of_row_G: NDArray[np.int64],
    code_V: NDArray[np.int64] | None = None,
) -> NDArray[np.bool_]:
    """Whether each target's item is in its history, (G,).

    Items with the same code in `code_V` count as the same.
    """
    hit_G = np.zeros(len(places_G), dtype=bool)
    starts, ends = rows_n4[:, 1], rows_n4[:, 2]
    lengths = ends - starts
    if not len(places_G) or not lengths.any():
        return hit_G
    history: NDArray[Any] = items_T[flat_index(starts, ends)]
    targets: NDArray[Any] = items_T[places_G]
    if code_V is not None:
        history, targets = code_V[history], code_V[targets]
    rows = np.repeat(np.arange(len(rows_n4)), lengths)
    if len(places_G) == len(rows_n4) and bool((of_row_G[1:] > of_row_G[:-1]).all()):
        # One target per row, the usual case: a comparison is far cheaper than a search.
        return np.bincount(rows[history == targets[rows]], minlength=len(rows_n4)) > 0
    width = int(max(history.max(), targets.max())) + 1
    keys, where = np.unique(of_row_G * width + targets, return_inverse=True)
    pairs = rows * width + history
    at = np.minimum(np.searchsorted(keys, pairs), len(keys) - 1)
    known = np.zeros(len(keys), dtype=bool)
    known[at[keys[at] == pairs]] = True
    return known[where]


def rounded_down(share: float, counts: NDArray[np.int64] | int) -> NDArray[np.int64]:
    """``floor(share * count)`` without rounding errors: 0.29 of 100 is 29, not 28."""
    return np.floor(share * np.asarray(counts) + 1e-9).astype(np.int64)


def draw(seed: int, stream: int, users_n: NDArray[np.int64]) -> NDArray[np.uint64]:
    """One pseudo-random number per user, the same on every machine and numpy version.

    A number depends only on seed, stream and user: splitmix64 (Steele et al. 2014, "Fast splittable
    pseudorandom number generators").
    """
    state = users_n.astype(np.uint64)
    for key in (seed, stream):
        state = scattered(state + np.uint64(0x9E3779B97F4A7C15 * (key + 1) & _WORD))
    return state


def choose(seed: int, stream: int, users_n: NDArray[np.int64], number: int) -> NDArray[np.int64]:
    """`number` of the users, drawn without replacement, ascending."""
    order = np.argsort(draw(seed, stream, users_n), kind="stable")
    return np.sort(users_n[order[:number]])
