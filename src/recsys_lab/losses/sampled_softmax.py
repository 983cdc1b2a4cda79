"""Softmax cross-entropy over the target and a sample of the catalogue.

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
    """``-log(exp(s+) / (exp(s+) + sum_j exp(s_j - log E_j)))``, mean over the positions.

    E_j is the expected number of draws of negative j, so that the sum estimates the one over all
    items that can be drawn without bias (Bengio and Senecal, 2008,
    https://doi.org/10.1109/TNN.2007.912312; the logQ correction); without ``log_q`` it is left out.
    In the batch an item is drawn as often as it is a target (Yi et al., 2019,
    https://doi.org/10.1145/3298689.3346996). A negative that is the position's own
    target counts as nothing.

    Args:
        config: the options.
    """

    @dataclass(frozen=True)
    class Config(SampledOptions):
        """Options of `SampledSoftmaxLoss`, beside those of `SampledOptions`.

        Attributes:
            log_q: correct for how often each negative is drawn.
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
