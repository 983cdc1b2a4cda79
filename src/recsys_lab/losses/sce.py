"""Scalable cross-entropy (SCE): softmax within buckets of states and high-scoring items.

Shapes: N supervised positions, D width, V items, C buckets, X states and Y items per bucket.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import torch
from annotated_types import Ge, Gt
from torch.nn import functional as F

from recsys_lab.losses.precision import full_precision

if TYPE_CHECKING:
    from torch import Tensor


class SCELoss:
    """Cross-entropy of each state against the items of its bucket.

    Mezentsev et al., 2024, https://arxiv.org/abs/2409.18721 (algorithm 1). C random directions
    are drawn; the X states and the Y items with the largest projections on a direction form a
    bucket, which gives hard negatives without scoring the catalogue. A state in several buckets
    has the largest of its losses; the mean is over the states in at least one bucket.

    Args:
        config: the options.
    """

    one_process = "chooses the items of its buckets by the states of a whole batch"

    @dataclass(frozen=True)
    class Config:
        """Options of `SCELoss`.

        Attributes:
            num_buckets: C.
            bucket_states: X, states per bucket; limited to the states of the step.
            bucket_items: Y, items per bucket; limited to the catalogue.
            mix: draw directions as random mixtures of the states ("Mix"), not from a normal
                distribution.
            cosine: normalise states and item vectors to unit length.
            temperature: divides the scores.
        """

        num_buckets: Annotated[int, Ge(1)]
        bucket_states: Annotated[int, Ge(1)]
        bucket_items: Annotated[int, Ge(1)]
        mix: bool
        cosine: bool
        temperature: Annotated[float, Gt(0)]

    def __init__(self, config: Config) -> None:
        self.config = config

    def __call__(self, states_ND: Tensor, targets_N: Tensor, table_VD: Tensor) -> Tensor:
        """Mean loss, a scalar; see `recsys_lab.contracts.Loss`."""
        with full_precision(states_ND, table_VD) as (states_ND, table_VD):
            return self._loss(states_ND, targets_N, table_VD)

    def scores_in_memory(self, positions: int, num_items: int, device: str) -> int:
        """Number of scores in all buckets; see `recsys_lab.contracts.HoldsScores`."""
        del positions, num_items, device
        return self.config.num_buckets * self.config.bucket_states * self.config.bucket_items

    def _loss(self, states_ND: Tensor, targets_N: Tensor, table_VD: Tensor) -> Tensor:
        config = self.config
        if config.cosine:
            states_ND, table_VD = F.normalize(states_ND, dim=-1), F.normalize(table_VD, dim=-1)
        states_CX, items_CY = self._buckets(states_ND.detach(), table_VD.detach())
        inputs_CXD, outputs_CYD = states_ND[states_CX], F.embedding(items_CY, table_VD)
        targets_CX = targets_N[states_CX]
        scores_CXY = inputs_CXD @ outputs_CYD.transpose(1, 2) / config.temperature
        own_CXY = targets_CX.unsqueeze(2) == items_CY.unsqueeze(1)
        scores_CXY = scores_CXY.masked_fill(own_CXY, -torch.inf)
        positive_N = (states_ND * F.embedding(targets_N, table_VD)).sum(-1) / config.temperature
        loss_CX = F.softplus(scores_CXY.logsumexp(dim=2) - positive_N[states_CX])
        none = loss_CX.new_full((states_ND.shape[0],), -torch.inf)
        worst_N = none.scatter_reduce(0, states_CX.flatten(), loss_CX.flatten(), "amax")
        in_one_N = worst_N > -torch.inf
        # A sum and a number: to select the states, the host would wait for their number.
        return torch.where(in_one_N, worst_N, 0).sum() / in_one_N.sum()

    @torch.no_grad()
    def _buckets(self, states_ND: Tensor, table_VD: Tensor) -> tuple[Tensor, Tensor]:
        """Indices of the states (C, X) and items (C, Y) of each bucket."""
        config = self.config
        count, width = states_ND.shape
        if config.mix:
            mixture_CN = torch.randn(config.num_buckets, count, device=states_ND.device)
            directions_CD = mixture_CN.to(states_ND.dtype) @ states_ND
        else:
            directions_CD = torch.randn(config.num_buckets, width, device=states_ND.device)
            directions_CD = directions_CD.to(states_ND.dtype)
        states = min(config.bucket_states, count)
        items = min(config.bucket_items, table_VD.shape[0])
        states_CX = (directions_CD @ states_ND.T).topk(states, dim=1).indices
        items_CY = (directions_CD @ table_VD.to(states_ND.dtype).T).topk(items, dim=1).indices
        return states_CX, items_CY
