"""Columns that are the target, or name it.

A column of the users that holds their target (its id, or its title), a column of the items that
holds the user who is to be recommended them, a column of the events that tells the next one; in a
list or a text, too. The share of targets that are told is compared with what an honest column
reaches: the same question for the last event that the user is *trained* on, which a summary of
histories knows at least as well, and for the target of another user, which popularity alone hits.

At most `SAMPLE` targets of a phase are looked at, evenly spread.

Shapes: G targets that are looked at, R items or users.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl

from recsys_lab.data.leaks.finding import PHASES, Kind, leak
from recsys_lab.data.splits.finish import target_places
from recsys_lab.data.splits.places import repeated

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from recsys_lab.data.leaks.columns import Columns
    from recsys_lab.data.leaks.finding import Leak, Severity
    from recsys_lab.data.leaks.world import World

SAMPLE = 20_000

SURE = 3.0
"""How many standard errors more targets must be told than honest columns tell (a sign test)."""

SOME, MANY = 0.02, 0.2
"""Shares of targets that are told beyond what honest columns tell: a warning, a leak."""

TYPES = ("categorical", "numeric", "list", "text")

KINDS: Mapping[str, Kind] = {
    "column_names_target": Kind(
        "leak",
        "",
        "Make the column of what was known before the target's time, or leave it out",
    ),
}


class _Looked(NamedTuple):
    """Targets that are looked at, all (G,).

    Attributes:
        user: whose they are.
        item: what they are.
        last: place of the last event that is read before.
        trained_item: item of the user's last training event; of users without one the last read.
        is_new: whether the history lacks the item.
    """

    user: NDArray[np.int64]
    item: NDArray[np.int32]
    last: NDArray[np.int64]
    trained_item: NDArray[np.int32]
    is_new: NDArray[np.bool_]


def find(world: World, columns: Columns) -> Iterator[Leak]:
    """All findings of the family.

    Args:
        world: the dataset, with ids.
        columns: what models may read.
    """
    if world.item_ids is None or world.user_ids is None or not columns.store.names():
        return
    items, users = (
        _texts(pl.Series(pl.from_arrow(ids))) for ids in (world.item_ids, world.user_ids)
    )
    titles = columns.titles()
    for phase in PHASES:
        seen = _look(world, phase)
        if not len(seen.user):
            continue
        wanted = [items] if titles is None else [items, titles]
        for name in columns.of("user", *TYPES):
            raw = columns.raw("user", name)
            told = _told(raw, seen.user, wanted, seen.item)
            honest = _told(raw, seen.user, wanted, seen.trained_item)
            other = _told(raw, seen.user, wanted, _rolled(seen.item))
            yield from _judge(f"user.{name}", phase, told, (honest, other), "their item")
        for name in columns.of("item", *TYPES):
            raw = columns.raw("item", name)
            told = _told(raw, seen.item, [users], seen.user)
            honest = _told(raw, seen.trained_item, [users], seen.user)
            other = _told(raw, seen.item, [users], _rolled(seen.user))
            yield from _judge(f"item.{name}", phase, told, (honest, other), "their user")
        new = _Looked._make(column[seen.is_new] for column in seen)
        for name in columns.of("event", "categorical", "numeric"):
            raw = _events(columns, name, new.last)
            here = np.arange(len(raw))
            told = _told(raw, here, wanted, new.item)
            other = _told(raw, here, wanted, _rolled(new.item))
            yield from _judge(f"event.{name}", phase, told, (other,), "their item")


def _look(world: World, phase: str) -> _Looked:
    """Some targets of a phase."""
    log, rows = world.log, _spread(world.rows(phase))
    places, of_row = target_places(rows, world.segments.dropped_targets)
    is_new = ~repeated(log.items, rows, places, of_row)
    some = _spread(np.arange(len(places)))
    places, of_row, is_new = places[some], of_row[some], is_new[some]
    last_U = np.zeros(len(log.offsets) - 1, dtype=np.int64)  # place after the last trained event
    last_U[world.train[:, 0]] = world.train[:, 2]
    user, last = rows[of_row, 0], rows[of_row, 2] - 1
    trained = np.where(last_U[user] > 0, last_U[user] - 1, last)
    return _Looked(user, log.items[places], last, log.items[trained], is_new)


def _spread(rows: NDArray[Any]) -> NDArray[Any]:
    """At most `SAMPLE` rows, evenly spread."""
    if len(rows) <= SAMPLE:
        return rows
    return rows[np.linspace(0, len(rows) - 1, SAMPLE).astype(np.int64)]


def _rolled(column: NDArray[Any]) -> NDArray[Any]:
    """What belongs to another target, about half of them further on."""
    return np.roll(column, (len(column) + 1) // 2)


def _events(columns: Columns, name: str, places: NDArray[np.int64]) -> pl.Series:
    """Values of a column of the events at some places."""
    column = columns.store.column(f"event.{name}")
    assert isinstance(column, np.ndarray)
    found = pl.Series(column[places])
    if columns.entries["event"][name]["type"] == "numeric":
        return found
    known = pl.Series([None, None, *columns.store.values(f"event.{name}")])
    return known.gather(found)


def _told(
    column_R: pl.Series, owner_G: NDArray[Any], wanted: list[pl.Series], code_G: NDArray[Any]
) -> NDArray[np.bool_]:
    """Whether the column tells of each owner what is wanted, (G,).

    Args:
        column_R: of items, users or events.
        owner_G: whose value is read.
        wanted: names of what is looked for, by code: ids, titles.
        code_G: what is looked for.
    """
    value = column_R.gather(owner_G)
    is_list = isinstance(value.dtype, pl.List | pl.Array)
    frame = pl.DataFrame({"value": value if is_list else _texts(value)}).with_columns(
        names.gather(code_G).alias(f"name_{place}") for place, names in enumerate(wanted)
    )
    found = pl.lit(value=False)
    for place in range(len(wanted)):
        name = pl.col(f"name_{place}")
        if is_list:
            found |= pl.col("value").cast(pl.List(pl.String)).list.contains(name)
        else:
            found |= pl.col("value") == name
    if not is_list and value.dtype == pl.String:
        words = pl.col("value").str.extract_all(r"[^\s,;:|()\[\]\"']+")
        found |= words.list.contains(pl.col("name_0"))
    return frame.select(found.fill_null(value=False)).to_series().to_numpy()


def _texts(column: pl.Series) -> pl.Series:
    """Ids or values as text; whole numbers without a point."""
    if column.dtype.is_float():
        whole = column.is_finite() & (column == column.round())
        column = column.set(~whole, None).cast(pl.Int64)
    return column.cast(pl.String).str.strip_chars()


def _judge(
    name: str, phase: str, told: NDArray[np.bool_], honest: tuple[NDArray[np.bool_], ...], what: str
) -> Iterator[Leak]:
    """A finding where more is told than every honest column would tell."""
    total = len(told)
    more = [(told & ~other).sum() - (other & ~told).sum() for other in honest]
    either = [(told ^ other).sum() for other in honest]
    sure = min((m / np.sqrt(max(1, e)) for m, e in zip(more, either, strict=True)), default=0)
    share = min(more, default=0) / max(1, total)
    if sure < SURE or share < SOME:
        return
    severity: Severity = "leak" if share >= MANY else "warning"
    by_chance = max(int(other.sum()) for other in honest)
    said = (
        f"that were looked at are told by {name}, which names {what}; an honest column tells "
        f"about {by_chance:,}"
    )
    yield leak(
        KINDS, "column_names_target", phase, int(told.sum()), total, said=said, severity=severity
    )
