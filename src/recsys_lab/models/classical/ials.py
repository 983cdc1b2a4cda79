"""iALS: implicit-feedback matrix factorisation (Hu, Koren & Volinsky, ICDM 2008).

Shapes: V items, D factors, B users of a batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch
from annotated_types import Ge, Gt, Le

from recsys_lab.models.classical.base import history_matrix, recommend_by, require, training_matrix
from recsys_lab.pages.number_format import duration
from recsys_lab.pages.terminal import PROGRESS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from recsys_lab.contracts import Batch, Exclude, RankedLists, TrainingData


class IALS:
    """Alternating least squares of the library ``implicit``; users are always folded in.

    A pair with n events has preference 1 with confidence ``alpha * n``, every other pair
    preference 0 with confidence 1. At inference each user's factor is solved exactly from the
    given history, whether or not the user was in training, so that events after training count
    too. A strong baseline when factors and regularisation are tuned (Rendle et al., "Revisiting
    the Performance of iALS", RecSys 2022); their frequency-scaled regularisation is not in the
    library.

    Args:
        config: the options. Initial factors are seeded from torch's generator, which the run
            seeds.
        num_items: catalogue size V.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of `IALS`.

        Attributes:
            num_factors: D.
            regularization: weight of the squared norm of each user's and item's factor.
            alpha: confidence of an observed event; an unobserved pair has 1.
            num_iterations: passes over users and items.
            history_decay: confidence of a history event relative to the next one; 1: equal, as in
                the paper. Not used in training.
            max_length: most recent events that are read; null for all.
        """

        num_factors: Annotated[int, Ge(1)]
        regularization: Annotated[float, Gt(0)]
        alpha: Annotated[float, Ge(1)]
        num_iterations: Annotated[int, Ge(1)]
        history_decay: Annotated[float, Gt(0), Le(1)]
        max_length: Annotated[int, Ge(1)] | None

    def __init__(self, config: Config, *, num_items: int) -> None:
        require("implicit", "ials")
        self.config = config
        self.window = config.max_length
        self._num_items = num_items
        self._seed = int(torch.randint(2**31, ()))
        self._items_VD = np.zeros((num_items, config.num_factors), dtype=np.float32)

    def fit(self, data: TrainingData) -> None:
        """Learn the item factors; user factors are computed from each history."""
        from implicit.cpu.als import AlternatingLeastSquares
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        # implicit runs its own threads over users; BLAS threads inside them would compete.
        with threadpool_limits(1, "blas"):
            model = AlternatingLeastSquares(
                factors=self.config.num_factors,
                regularization=self.config.regularization,
                alpha=self.config.alpha,
                iterations=self.config.num_iterations,
                random_state=self._seed,
            )
            model.fit(training_matrix(data, counts=True), show_progress=False, callback=self._tell)
        self._items_VD = np.asarray(model.item_factors, dtype=np.float32)

    def _tell(self, iteration: int, seconds: float, loss: float | None) -> None:
        """One line per iteration; the library counts them from 0 and computes no loss."""
        del loss
        of = self.config.num_iterations
        PROGRESS.info("iteration %d of %d: %s", iteration + 1, of, duration(seconds))

    def recommend(self, batch: Batch, k: int, exclude: Exclude | None) -> RankedLists:
        """The k items with the highest predicted preference that are not excluded."""
        return recommend_by(self._score, batch, k, exclude, self._num_items)

    def _score(self, batch: Batch) -> NDArray[np.float32]:
        return self.user_factors(batch) @ self._items_VD.T

    def user_factors(self, batch: Batch) -> NDArray[np.float32]:
        """The user factor of each history, float32 (B, D): equation 4 of the paper.

        ``(Y'Y + Y'(C - I)Y + lambda I)^-1 Y'C p`` with the item factors Y, confidences C and
        preferences p. An item whose confidence decayed to 0 drops out of the equations.
        """
        from threadpoolctl import threadpool_limits

        items_VD, config = self._items_VD, self.config
        history = history_matrix(batch, self._num_items, decay=config.history_decay, counts=True)
        confidences = history * config.alpha
        base_DD = items_VD.T @ items_VD + config.regularization * np.eye(config.num_factors)
        users_BD = np.zeros((batch.size, config.num_factors), dtype=np.float32)
        with threadpool_limits(1, "blas"):  # the systems are too small for several threads
            for row in range(batch.size):
                span = slice(confidences.indptr[row], confidences.indptr[row + 1])
                confidence_L1 = confidences.data[span, None]
                known_LD = items_VD[confidences.indices[span]]
                system_DD = base_DD + known_LD.T @ ((confidence_L1 - 1) * known_LD)
                users_BD[row] = np.linalg.solve(system_DD, (confidence_L1 * known_LD).sum(0))
        return users_BD

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """The item factors, float32 (V, D)."""
        return {"items": self._items_VD}

    def load_arrays(self, arrays: Mapping[str, NDArray[np.generic]], data: TrainingData) -> None:
        """The reverse of `arrays`; ``data`` is not needed."""
        del data
        self._items_VD = np.asarray(arrays["items"], dtype=np.float32)
