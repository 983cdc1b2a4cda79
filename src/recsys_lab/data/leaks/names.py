"""Columns that are the target, or name it.

A column of the users that holds their target (its id, or its title); a column of the items that
holds the user who is to be recommended them or the time at which, as the review of a test row does;
a column of the events that tells the next one; in a list or a text, too. The share of targets that
are told is compared with what an honest column reaches, in two ways:

- of all targets: the same question for the last event that the user is *trained* on, which a
  summary of histories knows at least as well, and for the target of another user, which popularity
  alone hits;
- of targets that are new to their user, which no summary of histories knows: for the target of
  another user. So a list of all that a user ever had is found, though it tells what is trained on
  as well.

At most `SAMPLE` targets of a phase are looked at, evenly spread.

Shapes: G targets that are looked at, R items or users.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from recsys_lab.data.leaks.finding import PHASES, Kind, leak
from recsys_lab.data.splits.finish import target_places
from recsys_lab.data.splits.places import repeated

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from recsys_lab.data.leaks.columns import Columns
    from recsys_lab.data.leaks.finding import Leak, Severity
    from recsys_lab.data.leaks.world import World

SAMPLE = 5_000

SURE = 3.0
"""How many standard errors more targets must be told than honest columns tell (a sign test)."""

SOME, MANY, MANY_NEW = 0.02, 0.2, 0.5
"""Shares of targets that are told beyond what honest columns tell: a warning; a leak; a leak among
the new ones, of which what people say of themselves may tell some."""

TYPES = ("categorical", "numeric", "list", "text")

WORD = r"[^\s,;|()\[\]\"']*[^\s,;:|()\[\]\"'.!?]"
"""What may be a name in a text: it ends before the punctuation."""

Asked = tuple[NDArray[Any], NDArray[Any]]
"""Whose value is read, and what is looked for in it."""

Names = Callable[[NDArray[Any]], list[pl.Series]]
"""Codes of what is looked for -> what it is called, in several ways."""

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
        place: of each.
        user: whose it is.
        item: what it is.
        last: place of the last event that is read before.
        trained: place of the user's last training event; of users without one the last read.
        is_new_G: whether the history lacks the item.
    """

    place: NDArray[np.int64]
    user: NDArray[np.int64]
    item: NDArray[Any]
    last: NDArray[np.int64]
    trained: NDArray[np.int64]
    is_new_G: NDArray[np.bool_]


def find(world: World, columns: Columns) -> Iterator[Leak]:
    """All findings of the family.

    Args:
        world: the dataset, with ids.
        columns: what models may read.
    """
    if world.item_ids is None or world.user_ids is None or not columns.store.names():
        return
    visits, items = _visits(world), _items(world, columns)
    item_T: NDArray[Any] = world.log.items
    looked = {phase: _look(world, phase) for phase in PHASES}
    for name in columns.of("user", *TYPES):
        told = _Told(columns.raw("user", name), items)
        for phase, seen in looked.items():
            asked, honest = (seen.user, seen.item), (seen.user, item_T[seen.trained])
            yield from _judge(f"user.{name}", phase, seen, told, asked, honest)
    for name in columns.of("item", *TYPES):
        told = _Told(columns.raw("item", name), visits)
        for phase, seen in looked.items():
            asked, honest = (seen.item, seen.place), (item_T[seen.trained], seen.trained)
            yield from _judge(f"item.{name}", phase, seen, told, asked, honest)
    for name in columns.of("event", "categorical", "numeric"):
        for phase, seen in looked.items():
            told = _Told(columns.events(name, seen.last), items)
            asked = (np.arange(len(seen.item)), seen.item)
            yield from _judge(f"event.{name}", phase, seen, told, asked)


def _items(world: World, columns: Columns) -> Names:
    """Items by their ids and titles."""
    names = [world.item_ids, *columns.titles()]
    return lambda code_G: [_taken(column, code_G) for column in names]


def _visits(world: World) -> Names:
    """Events by their users and times, the latter in seconds and as ISO 8601 writes them."""
    log = world.log

    def names(place_G: NDArray[np.int64]) -> list[pl.Series]:
        users = _taken(world.user_ids, np.searchsorted(log.offsets, place_G, side="right") - 1)
        if log.timestamps is None:
            return [users]
        seconds = log.timestamps[place_G]
        moments = pl.Series(seconds.astype("datetime64[s]").astype(str))
        return [users, pl.Series(seconds), moments, moments.str.replace("T", " ", literal=True)]

    return names


def _taken(ids: Any, code_G: NDArray[Any]) -> pl.Series:
    return pl.Series(pl.from_arrow(ids.take(pa.array(code_G))))


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
    is_new = ~repeated(log.items, rows, places, of_row)
    return _Looked(places, user, log.items[places], last, trained, is_new)


def _spread(rows: NDArray[Any]) -> NDArray[Any]:
    """At most `SAMPLE` rows, evenly spread."""
    if len(rows) <= SAMPLE:
        return rows
    return rows[np.linspace(0, len(rows) - 1, SAMPLE).astype(np.int64)]


class _Told:
    """Answers whether a column tells of somebody what is looked for.

    Args:
        column_R: of items, users or events.
        names: of what is looked for.
    """

    def __init__(self, column_R: pl.Series, names: Names) -> None:
        self._column_R, self._names = column_R, names

    def __call__(self, owner_G: NDArray[Any], code_G: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether the value of each owner is or holds a name of the code, (G,)."""
        value = self._column_R.gather(owner_G)
        names = {f"name_{place}": _texts(name) for place, name in enumerate(self._names(code_G))}
        if isinstance(value.dtype, pl.List | pl.Array):
            frame = pl.DataFrame({"value": value, **names}).cast({"value": pl.List(pl.String)})
            hits = [pl.col("value").list.contains(pl.col(name)) for name in names]
        else:
            frame = pl.DataFrame({"value": _texts(value), **names})
            hits = [pl.col("value") == pl.col(name) for name in names]
        if value.dtype == pl.String:
            words = pl.col("value").str.extract_all(WORD)
            hits += [words.list.contains(pl.col(name)) for name in names]
        told = pl.any_horizontal(hit.fill_null(value=False) for hit in hits)
        return frame.select(told).to_series().to_numpy()


def _texts(column: pl.Series) -> pl.Series:
    """Ids or values as text; whole numbers without a point, times in seconds."""
    if column.dtype.is_float():
        column = column.set(column != column.round(), None).cast(pl.Int64, strict=False)
    elif isinstance(column.dtype, pl.Date | pl.Datetime):
        column = column.dt.epoch("s")
    return column.cast(pl.String).str.strip_chars()


def _judge(
    name: str, phase: str, seen: _Looked, told: _Told, asked: Asked, *honest: Asked
) -> Iterator[Leak]:
    """A finding where more is told than an honest column would tell.

    Args:
        name: of the column.
        phase: ``validation`` or ``test``.
        seen: the targets.
        told: reads the column.
        asked: whose value is read for each target, and what is looked for in it, (G,).
        honest: the same for what an honest column may tell as well; nothing: only targets that are
            new to their users are judged.
    """
    owner_G, code_G = asked
    total = len(owner_G)
    hit_G = told(*asked) if total else np.zeros(0, dtype=np.bool_)
    if hit_G.sum() < SURE**2:
        return
    other_G = told(owner_G, np.roll(code_G, (total + 1) // 2))
    by_chance = [other_G, *(told(*pair) for pair in honest)]
    if honest and (share := _beyond(hit_G, by_chance)) >= SOME:
        severity: Severity = "leak" if share >= MANY else "warning"
        yield _said(name, phase, hit_G, by_chance, severity, "")
        return
    new_G = seen.is_new_G
    share = _beyond(hit_G[new_G], [other_G[new_G]])
    if share >= SOME:
        severity = "leak" if share >= MANY_NEW else "warning"
        yield _said(name, phase, hit_G[new_G], [other_G[new_G]], severity, "new to their user ")


def _beyond(hit_G: NDArray[np.bool_], by_chance: list[NDArray[np.bool_]]) -> float:
    """The share that is told beyond what others tell; 0 where it may be chance."""
    ahead = [int(hit_G.sum()) - int(other_G.sum()) for other_G in by_chance]
    either = [int((hit_G ^ other_G).sum()) for other_G in by_chance]
    if any(more < SURE * np.sqrt(e) for more, e in zip(ahead, either, strict=True)):
        return 0.0
    return min(ahead) / max(1, len(hit_G))


def _said(
    name: str,
    phase: str,
    hit_G: NDArray[np.bool_],
    by_chance: list[NDArray[np.bool_]],
    severity: Severity,
    which: str,
) -> Leak:
    chance = max(int(other_G.sum()) for other_G in by_chance)
    said = f"{which}that were looked at are told by {name}; an honest column tells about {chance:,}"
    return leak(
        KINDS, "column_names_target", phase, int(hit_G.sum()), len(hit_G), said=said,
        severity=severity,
    )  # fmt: skip
