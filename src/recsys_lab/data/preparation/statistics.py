"""Statistics of a prepared dataset, ready for JSON.

Shapes: U users, V items, T events concatenated by user, n rows of one phase. Memory: a few arrays
of one chunk, of U, and of V, however long the log is.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_lab.data.splits.base import FlatLog, Segments
from recsys_lab.data.splits.ranges import CHUNK, row_chunks

MAX_BINS = 120
"""Largest number of bars of the series over time."""

CURVE_POINTS = 50
"""Largest number of points of the concentration curve."""

_QUANTILES = {"q25": 0.25, "median": 0.5, "q75": 0.75, "p90": 0.9, "p99": 0.99}
_QUARTILES = {"q25": 0.25, "median": 0.5, "q75": 0.75}

# Length of a bar of the series: name, numpy's calendar unit, number of units, and an offset so that
# weeks begin on Mondays and decades in a round year.
_PERIODS = (
    ("day", "D", 1, 0),
    ("week", "D", 7, 3),
    ("month", "M", 1, 0),
    ("quarter", "M", 3, 0),
    ("year", "Y", 1, 0),
)
_DIGIT_BITS = 16


def describe(log: FlatLog, segments: Segments, *, chunk: int = CHUNK) -> dict[str, Any]:
    """All statistics of the data card.

    Args:
        log: at least one event; the arrays may be memory-mapped.
        segments: its split.
        chunk: events per chunk.

    Returns:
        - ``history_length``, ``item_popularity``: events per user and per item, see
          `distribution`; the latter also with `concentration`.
        - ``distinct_pairs``: number of distinct (user, item) pairs; ``density``: their share of
          all U * V pairs; ``sparsity``: 1 - density.
        - ``repeat_share``: share of events whose user had the item before;
          ``consecutive_repeat_share``: share that repeats the user's previous event.
        - ``time``: None without timestamps; else ``first`` and ``last`` (ISO 8601, UTC), ``days``
          between them, ``events`` (``unit``, ``starts`` as ISO dates, ``counts``), and quartiles
          ``gap_seconds`` between consecutive events of a user (None if no user has two), not
          interpolated, so each is a gap that occurs.
        - ``split``: per phase ``users``, ``events`` (trained on, or targets), ``targets`` (not for
          train) and ``median_history`` (events before a target; for train: events trained on).
    """
    lengths_U = np.diff(log.offsets)
    popularity_V, consecutive = _count_events(log, chunk)
    pairs = _distinct_pairs(log, lengths_U, chunk)
    total = len(log.items)
    density = pairs / (len(lengths_U) * log.num_items)
    return {
        "history_length": distribution(lengths_U),
        "item_popularity": {**distribution(popularity_V), **concentration(popularity_V)},
        "distinct_pairs": pairs,
        "density": density,
        "sparsity": 1.0 - density,
        "repeat_share": (total - pairs) / total,
        "consecutive_repeat_share": consecutive / total,
        "time": None if log.timestamps is None else _time(log, log.timestamps, chunk),
        "split": _split(segments),
    }


def distribution(counts: NDArray[np.int64]) -> dict[str, Any]:
    """Extremes, mean, quantiles (linearly interpolated) and histogram of counts.

    The histogram has two bins per doubling (edges are rounded powers of the square root of 2): bin
    i holds the counts from ``edges[i]`` to ``edges[i + 1] - 1``.

    Args:
        counts: not negative, at least one.
    """
    low, high = int(counts.min()), int(counts.max())
    edges = [0, 1, *(round(2 ** (power / 2)) for power in range(2, 2 * high.bit_length() + 1))]
    first = int(np.searchsorted(edges, low, side="right")) - 1
    last = int(np.searchsorted(edges, high, side="right"))
    edges = edges[first : last + 1]
    bins = np.searchsorted(edges, counts, side="right") - 1
    quantiles = np.quantile(counts, list(_QUANTILES.values()))
    return {
        "min": low,
        **dict(zip(_QUANTILES, quantiles.tolist(), strict=True)),
        "max": high,
        "mean": float(counts.mean()),
        "histogram": {
            "edges": edges,
            "counts": np.bincount(bins, minlength=len(edges) - 1).tolist(),
        },
    }


def concentration(popularity_V: NDArray[np.int64]) -> dict[str, Any]:
    """How unevenly events are distributed over items.

    Returns:
        ``gini`` (0: all equal; near 1: all on one item), ``top_1_percent_share`` and
        ``top_10_percent_share``: share of events on the most popular items (their number is
        rounded up), and ``curve``: pairs (share of items, most popular first; share of events),
        denser where items are popular.
    """
    falling = np.sort(popularity_V)[::-1]
    size, total = len(falling), int(falling.sum())
    up_to = np.concatenate([[0], np.cumsum(falling)])
    # The mean height of the curve over the steps of single items gives the area, hence Gini.
    gini = (2.0 * float(up_to[1:].sum()) / total - size - 1) / size
    grid = np.linspace(0, 1, CURVE_POINTS) ** 2
    marks = np.unique(np.rint(grid * size).astype(np.int64))
    return {
        "gini": gini,
        "top_1_percent_share": float(up_to[-(-size // 100)]) / total,
        "top_10_percent_share": float(up_to[-(-size // 10)]) / total,
        "curve": [[mark / size, int(up_to[mark]) / total] for mark in marks.tolist()],
    }


def _count_events(log: FlatLog, chunk: int) -> tuple[NDArray[np.int64], int]:
    """Events of every item, (V,), and the number of events that repeat the user's previous item."""
    popularity_V = np.zeros(log.num_items, dtype=np.int64)
    for start in range(0, len(log.items), chunk):
        popularity_V += np.bincount(log.items[start : start + chunk], minlength=log.num_items)
    consecutive = 0
    for start, same_user in _steps(log, chunk):
        end = start + len(same_user)
        equal = log.items[start:end] == log.items[start - 1 : end - 1]
        consecutive += int(np.count_nonzero(equal & same_user))
    return popularity_V, consecutive


def _steps(log: FlatLog, chunk: int) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Chunks of events from index 1 on: the first index, and whether the previous user is equal."""
    for start in range(1, len(log.items), chunk):
        end = min(start + chunk, len(log.items))
        same_user = np.ones(end - start, dtype=bool)
        low, high = np.searchsorted(log.offsets, [start, end])
        same_user[log.offsets[low:high] - start] = False
        yield start, same_user


def _distinct_pairs(log: FlatLog, lengths_U: NDArray[np.int64], chunk: int) -> int:
    """The number of distinct (user, item) pairs."""
    pairs = 0
    for rows in row_chunks(lengths_U, chunk):
        start, end = int(log.offsets[rows.start]), int(log.offsets[rows.stop])
        if end - start > chunk:  # one user alone
            seen_V = np.zeros(log.num_items, dtype=bool)
            for part in range(start, end, chunk):
                seen_V[log.items[part : min(part + chunk, end)]] = True
            pairs += int(np.count_nonzero(seen_V))
            continue
        lengths = lengths_U[rows]
        keys = np.repeat(np.arange(len(lengths)) * log.num_items, lengths)
        keys += log.items[start:end]
        keys.sort()
        pairs += min(len(keys), 1) + int(np.count_nonzero(keys[1:] != keys[:-1]))
    return pairs


def _time(log: FlatLog, times_T: NDArray[np.int64], chunk: int) -> dict[str, Any]:
    parts = [times_T[start : start + chunk] for start in range(0, len(times_T), chunk)]
    first, last = min(int(part.min()) for part in parts), max(int(part.max()) for part in parts)
    unit, starts = _periods(first, last)
    edges = starts.astype("datetime64[s]").astype(np.int64)
    counts = np.zeros(len(edges), dtype=np.int64)
    for part in parts:
        bins = np.searchsorted(edges, part, side="right") - 1
        counts += np.bincount(bins, minlength=len(edges))
    return {
        "first": f"{np.datetime64(first, 's')}Z",
        "last": f"{np.datetime64(last, 's')}Z",
        "days": (last - first) / 86_400,
        "events": {
            "unit": unit,
            "starts": [str(day) for day in starts.astype("datetime64[D]")],
            "counts": counts.tolist(),
        },
        "gap_seconds": _gap_quartiles(log, times_T, (last - first).bit_length(), chunk),
    }


def _periods(first: int, last: int) -> tuple[str, NDArray[np.datetime64]]:
    """The shortest unit with at most `MAX_BINS` bars, and the start of each bar."""
    ends = np.array([first, last], dtype="datetime64[s]")
    decades = ((f"{10**power} years", "Y", 10**power, 1970) for power in itertools.count(1))
    for unit, code, step, shift in itertools.chain(_PERIODS, decades):
        low, high = (ends.astype(f"datetime64[{code}]").astype(np.int64) + shift) // step
        if high - low < MAX_BINS:
            bars = np.arange(low, high + 1) * step - shift
            return unit, bars.astype(f"datetime64[{code}]")
    raise AssertionError("10^12 years hold every int64 second")


def _gap_quartiles(
    log: FlatLog, times_T: NDArray[np.int64], bits: int, chunk: int
) -> dict[str, int] | None:
    """Exact quartiles of the seconds between consecutive events of a user.

    A radix selection: gaps are counted by their highest bits, then those in the quartile's bin by
    their next bits, so that no copy of the gaps is stored or sorted.

    Args:
        log: for the users of the events.
        times_T: not decreasing within a user (within each part of a published split).
        bits: enough for the largest gap.
        chunk: events per chunk.
    """
    number = len(times_T) - int(np.count_nonzero(np.diff(log.offsets)))
    if not number:
        return None
    ranks = [int(share * (number - 1)) for share in _QUARTILES.values()]
    heads = [0] * len(ranks)
    while bits:
        rest = max(0, bits - _DIGIT_BITS)
        counts = _count_digits(log, times_T, set(heads), (bits, rest), chunk)
        for quartile, head in enumerate(heads):
            up_to = np.cumsum(counts[head])
            digit = int(np.searchsorted(up_to, ranks[quartile], side="right"))
            ranks[quartile] -= int(up_to[digit - 1]) if digit else 0
            heads[quartile] = (head << (bits - rest)) + digit
        bits = rest
    return dict(zip(_QUARTILES, heads, strict=True))


def _count_digits(
    log: FlatLog, times_T: NDArray[np.int64], heads: set[int], bits: tuple[int, int], chunk: int
) -> dict[int, NDArray[np.int64]]:
    """Numbers of gaps by their bits ``bits[1] .. bits[0]``, for each value of the higher bits."""
    high, low = (np.uint64(bit) for bit in bits)
    width = 1 << (bits[0] - bits[1])
    counts = {head: np.zeros(width, dtype=np.int64) for head in heads}
    for start, same_user in _steps(log, chunk):
        end = start + len(same_user)
        gaps = times_T[start:end] - times_T[start - 1 : end - 1]
        if log.parts is not None:  # a part may begin before the previous one ends
            gaps = np.abs(gaps)
        # Unsigned, gaps of more than 2^63 seconds are correct as well.
        gaps = gaps[same_user].view(np.uint64)
        above = gaps >> high
        for head, counts_of_head in counts.items():
            digits = (gaps[above == head] >> low) & np.uint64(width - 1)
            counts_of_head += np.bincount(digits.astype(np.int64), minlength=width)
    return counts


def _split(segments: Segments) -> dict[str, Any]:
    lengths = segments.train[:, 2] - segments.train[:, 1]
    phases: dict[str, Any] = {
        "train": {
            "users": len(segments.train),
            "events": int(lengths.sum()),
            "median_history": _median(lengths),
        }
    }
    dropped = segments.dropped_targets
    for name, rows in (("validation", segments.validation), ("test", segments.test)):
        excluded = np.searchsorted(dropped, rows[:, 3]) - np.searchsorted(dropped, rows[:, 2])
        targets = int((rows[:, 3] - rows[:, 2] - excluded).sum())
        phases[name] = {
            "users": len(np.unique(rows[:, 0])),
            "events": targets,
            "targets": targets,
            "median_history": _median(rows[:, 2] - rows[:, 1]),
        }
    return phases


def _median(lengths_n: Sequence[int] | NDArray[np.int64]) -> float | None:
    return float(np.median(lengths_n)) if len(lengths_n) else None
