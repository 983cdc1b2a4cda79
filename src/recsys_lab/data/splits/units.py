"""What a split counts, holds out and asks for: the events that may be targets.

The option ``target_events`` of every split names the event types that are to be found (views are
read, purchases must be found); null: all. A split then counts, draws and holds out events of these
types alone: "the last event" is the last purchase. **Every event before a target is its history**,
whatever its type. What is trained on is as without the option: each user's events before the first
one that is held out, of all types; whether the loss looks at all of them is ``recipe.supervise``.
Events after a user's validation target are never trained on, those after the test target are not
used (``events_unused``).

Shapes: U users, T events laid end to end by user, N units, n rows of one phase.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from recsys_lab.data.splits.places import draw, flat_index

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from recsys_lab.data.splits.base import FlatLog

Target = Literal["first", "last", "random", "all", "successive"]
"""Which of the units that are held out must be found: one; ``all`` at once, by the events before
the first of them; or, ``successive``, each in turn, by all events before it (Gusak et al. 2025), so
that a user has as many rows as units."""


class Units:
    """Events that may be targets, numbered through all users.

    Args:
        log: the events.
        target_events: their types, for errors.

    Attributes:
        offsets: user u owns the units ``offsets[u] .. offsets[u + 1]``, int64 (U + 1,).
        named: what they are, for people.
    """

    def __init__(self, log: FlatLog, target_events: Sequence[str] | None) -> None:
        self._log = log
        self._first_N: NDArray[np.int64] | None = None  # None: unit and place are one number
        self.offsets = log.offsets
        self.named = "events"
        if log.is_target is not None:
            self._first_N = np.flatnonzero(log.is_target)
            self.offsets = np.searchsorted(self._first_N, log.offsets)
            self.named = f"{' or '.join(target_events or ())} events"

    @property
    def counts(self) -> NDArray[np.int64]:
        """Units of every user, (U,)."""
        return np.diff(self.offsets)

    def starts(self, users_n: NDArray[np.int64], units_n: NDArray[np.int64]) -> NDArray[np.int64]:
        """Place of each unit's first event; the user's end for a number past the user's last."""
        ends = self._log.offsets[users_n + 1]
        is_past = units_n >= self.offsets[users_n + 1]
        return np.where(is_past, ends, self._start(np.where(is_past, 0, units_n)))

    def needs(self, number: int, log: FlatLog) -> str:
        """What users need for this many units to be held out, and what they have, for errors."""
        longest = int(np.diff(log.offsets).max(initial=0))
        if self._first_N is None:
            return f"Targets need users with {number + 1} events; the longest history has {longest}"
        most = int(self.counts.max(initial=0))
        return (
            f"Targets need users with {number} {self.named} and an event before them; the most "
            f"that a user has is {most}, and the longest history has {longest} events"
        )

    def from_places(self, places_n: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number of the first unit that begins at or after each place."""
        if self._first_N is None:
            return places_n
        return np.searchsorted(self._first_N, places_n)

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
        """Rows (user, history start, history end, target end) of what is held out, (n, 4).

        A history ends where the first target of its row begins.

        Args:
            rule: which of the units are targets.
            users_n: ascending.
            first_n: first unit that is held out of each user.
            end_n: number after the last one; users without any get no row.
            history_n: first event that may be read; None: the user's first.
            seed: of the random choice.
            stream: tells validation and test draws apart.
        """
        if history_n is None:
            history_n = self._log.offsets[users_n]
        held = end_n > first_n
        users, history, first, end = users_n[held], history_n[held], first_n[held], end_n[held]
        if rule == "first":
            end = first + 1
        elif rule == "last":
            first = end - 1
        elif rule == "random":
            number = draw(seed, stream, users) % (end - first).astype(np.uint64)
            first = first + number.astype(np.int64)
            end = first + 1
        elif rule == "successive":
            lengths = end - first
            users, history = np.repeat(users, lengths), np.repeat(history, lengths)
            first = flat_index(first, end)
            end = first + 1
        return np.stack([users, history, self._start(first), self._start(end - 1) + 1], axis=1)

    def _start(self, units_n: NDArray[np.int64]) -> NDArray[np.int64]:
        if self._first_N is None or not len(self._first_N):
            return units_n
        return self._first_N[units_n]
