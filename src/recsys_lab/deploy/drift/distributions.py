"""What is compared: one distribution per aspect of the two logs, counted by user.

Shapes: U units (users of OLD with compared events, then those of NEW), S values, T compared events
of one log, V items of both logs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from recsys_lab.deploy.drift.matching import Matched, match
from recsys_lab.deploy.drift.noise import Tallies, tally
from recsys_lab.deploy.drift.shifts import (
    frozen_edges,
    jensen_shannon,
    new_share,
    pair_divergence,
    popularity_psi,
    psi,
)
from recsys_lab.pages.number_format import duration, number

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from recsys_lab.deploy.drift.logs import EventLog, Part
    from recsys_lab.deploy.drift.noise import Statistic

MISSING = "(missing)"


@dataclass(frozen=True)
class Distribution:
    """One aspect of the logs.

    Attributes:
        name: e.g. ``popularity`` or ``item.category``.
        counts_SU: how often each unit has each value.
        measures: ``js``, ``psi`` or ``new_share`` -> its function.
        label: readable name of a value.
        ordered: whether the values are bins of a number, in order.
    """

    name: str
    counts_SU: sparse.csr_array
    measures: Mapping[str, Statistic]
    label: Callable[[int], str]
    ordered: bool = False

    def tallies(self) -> Tallies:
        """For `recsys_lab.deploy.drift.noise.judge`, with names such as ``popularity/js``."""
        named = {f"{self.name}/{key}": function for key, function in self.measures.items()}
        return Tallies(self.counts_SU, named)


class Both:
    """Both logs with the events that are compared and their items in one numbering.

    Args:
        old: the reference.
        new: compared with it.
        parts: the compared events of each.
    """

    def __init__(self, old: EventLog, new: EventLog, parts: tuple[Part, Part]) -> None:
        self.logs, self.parts = (old, new), parts
        self.matched: Matched = match(old.item_ids, new.item_ids, "item")
        self.numbers = (np.arange(len(old.item_ids)), self.matched.new)
        self.sizes = (len(parts[0].users), len(parts[1].users))

    @property
    def in_new_U(self) -> NDArray[np.bool_]:
        """The units of NEW."""
        return np.arange(sum(self.sizes)) >= self.sizes[0]

    def tally(self, codes: tuple[NDArray[np.int64], NDArray[np.int64]], size: int) -> Any:
        """Counts of one code per compared event, (S, U)."""
        pairs = zip(codes, self.parts, self.sizes, strict=True)
        return sparse.hstack(
            [tally(codes_T, part.users_T, size, units) for codes_T, part, units in pairs], "csr"
        )

    @cached_property
    def items(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Item of every compared event of each log, in the numbering of both."""
        first, second = (
            numbers[part.items_T] for numbers, part in zip(self.numbers, self.parts, strict=True)
        )
        return first, second

    def item_name(self, item: int) -> str:
        """Raw id of an item of the numbering of both logs, and its title if known."""
        old, new = self.logs
        log, index = old, item
        if item >= len(old.item_ids):
            log, index = new, int(np.flatnonzero(self.matched.new == item)[0])
        raw = str(log.item_ids[index])
        title = log.titles[index] if log.titles is not None else raw
        return raw if title == raw else f"{raw} {title}"


def popularity(both: Both) -> Distribution:
    """Events by item."""
    counts = both.tally(both.items, both.matched.size)
    measures = {"js": jensen_shannon, "psi": popularity_psi, "new_share": new_share}
    return Distribution("popularity", counts, measures, both.item_name)


def history_length(both: Both) -> Distribution:
    """Users by their number of compared events."""
    lengths = [np.bincount(part.users_T, minlength=len(part.users)) for part in both.parts]
    edges = frozen_edges(lengths[0])
    codes = np.searchsorted(edges, np.concatenate(lengths), side="left")
    counts = tally(codes, np.arange(len(codes)), len(edges) + 1, len(codes))
    return Distribution("history_length", counts, {"psi": psi}, bin_labels(edges, number), True)


def gaps(both: Both) -> Distribution | None:
    """Times between consecutive events of a user; None if no user of OLD has two events."""
    seconds, users = [], []
    for part in both.parts:
        assert part.times_T is not None
        same = part.users_T[1:] == part.users_T[:-1]
        seconds.append(np.abs(np.diff(part.times_T))[same])
        users.append(part.users_T[1:][same])
    if not len(seconds[0]):
        return None
    edges = frozen_edges(seconds[0])
    codes = np.searchsorted(edges, np.concatenate(seconds), side="left")
    units = np.concatenate([users[0], users[1] + both.sizes[0]])
    counts = tally(codes, units, len(edges) + 1, sum(both.sizes))
    return Distribution("gaps", counts, {"psi": psi}, bin_labels(edges, duration), True)


def pairs(both: Both) -> Distribution | None:
    """Pairs of consecutive items of a user; None if no user of OLD has two events."""
    keys, users = [], []
    for part, items_T in zip(both.parts, both.items, strict=True):
        same = part.users_T[1:] == part.users_T[:-1]
        keys.append((items_T[:-1] * both.matched.size + items_T[1:])[same])
        users.append(part.users_T[1:][same])
    if not len(keys[0]):
        return None
    known, codes = np.unique(np.concatenate(keys), return_inverse=True)
    units = np.concatenate([users[0], users[1] + both.sizes[0]])
    counts = tally(codes, units, len(known), sum(both.sizes))

    def label(code: int) -> str:
        first, second = divmod(int(known[code]), both.matched.size)
        return f"{both.item_name(first)} → {both.item_name(second)}"

    return Distribution("pairs", counts, {"js": pair_divergence}, label)


def feature(both: Both, name: str) -> Distribution | None:
    """A column: of items and events by event, of users by user; None if OLD has only missing ones.

    Numbers are binned by the deciles of OLD, with a bin for missing ones.
    """
    columns = [log.column(name) for log in both.logs]
    if both.logs[0].kinds[name] != "numeric":
        known = {text: code for code, text in enumerate(columns[0].names)}
        for text in columns[1].names:
            known.setdefault(text, len(known))
        renamed = np.array([known[text] for text in columns[1].names])
        codes = [columns[0].values, renamed[columns[1].values]]
        names = list(known)
        counts = _by_side(both, name, codes, [one.offsets for one in columns], len(known))
        return Distribution(name, counts, {"js": jensen_shannon}, names.__getitem__)
    weights = _weights(both, name)
    values = np.asarray(columns[0].values, np.float64)
    seen = (weights > 0) & np.isfinite(values)
    if not seen.any():
        return None
    edges = frozen_edges(values[seen], weights[seen])
    codes = [_binned(one.values, edges) for one in columns]
    counts = _by_side(both, name, codes, [None, None], len(edges) + 2)
    return Distribution(name, counts, {"psi": psi}, bin_labels(edges, number), True)


def _binned(values: NDArray[Any], edges: NDArray[Any]) -> NDArray[np.int64]:
    numbers = np.asarray(values, np.float64)
    codes = np.searchsorted(edges, numbers, side="left")
    return np.where(np.isfinite(numbers), codes, len(edges) + 1)


def _weights(both: Both, name: str) -> NDArray[np.float64]:
    """How often each row of a column of OLD is compared."""
    log, part = both.logs[0], both.parts[0]
    rows, size = {
        "item": (part.items_T, len(log.item_ids)),
        "user": (part.users, len(log.user_ids)),
        "event": (part.rows_T, len(log.items_T)),
    }[name.partition(".")[0]]
    return np.bincount(rows, minlength=size).astype(float)


def _by_side(
    both: Both,
    name: str,
    codes: list[NDArray[Any]],
    offsets: list[NDArray[np.int64] | None],
    size: int,
) -> sparse.csr_array:
    """Counts of the codes of a column by unit, (S, U)."""
    side, blocks = name.partition(".")[0], []
    for log, part, values, ends in zip(both.logs, both.parts, codes, offsets, strict=True):
        if side == "event":
            blocks.append(tally(values[part.rows_T], part.users_T, size, len(part.users)))
            continue
        rows = np.arange(len(values))
        count = len(log.item_ids if side == "item" else log.user_ids)
        if ends is not None:
            rows = np.repeat(np.arange(count), np.diff(ends))
        by_row = tally(values, rows, size, count)
        if side == "user":
            blocks.append(by_row[:, part.users])
        else:
            blocks.append(by_row @ tally(part.items_T, part.users_T, count, len(part.users)))
    return sparse.hstack(blocks, "csr")


def bin_labels(
    edges: NDArray[Any], text: Callable[[float], str], missing: str = MISSING
) -> Callable[[int], str]:
    """Names of the bins of `frozen_edges`; one after the last is for missing values."""
    marks = [text(float(edge)) for edge in edges]

    def label(code: int) -> str:
        if code > len(marks):
            return missing
        if not marks:
            return "all"
        if code == 0:
            return f"up to {marks[0]}"
        return (
            f"over {marks[-1]}"
            if code == len(marks)
            else f"over {marks[code - 1]}, to {marks[code]}"
        )

    return label
