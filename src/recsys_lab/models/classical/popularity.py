"""Popularity: the items with the most training events, overall or within a category.

Shapes: V items, B users of a batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from annotated_types import Gt

from recsys_lab.config import UserError
from recsys_lab.contracts import FIRST_KNOWN
from recsys_lab.models.classical.base import recommend_by, training_events

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from recsys_lab.contracts import Batch, Exclude, RankedLists, TrainingData

_DAY = 86_400  # seconds


class Popularity:
    """Scores an item by its number of training events, overall or in the most recent days.

    Args:
        config: the options.
        num_items: catalogue size V.
    """

    window = 1  # only the last item's category is read
    ignores_seed = True

    @dataclass(frozen=True)
    class Config:
        """Options of `Popularity`.

        Attributes:
            window_days: count only the events of this many days up to the last training event
                (inclusive); null counts all events.
            category_feature: categorical item feature; items with the same value as the user's
                last item rank first, by count, then all others, by count. null: one list for
                all users.
        """

        window_days: Annotated[float, Gt(0)] | None
        category_feature: str | None

    def __init__(self, config: Config, *, num_items: int) -> None:
        self.config = config
        self._counts_V = np.zeros(num_items, dtype=np.int64)
        self._categories_V: NDArray[np.int64] | None = None

    def fit(self, data: TrainingData) -> None:
        """Count the training events of each item.

        Raises:
            UserError: an option needs timestamps or a feature that the data do not have.
        """
        if self.config.window_days is None:
            self._counts_V = data.training_item_counts()
        else:
            self._counts_V = _recent_counts(data, self.config.window_days)
        if self.config.category_feature is not None:
            self._categories_V = _categories(data, self.config.category_feature)

    def recommend(self, batch: Batch, k: int, exclude: Exclude | None) -> RankedLists:
        """The k most frequent items that are not excluded."""
        return recommend_by(self._score, batch, k, exclude, len(self._counts_V))

    def _score(self, batch: Batch) -> NDArray[np.float64]:
        # float32 cannot represent all counts above 2 ** 24.
        scores_BV = np.tile(self._counts_V.astype(np.float64), (batch.size, 1))
        if self._categories_V is not None:
            ends_B = batch.offsets.numpy()[1:]
            known_R = np.flatnonzero(np.asarray(batch.lengths) > 0)
            last_R = self._categories_V[batch.items_T.numpy()[ends_B[known_R] - 1]]
            same_RV = (last_R[:, None] == self._categories_V) & (last_R >= 0)[:, None]
            scores_BV[known_R] += same_RV * float(self._counts_V.max(initial=0) + 1)
        return scores_BV

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """The counts, int64 (V,), and with a category feature its codes, int64 (V,)."""
        if self._categories_V is None:
            return {"counts": self._counts_V}
        return {"counts": self._counts_V, "categories": self._categories_V}

    def load_arrays(self, arrays: Mapping[str, NDArray[np.generic]], data: TrainingData) -> None:
        """The reverse of `arrays`; ``data`` is not needed."""
        del data
        self._counts_V = np.asarray(arrays["counts"], dtype=np.int64)
        if "categories" in arrays:
            self._categories_V = np.asarray(arrays["categories"], dtype=np.int64)


def _recent_counts(data: TrainingData, days: float) -> NDArray[np.int64]:
    """Number of events of each item in the last days of the training part, (V,)."""
    if data.timestamps is None:
        msg = (
            f"model.window_days: got {days:g}, but the data have no timestamps to count recent "
            "events by; set model.window_days=null"
        )
        raise UserError(msg)
    events = training_events(data)
    times_N = np.asarray(data.timestamps[events.places_N])
    recent = times_N > times_N.max(initial=0) - days * _DAY
    return np.bincount(events.items_N[recent], minlength=data.num_items)


def _categories(data: TrainingData, name: str) -> NDArray[np.int64]:
    """Category code of each item, -1 where missing or unknown, (V,)."""
    kind = data.features.entry(f"item.{name}")["type"]
    if kind != "categorical":
        msg = (
            f"model.category_feature: got '{name}', a {kind} feature, expected a categorical item "
            "feature; name one, or set model.category_feature=null"
        )
        raise UserError(msg)
    codes_V = np.asarray(data.features.column(f"item.{name}"), dtype=np.int64)
    return np.where(codes_V < FIRST_KNOWN, -1, codes_V)
