"""Binary cross-entropy of the target against sampled negatives, also generalised (gBCE).

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
    """``-(beta log sigma(s+) + sum_j log(1 - sigma(s_j))) / (K + 1)``, mean over the positions.

    ``beta = a (t (1 - 1/a) + 1/a)`` with the sampling rate ``a = K / (V - 1)``. For ``calibration``
    t = 0 it is 1: the loss of SASRec (Kang and McAuley, 2018, https://arxiv.org/abs/1808.09781,
    equation 6, with K = 1) but for the negatives: there they are items that the user never had in
    training; here, as in gSASRec, any item but the target. For t = 1 the scores are those of the
    full softmax; gSASRec recommends t = 0.75 and K = 256 (Petrov and Macdonald, 2023,
    https://arxiv.org/abs/2308.07192, equations 10 and 17). A negative that is the position's own
    target counts as nothing.

    Args:
        config: the options.
    """

    @dataclass(frozen=True)
    class Config(SampledOptions):
        """Options of `BCELoss`, beside those of `SampledOptions`.

        Attributes:
            calibration: t of gBCE; 0 for plain binary cross-entropy.
        """

        calibration: Annotated[float, Ge(0), Le(1)]

    config: Config

    def __call__(self, states_ND: Tensor, targets_N: Tensor, table_VD: Tensor) -> Tensor:
        """Mean loss, a scalar; see `recsys_lab.contracts.Loss`."""
        positive_N, negative_NK, _ = self.scores(states_ND, targets_N, table_VD)
        beta = self._beta(table_VD.shape[0])
        # log(1 - sigma(s)) is -softplus(s), and 0 for the masked s = -inf.
        loss_N = -beta * F.logsigmoid(positive_N) + F.softplus(negative_NK).sum(dim=1)
        return loss_N.mean() / (self.config.num_negatives + 1)

    def _beta(self, num_items: int) -> float:
        rate = min(1.0, self.config.num_negatives / max(1, num_items - 1))
        return rate * (self.config.calibration * (1 - 1 / rate) + 1 / rate)
