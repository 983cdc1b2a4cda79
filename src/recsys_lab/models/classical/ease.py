"""EASE: a linear autoencoder with a closed-form solution (Steck, WWW 2019).

Shapes: V items, B users of a batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Gt, Le

from recsys_lab.config import UserError
from recsys_lab.models.classical.base import history_matrix, recommend_by, training_matrix

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from recsys_lab.contracts import Batch, Exclude, RankedLists, TrainingData

_BLOCK = 1024  # rows of the V x V matrix computed at a time


class EASE:
    """Scores by ``X B``, where B predicts each item of a user from the user's other items.

    With the binary training matrix X and ``P = (X'X + lambda I)^-1``, B is ``-P_ij / P_jj`` off
    the diagonal and 0 on it (equation 8). B is dense: for catalogues of up to about 20,000 items.

    Args:
        config: the options.
        num_items: catalogue size V.

    Raises:
        UserError: the V x V matrices need more memory than ``memory_gibibytes``.
    """

    ignores_seed = True

    @dataclass(frozen=True)
    class Config:
        """Options of `EASE`.

        Attributes:
            regularization: lambda, in users: about as many as an item needs to be trusted.
            precision: of the inversion; "float32" halves its memory. B is stored in float32.
            history_decay: weight of a history event relative to the next one; 1: equal weights,
                as in the paper.
            max_length: most recent events that are read; null for all.
            memory_gibibytes: memory limit for the matrices, checked before anything is computed.
        """

        regularization: Annotated[float, Gt(0)]
        precision: Literal["float32", "float64"]
        history_decay: Annotated[float, Gt(0), Le(1)]
        max_length: Annotated[int, Ge(1)] | None
        memory_gibibytes: Annotated[float, Gt(0)]

    def __init__(self, config: Config, *, num_items: int) -> None:
        # One matrix that is inverted in place, and the float32 result.
        need = num_items**2 * (np.dtype(config.precision).itemsize + 4) / 2**30
        if need > config.memory_gibibytes:
            msg = (
                f"model=ease needs {need:.3g} GiB for dense matrices of {num_items:,} x "
                f"{num_items:,} items; model.memory_gibibytes allows {config.memory_gibibytes:g}. "
                "Raise it if the machine has the memory, filter out rare items "
                "(filter.min_item_count), or use model=item_knn or model=ials"
            )
            raise UserError(msg)
        self.config = config
        self.window = config.max_length
        self._num_items = num_items
        self._weights_VV: NDArray[np.float32] = np.zeros((0, 0), dtype=np.float32)

    def fit(self, data: TrainingData) -> None:
        """Compute B from the co-occurrence counts of the training part."""
        gram_VV = self._gram(data)
        inverse_VV = _inverse_in_place(gram_VV)
        diagonal_V = inverse_VV.diagonal().copy()
        weights_VV = np.empty(inverse_VV.shape, dtype=np.float32)
        for first in range(0, self._num_items, _BLOCK):
            rows = slice(first, first + _BLOCK)
            weights_VV[rows] = inverse_VV[rows] / -diagonal_V
        np.fill_diagonal(weights_VV, 0)
        self._weights_VV = weights_VV

    def _gram(self, data: TrainingData) -> NDArray[np.floating[Any]]:
        """X'X + lambda I, (V, V)."""
        matrix = training_matrix(data, counts=False)
        transposed = matrix.T.tocsr()
        gram_VV = np.empty((self._num_items, self._num_items), dtype=self.config.precision)
        for first in range(0, self._num_items, _BLOCK):
            rows = slice(first, first + _BLOCK)
            gram_VV[rows] = (transposed[rows] @ matrix).toarray()
        np.fill_diagonal(gram_VV, gram_VV.diagonal() + self.config.regularization)
        return gram_VV

    def recommend(self, batch: Batch, k: int, exclude: Exclude | None) -> RankedLists:
        """The k items with the highest predicted value that are not excluded."""
        return recommend_by(self._score, batch, k, exclude, self._num_items)

    def _score(self, batch: Batch) -> NDArray[np.float32]:
        history = history_matrix(batch, self._num_items, decay=self.config.history_decay)
        return history @ self._weights_VV  # type: ignore[no-any-return]

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """B, float32 (V, V)."""
        return {"weights": self._weights_VV}

    def load_arrays(self, arrays: Mapping[str, NDArray[np.generic]], data: TrainingData) -> None:
        """The reverse of `arrays`; ``data`` is not needed."""
        del data
        self._weights_VV = np.asarray(arrays["weights"], dtype=np.float32)


def _inverse_in_place(matrix_VV: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Inverse of a symmetric positive definite matrix by Cholesky, in the matrix's own memory.

    Raises:
        UserError: rounding made it indefinite.
    """
    from scipy.linalg import get_lapack_funcs

    factorize, invert = get_lapack_funcs(("potrf", "potri"), (matrix_VV,))
    # LAPACK works on columns; a symmetric matrix's transpose is itself, and nothing is copied.
    factor, failed = factorize(matrix_VV.T, lower=1, overwrite_a=1, clean=0)
    if failed:
        msg = (
            f"model=ease: X'X + lambda I cannot be inverted in {matrix_VV.dtype}; set "
            "model.precision=float64 or a larger model.regularization"
        )
        raise UserError(msg)
    inverse: NDArray[np.floating[Any]]
    inverse, _ = invert(factor, lower=1, overwrite_c=1)
    for first in range(0, len(inverse), _BLOCK):
        last = min(first + _BLOCK, len(inverse))
        inverse[first:last, last:] = inverse[last:, first:last].T
        corner = np.tril(inverse[first:last, first:last])
        inverse[first:last, first:last] = corner + np.tril(corner, -1).T
    return inverse
