"""Metrics in which targets are worth different amounts: price, margin, rating.

Shapes: B users of a batch, K list length, G targets, T distinct targets of a user at most.

The option ``value_feature`` names a numeric column: of the items (the target's item), or of the
events (the target's event). Values are at least 0, in the column's unit. A target without one is
refused, unless ``missing_value`` says what it is worth. A pair of user and item that is a target
twice counts once, with its larger value.
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
from recsys_lab.evaluation.metrics.names import accuracy_names
from recsys_lab.evaluation.metrics.user_mean import UserMean
from recsys_lab.evaluation.sums import sum_over_ranks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recsys_lab.contracts import EvaluationBatch, Exclude, RankedLists
    from recsys_lab.evaluation.catalogue import RankedData
    from recsys_lab.evaluation.protocols.options import Options

_log = logging.getLogger(__name__)


class TargetValues:
    """What each target is worth.

    Args:
        config: the options of a protocol, with metrics of `VALUED`.
        data: the prepared dataset.

    Raises:
        UserError: there is no such column, it is of another kind, or a target's value is missing
            or below 0.
    """

    def __init__(self, config: Options, data: RankedData) -> None:
        self._name, self._missing = str(config.value_feature), config.missing_value
        self._names = accuracy_names([n for n in config.metrics if n in VALUED], config.ks)
        side, kind = self._name.partition(".")[0], data.features.entry(self._name)["type"]
        if side not in ("item", "event") or kind != "numeric":
            raise UserError(
                f"evaluation.value_feature: '{self._name}' is a {kind} column of the {side}s; a "
                "numeric column of the items or events is needed"
            )
        self._of_events = side == "event"
        self._column: NDArray[np.float32] = data.features.column(self._name)
        self._digest = self._checked(data)

    def __call__(
        self, places_G: NDArray[np.int64], items_G: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Values of the targets at some places of the flat arrays, float64 (G,)."""
        values_G = self._column[places_G if self._of_events else items_G].astype(np.float64)
        if self._missing is not None:
            values_G[np.isnan(values_G)] = self._missing
        return values_G

    def definitions(self) -> dict[str, dict[str, str]]:
        """What each metric of values is computed from: the column, and a hash of the values."""
        value = self._name
        if self._missing is not None:
            value += f", {self._missing:g} where missing"
        made = {"option": "value_feature", "value": value, "content": self._digest}
        return dict.fromkeys(self._names, made)

    def _checked(self, data: RankedData) -> str:
        """A hash of the values of all targets, which are what they may be."""
        digest = hashlib.sha256()
        for phase in ("validation", "test"):
            places_G = data.target_ranges(phase)
            items_G = data.items[places_G].astype(np.int64)
            lacks_G = np.isnan(self._column[places_G if self._of_events else items_G])
            values_G = self(places_G, items_G)
            if self._missing is None:
                cure = "say what such a target is worth (e.g. evaluation.missing_value=0), or fill "
                self._refuse(data, phase, lacks_G, items_G, "no value", f"{cure}the column")
            elif lacks_G.any():
                _log.warning(
                    "evaluation.value_feature=%s: %d of %d %s targets (%.1f%%) have no value and "
                    "count as worth %g",
                    self._name, lacks_G.sum(), len(lacks_G), phase, 100 * lacks_G.mean(),
                    self._missing,
                )  # fmt: skip
            wrong_G = (values_G < 0) | np.isinf(values_G)
            what = "a value below 0 or without bound"
            self._refuse(data, phase, wrong_G, items_G, what, "gains are at least 0")
            digest.update(values_G.astype("<f8").tobytes())
        return digest.hexdigest()[:16]

    def _refuse(
        self, data: RankedData, phase: str, wrong_G: NDArray[np.bool_],
        items_G: NDArray[np.int64], what: str, cure: str,
    ) -> None:  # fmt: skip
        if wrong_G.any():
            item = data.item_ids()[items_G[wrong_G][0]]
            raise UserError(
                f"evaluation.value_feature={self._name}: {int(wrong_G.sum()):,} of "
                f"{len(wrong_G):,} {phase} targets have {what}, such as one of item {item!r}; "
                f"{cure}"
            )


class ValueMetric(UserMean):
    """A mean over users, or a ratio of such means, of what their targets in the list are worth."""

    higher_is_better = True

    def update(self, batch: EvaluationBatch, ranked: RankedLists, exclude: Exclude | None) -> None:
        """Add the lists of B users."""
        del exclude
        values_BT, gains_BK = gains(batch, ranked.items_BK[:, : self.k])
        self.add(batch.lists_B, self.per_user(gains_BK, values_BT))

    @abstractmethod
    def per_user(self, gains_BK: Tensor, values_BT: Tensor) -> Tensor:
        """The number or numbers of each user, float64 (B,) or (B, width).

        Args:
            gains_BK: value of the target at each of the first k places, 0 where there is none.
            values_BT: values of the distinct targets, 0 beyond the last.
        """


class GradedNDCG(ValueMetric):
    """Normalised discounted cumulative gain with values as gains (Järvelin & Kekäläinen 2002).

    DCG = sum over hits of value / log2(place + 1), divided by that of the user's targets in the
    order of their values: gains enter as they are, as in trec_eval and scikit-learn, not as
    2^value - 1. A user whose targets are all worth 0 is left out. With one target it is NDCG.
    """

    name = "graded_ndcg"
    of_hits = True

    def per_user(self, gains_BK: Tensor, values_BT: Tensor) -> Tensor:
        """See the class."""
        ideal_BT = values_BT.sort(dim=1, descending=True).values[:, : self.k]
        return _dcg(gains_BK) / _dcg(ideal_BT)  # 0 / 0 is NaN: no value


class FoundValue(ValueMetric):
    """What the targets in the first k places are worth together, a user, in the column's unit.

    Of several lists: in all of the user's lists together; a list with ``mean_over: lists``.
    """

    name = "value"
    adds_lists = True

    def per_user(self, gains_BK: Tensor, values_BT: Tensor) -> Tensor:
        """See the class."""
        del values_BT
        return sum_over_ranks(gains_BK)


class ValueRecall(ValueMetric):
    """Share of the value of all users' targets that stands in the first k places of their lists.

    A ratio of sums over users, so it has no value of a single user: recall in which each target
    counts by its value. In [0, 1].
    """

    name = "value_recall"
    is_of_users = False
    adds_lists = True

    def __init__(self, k: int) -> None:
        super().__init__(k, width=2)

    def per_user(self, gains_BK: Tensor, values_BT: Tensor) -> Tensor:
        """Value found, and value of all targets, (B, 2)."""
        return torch.stack([sum_over_ranks(gains_BK), sum_over_ranks(values_BT)], 1)

    def compute(self) -> Tensor:
        """See the class; NaN where nothing is worth anything."""
        sums = super().compute()
        return sums[0] / sums[1]


class ValueHitRate(ValueRecall):
    """Hit rate in which each user (of several lists: each list) counts by the value of its targets.

    In [0, 1].
    """

    name = "value_hr"

    def per_user(self, gains_BK: Tensor, values_BT: Tensor) -> Tensor:
        """Value of all targets if any that is worth something is found, and in any case, (B, 2)."""
        worth_B = sum_over_ranks(values_BT)
        return torch.stack([worth_B * (gains_BK > 0).any(1), worth_B], 1)


VALUED: dict[str, type[ValueMetric]] = {
    m.name: m for m in (GradedNDCG, FoundValue, ValueRecall, ValueHitRate)
}


def gains(batch: EvaluationBatch, items_BK: Tensor) -> tuple[Tensor, Tensor]:
    """Values of the distinct targets of each user (B, T), and of those in the list by place (B, K).

    Raises:
        ValueError: the batch has no values.
    """
    if batch.target_values_G is None:
        raise ValueError("a metric of values needs EvaluationBatch.target_values_G")
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
    found_D, places = hits_DK.nonzero(as_tuple=True)
    gains_BK[rows_D[found_D], places] = values_D[found_D]
    return values_BT, gains_BK


def _dcg(gains_BK: Tensor) -> Tensor:
    discounts = [1 / math.log2(place + 2) for place in range(gains_BK.shape[1])]
    discounts_K = torch.tensor(discounts, dtype=torch.float64, device=gains_BK.device)
    return sum_over_ranks(gains_BK * discounts_K)


def refuse_idle_options(config: Any) -> None:
    """Metrics of values and the column that they read come together.

    Raises:
        UserError: one is given without the other.
    """
    named = [name for name in config.metrics if name in VALUED]
    if named and config.value_feature is None:
        raise UserError(
            f"evaluation.metrics: '{named[0]}' needs what each target is worth; name a numeric "
            "column of the items or events, e.g. evaluation.value_feature=item.price, or leave the "
            "metric out"
        )
    if not named and config.value_feature is not None:
        raise UserError(
            f"evaluation.value_feature={config.value_feature}: no metric reads it; add some of "
            f"{', '.join(VALUED)} to evaluation.metrics, or set it to null"
        )
    if config.missing_value is not None and config.value_feature is None:
        raise UserError(
            f"evaluation.missing_value={config.missing_value:g}: is read with "
            "evaluation.value_feature alone; name that, or set this to null"
        )
