"""Bayesian personalised ranking (BPR): ranks the target above sampled negatives.

Shapes: N supervised positions, K negatives, D width, V items.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch.nn import functional as F

from recsys_lab.losses.sampled import SampledLoss, SampledOptions

if TYPE_CHECKING:
    from torch import Tensor


class BPRLoss(SampledLoss):
    """Bayesian personalised ranking loss over sampled negatives.

    ``-mean_j log sigma(s+ - s_j)``, mean over the positions (Rendle et al., 2009,
    https://arxiv.org/abs/1205.2618). The regulariser is left to the recipe's weight decay. A
    negative equal to the position's target is masked out.

    Args:
        config: the options.
    """

    @dataclass(frozen=True)
    class Config(SampledOptions):
        """Options of `BPRLoss`: those of `SampledOptions`."""

    def __call__(self, states_ND: Tensor, targets_N: Tensor, table_VD: Tensor) -> Tensor:
        """Mean loss, a scalar; see `recsys_lab.contracts.Loss`."""
        positive_N, negative_NK, _ = self.scores(states_ND, targets_N, table_VD)
        # -log sigma(s+ - s) is softplus(s - s+), and 0 for the masked s = -inf.
        return F.softplus(negative_NK - positive_N.unsqueeze(1)).mean()
