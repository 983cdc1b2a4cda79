"""Units of a split (events, sessions or baskets) and its target events.

**Target events.** The option ``target_events`` names the event types of targets (e.g. purchases,
predicted from views); null: all. A split then only counts, draws and holds out events of these
types: "the last event" is the last purchase. **Every event before a target is its history**,
whatever its type. Training events are the same as without the option: each user's events of all
types before the first held-out one; ``recipe.supervise`` selects those in the loss. Events after a
user's validation target are never trained on, those after the test target are not used
(``events_unused``).

**Units.** With ``unit: session`` or ``basket`` whole sessions or baskets with a possible target are
counted, drawn and held out instead of events. A session or basket is a run of a user's events, see
`recsys_lab.data.preparation.event_units`; it is never cut. One with events on both sides of a cut
in time is only history, neither trained on nor a target. A basket is predicted at once, as a set;
for sessions `Target` selects whether all events are, or each in turn.

Shapes: U users, T events concatenated by user, N units, S runs, n rows of one phase.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from recsys_lab.config import UserError
from recsys_lab.data.splits.base import FlatLog
from recsys_lab.data.splits.ranges import draw, flat_index

Target = Literal["first", "last", "random", "all", "successive"]
"""Which held-out events (or baskets) are targets: a single one; ``all`` at once, predicted from the
events before the first; or ``successive``: each in turn, from all events before it (Gusak et al.
2025), so that a user has as many rows as targets."""


class Units:
    """The units of a split, numbered through all users.

    Args:
        log: the events.
        unit: ``event``, ``session`` or ``basket``.
        target_events: types of the events that may be targets; None: all.

    Attributes:
        offsets: user u owns the units ``offsets[u] .. offsets[u + 1]``, int64 (U + 1,).
        named: what they are called in messages.

    Raises:
        UserError: if the log has no such units.
    """

    def __init__(self, log: FlatLog, unit: str, target_events: Sequence[str] | None) -> None:
        self._log = log
        self._first_N: NDArray[np.int64] | None = None  # None: units are events
        self._end_N: NDArray[np.int64] | None = None
        self._runs_S = _runs(log, unit)
        self._targets = self  # what is a target in turn
        self.named = f"{unit}s"
        if target_events is not None:
            kinds = " or ".join(target_events)
            runs = f"{unit}s with a {kinds} event"
            self.named = f"{kinds} events" if self._runs_S is None else runs
        if self._runs_S is not None:
            self._first_N, self._end_N = self._runs_S[:-1], self._runs_S[1:]
            if log.is_target is not None:
                holds = np.logical_or.reduceat(log.is_target, self._first_N)
                self._first_N, self._end_N = self._first_N[holds], self._end_N[holds]
            if unit == "session":
                self._targets = Units(log, "event", target_events)
        elif log.is_target is not None:
            self._first_N = np.flatnonzero(log.is_target)
            self._end_N = self._first_N + 1
        self.offsets = self.from_places(log.offsets)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Units of every user, (U,)."""
        return np.diff(self.offsets)

    def starts(self, users_n: NDArray[np.int64], units_n: NDArray[np.int64]) -> NDArray[np.int64]:
        """Index of each unit's first event; the user's end for numbers after the last unit."""
        ends = self._log.offsets[users_n + 1]
        is_past = units_n >= self.offsets[users_n + 1]
        return np.where(is_past, ends, self._start(np.where(is_past, 0, units_n)))

    def needs(self, number: int) -> str:
        """A sentence about what users need and have for this many held-out units, for errors."""
        longest = int(np.diff(self._log.offsets).max(initial=0))
        if self._first_N is None:
            return f"Targets need users with {number + 1} events; the longest history has {longest}"
        most = int(self.counts.max(initial=0))
        return (
            f"Targets need users with {number} {self.named} and an event before them; the most "
            f"that a user has is {most}, and the longest history has {longest} events"
        )

    def from_places(self, places_n: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number of the first unit that begins at or after each index."""
        return places_n if self._first_N is None else np.searchsorted(self._first_N, places_n)

    def until_places(self, places_n: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number after the last unit that ends at or before each index."""
        if self._end_N is None:
            return places_n
        return np.searchsorted(self._end_N, places_n, side="right")

    def between(
        self, first_n: NDArray[np.int64], end_n: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Numbers of the first whole unit between two indices each, and after the last."""
        return self.from_places(first_n), self.until_places(end_n)

    def whole_until(self, places_n: NDArray[np.int64]) -> NDArray[np.int64]:
        """The indices, moved to the start of the session or basket that each would cut."""
        if self._runs_S is None:
            return places_n
        return self._runs_S[np.searchsorted(self._runs_S, places_n, side="right") - 1]

    def rows(
        self,
        rule: Target,
        users_n: NDArray[np.int64],
        first_n: NDArray[np.int64],
        end_n: NDArray[np.int64],
        *,
        history_n: NDArray[np.int64] | None = None,
        seed: int = 0,
        stream: int = 0,
    ) -> NDArray[np.int64]:
        """Rows (user, history start, history end, target end) of held-out units, (n, 4).

        A history ends where the first target of its row begins, or where its unit begins if all
        targets of a unit are predicted at once.

        Args:
            rule: which of the units are targets.
            users_n: ascending.
            first_n: first held-out unit of each user.
            end_n: number after the last one; users without any get no row.
            history_n: first event that may be read; None: the user's first.
            seed: of the random choice.
            stream: separates the draws of validation and test.
        """
        if history_n is None:
            history_n = self._log.offsets[users_n]
        held = end_n > first_n
        users, history, first, end = users_n[held], history_n[held], first_n[held], end_n[held]
        if rule == "all":
            return np.stack([users, history, self._start(first), self._end(end - 1)], axis=1)
        of = self._targets
        if of is not self:
            first, end = of.from_places(self._start(first)), of.until_places(self._end(end - 1))
        if rule == "first":
            end = first + 1
        elif rule == "last":
            first = end - 1
        elif rule == "random":
            number = draw(seed, stream, users) % (end - first).astype(np.uint64)
            first = first + number.astype(np.int64)
            end = first + 1
        else:
            lengths = end - first
            users, history = np.repeat(users, lengths), np.repeat(history, lengths)
            first = flat_index(first, end)
            end = first + 1
        return np.stack([users, history, of._start(first), of._end(end - 1)], axis=1)

    def _start(self, units_n: NDArray[np.int64]) -> NDArray[np.int64]:
        if self._first_N is None or not len(self._first_N):
            return units_n
        return self._first_N[units_n]

    def _end(self, units_n: NDArray[np.int64]) -> NDArray[np.int64]:
        return units_n + 1 if self._end_N is None else self._end_N[units_n]


def _runs(log: FlatLog, unit: str) -> NDArray[np.int64] | None:
    """Starts of sessions or baskets and the end of the last, ascending, (S + 1,); None for events.

    Raises:
        UserError: if the log has none.
    """
    if unit == "event":
        return None
    starts = log.sessions if unit == "session" else log.baskets
    if starts is None:
        how = {
            "session": "no sessions: name their column with data.session_column, or set "
            "filter.session_gap (minutes without an event that end one)",
            "basket": "neither baskets nor times: name a column with data.basket_column or "
            "data.timestamp_column",
        }
        raise UserError(f"split.unit={unit}: the log has {how[unit]}")
    return np.append(starts, len(log.items))
