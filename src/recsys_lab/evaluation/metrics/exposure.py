"""Exposure of items over the lists of all users: coverage and concentration.

Shapes: B users of a batch, K list length, V items.

The state are the lists, not item counts, so that a user who occurs twice (a padded distributed
sampler) counts once. The parts are views of the ranked lists and need no additional memory.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from recsys_lab.evaluation.metrics.user_mean import BeyondMetric

if TYPE_CHECKING:
    from recsys_lab.contracts import EvaluationBatch, RankedLists
    from recsys_lab.evaluation.catalogue import Catalogue


class Exposure(BeyondMetric):
    """Base class: a number computed from how often each item is in the first k ranks of the lists.

    All ranks count equally.
    """

    def __init__(self, config: Any = None, *, k: int, catalogue: Catalogue) -> None:
        super().__init__(config, k=k, catalogue=catalogue, width=k, dtype=torch.int64)

    def update(self, batch: EvaluationBatch, ranked: RankedLists) -> None:
        """Add the lists of B users."""
        self.add(batch.lists_B, ranked.items_BK[:, : self.k])

    def compute(self) -> Tensor:
        """See `of_counts`; NaN when nothing was shown."""
        _, items_LK = self.distinct()
        shown = items_LK[items_LK >= 0]
        if not len(shown):
            return torch.tensor(torch.nan, dtype=torch.float64)
        return self.of_counts(
            torch.bincount(shown, minlength=len(self.catalogue.counts_V)).double()
        )

    @abstractmethod
    def of_counts(self, shown_V: Tensor) -> Tensor:
        """The metric, from the number of lists that show each item, float64 (V,), not all 0."""


class Coverage(Exposure):
    """Share of the catalogue that is in at least one list, in (0, 1].

    Catalogue coverage of Ge, Delgado-Battenfeld and Jannach, "Beyond accuracy: evaluating
    recommender systems by coverage and serendipity", RecSys 2010
    (https://doi.org/10.1145/1864708.1864761).
    """

    name = "coverage"
    higher_is_better = True

    def of_counts(self, shown_V: Tensor) -> Tensor:
        """See the class."""
        return (shown_V > 0).double().mean()


class Gini(Exposure):
    """Gini index of exposure over the whole catalogue, in [0, 1 - 1/V]; 0: equal exposure.

    With counts ascending, ``sum over i = 1..V of (2 i - V - 1) c_i / (V sum c)``: Shani and
    Gunawardana, "Evaluating recommendation systems", 2011, section 3.8
    (https://doi.org/10.1007/978-0-387-85820-3_8), divided by V instead of V - 1.
    """

    name = "gini"
    higher_is_better = False

    def of_counts(self, shown_V: Tensor) -> Tensor:
        """See the class."""
        size = len(shown_V)
        # Whole numbers below 2^53: the order of the sum does not matter.
        weights_V = 2 * torch.arange(1, size + 1, device=shown_V.device).double() - size - 1
        return (weights_V * shown_V.sort().values).sum() / (size * shown_V.sum())


class Entropy(Exposure):
    """Shannon entropy of exposure in bits, in [0, log2 V]; log2 V: equal exposure.

    ``- sum p log2 p`` with p an item's share of all list entries: Shani and Gunawardana, 2011,
    section 3.8 (https://doi.org/10.1007/978-0-387-85820-3_8).
    """

    name = "entropy"
    higher_is_better = True

    def of_counts(self, shown_V: Tensor) -> Tensor:
        """See the class."""
        # Items with equal counts are one term, so that the result does not depend on their order.
        counts, items = shown_V[shown_V > 0].unique(return_counts=True)
        share = (counts / shown_V.sum()).tolist()
        bits = (-n * p * math.log2(p) for n, p in zip(items.tolist(), share, strict=True))
        return torch.tensor(math.fsum(bits), dtype=torch.float64)
