"""Binary cross-entropy against sampled negatives, plain (BCE) or generalised (gBCE).

Shapes: N supervised positions, K negatives, D width, V items.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Le
from torch.nn import functional as F

from recsys_lab.losses.sampled import SampledLoss, SampledOptions

if TYPE_CHECKING:
    from torch import Tensor


class BCELoss(SampledLoss):
    """Generalised binary cross-entropy (gBCE) of the target against sampled negatives.

    ``-(beta log sigma(s+) + sum_j log(1 - sigma(s_j))) / (K + 1)``, mean over the positions, with
    ``beta = a (t (1 - 1/a) + 1/a)`` and the sampling rate ``a = K / (V - 1)``. With
    ``calibration`` t = 0, beta is 1: plain binary cross-entropy, the loss of SASRec (Kang and
    McAuley, 2018, https://arxiv.org/abs/1808.09781, equation 6, with K = 1), except that SASRec
    draws items that the user has no training event of, and this loss, like gSASRec, any item but
    the target. With t = 1 the scores are calibrated to those of the full softmax; gSASRec
    recommends t = 0.75 and K = 256 (Petrov and Macdonald, 2023, https://arxiv.org/abs/2308.07192,
    equations 10 and 17). A negative equal to the position's target is masked out.

    Args:
        config: the options.
    """

    @dataclass(frozen=True)
    class Config(SampledOptions):
        """Options of `BCELoss`, in addition to those of `SampledOptions`.

        Attributes:
            calibration: t of gBCE; 0 for plain binary cross-entropy.
        """

        calibration: Annotated[float, Ge(0), Le(1)]

    config: Config

    def __call__(self, states_ND: Tensor, targets_N: Tensor, table_VD: Tensor) -> Tensor:
        """Mean loss, a scalar; see `recsys_lab.contracts.Loss`."""
        positive_N, negative_NK, _ = self.scores(states_ND, targets_N, table_VD)
        rate = min(1.0, self.config.num_negatives / max(1, table_VD.shape[0] - 1))
        beta = rate * (self.config.calibration * (1 - 1 / rate) + 1 / rate)
        # log(1 - sigma(s)) is -softplus(s), and 0 for the masked s = -inf.
        loss_N = -beta * F.logsigmoid(positive_N) + F.softplus(negative_NK).sum(dim=1)
        return loss_N.mean() / (self.config.num_negatives + 1)
