"""Oracle: ranks by the true next-item probabilities of synthetic data, an upper bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recsys_lab.config import UserError
from recsys_lab.models.ranking import top_k

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from recsys_lab.contracts import Batch, Exclude, GroundTruth, RankedLists, TrainingData


class Oracle:
    """Ranks by the process that generated a synthetic log; no ranking has a higher expected NDCG.

    Args:
        config: no options.
        num_items: catalogue size V.
    """

    window = None  # the true probabilities depend on the whole history
    ignores_seed = True
    reads_times = True

    @dataclass(frozen=True)
    class Config:
        """`Oracle` has no options."""

    def __init__(self, config: Config, *, num_items: int) -> None:
        self.config = config
        self._num_items = num_items
        self._truth: GroundTruth | None = None

    def fit(self, data: TrainingData) -> None:
        """Read the generating process from the data; nothing is learned.

        Raises:
            UserError: the generating process of the data is not known.
        """
        truth = data.truth()
        if truth is None:
            msg = (
                "model=oracle ranks by the true next-item probabilities, which are not known for "
                "these data; use synthetic data: data=synthetic_shop"
            )
            raise UserError(msg)
        self._truth = truth

    def recommend(self, batch: Batch, k: int, exclude: Exclude | None) -> RankedLists:
        """The k most probable items that are not excluded; ``batch`` holds whole histories."""
        assert self._truth is not None, "fit or load_arrays comes first"
        scores_BV = self._truth.next_item_probabilities(batch)
        assert scores_BV.shape[1] == self._num_items
        return top_k(scores_BV, k, exclude, batch.users_B)

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """Empty: the process is stored with the data."""
        return {}

    def load_arrays(self, arrays: Mapping[str, NDArray[np.generic]], data: TrainingData) -> None:
        """Read the process from the data again."""
        del arrays
        self.fit(data)
