"""Accuracy metrics as torchmetrics classes, independent of the number of processes.

Shapes: B users, K list length. Every metric is a mean of per-user values: see `user_mean`.
"""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor

from recsys_lab.contracts import send
from recsys_lab.evaluation.metrics.user_mean import AccuracyMetric, UserMean
from recsys_lab.evaluation.sums import sum_over_ranks


class PerUserMetric(AccuracyMetric, UserMean):
    """Base class: a mean over users of a value computed from the hits in the first k ranks.

    The lab's metrics are in [0, 1], and 0 for a user without hits; your own need not be.
    """

    of_hits = True

    @abstractmethod
    def per_user(self, hits_BK: Tensor, num_targets_B: Tensor) -> Tensor:
        """The value of each user, float64 (B,); NaN where it is undefined.

        Args:
            hits_BK: whether the item at each rank is a target, bool (B, K), best first.
            num_targets_B: number of targets of each user, int64 (B,), at least 1.
        """

    def update(self, lists_B: Tensor, hits_BK: Tensor, num_targets_B: Tensor) -> None:
        """Add lists, by `EvaluationBatch.lists_B`; see `per_user` for the shapes."""
        self.add(lists_B, self.per_user(hits_BK[:, : self.k], num_targets_B))


class NDCG(PerUserMetric):
    """Normalised discounted cumulative gain with binary gains (Järvelin & Kekäläinen 2002).

    DCG = sum over hits of 1 / log2(rank + 1), divided by the DCG of the ideal list.
    """

    name = "ndcg"
    higher_is_better = True

    def per_user(self, hits_BK: Tensor, num_targets_B: Tensor) -> Tensor:
        """See the class."""
        discounts = [1 / math.log2(rank + 1) for rank in range(1, self.k + 1)]
        discounts_K = send(torch.tensor(discounts, dtype=torch.float64), hits_BK.device)
        gained_B = sum_over_ranks(hits_BK * discounts_K[: hits_BK.shape[1]])
        # Summed in the same order as the list, so that an ideal list has exactly 1.
        ideal_K = sum_over_ranks(discounts_K.expand(self.k, -1).tril())
        return gained_B / ideal_K[num_targets_B.clamp(1, self.k) - 1]


class Recall(PerUserMetric):
    """Share of a user's targets that are in the first k ranks."""

    name = "recall"
    higher_is_better = True

    def per_user(self, hits_BK: Tensor, num_targets_B: Tensor) -> Tensor:
        """See the class."""
        return hits_BK.sum(1).double() / num_targets_B


class HitRate(PerUserMetric):
    """1 if any target is in the first k ranks, else 0; with one target it equals recall."""

    name = "hr"
    higher_is_better = True

    def per_user(self, hits_BK: Tensor, num_targets_B: Tensor) -> Tensor:
        """See the class."""
        del num_targets_B
        return hits_BK.any(1).double()


class Precision(PerUserMetric):
    """Number of targets in the first k ranks, divided by k; at most min(targets, k) / k."""

    name = "precision"
    higher_is_better = True
    by_rank = True

    def per_user(self, hits_BK: Tensor, num_targets_B: Tensor) -> Tensor:
        """See the class."""
        del num_targets_B
        return hits_BK.sum(1).double() / self.k


class MAP(PerUserMetric):
    """Mean average precision at k; at most min(targets, k) / targets.

    AP@k = sum over hits of the precision at their rank, divided by the number of targets, even if
    that is more than k: `map_cut_k` of trec_eval (Buckley & Voorhees 2005), not the variant of
    some competitions that divides by min(targets, k). With one target it equals MRR.
    """

    name = "map"
    higher_is_better = True

    def per_user(self, hits_BK: Tensor, num_targets_B: Tensor) -> Tensor:
        """See the class."""
        ranks_K = torch.arange(1, hits_BK.shape[1] + 1, device=hits_BK.device)
        precisions_BK = hits_BK.cumsum(1).double() / ranks_K
        return sum_over_ranks(precisions_BK * hits_BK) / num_targets_B


class RPrecision(PerUserMetric):
    """Share of a user's R targets that are in the first R ranks of the list of length k.

    `Rprec` of trec_eval on lists of length k; at most k / R if R is more than k.
    """

    name = "r_precision"
    higher_is_better = True

    def per_user(self, hits_BK: Tensor, num_targets_B: Tensor) -> Tensor:
        """See the class."""
        index_K = torch.arange(hits_BK.shape[1], device=hits_BK.device)
        first_BK = index_K < num_targets_B.unsqueeze(1)
        return (hits_BK & first_BK).sum(1).double() / num_targets_B


class MRR(PerUserMetric):
    """Reciprocal rank of the first hit, 0 if there is none in the first k ranks."""

    name = "mrr"
    higher_is_better = True

    def per_user(self, hits_BK: Tensor, num_targets_B: Tensor) -> Tensor:
        """See the class."""
        del num_targets_B
        rank_B = hits_BK.double().argmax(1) + 1
        return hits_BK.any(1).double() / rank_B


def hits_of(items_BK: Tensor, target_rows: Tensor, target_items: Tensor) -> tuple[Tensor, Tensor]:
    """Compare lists with targets.

    Args:
        items_BK: ranked items, int64 (B, K).
        target_rows: row of each target, int64 (G,).
        target_items: item of each target, int64 (G,); a repeated pair counts once.

    Returns:
        Whether the item at each rank is a target, bool (B, K), and the number of distinct targets
        of each row, int64 (B,).
    """
    match_GK = items_BK[target_rows] == target_items.unsqueeze(1)
    hits_BK = torch.zeros_like(items_BK).index_add_(0, target_rows, match_GK.long()) > 0
    # Sorted by item, then row, so that equal pairs are neighbours; `unique` would make the host
    # wait for their number.
    order_G = target_items.argsort()
    order_G = order_G[target_rows[order_G].argsort(stable=True)]
    rows_G, items_G = target_rows[order_G], target_items[order_G]
    is_new_G = torch.ones_like(rows_G)
    is_new_G[1:] = (rows_G[1:] != rows_G[:-1]) | (items_G[1:] != items_G[:-1])
    num_targets_B = torch.zeros_like(items_BK[:, 0]).index_add_(0, rows_G, is_new_G)
    return hits_BK, num_targets_B
