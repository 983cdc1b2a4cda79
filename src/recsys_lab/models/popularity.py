"""Popularity: the items with the most training events, for everybody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from recsys_lab.models.ranking import top_k

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from recsys_lab.contracts import Batch, Exclude, RankedLists, TrainingData


class Popularity:
    """Scores an item by its number of training events.

    Args:
        config: no options.
        num_items: catalogue size V.
    """

    window = 1  # the history does not matter; one event is the shortest read

    @dataclass(frozen=True)
    class Config:
        """`Popularity` has no options."""

    def __init__(self, config: Config, *, num_items: int) -> None:
        self.config = config
        self._counts = torch.zeros(num_items, dtype=torch.float64)

    def fit(self, data: TrainingData) -> None:
        """Count the training events of each item."""
        self._counts = torch.from_numpy(data.training_item_counts().astype(np.float64))

    def recommend(self, batch: Batch, k: int, exclude: Exclude | None) -> RankedLists:
        """The k most frequent items that are not excluded."""
        return top_k(self._counts.repeat(batch.size, 1), k, exclude, batch.users_B)

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """The counts, float64 (V,)."""
        return {"counts": self._counts.numpy()}

    def load_arrays(self, arrays: Mapping[str, NDArray[np.generic]], data: TrainingData) -> None:
        """The reverse of `arrays`; ``data`` is not needed."""
        del data
        self._counts = torch.from_numpy(np.asarray(arrays["counts"], dtype=np.float64))
