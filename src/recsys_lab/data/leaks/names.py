"""Leaks through columns that contain or name the target.

A user column may hold the target (its id or title); an item column the user or the time of the
target, as the review of a test row does; an event column the next item; also in a list, a text or
an address, and in another spelling (case, Unicode form, 5.0 for 5). The share of targets that are
named is compared with that of a legitimate column, in two ways:

- of all targets: how often the last *training* event of the user is named, which a summary of
  histories names at least as often; and how often the target of another user is, as expected from
  popularity alone;
- of targets that are new to their user, which no summary of histories names: how often the target
  of another user is. This detects a list of all items a user ever had, which also names training
  events.

At most `SAMPLE` targets of a phase are checked, evenly spread.

Shapes: G checked targets, R items or users.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from recsys_lab.data.columns.id_spellings import DIFFERENCES, normalized
from recsys_lab.data.leaks.columns import Columns
from recsys_lab.data.leaks.finding import PHASES, Kind, Leak, Severity, leak
from recsys_lab.data.leaks.world import World
from recsys_lab.data.splits.cold_start import target_ranges
from recsys_lab.data.splits.ranges import repeated

SAMPLE = 3_000

SURE = 3.0
"""Standard errors by which named targets must exceed those of legitimate columns (a sign test)."""

SOME, MANY, MANY_NEW = 0.02, 0.2, 0.5
"""Shares of named targets in excess of legitimate columns: a warning; a leak; a leak among targets
that are new to their user, some of which a user's profile may name."""

TYPES = ("categorical", "numeric", "list", "text")

_ENDS = r"\s,;|()\[\]\"'"
WORDS = tuple(rf"[^{_ENDS}{marks}]*[^{_ENDS}{marks}:.!?]" for marks in ("", "/<>=&?#", "/<>=&?#:_"))
"""What may be a name in a text: a word, which ends before the punctuation; what the marks of
addresses and arrows part it into; and what colons and underscores part that into, too."""

Pair = tuple[NDArray[Any], list[pl.Series]]
"""Owners whose value is read, and the names to search for in it, each (G,)."""

Names = Callable[[NDArray[Any]], list[pl.Series]]
"""Codes -> their names, in several forms, each (G,)."""

KINDS: Mapping[str, Kind] = {
    "column_names_target": Kind(
        "leak",
        "",
        "Compute the column from data before the target's time, or remove it",
        of="checked {phase} targets",
    )
}


class _Sample(NamedTuple):
    """Checked targets, all (G,).

    Attributes:
        target: flat index of each target.
        user: its user.
        item: its item.
        last: index of the last event of its history.
        trained: index of the user's last training event; without one, ``last``.
        is_new_G: whether the history lacks the item.
    """

    target: NDArray[np.int64]
    user: NDArray[np.int64]
    item: NDArray[Any]
    last: NDArray[np.int64]
    trained: NDArray[np.int64]
    is_new_G: NDArray[np.bool_]


def find(world: World, columns: Columns) -> Iterator[Leak]:
    """All findings of the family: see `recsys_lab.data.leaks.check`."""
    if world.item_ids is None or world.user_ids is None or not columns.store.names():
        return
    visits, items = _visits(world), _items(world, columns)
    item_T: NDArray[Any] = world.log.items
    for phase in PHASES:
        sample = _sample(world, phase)
        if not len(sample.item):
            continue
        by_item, by_visit = items(sample.item), visits(sample.target)
        for name in columns.of("user", *TYPES):
            query = (columns.raw("user", name), sample.user, by_item)
            legitimate = partial(_legitimate, sample.user, items, item_T[sample.trained])
            yield from _check(f"user.{name}", phase, sample, query, legitimate)
        for name in columns.of("item", *TYPES):
            query = (columns.raw("item", name), sample.item, by_visit)
            legitimate = partial(_legitimate, item_T[sample.trained], visits, sample.trained)
            yield from _check(f"item.{name}", phase, sample, query, legitimate)
        for name in columns.of("event", "categorical", "numeric"):
            query = (columns.events(name, sample.last), np.arange(len(sample.item)), by_item)
            yield from _check(f"event.{name}", phase, sample, query, None)


def _legitimate(owner_G: NDArray[Any], names: Names, code_G: NDArray[Any]) -> Pair:
    """Owners whose value is read, and names that a legitimate column may hold."""
    return owner_G, names(code_G)


def _items(world: World, columns: Columns) -> Names:
    """Items by their ids and titles."""
    names = [world.item_ids, *columns.titles()]
    return lambda code_G: [_texts(_taken(column, code_G)) for column in names]


def _visits(world: World) -> Names:
    """Events by their users and times, the latter in seconds and in ISO 8601."""
    log = world.log

    def names(index_G: NDArray[np.int64]) -> list[pl.Series]:
        user_G = np.searchsorted(log.offsets, index_G, side="right") - 1
        users = _texts(_taken(world.user_ids, user_G))
        if log.timestamps is None:
            return [users]
        seconds = log.timestamps[index_G]
        moments = pl.Series(seconds.astype("datetime64[s]").astype(str))
        return [
            users,
            _texts(pl.Series(seconds)),
            moments,
            moments.str.replace("T", " ", literal=True),
        ]

    return names


def _taken(ids: Any, code_G: NDArray[Any]) -> pl.Series:
    return pl.Series(pl.from_arrow(ids.take(pa.array(code_G))))


def _sample(world: World, phase: str) -> _Sample:
    """Sample targets of a phase."""
    log, rows = world.log, _spread(world.rows(phase))
    targets, of_row = target_ranges(rows, world.segments.dropped_targets)
    some = _spread(np.arange(len(targets)))
    targets, of_row = targets[some], of_row[some]
    last_U = np.zeros(len(log.offsets) - 1, dtype=np.int64)  # end of the training events
    last_U[world.train[:, 0]] = world.train[:, 2]
    user, last = rows[of_row, 0], rows[of_row, 2] - 1
    trained = np.where(last_U[user] > 0, last_U[user] - 1, last)
    is_new = ~repeated(log.items, rows, targets, of_row)
    return _Sample(targets, user, log.items[targets], last, trained, is_new)


def _spread(rows: NDArray[Any]) -> NDArray[Any]:
    """At most `SAMPLE` rows, evenly spread."""
    if len(rows) <= SAMPLE:
        return rows
    return rows[np.linspace(0, len(rows) - 1, SAMPLE).astype(np.int64)]


def _is_named(
    column_R: pl.Series, owner_G: NDArray[Any], names: list[pl.Series]
) -> NDArray[np.bool_]:
    """Whether the value of each owner is or contains one of the names, in any spelling, (G,).

    Args:
        column_R: of items, users or events.
        owner_G: owners whose value is read.
        names: the names to search for, each (G,).
    """
    value = column_R.gather(owner_G)
    frame = pl.DataFrame({f"name_{index}": name for index, name in enumerate(names)})
    frame = frame.select(normalized(pl.all(), DIFFERENCES))
    wanted = [pl.col(name) for name in frame.columns]
    kind: Any = value.dtype
    if isinstance(kind, pl.List | pl.Array):
        kind = kind.inner
        plain = pl.col("value").list.eval(normalized(pl.element(), DIFFERENCES))
        frame = frame.with_columns(value=value.cast(pl.List(pl.String))).with_columns(held=plain)
        frame = frame.with_columns(text=pl.col("held").list.join("\n"))
    else:
        frame = frame.with_columns(text=_texts(value))
        frame = frame.with_columns(text=normalized(pl.col("text"), DIFFERENCES))
        frame = frame.with_columns(held=pl.concat_list("text"))
    if kind == pl.String:
        # Splitting texts is slow, so only those that can contain a name.
        text = pl.col("text")
        can = pl.any_horizontal(text.str.contains(name, literal=True) for name in wanted)
        frame = frame.with_columns(text=pl.when(can).then(text).otherwise(pl.lit("")))
        words = (text.str.extract_all(word) for word in WORDS)
        frame = frame.with_columns(held=pl.concat_list("held", *words))
    is_named = pl.any_horizontal(
        pl.col("held").list.contains(name).fill_null(value=False) & name.is_not_null()
        for name in wanted
    )
    return frame.select(is_named).to_series().to_numpy()


def _texts(column: pl.Series) -> pl.Series:
    """Ids or values as text; whole numbers without a point, times in seconds."""
    if column.dtype.is_float():
        column = column.set(column != column.round(), None).cast(pl.Int64, strict=False)
    elif isinstance(column.dtype, pl.Date | pl.Datetime):
        column = column.dt.epoch("s")
    return column.str.strip_chars() if column.dtype == pl.String else column.cast(pl.String)


def _check(
    name: str,
    phase: str,
    sample: _Sample,
    query: tuple[pl.Series, NDArray[Any], list[pl.Series]],
    legitimate: Callable[[], Pair] | None,
) -> Iterator[Leak]:
    """A finding if more targets are named than by a legitimate column.

    Args:
        name: of the column.
        phase: ``validation`` or ``test``.
        sample: the targets.
        query: the column, the owner whose value is read for each target, and the target's names.
        legitimate: returns owners and names that a legitimate column may hold as well; None: only
            targets that are new to their users are checked.
    """
    column_R, owner_G, named = query
    hit_G = _is_named(*query)
    if hit_G.sum() < SURE**2:
        return
    others = np.roll(np.arange(len(hit_G)), (len(hit_G) + 1) // 2)
    other_G = _is_named(column_R, owner_G, [names.gather(others) for names in named])
    by_chance = [other_G] if legitimate is None else [other_G, _is_named(column_R, *legitimate())]
    if legitimate and (share := _excess(hit_G, by_chance)) >= SOME:
        severity: Severity = "leak" if share >= MANY else "warning"
        yield _leak(name, phase, hit_G, by_chance, severity, "")
        return
    new_G = sample.is_new_G
    share = _excess(hit_G[new_G], [other_G[new_G]])
    if share >= SOME:
        severity = "leak" if share >= MANY_NEW else "warning"
        yield _leak(name, phase, hit_G[new_G], [other_G[new_G]], severity, "new to their user ")


def _excess(hit_G: NDArray[np.bool_], by_chance: list[NDArray[np.bool_]]) -> float:
    """The share of named targets in excess of others; 0 if it may be due to chance."""
    ahead = [int(hit_G.sum()) - int(other_G.sum()) for other_G in by_chance]
    either = [int((hit_G ^ other_G).sum()) for other_G in by_chance]
    if any(more < SURE * np.sqrt(e) for more, e in zip(ahead, either, strict=True)):
        return 0.0
    return min(ahead) / max(1, len(hit_G))


def _leak(
    name: str,
    phase: str,
    hit_G: NDArray[np.bool_],
    by_chance: list[NDArray[np.bool_]],
    severity: Severity,
    which: str,
) -> Leak:
    chance = max(int(other_G.sum()) for other_G in by_chance)
    message = f"{which}are named by {name}; a legitimate column names about {chance:,}"
    changes = {"message": message, "severity": severity}
    return leak(KINDS, "column_names_target", phase, int(hit_G.sum()), len(hit_G), **changes)
