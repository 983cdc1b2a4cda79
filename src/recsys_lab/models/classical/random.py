"""Random: a random ranking, the chance level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from recsys_lab.models.classical.base import recommend_by

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from recsys_lab.contracts import Batch, Exclude, RankedLists, TrainingData


class Random:
    """Scores a (user, item) pair by a hash of (seed, user, item), uniform in [0, 1).

    A user's list does not depend on the batch or the process. With one target among V candidates
    the expected hit rate at K is K / V.

    Args:
        config: no options; the seed is drawn from torch's generator, which the run seeds.
        num_items: catalogue size V.
    """

    window = 1  # the history is not used; 1 is the shortest window

    @dataclass(frozen=True)
    class Config:
        """`Random` has no options."""

    def __init__(self, config: Config, *, num_items: int) -> None:
        self.config = config
        self._num_items = num_items
        self._seed = int(torch.randint(2**62, ()))

    def fit(self, data: TrainingData) -> None:
        """Nothing is learned."""
        del data

    def recommend(self, batch: Batch, k: int, exclude: Exclude | None) -> RankedLists:
        """Random items that are not excluded, k per user."""
        return recommend_by(self._score, batch, k, exclude, self._num_items)

    def _score(self, batch: Batch) -> NDArray[np.float32]:
        seed_1 = np.asarray([self._seed], dtype=np.uint64)
        users_B = batch.users_B.numpy().astype(np.uint64)
        items_V = np.arange(self._num_items, dtype=np.uint64)
        users_B = _mix(users_B + _mix(seed_1))
        mixed_BV = _mix(users_B[:, None] + items_V * _GOLDEN)
        return (mixed_BV >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """The seed, int64 (1,)."""
        return {"seed": np.asarray([self._seed], dtype=np.int64)}

    def load_arrays(self, arrays: Mapping[str, NDArray[np.generic]], data: TrainingData) -> None:
        """The reverse of `arrays`; ``data`` is not needed."""
        del data
        self._seed = int(np.asarray(arrays["seed"], dtype=np.int64)[0])


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64 (Steele, Lea & Flood, OOPSLA 2014): one step, wrapping."""
    x = x + _GOLDEN
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
