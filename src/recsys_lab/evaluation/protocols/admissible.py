"""Items of the catalogue that are candidates at the time of a list.

The catalogue is that of the whole prepared log, so it has items that are not released at the time
of a list. The option `candidates` of a protocol selects:

- ``all``: every item is a candidate. The default, because published protocols rank all items, so
  results are comparable with theirs, and no timestamps are needed. Unreleased items then take ranks
  in the lists: a model that lists items it has not learned scores lower than in production. Under a
  global or rolling split ``released`` is closer to production.
- ``known``: items with a training event. Other targets cannot be hit.
- ``released``: items whose first event, or time in the item column `release_column`, is not after
  the user's first target: what a shop could show at that time. Later targets of a user that were
  released later cannot be hit. Items without an event and a time are never candidates.

The share of targets that are candidates is logged. Shapes: B users, V items, G targets.
"""

from __future__ import annotations

import hashlib
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from recsys_lab.config import UserError
from recsys_lab.evaluation.protocols.base import RankingProtocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from recsys_lab.contracts import EvaluationBatch, Exclude
    from recsys_lab.evaluation.catalogue import RankedData
    from recsys_lab.evaluation.protocols.options import CatalogueOptions

    IsCandidate = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.bool_]]

_log = logging.getLogger(__name__)

BYTES_A_PAIR = 32
"""Memory of an excluded pair: row, item and intermediate values."""


class Admissible:
    """The items that are not candidates, by user.

    Args:
        config: the options.

    Attributes:
        reads_times: whether `EvaluationBatch.target_times_B` is needed.

    Raises:
        UserError: a release column is given and not read.
    """

    def __init__(self, config: CatalogueOptions) -> None:
        self._choice, self._column = config.candidates, config.release_column
        self.reads_times = self._choice == "released"
        if self._column is not None and not self.reads_times:
            raise UserError(
                f"evaluation.release_column={self._column}: has no effect without "
                "evaluation.candidates=released; set that, or this to null"
            )
        self._items = torch.empty(0, dtype=torch.int64)  # sorted by time, if there are times
        self._times = torch.empty(0, dtype=torch.int64)
        self._digest: str | None = None

    @property
    def is_all(self) -> bool:
        """Whether every item is a candidate."""
        return self._choice == "all"

    def attach(self, data: RankedData) -> None:
        """Read counts or release times of the items.

        Raises:
            UserError: the timestamps or the release column are missing.
        """
        if self._choice == "known":
            is_known_V = data.training_item_counts() > 0
            self._items = torch.from_numpy(np.flatnonzero(~is_known_V))
            _log_shares(data, lambda _, items: is_known_V[items])
        elif self._choice == "released":
            times_V = self._release_times(data)
            by_time = np.argsort(times_V, kind="stable")
            self._items = torch.from_numpy(by_time)
            self._times = torch.from_numpy(times_V[by_time])
            _log_shares(data, lambda times, items: times_V[items] <= times)

    def _release_times(self, data: RankedData) -> NDArray[np.int64]:
        if data.timestamps is None:
            raise UserError(
                "evaluation.candidates=released: the data has no timestamps; name their column "
                "with data.timestamp_column, or use known or all"
            )
        first_V = data.first_event_times()
        if self._column is None:
            return first_V
        given_V, is_given_V = data.item_times(self._column)
        times_V = np.where(is_given_V, given_V, first_V)
        self._digest = hashlib.sha256(times_V.astype("<i8").tobytes()).hexdigest()[:16]
        late = int((times_V > first_V).sum())
        if late or not is_given_V.all():
            _log.warning(
                "evaluation.release_column=%s: %d of %d items have no time and count from their "
                "first event; %d have a time later than their first event",
                self._column,
                int((~is_given_V).sum()),
                len(times_V),
                late,
            )
        return times_V

    def fields(self) -> dict[str, Any]:
        """The choice, for a protocol's fingerprint."""
        if self._digest is None:
            return {"candidates": f"{self._choice} items"}
        return {"candidates": "released items", "release_times_sha256": self._digest}

    def excluded(self, batch: EvaluationBatch) -> tuple[Tensor, Tensor]:
        """The pairs of a batch whose item is not a candidate."""
        users_B = batch.history.users_B
        device = users_B.device
        if self._items.device != device:
            self._items, self._times = self._items.to(device), self._times.to(device)
        rows_B = torch.arange(len(users_B), device=device)
        if not self.reads_times:
            return rows_B.repeat_interleave(len(self._items)), self._items.repeat(len(users_B))
        assert batch.target_times_B is not None, "the batches have no target times"
        first_B = torch.searchsorted(self._times, batch.target_times_B, right=True)
        lengths_B = len(self._items) - first_B
        rows = rows_B.repeat_interleave(lengths_B)
        before_B = lengths_B.cumsum(0) - lengths_B - first_B
        return rows, self._items[torch.arange(len(rows), device=device) - before_B[rows]]


class CatalogueRanking(RankingProtocol):
    """Base class of protocols whose candidates are items of the catalogue.

    Args:
        config: the options.
    """

    def __init__(self, config: CatalogueOptions) -> None:
        super().__init__(config)
        self._admissible = Admissible(config)
        self.reads_times = self._admissible.reads_times
        if not self._admissible.is_all:
            self.bytes_per_score += BYTES_A_PAIR

    def attach(self, data: RankedData) -> None:
        """Also read the release times of the items, if needed."""
        super().attach(data)
        self._admissible.attach(data)

    def exclude(self, batch: EvaluationBatch) -> Exclude | None:
        """The seen pairs, if these are excluded, and the pairs of items that are not candidates."""
        seen = (batch.seen_rows, batch.seen_items) if self.config.exclude_seen else None
        if self._admissible.is_all:
            return seen
        return joined(seen, self._admissible.excluded(batch))


def joined(one: Exclude | None, other: Exclude | None) -> Exclude | None:
    """The union of the pairs."""
    if one is None or other is None:
        return other if one is None else one
    return torch.cat([one[0], other[0]]), torch.cat([one[1], other[1]])


def _log_shares(data: RankedData, is_candidate: IsCandidate) -> None:
    """Log the share of targets that are candidates.

    Args:
        data: the prepared data.
        is_candidate: whether items are candidates, from the times of their lists (0 without
            timestamps) and the items.
    """
    for phase in ("validation", "test"):
        segments = np.asarray(data.segments(phase))
        times = np.zeros(len(segments), dtype=np.int64)
        if data.timestamps is not None:
            rows_G, targets_G = _targets(data, segments)
            first = np.searchsorted(rows_G, np.arange(len(segments)))
            times = data.timestamps[targets_G[first]]
        log_reachable(phase, data, segments, partial(_at, times, is_candidate))


def _at(
    times: NDArray[np.int64],
    is_candidate: IsCandidate,
    rows_G: NDArray[np.int64],
    items_G: NDArray[np.int64],
) -> NDArray[np.bool_]:
    return is_candidate(times[rows_G], items_G)


def log_reachable(
    phase: str, data: RankedData, segments: NDArray[np.int64], is_candidate: IsCandidate
) -> None:
    """Warn if some targets of a phase are not candidates.

    Args:
        phase: name of the phase.
        data: the prepared data.
        segments: segments of the phase, (n, 4).
        is_candidate: whether targets are candidates, from their rows and items, (G,).
    """
    rows_G, targets_G = _targets(data, segments)
    share = float(is_candidate(rows_G, data.items[targets_G].astype(np.int64)).mean())
    if share < 1:
        _log.warning(
            "evaluation: %.1f%% of the %s targets are candidates of their user; the others cannot "
            "be hit",
            100 * share,
            phase,
        )


def _targets(
    data: RankedData, segments: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and flat index of every target, ascending, (G,)."""
    lengths = segments[:, 3] - segments[:, 2]
    rows_G = np.repeat(np.arange(len(segments)), lengths)
    before = np.cumsum(lengths) - lengths
    targets_G = (segments[:, 2] - before)[rows_G] + np.arange(len(rows_G))
    kept = ~np.isin(targets_G, data.dropped_targets)
    return rows_G[kept], targets_G[kept]
