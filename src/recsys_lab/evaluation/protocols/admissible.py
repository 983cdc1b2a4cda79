"""Which items of the catalogue can be recommended at the moment a list is made for.

The catalogue is that of the whole prepared log, so it holds items that nobody could have met yet.
The option `candidates` of a protocol says what becomes of them:

- ``all``: every item is a candidate. The default: it is what published protocols rank, so numbers
  stay comparable with theirs and with those of every study made so far, and it needs no times.
  Items that nobody could have met take up places then: a model that has learned nothing of them
  and lists them is judged lower than it would be in use. Under a global or rolling split
  ``released`` is closer to use.
- ``known``: items with a training event. A target without one cannot be hit.
- ``released``: items whose first event, or whose time in the column `release_column` of the items,
  lies at or before the time of the user's first target: what a shop could show at that moment. Of
  several targets of a user those that come later and were released later cannot be hit. An item
  that has neither an event nor a time in the column is never a candidate.

How many targets are among the candidates is told. Shapes: B users, V items, G targets.
"""

from __future__ import annotations

import hashlib
import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from recsys_lab.config import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from recsys_lab.contracts import EvaluationBatch, Exclude
    from recsys_lab.evaluation.catalogue import RankedData

    IsCandidate = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.bool_]]

_log = logging.getLogger(__name__)

BYTES_A_PAIR = 32
"""Row and item of an excluded pair, and the numbers that they are made of."""


class Choice(Protocol):
    """The options of a protocol with a choice of candidates."""

    @property
    def candidates(self) -> str:
        """``all``, ``known`` or ``released``."""
        ...

    @property
    def release_column(self) -> str | None:
        """With ``released``: column of the items with their times; null: their first events."""
        ...


class Admissible:
    """The items that are no candidates, by user.

    Args:
        config: the choice.

    Attributes:
        reads_times: whether `EvaluationBatch.target_times_B` must be filled in.

    Raises:
        UserError: when a release column is given and not read.
    """

    def __init__(self, config: Choice) -> None:
        self._choice, self._column = config.candidates, config.release_column
        self.reads_times = self._choice == "released"
        if self._column is not None and not self.reads_times:
            raise UserError(
                f"evaluation.release_column={self._column}: is read with "
                "evaluation.candidates=released alone; set that, or this to null"
            )
        self._items = torch.empty(0, dtype=torch.int64)  # ascending by time where there are times
        self._times = torch.empty(0, dtype=torch.int64)
        self._digest: str | None = None

    @property
    def is_all(self) -> bool:
        """Whether every item is a candidate."""
        return self._choice == "all"

    def attach(self, data: RankedData) -> None:
        """Read what is known of the items.

        Raises:
            UserError: there are no times, or no such column.
        """
        if self._choice == "known":
            is_known_V = data.training_item_counts() > 0
            self._items = torch.from_numpy(np.flatnonzero(~is_known_V))
            _tell(data, lambda _, items: is_known_V[items])
        elif self._choice == "released":
            times_V = self._release_times(data)
            by_time = np.argsort(times_V, kind="stable")
            self._items = torch.from_numpy(by_time)
            self._times = torch.from_numpy(times_V[by_time])
            _tell(data, lambda moments, items: times_V[items] <= moments)

    def _release_times(self, data: RankedData) -> NDArray[np.int64]:
        if data.timestamps is None:
            raise UserError(
                "evaluation.candidates=released: the prepared data have no times. Name their "
                "column with data.timestamp_column, or choose known or all"
            )
        first_V = data.first_event_times()
        if self._column is None:
            return first_V
        told_V, is_told_V = data.item_times(self._column)
        times_V = np.where(is_told_V, told_V, first_V)
        self._digest = hashlib.sha256(times_V.astype("<i8").tobytes()).hexdigest()[:16]
        late = int((times_V > first_V).sum())
        if late or not is_told_V.all():
            _log.warning(
                "evaluation.release_column=%s: %d of %d items have no time in it, their first "
                "event counts; of %d the time is later than their first event",
                self._column, int((~is_told_V).sum()), len(times_V), late,
            )  # fmt: skip
        return times_V

    def fields(self) -> dict[str, Any]:
        """The choice, for a protocol's fingerprint."""
        if self._digest is None:
            return {"candidates": f"{self._choice} items"}
        return {"candidates": "released items", "release_times_sha256": self._digest}

    def excluded(self, batch: EvaluationBatch) -> Exclude:
        """The pairs of a batch whose item is no candidate."""
        users_B = batch.history.users_B
        device = users_B.device
        if self._items.device != device:
            self._items, self._times = self._items.to(device), self._times.to(device)
        rows_B = torch.arange(len(users_B), device=device)
        if not self.reads_times:
            return rows_B.repeat_interleave(len(self._items)), self._items.repeat(len(users_B))
        assert batch.target_times_B is not None, "the batches were not asked for times"
        first_B = torch.searchsorted(self._times, batch.target_times_B, right=True)
        lengths_B = len(self._items) - first_B
        rows = rows_B.repeat_interleave(lengths_B)
        before_B = lengths_B.cumsum(0) - lengths_B - first_B
        return rows, self._items[torch.arange(len(rows), device=device) - before_B[rows]]


def joined(one: Exclude | None, other: Exclude | None) -> Exclude | None:
    """The pairs of both."""
    if one is None or other is None:
        return other if one is None else one
    return torch.cat([one[0], other[0]]), torch.cat([one[1], other[1]])


def _tell(data: RankedData, is_candidate: IsCandidate) -> None:
    """Say how many targets can be hit.

    Args:
        data: the prepared data.
        is_candidate: of the time of a list (0 without times) and an item each.
    """
    for phase in ("validation", "test"):
        segments = np.asarray(data.segments(phase))
        moments = np.zeros(len(segments), dtype=np.int64)
        if data.timestamps is not None:
            rows_G, places_G = _targets(data, segments)
            first = np.searchsorted(rows_G, np.arange(len(segments)))
            moments = data.timestamps[places_G[first]]
        log_reachable(phase, data, segments, partial(_at, moments, is_candidate))


def _at(
    moments: NDArray[np.int64],
    is_candidate: IsCandidate,
    rows_G: NDArray[np.int64],
    items_G: NDArray[np.int64],
) -> NDArray[np.bool_]:
    return is_candidate(moments[rows_G], items_G)


def log_reachable(
    phase: str, data: RankedData, segments: NDArray[np.int64], is_candidate: IsCandidate
) -> None:
    """Warn where some targets of a phase are no candidates.

    Args:
        phase: its name.
        data: the prepared data.
        segments: its rows, (n, 4).
        is_candidate: of the row and the item of each target, (G,).
    """
    rows_G, places_G = _targets(data, segments)
    share = float(is_candidate(rows_G, data.items[places_G].astype(np.int64)).mean())
    if share < 1:
        _log.warning(
            "evaluation: %.1f%% of the %s targets are among their user's candidates; the others "
            "cannot be hit",
            100 * share, phase,
        )  # fmt: skip


def _targets(
    data: RankedData, segments: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and place of every target, ascending, (G,)."""
    lengths = segments[:, 3] - segments[:, 2]
    rows_G = np.repeat(np.arange(len(segments)), lengths)
    before = np.cumsum(lengths) - lengths
    places_G = (segments[:, 2] - before)[rows_G] + np.arange(len(rows_G))
    stays = ~np.isin(places_G, data.dropped_targets)
    return rows_G[stays], places_G[stays]
