"""PureSVD: truncated SVD of the user-item matrix (Cremonesi, Koren & Turrin, RecSys 2010).

Shapes: U users, V items, D factors, B users of a batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch
from annotated_types import Ge, Gt, Le

from recsys_lab.config import UserError
from recsys_lab.models.classical.base import history_matrix, recommend_by, require, training_matrix

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from recsys_lab.contracts import Batch, Exclude, RankedLists, TrainingData


class PureSVD:
    """Scores by ``x Q Q'``: the history x projected on the D leading right singular vectors.

    Only the history is used, so users who are not in training need no special treatment. The
    singular vectors are computed by scikit-learn's randomized SVD, seeded from torch's generator,
    which the run seeds.

    Args:
        config: the options.
        num_items: catalogue size V.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of `PureSVD`.

        Attributes:
            num_factors: D, at most the number of users and of items.
            num_iterations: power iterations; more are closer to the exact SVD.
            history_decay: weight of a history event relative to the next one; 1: equal weights,
                as in the paper. Not used in training.
            max_length: most recent events that are read; null for all.
        """

        num_factors: Annotated[int, Ge(1)]
        num_iterations: Annotated[int, Ge(1)]
        history_decay: Annotated[float, Gt(0), Le(1)]
        max_length: Annotated[int, Ge(1)] | None

    def __init__(self, config: Config, *, num_items: int) -> None:
        require("sklearn", "pure_svd")
        self.config = config
        self.window = config.max_length
        self._num_items = num_items
        self._seed = int(torch.randint(2**31, ()))
        self._items_VD = np.zeros((num_items, config.num_factors), dtype=np.float32)

    def fit(self, data: TrainingData) -> None:
        """Factorise the binary training matrix.

        Raises:
            UserError: the matrix has fewer rows or columns than ``num_factors``.
        """
        from sklearn.utils.extmath import randomized_svd

        matrix = training_matrix(data, counts=False)
        if self.config.num_factors > min(matrix.shape):
            msg = (
                f"model.num_factors: got {self.config.num_factors}, expected at most "
                f"{min(matrix.shape)}, the rank of a matrix of {matrix.shape[0]:,} users x "
                f"{matrix.shape[1]:,} items"
            )
            raise UserError(msg)
        *_, factors_DV = randomized_svd(
            matrix,
            self.config.num_factors,
            n_iter=self.config.num_iterations,
            random_state=self._seed,
        )
        self._items_VD = np.ascontiguousarray(factors_DV.T, dtype=np.float32)

    def recommend(self, batch: Batch, k: int, exclude: Exclude | None) -> RankedLists:
        """The k items with the highest projected value that are not excluded."""
        return recommend_by(self._score, batch, k, exclude, self._num_items)

    def _score(self, batch: Batch) -> NDArray[np.float32]:
        history = history_matrix(batch, self._num_items, decay=self.config.history_decay)
        return history @ self._items_VD @ self._items_VD.T  # type: ignore[no-any-return]

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """The singular vectors Q, float32 (V, D)."""
        return {"items": self._items_VD}

    def load_arrays(self, arrays: Mapping[str, NDArray[np.generic]], data: TrainingData) -> None:
        """The reverse of `arrays`; ``data`` is not needed."""
        del data
        self._items_VD = np.asarray(arrays["items"], dtype=np.float32)
