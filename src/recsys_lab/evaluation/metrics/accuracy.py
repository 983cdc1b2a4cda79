"""Accuracy metrics as torchmetrics classes, exact under any number of processes.

Shapes: B users, K list length. Every metric is a mean of per-user values, see `user_mean`.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from recsys_lab.evaluation.metrics.user_mean import UserMean
from recsys_lab.evaluation.sums import sum_over_ranks


class PerUserMetric(UserMean):
    """A mean over users of a value in [0, 1] computed from the first k places of a list.

    Args:
        k: places that count, at least 1.
    """

    higher_is_better = True
    of_hits = True

    @abstractmethod
    def per_user(self, hits_BK: Tensor, num_targets_B: Tensor) -> Tensor:
        """The metric of each user, float64 (B,).

        Args:
            hits_BK: whether the item at each place is a target, bool (B, K), best place first.
            num_targets_B: targets of each user, int64 (B,), at least 1.
        """

    def update(self, lists_B: Tensor, hits_BK: Tensor, num_targets_B: Tensor) -> None:
        """Add lists, by `EvaluationBatch.lists_B`; see `per_user` for the shapes."""
        self.add(lists_B, self.per_user(hits_BK[:, : self.k], num_targets_B))


class NDCG(PerUserMetric):
    """Normalised discounted cumulative gain, binary gains (Järvelin & Kekäläinen 2002).

    DCG = sum over hits of 1 / log2(place + 1), divided by that of the ideal list.
    """

    name = "ndcg"

    def per_user(self, hits_BK: Tensor, num_targets_B: Tensor) -> Tensor:
        """See the class."""
        discounts = [1 / math.log2(place + 1) for place in range(1, self.k + 1)]
        discounts_K = torch.tensor(discounts, dtype=torch.float64, device=hits_BK.device)
        gained_B = sum_over_ranks(hits_BK * discounts_K[: hits_BK.shape[1]])
        # Added up as the list is: the ideal one has 1, not almost 1.
        ideal_K = sum_over_ranks(discounts_K.expand(self.k, -1).tril())
        return gained_B / ideal_K[num_targets_B.clamp(1, self.k) - 1]


class Recall(PerUserMetric):
    """Share of a user's targets that stand in the first k places."""

    name = "recall"

    def per_user(self, hits_BK: Tensor, num_targets_B: Tensor) -> Tensor:
        """See the class."""
        return hits_BK.sum(1).double() / num_targets_B


class HitRate(PerUserMetric):
    """1 when any target stands in the first k places; with one target the same as recall."""

    name = "hr"

    def per_user(self, hits_BK: Tensor, num_targets_B: Tensor) -> Tensor:
        """See the class."""
        del num_targets_B
        return hits_BK.any(1).double()


class Precision(PerUserMetric):
    """Targets in the first k places, divided by k; at most min(targets, k) / k."""

    name = "precision"
    by_rank = True

    def per_user(self, hits_BK: Tensor, num_targets_B: Tensor) -> Tensor:
        """See the class."""
        del num_targets_B
        return hits_BK.sum(1).double() / self.k


class MAP(PerUserMetric):
    """Mean over users of the average precision at k; at most min(targets, k) / targets.

    AP@k = sum over hits of the precision at their place, divided by the number of targets, also
    when that is more than k: `map_cut_k` of trec_eval (Buckley & Voorhees 2005), not the version
    of some competitions that divides by min(targets, k). With one target it equals MRR.
    """

    name = "map"

    def per_user(self, hits_BK: Tensor, num_targets_B: Tensor) -> Tensor:
        """See the class."""
        places_K = torch.arange(1, hits_BK.shape[1] + 1, device=hits_BK.device)
        precisions_BK = hits_BK.cumsum(1).double() / places_K
        return sum_over_ranks(precisions_BK * hits_BK) / num_targets_B


class RPrecision(PerUserMetric):
    """Share of R targets that stand in the first R places, of a list cut to k places.

    `Rprec` of trec_eval, on lists of k; where R is more than k at most k / R.
    """

    name = "r_precision"

    def per_user(self, hits_BK: Tensor, num_targets_B: Tensor) -> Tensor:
        """See the class."""
        places_K = torch.arange(hits_BK.shape[1], device=hits_BK.device)
        counts_BK = places_K < num_targets_B.unsqueeze(1)
        return (hits_BK & counts_BK).sum(1).double() / num_targets_B


class MRR(PerUserMetric):
    """Reciprocal of the place of the first hit, 0 when none is in the first k places."""

    name = "mrr"

    def per_user(self, hits_BK: Tensor, num_targets_B: Tensor) -> Tensor:
        """See the class."""
        del num_targets_B
        place_B = hits_BK.double().argmax(1) + 1
        return hits_BK.any(1).double() / place_B


METRICS: dict[str, type[PerUserMetric]] = {
    m.name: m for m in (NDCG, HitRate, Recall, Precision, MAP, RPrecision, MRR)
}


def make_metrics(names: Sequence[str], ks: Sequence[int]) -> dict[str, PerUserMetric]:
    """One metric for each name and k, keyed ``"ndcg@10"`` and so on."""
    return {f"{name}@{k}": METRICS[name](k) for name in names for k in ks}


def hits_of(items_BK: Tensor, target_rows: Tensor, target_items: Tensor) -> tuple[Tensor, Tensor]:
    """Compare lists with targets.

    Args:
        items_BK: ranked items, int64 (B, K).
        target_rows: row of each target, int64 (G,).
        target_items: item of each target, int64 (G,); a repeated pair counts once.

    Returns:
        Whether each place holds a target, bool (B, K), and the number of distinct targets of
        each row, int64 (B,).
    """
    if target_rows.shape[0] > 1:
        pairs = torch.stack([target_rows, target_items], 1).unique(dim=0)
        target_rows, target_items = pairs[:, 0], pairs[:, 1]
    match_GK = items_BK[target_rows] == target_items.unsqueeze(1)
    hits_BK = torch.zeros_like(items_BK).index_add_(0, target_rows, match_GK.long()) > 0
    num_targets_B = torch.bincount(target_rows, minlength=items_BK.shape[0])
    return hits_BK, num_targets_B
