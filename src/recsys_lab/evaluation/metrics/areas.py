"""Area under the ROC curve: the probability that a target scores above another candidate.

Shapes: B users of a batch, V items.

A pair of a target and a non-target candidate counts 1 if the target's score is higher, 1/2 if both
are equal in float32 (Hanley and McNeil 1982, https://doi.org/10.1148/radiology.143.1.7063747).
Candidates are those of the protocol (all, released or sampled items, without seen items if these
are excluded). A target that is not a candidate loses all its pairs, as it is not a hit for other
metrics. Candidates that a model does not list rank below all listed ones, and are tied.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recsys_lab.contracts import (
    NO_ITEM,
    EvaluationBatch,
    Exclude,
    RankedLists,
    exclude_from,
)
from recsys_lab.evaluation.metrics.user_mean import AccuracyMetric, UserMean

BYTES_A_SCORE = 128
"""Memory per item of a list of all items: items, scores and counters."""


class AUC(AccuracyMetric, UserMean):
    """Area under the ROC curve: mean over users of the mean over a user's targets.

    Users whose candidates are all targets are left out.
    """

    name = "auc"
    higher_is_better = True
    has_k = False
    reads_targets = True

    def update(self, batch: EvaluationBatch, ranked: RankedLists, exclude: Exclude | None) -> None:
        """Add the whole lists of B users; pairs in ``exclude`` are not candidates."""
        self.add(batch.lists_B, self.areas(batch, ranked, exclude)[0])

    def areas(
        self, batch: EvaluationBatch, ranked: RankedLists, exclude: Exclude | None
    ) -> tuple[Tensor, Tensor]:
        """See `areas_of`; without padding of the lists."""
        return areas_of(batch, ranked.items_BK[:, : self.k], ranked.scores_BK[:, : self.k], exclude)


class GAUC(AUC):
    """Grouped AUC: each user (or list) is weighted by its number of targets.

    Zhu et al., "Deep interest network for click-through rate prediction", KDD 2018, section 6.2
    (https://arxiv.org/abs/1706.06978), there weighted by impressions or clicks. A ratio of sums, so
    it has no per-user values.
    """

    name = "gauc"
    is_of_users = False
    adds_lists = True

    def __init__(self, config: Any = None, *, k: int) -> None:
        super().__init__(config, k=k, width=2)

    def update(self, batch: EvaluationBatch, ranked: RankedLists, exclude: Exclude | None) -> None:
        """See `AUC`."""
        areas_B, targets_B = self.areas(batch, ranked, exclude)
        self.add(batch.lists_B, torch.stack([areas_B * targets_B, targets_B], 1))

    def compute(self) -> Tensor:
        """See the class."""
        sums = super().compute()
        return sums[0] / sums[1]


def areas_of(
    batch: EvaluationBatch, items_BV: Tensor, scores_BV: Tensor, exclude: Exclude | None
) -> tuple[Tensor, Tensor]:
    """Area of each user (NaN if undefined) and number of distinct targets, float64 (B,).

    Args:
        batch: the users.
        items_BV: whole lists.
        scores_BV: their scores.
        exclude: (rows, items) of the pairs that are not candidates.
    """
    is_target_BV = torch.zeros_like(items_BV, dtype=torch.bool)
    is_target_BV[batch.target_rows, batch.target_items] = True
    is_candidate_BV = torch.ones_like(is_target_BV)
    exclude_from(is_candidate_BV, exclude, value=0)
    others_B1 = (is_candidate_BV & ~is_target_BV).sum(1, keepdim=True)
    listed_BV = items_BV != NO_ITEM
    hits_BV = is_target_BV.gather(1, items_BV.clamp_min(0)) & listed_BV
    misses_BV = listed_BV & ~hits_BV
    upto_BV = misses_BV.cumsum(1)
    first_BV, last_BV = _ties(scores_BV)
    above_BV = (upto_BV - misses_BV.long()).gather(1, first_BV)
    equal_BV = upto_BV.gather(1, last_BV) - above_BV
    won_BV = (others_B1 - above_BV - equal_BV / 2).double() * hits_BV
    # Multiples of 1/2 are exact, so the order of the sum does not matter.
    won_B = won_BV.sum(1)
    unlisted_B = (is_target_BV & is_candidate_BV).sum(1) - hits_BV.sum(1)
    won_B += unlisted_B * (others_B1[:, 0] - misses_BV.sum(1)) / 2
    targets_B = is_target_BV.sum(1).double()
    pairs_B = targets_B * others_B1[:, 0]
    return torch.where(pairs_B > 0, won_B / pairs_B, torch.nan), targets_B


def _ties(scores_BV: Tensor) -> tuple[Tensor, Tensor]:
    """First and last index with the same score as each index, int64 (B, V)."""
    index_V = torch.arange(scores_BV.shape[1], device=scores_BV.device)
    differs_BV = scores_BV[:, 1:] != scores_BV[:, :-1]
    edge_B1 = torch.ones_like(scores_BV[:, :1], dtype=torch.bool)
    is_first_BV = torch.cat([edge_B1, differs_BV], 1)
    is_last_BV = torch.cat([differs_BV, edge_B1], 1)
    first_BV = torch.where(is_first_BV, index_V, 0).cummax(1).values
    last_BV = torch.where(is_last_BV, index_V, len(index_V) - 1)
    return first_BV, last_BV.flip(1).cummin(1).values.flip(1)
