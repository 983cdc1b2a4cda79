"""Columns of numbers that know how often items occur after training.

A count over the whole log, a rank of bestsellers, an average over all months: each tells which
items will be asked for. What training itself tells of that is taken out first: the ranks of the
column and of the events after training are both freed, by least squares, of the ranks of the
training events, of those of its last window, and of the time of an item's first training event;
what is left of the two is correlated (a partial rank correlation).

Where a column counts the whole log it is 0.57 to 0.98, from 37 items to 50,000 (of the synthetic
shop, MovieLens-100k and simulated logs). Honest columns stay below: a measure of quality that all
counts go with at 0.2, the year of release and the mean rating of MovieLens-100k at 0.37 and 0.26,
whatever the split; a price at 0.12.

Shapes: T events, V items, v items that are trained on and have a number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from recsys_lab.data.leaks.finding import Kind, leak
from recsys_lab.data.splits.ranges import count_items, range_chunks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from recsys_lab.data.leaks.columns import Columns
    from recsys_lab.data.leaks.finding import Leak
    from recsys_lab.data.leaks.world import World

SOME, MANY = 0.3, 0.5
"""Partial correlations from which a column is noted, and called a leak."""

SURE = 5.0
"""Fisher's z of the correlation, in its standard errors, below which it may be chance."""

KINDS: Mapping[str, Kind] = {
    "column_knows_test_counts": Kind(
        "leak",
        "",
        "Make the column of events before the cut alone, or leave it out",
        of="items",
        by_time=True,
    ),
}


def find(world: World, columns: Columns) -> Iterator[Leak]:
    """All findings of the family.

    Args:
        world: the dataset.
        columns: what models may read.
    """
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
        r = _beyond(number_V, later_V, counts, compared_V)
        if r:  # only then the times are read
            r = _beyond(number_V, later_V, [*counts, _first_trained(world)], compared_V)
        if not r:
            continue
        said = (
            f"are ordered by {side}.{name} as by their events after training, beyond what training "
            f"tells (partial rank correlation {r:+.2f})"
        )
        yield leak(
            KINDS, "column_knows_test_counts", "test", int(compared_V.sum()), len(number_V),
            said=said, severity="leak" if abs(r) >= MANY else "note",
        )  # fmt: skip


def _beyond(
    number_V: NDArray[np.float64],
    later_V: NDArray[np.int64],
    told: list[NDArray[np.int64]],
    compared_V: NDArray[np.bool_],
) -> float:
    """The partial correlation over some items; 0 where it is small or may be chance."""
    known = [column[compared_V] for column in told]
    r, z = partial_correlation(number_V[compared_V], later_V[compared_V], known)
    return r if abs(r) >= SOME and z >= SURE else 0.0


def partial_correlation(
    x_v: NDArray[Any], y_v: NDArray[Any], given: list[NDArray[Any]]
) -> tuple[float, float]:
    """Spearman's correlation of two columns where others are held fixed, and its Fisher z.

    Args:
        x_v: numbers, (v,).
        y_v: numbers, (v,).
        given: what is held fixed, each (v,).

    Returns:
        The correlation, 0 where a column is determined by the others, and ``artanh(|r|)`` in its
        standard errors.
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
    """Events of each item after what each user is trained on, (V,)."""
    log = world.log
    starts = log.offsets[:-1].copy()
    starts[world.train[:, 0]] = world.train[:, 2]
    return count_items(log.items, starts, log.offsets[1:], log.num_items)


def _first_trained(world: World) -> NDArray[np.int64]:
    """Time of the first training event of each item, (V,)."""
    log = world.log
    assert log.timestamps is not None
    first_V = np.full(log.num_items, np.iinfo(np.int64).max)
    for places in range_chunks(world.train[:, 1], world.train[:, 2]):
        np.minimum.at(first_V, log.items[places], log.timestamps[places])
    return first_V


def _by_item(world: World, column_T: Any) -> NDArray[np.float64]:
    """The mean of a column of the events over the training events of each item, (V,)."""
    sums_V, counts_V = np.zeros((2, world.log.num_items))
    for places in range_chunks(world.train[:, 1], world.train[:, 2]):
        values = column_T[places]
        places = places[np.isfinite(values)]
        items = world.log.items[places]
        sums_V += np.bincount(items, column_T[places], minlength=len(sums_V))
        counts_V += np.bincount(items, minlength=len(sums_V))
    return np.where(counts_V > 0, sums_V / np.maximum(counts_V, 1), np.nan)
