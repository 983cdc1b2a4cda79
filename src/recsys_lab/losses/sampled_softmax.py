"""Sampled softmax: cross-entropy over the target and sampled negatives.

Shapes: N supervised positions, K negatives, D width, V items.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from recsys_lab.losses.sampled import SampledLoss, SampledOptions

if TYPE_CHECKING:
    from torch import Tensor


class SampledSoftmaxLoss(SampledLoss):
    """Softmax cross-entropy over the target and sampled negatives, with logQ correction.

    ``-log(exp(s+) / (exp(s+) + sum_j exp(s_j - log E_j)))``, mean over the positions. E_j is the
    expected number of draws of negative j, so that the sum is an unbiased estimate of the sum over
    all items that can be drawn (logQ correction: Bengio and Senecal, 2008,
    https://doi.org/10.1109/TNN.2007.912312); ``log_q: false`` omits ``log E_j``. In-batch negatives
    are drawn in proportion to how often they are targets (Yi et al., 2019,
    https://doi.org/10.1145/3298689.3346996). A negative equal to the position's target is masked
    out.

    Args:
        config: the options.
    """

    @dataclass(frozen=True)
    class Config(SampledOptions):
        """Options of `SampledSoftmaxLoss`, in addition to those of `SampledOptions`.

        Attributes:
            log_q: subtract the log of each negative's expected number of draws from its score.
        """

        log_q: bool

    config: Config

    def __call__(self, states_ND: Tensor, targets_N: Tensor, table_VD: Tensor) -> Tensor:
        """Mean loss, a scalar; see `recsys_lab.contracts.Loss`."""
        positive_N, negative_NK, log_expected = self.scores(states_ND, targets_N, table_VD)
        if self.config.log_q:
            negative_NK = negative_NK - log_expected
        rest_N = torch.logsumexp(negative_NK, dim=1)
        return torch.nn.functional.softplus(rest_N - positive_N).mean()
