"""Ranking metrics as torchmetrics classes, exact under any number of processes.

Shapes: B users, K list length. Every metric is a mean of per-user values. The values travel
with their user index, and a user met twice (a padded distributed sampler) counts once; the
mean is taken in user order in float64, so that the number of processes changes nothing.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat


class PerUserMetric(Metric):
    """A mean over users of a value in [0, 1] computed from the first k places of a list.

    Args:
        k: places that count, at least 1.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    name: str
    users: list[Tensor]
    values: list[Tensor]

    def __init__(self, k: int) -> None:
        super().__init__()
        if k < 1:
            msg = f"k: got {k}; a ranking metric needs at least one place"
            raise ValueError(msg)
        self.k = k
        self.add_state("users", default=[], dist_reduce_fx="cat")
        self.add_state("values", default=[], dist_reduce_fx="cat")

    @abstractmethod
    def per_user(self, hits_BK: Tensor, num_targets_B: Tensor) -> Tensor:
        """The metric of each user, float64 (B,).

        Args:
            hits_BK: whether the item at each place is a target, bool (B, K), best place first.
            num_targets_B: targets of each user, int64 (B,), at least 1.
        """

    def update(self, users_B: Tensor, hits_BK: Tensor, num_targets_B: Tensor) -> None:
        """Add users; see `per_user` for the shapes."""
        self.users.append(users_B)
        self.values.append(self.per_user(hits_BK[:, : self.k], num_targets_B))

    def compute(self) -> Tensor:
        """The mean over distinct users, float64 scalar; NaN when there were none."""
        if not self.users:
            return torch.tensor(torch.nan, dtype=torch.float64)
        users, values = dim_zero_cat(self.users), dim_zero_cat(self.values)
        order = users.argsort(stable=True)
        users, values = users[order], values[order]
        first = torch.ones_like(users, dtype=torch.bool)
        first[1:] = users[1:] != users[:-1]
        return values[first].mean()


class NDCG(PerUserMetric):
    """Normalised discounted cumulative gain, binary gains (Järvelin & Kekäläinen 2002).

    DCG = sum over hits of 1 / log2(place + 1), divided by that of the ideal list.
    """

    name = "ndcg"

    def per_user(self, hits_BK: Tensor, num_targets_B: Tensor) -> Tensor:
        """See the class."""
        places_K = torch.arange(self.k, device=hits_BK.device, dtype=torch.float64)
        discounts_K = 1 / torch.log2(places_K + 2)
        gained_B = (hits_BK * discounts_K[: hits_BK.shape[1]]).sum(1)
        ideal_K = discounts_K.cumsum(0)
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


class MRR(PerUserMetric):
    """Reciprocal of the place of the first hit, 0 when none is in the first k places."""

    name = "mrr"

    def per_user(self, hits_BK: Tensor, num_targets_B: Tensor) -> Tensor:
        """See the class."""
        del num_targets_B
        place_B = hits_BK.double().argmax(1) + 1
        return hits_BK.any(1).double() / place_B


METRICS: dict[str, type[PerUserMetric]] = {m.name: m for m in (NDCG, HitRate, Recall, MRR)}


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
