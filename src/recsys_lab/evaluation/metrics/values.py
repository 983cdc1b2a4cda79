"""Metrics of target values: price, margin, rating.

Shapes: B users of a batch, K list length, G targets, T most distinct targets of a user.

The option ``value_feature`` names a numeric column of the items (value of the target's item) or of
the events (value of the target's event). Values are at least 0, in the column's unit. A missing
value is an error, unless ``missing_value`` replaces it. A (user, item) pair that is a target twice
counts once, with the larger value.
"""

from __future__ import annotations

import hashlib
import logging
import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from recsys_lab.config import UserError
from recsys_lab.contracts import send
from recsys_lab.evaluation.metrics.user_mean import AccuracyMetric, UserMean
from recsys_lab.evaluation.sums import sum_over_ranks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recsys_lab.contracts import EvaluationBatch, Exclude, RankedLists
    from recsys_lab.evaluation.catalogue import RankedData
    from recsys_lab.evaluation.protocols.options import Options

_log = logging.getLogger(__name__)


class TargetValues:
    """The value of each target.

    Args:
        config: the options of a protocol, with a metric that reads values.
        data: the prepared dataset.

    Raises:
        UserError: the column does not exist or is not numeric, or a target's value is missing or
            below 0.
    """

    def __init__(self, config: Options, data: RankedData) -> None:
        self._name, self._missing = str(config.value_feature), config.missing_value
        side, kind = self._name.partition(".")[0], data.features.entry(self._name)["type"]
        if side not in ("item", "event") or kind != "numeric":
            raise UserError(
                f"evaluation.value_feature: '{self._name}' is a {kind} column of the {side}s, "
                "expected a numeric column of the items or events"
            )
        self._of_events = side == "event"
        self._column: NDArray[np.float32] = data.features.column(self._name)
        self._digest = self._checked(data)

    def __call__(
        self, places_G: NDArray[np.int64], items_G: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Values of targets, float64 (G,).

        Args:
            places_G: index of each target's event in the flat arrays.
            items_G: item of each target.
        """
        values_G = self._column[places_G if self._of_events else items_G].astype(np.float64)
        if self._missing is not None:
            values_G[np.isnan(values_G)] = self._missing
        return values_G

    def definition(self) -> dict[str, str]:
        """The column and a hash of the values, for the record."""
        value = self._name
        if self._missing is not None:
            value += f", {self._missing:g} where missing"
        return {"option": "value_feature", "value": value, "content": self._digest}

    def _checked(self, data: RankedData) -> str:
        """Check the values of all targets; returns a hash of them."""
        digest = hashlib.sha256()
        for phase in ("validation", "test"):
            places_G = data.target_ranges(phase)
            items_G = data.items[places_G].astype(np.int64)
            lacks_G = np.isnan(self._column[places_G if self._of_events else items_G])
            values_G = self(places_G, items_G)
            if self._missing is None:
                cure = "set a value for these targets (e.g. evaluation.missing_value=0), or fill "
                self._refuse(data, phase, lacks_G, items_G, "no value", f"{cure}the column")
            elif lacks_G.any():
                _log.warning(
                    "evaluation.value_feature=%s: %d of %d %s targets (%.1f%%) have no value and "
                    "count with %g",
                    self._name,
                    lacks_G.sum(),
                    len(lacks_G),
                    phase,
                    100 * lacks_G.mean(),
                    self._missing,
                )
            wrong_G = (values_G < 0) | np.isinf(values_G)
            what = "a negative or infinite value"
            self._refuse(data, phase, wrong_G, items_G, what, "expected finite values from 0")
            digest.update(values_G.astype("<f8").tobytes())
        return digest.hexdigest()[:16]

    def _refuse(
        self,
        data: RankedData,
        phase: str,
        wrong_G: NDArray[np.bool_],
        items_G: NDArray[np.int64],
        what: str,
        cure: str,
    ) -> None:
        if wrong_G.any():
            item = data.item_ids()[items_G[wrong_G][0]]
            raise UserError(
                f"evaluation.value_feature={self._name}: {int(wrong_G.sum()):,} of "
                f"{len(wrong_G):,} {phase} targets have {what}, e.g. one of item {item!r}; {cure}"
            )


class ValueMetric(AccuracyMetric, UserMean):
    """Base class: a mean over users, or a ratio of means, computed from target values."""

    reads_targets = reads_values = True

    def update(self, batch: EvaluationBatch, ranked: RankedLists, exclude: Exclude | None) -> None:
        """Add the lists of B users."""
        del exclude
        values_BT, gains_BK = gains(batch, ranked.items_BK[:, : self.k])
        self.add(batch.lists_B, self.per_user(gains_BK, values_BT))

    @abstractmethod
    def per_user(self, gains_BK: Tensor, values_BT: Tensor) -> Tensor:
        """The value or values of each user, float64 (B,) or (B, width).

        Args:
            gains_BK: value of the target at each of the first k ranks, 0 where there is none.
            values_BT: values of the distinct targets, padded with 0.
        """


class GradedNDCG(ValueMetric):
    """Normalised discounted cumulative gain with target values as gains.

    Järvelin & Kekäläinen (2002): DCG = sum over hits of value / log2(rank + 1), divided by the DCG
    of the user's targets sorted by value. Gains are linear, as in trec_eval and scikit-learn, not
    2^value - 1. Users whose targets all have value 0 are left out. With one target it equals NDCG.
    """

    name = "graded_ndcg"
    higher_is_better = True
    of_hits = True

    def per_user(self, gains_BK: Tensor, values_BT: Tensor) -> Tensor:
        """See the class."""
        ideal_BT = values_BT.sort(dim=1, descending=True).values[:, : self.k]
        return _dcg(gains_BK) / _dcg(ideal_BT)  # 0 / 0 is NaN: the user is left out


class FoundValue(ValueMetric):
    """Total value of the targets in the first k ranks per user, in the column's unit.

    With several lists per user: the total over the user's lists, or, with ``mean_over: lists``,
    the total per list.
    """

    name = "value"
    higher_is_better = True
    adds_lists = True

    def per_user(self, gains_BK: Tensor, values_BT: Tensor) -> Tensor:
        """See the class."""
        del values_BT
        return sum_over_ranks(gains_BK)


class ValueRecall(ValueMetric):
    """Share of the total target value that is in the first k ranks: value-weighted recall.

    A ratio of sums over all users, so it has no per-user values. In [0, 1].
    """

    name = "value_recall"
    higher_is_better = True
    is_of_users = False
    adds_lists = True

    def __init__(self, config: Any = None, *, k: int) -> None:
        super().__init__(config, k=k, width=2)

    def per_user(self, gains_BK: Tensor, values_BT: Tensor) -> Tensor:
        """Value of the hits, and value of all targets, (B, 2)."""
        return torch.stack([sum_over_ranks(gains_BK), sum_over_ranks(values_BT)], 1)

    def compute(self) -> Tensor:
        """See the class; NaN if all values are 0."""
        sums = super().compute()
        return sums[0] / sums[1]


class ValueHitRate(ValueRecall):
    """Hit rate in which each user (or list) is weighted by the value of its targets.

    In [0, 1].
    """

    name = "value_hr"

    def per_user(self, gains_BK: Tensor, values_BT: Tensor) -> Tensor:
        """Value of all targets if any is a hit, else 0; and value of all targets, (B, 2)."""
        total_B = sum_over_ranks(values_BT)
        return torch.stack([total_B * (gains_BK > 0).any(1), total_B], 1)


def gains(batch: EvaluationBatch, items_BK: Tensor) -> tuple[Tensor, Tensor]:
    """Values of each user's distinct targets, (B, T), and of the hits by rank, (B, K).

    Raises:
        ValueError: the batch has no values.
    """
    if batch.target_values_G is None:
        raise ValueError("metrics of target values need EvaluationBatch.target_values_G")
    pairs = torch.stack([batch.target_rows, batch.target_items], 1)
    distinct, of_target = pairs.unique(dim=0, return_inverse=True)
    values_D = torch.zeros(len(distinct), dtype=torch.float64, device=items_BK.device)
    values_D.scatter_reduce_(0, of_target, batch.target_values_G, "amax")
    rows_D, items_D = distinct.T
    lengths_B = torch.bincount(rows_D, minlength=len(items_BK))
    number_D = torch.arange(len(rows_D), device=rows_D.device)
    number_D = number_D - (lengths_B.cumsum(0) - lengths_B)[rows_D]
    size = (len(items_BK), int(lengths_B.max()) if len(lengths_B) else 0)
    values_BT = torch.zeros(size, dtype=torch.float64, device=items_BK.device)
    values_BT[rows_D, number_D] = values_D
    gains_BK = torch.zeros(items_BK.shape, dtype=torch.float64, device=items_BK.device)
    hits_DK = items_BK[rows_D] == items_D.unsqueeze(1)
    hits, ranks = hits_DK.nonzero(as_tuple=True)
    gains_BK[rows_D[hits], ranks] = values_D[hits]
    return values_BT, gains_BK


def _dcg(gains_BK: Tensor) -> Tensor:
    discounts = [1 / math.log2(rank + 1) for rank in range(1, gains_BK.shape[1] + 1)]
    discounts_K = send(torch.tensor(discounts, dtype=torch.float64), gains_BK.device)
    return sum_over_ranks(gains_BK * discounts_K)
