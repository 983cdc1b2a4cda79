"""`HistoryRanker` for histories that are encoded already, without a data frame of the lists.

Shapes: n histories, B histories of a batch, K list length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from recsys_lab.evaluation.protocols.base import ranked_lists
from recsys_lab.experiment.recommend import HistoryRanker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from recsys_lab.data.given_histories import GivenHistories, HistoryReader


@dataclass(frozen=True)
class RankedBatch:
    """The lists of some of the given histories, as indices.

    Attributes:
        rows_B: index of each history among those given, int64 (B,).
        items_BK: best first, padded with `NO_ITEM`, int64 (B, K).
        scores_BK: float32 (B, K).
    """

    rows_B: NDArray[np.int64]
    items_BK: NDArray[np.int64]
    scores_BK: NDArray[np.float32]


class EncodedRanker(HistoryRanker):
    """Ranks as `HistoryRanker.recommend` does."""

    @property
    def read(self) -> HistoryReader:
        """Encodes histories."""
        return self._read

    def list_length(self, k: int) -> int:
        """The number of ranks of a list: k, or the size of the catalogue."""
        return min(k, len(self._item_ids))

    def ranked(self, given: GivenHistories, k: int, *, exclude_seen: bool) -> Iterator[RankedBatch]:
        """The k best items of each history that the model can rank for, a batch at a time.

        Args:
            given: n encoded histories.
            k: of `list_length`.
            exclude_seen: leave out the items of the history.
        """
        is_ranked_n = np.asarray(given.lengths > 0) | self._ranks_empty
        rows_n, first = np.flatnonzero(is_ranked_n), 0
        kept = given if len(rows_n) == len(is_ranked_n) else given.where(is_ranked_n)
        for batch in self._batches(kept, exclude_seen=exclude_seen):
            size = batch.history.size
            with torch.inference_mode():
                exclude = self._exclude(batch)
                lists = ranked_lists(self._model, batch.history, k, exclude, len(self._item_ids))
            yield RankedBatch(
                rows_n[first : first + size],
                lists.items_BK.cpu().numpy(),
                lists.scores_BK.cpu().numpy(),
            )
            first += size
