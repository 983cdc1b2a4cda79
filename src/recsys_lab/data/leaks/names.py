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
import pyarrow as pa

from recsys_lab.data.leaks.finding import PHASES, Kind, leak
from recsys_lab.data.splits.finish import target_places
from recsys_lab.data.splits.places import repeated

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from recsys_lab.data.leaks.columns import Columns
    from recsys_lab.data.leaks.finding import Leak, Severity
    from recsys_lab.data.leaks.world import World

SAMPLE = 5_000

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
    """Targets that are looked at.

    Attributes:
        rows: of the phase, whose they are.
        place: of each, (G,).
        of_row: its row, (G,), ascending.
        user: whose it is, (G,).
        item: what it is, (G,).
        last: place of the last event that is read before, (G,).
        trained_item: item of the user's last training event; of users without one the last read.
    """

    rows: NDArray[np.int64]
    place: NDArray[np.int64]
    of_row: NDArray[np.int64]
    user: NDArray[Any]
    item: NDArray[Any]
    last: NDArray[np.int64]
    trained_item: NDArray[Any]

    def is_new(self, world: World) -> NDArray[np.bool_]:
        """Whether the history lacks the item, (G,)."""
        return ~repeated(world.log.items, self.rows, self.place, self.of_row)


def find(world: World, columns: Columns) -> Iterator[Leak]:
    """All findings of the family.

    Args:
        world: the dataset, with ids.
        columns: what models may read.
    """
    if world.item_ids is None or world.user_ids is None or not columns.store.names():
        return
    users, items = [world.user_ids], [world.item_ids, *columns.titles()]
    looked = {phase: _look(world, phase) for phase in PHASES}
    for name in columns.of("user", *TYPES):
        told = _Told(columns.raw("user", name), items)
        for phase, seen in looked.items():
            asked, honest = (seen.user, seen.item), (seen.user, seen.trained_item)
            yield from _judge(f"user.{name}", phase, told, asked, honest)
    for name in columns.of("item", *TYPES):
        told = _Told(columns.raw("item", name), users)
        for phase, seen in looked.items():
            asked, honest = (seen.item, seen.user), (seen.trained_item, seen.user)
            yield from _judge(f"item.{name}", phase, told, asked, honest)
    for name in columns.of("event", "categorical", "numeric"):
        for phase, seen in looked.items():
            new = seen.is_new(world)
            told = _Told(columns.events(name, seen.last[new]), items)
            asked = (np.arange(int(new.sum())), seen.item[new])
            yield from _judge(f"event.{name}", phase, told, asked)


def _look(world: World, phase: str) -> _Looked:
    """Some targets of a phase."""
    log, rows = world.log, _spread(world.rows(phase))
    places, of_row = target_places(rows, world.segments.dropped_targets)
    some = _spread(np.arange(len(places)))
    places, of_row = places[some], of_row[some]
    last_U = np.zeros(len(log.offsets) - 1, dtype=np.int64)  # place after the last trained event
    last_U[world.train[:, 0]] = world.train[:, 2]
    user, last = rows[of_row, 0], rows[of_row, 2] - 1
    trained = np.where(last_U[user] > 0, last_U[user] - 1, last)
    return _Looked(rows, places, of_row, user, log.items[places], last, log.items[trained])


def _spread(rows: NDArray[Any]) -> NDArray[Any]:
    """At most `SAMPLE` rows, evenly spread."""
    if len(rows) <= SAMPLE:
        return rows
    return rows[np.linspace(0, len(rows) - 1, SAMPLE).astype(np.int64)]


class _Told:
    """Answers whether a column tells of somebody what is looked for.

    Args:
        column_R: of items, users or events.
        names: what is looked for, by code: its ids, and its titles where it has some.
    """

    def __init__(self, column_R: pl.Series, names: list[Any]) -> None:
        self._column_R, self._names = column_R, names

    def __call__(self, owner_G: NDArray[Any], code_G: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether the value of each owner is or holds a name of the code, (G,)."""
        value = self._column_R.gather(owner_G)
        is_list = isinstance(value.dtype, pl.List | pl.Array)
        has_words = value.dtype == pl.String
        frame = pl.DataFrame({"value": value if is_list else _texts(value)})
        if is_list:
            frame = frame.cast({"value": pl.List(pl.String)})
        hit = pl.lit(value=False)
        for place, names in enumerate(self._names):
            name = f"name_{place}"
            taken = pl.Series(name, pl.from_arrow(names.take(pa.array(code_G))))
            frame = frame.with_columns(_texts(taken))
            value_ = pl.col("value")
            hit |= value_.list.contains(pl.col(name)) if is_list else value_ == pl.col(name)
        if has_words:
            words = pl.col("value").str.extract_all(r"[^\s,;:|()\[\]\"']+")
            hit |= words.list.contains(pl.col("name_0"))
        return frame.select(hit.fill_null(value=False)).to_series().to_numpy()


def _texts(column: pl.Series) -> pl.Series:
    """Ids or values as text; whole numbers without a point."""
    if column.dtype.is_float():
        whole = column.is_finite() & (column == column.round())
        column = column.set(~whole, None).cast(pl.Int64)
    return column.cast(pl.String).str.strip_chars()


def _judge(
    name: str,
    phase: str,
    told: _Told,
    asked: tuple[NDArray[Any], NDArray[Any]],
    *honest: tuple[NDArray[Any], NDArray[Any]],
) -> Iterator[Leak]:
    """A finding where more is told than an honest column would tell.

    Args:
        name: of the column.
        phase: ``validation`` or ``test``.
        told: reads the column.
        asked: whose value is read for each target, and what is looked for in it, (G,).
        honest: the same for what an honest column may tell as well.
    """
    owner_G, code_G = asked
    total = len(owner_G)
    hit_G = told(owner_G, code_G) if total else np.zeros(0, dtype=np.bool_)
    if hit_G.sum() < SURE**2:
        return
    sure, more, by_chance = np.inf, total, 0
    for owner, code in (*honest, (owner_G, np.roll(code_G, (total + 1) // 2))):
        other_G = told(owner, code)
        ahead = int(hit_G.sum()) - int(other_G.sum())
        sure = min(sure, ahead / np.sqrt(max(1, int((hit_G ^ other_G).sum()))))
        more, by_chance = min(more, ahead), max(by_chance, int(other_G.sum()))
    share = more / total
    if sure < SURE or share < SOME:
        return
    severity: Severity = "leak" if share >= MANY else "warning"
    said = f"that were looked at are told by {name}; an honest column tells about {by_chance:,}"
    yield leak(
        KINDS, "column_names_target", phase, int(hit_G.sum()), total, said=said, severity=severity
    )
