"""Leaks through numeric columns that depend on how often items occur after training.

A count over the whole log, a rank of bestsellers or an average over all months reveals which items
will be targets. The check is a partial rank correlation between the column and the number of events
after training: the ranks of the training events, of those in the last window, and of the time of an
item's first training event are regressed out of both by least squares.

For columns that count the whole log the correlation is 0.57 to 0.98, from 37 items to 50,000
(synthetic shop, MovieLens-100k, simulated logs). For legitimate columns it is lower: 0.2 for a
measure of quality that correlates with all counts, 0.37 and 0.26 for the year of release and the
mean rating of MovieLens-100k with any split, 0.12 for a price.

Shapes: T events, V items, v items with training events and a number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_lab.data.leaks.columns import Columns
from recsys_lab.data.leaks.finding import Kind, Leak, leak
from recsys_lab.data.leaks.world import World
from recsys_lab.data.splits.ranges import count_items, range_chunks

SOME, MANY = 0.3, 0.5
"""Partial correlations from which a column is a note, and a leak."""

SURE = 5.0
"""Fisher's z of the correlation, in standard errors, below which it may be due to chance."""

KINDS: Mapping[str, Kind] = {
    "column_knows_test_counts": Kind(
        "leak",
        "",
        "Compute the column from events before the cut only, or remove it",
        of="items",
        by_time=True,
    )
}


def find(world: World, columns: Columns) -> Iterator[Leak]:
    """All findings of the family: see `recsys_lab.data.leaks.check`."""
    names = [("item", name) for name in columns.of("item", "numeric")]
    names += [("event", name) for name in columns.of("event", "numeric")]
    if not names or world.log.timestamps is None or not len(world.train):
        return
    later_V = _later_counts(world)
    counts = [world.train_counts_V, world.recent_counts_V]
    for side, name in names:
        column = columns.store.column(f"{side}.{name}")
        number_V = _by_item(world, column) if side == "event" else np.asarray(column, np.float64)
        compared_V = np.isfinite(number_V) & (world.train_counts_V > 0)
        r = _excess(number_V, later_V, counts, compared_V)
        if r:  # only then the times are read
            r = _excess(number_V, later_V, [*counts, _first_trained(world)], compared_V)
        if not r:
            continue
        message = (
            f"rank by {side}.{name} as by their events after training, more than training events "
            f"explain (partial rank correlation {r:+.2f})"
        )
        changes = {"message": message, "severity": "leak" if abs(r) >= MANY else "note"}
        compared = int(compared_V.sum())
        yield leak(KINDS, "column_knows_test_counts", "test", compared, len(number_V), **changes)


def _excess(
    number_V: NDArray[np.float64],
    later_V: NDArray[np.int64],
    given: list[NDArray[np.int64]],
    compared_V: NDArray[np.bool_],
) -> float:
    """The partial correlation over some items; 0 if it is small or may be due to chance."""
    known = [column[compared_V] for column in given]
    r, z = partial_correlation(number_V[compared_V], later_V[compared_V], known)
    return r if abs(r) >= SOME and z >= SURE else 0.0


def partial_correlation(
    x_v: NDArray[Any], y_v: NDArray[Any], given: list[NDArray[Any]]
) -> tuple[float, float]:
    """Partial Spearman correlation of two columns given others, and its Fisher z.

    Args:
        x_v: numbers, (v,).
        y_v: numbers, (v,).
        given: the columns to control for, each (v,).

    Returns:
        The correlation, 0 if a column is determined by the others, and ``artanh(|r|)`` in standard
        errors.
    """
    freedom = len(x_v) - 3 - len(given)
    if freedom < 1:
        return 0.0, 0.0
    fixed = np.stack([np.ones(len(x_v)), *map(_ranks, given)], axis=1)
    left = []
    for column in (x_v, y_v):
        ranks = _ranks(column)
        rest = ranks - fixed @ np.linalg.lstsq(fixed, ranks, rcond=None)[0]
        if rest @ rest < 1e-9 * max(1.0, float(ranks @ ranks)):
            return 0.0, 0.0
        left.append(rest / np.sqrt(rest @ rest))
    r = float(np.clip(left[0] @ left[1], -1, 1))
    return r, float(np.arctanh(min(abs(r), 1 - 1e-12)) * np.sqrt(freedom))


def _ranks(column: NDArray[Any]) -> NDArray[np.float64]:
    """Average ranks, centred and scaled to about 1."""
    ranks: NDArray[np.float64] = pl.Series(column).rank("average").to_numpy(writable=True)
    ranks -= ranks.mean()
    return ranks / max(1, len(ranks))


def _later_counts(world: World) -> NDArray[np.int64]:
    """Number of events of each item after its users' training events, (V,)."""
    log = world.log
    starts = log.offsets[:-1].copy()
    starts[world.train[:, 0]] = world.train[:, 2]
    return count_items(log.items, starts, log.offsets[1:], log.num_items)


def _first_trained(world: World) -> NDArray[np.int64]:
    """Time of the first training event of each item, (V,)."""
    log = world.log
    assert log.timestamps is not None
    first_V = np.full(log.num_items, np.iinfo(np.int64).max)
    for events in range_chunks(world.train[:, 1], world.train[:, 2]):
        np.minimum.at(first_V, log.items[events], log.timestamps[events])
    return first_V


def _by_item(world: World, column_T: Any) -> NDArray[np.float64]:
    """Mean of an event column over the training events of each item, (V,)."""
    sums_V, counts_V = np.zeros((2, world.log.num_items))
    for events in range_chunks(world.train[:, 1], world.train[:, 2]):
        values = column_T[events]
        events = events[np.isfinite(values)]
        items = world.log.items[events]
        sums_V += np.bincount(items, column_T[events], minlength=len(sums_V))
        counts_V += np.bincount(items, minlength=len(sums_V))
    return np.where(counts_V > 0, sums_V / np.maximum(counts_V, 1), np.nan)
