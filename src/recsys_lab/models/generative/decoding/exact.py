"""Exact scoring: the probability of every item's codes, in blocks of items.

Shapes: B users, V items, L levels, C codes of a level, N items of a block, K list length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from recsys_lab.models.ranking import top_k

if TYPE_CHECKING:
    from recsys_lab.contracts import Batch, Exclude, RankedLists, SemanticIds
    from recsys_lab.models.generative.base import CodeGenerator


class ExactDecoding:
    """Scores all items by the model's probability of their codes.

    Args:
        config: the options.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of `ExactDecoding`.

        Attributes:
            block_items: N, items scored at a time: bounds the memory.
        """

        block_items: Annotated[int, Ge(1)]

    def __init__(self, config: Config) -> None:
        self.config = config
        self._codes_VL = torch.empty(0, 0, dtype=torch.int64)

    def read_codes(self, ids: SemanticIds) -> None:
        """Receive the codes of the items."""
        self._codes_VL = ids.codes_VL

    def rank(
        self, model: CodeGenerator, batch: Batch, k: int, exclude: Exclude | None
    ) -> RankedLists:
        """The k best items of all."""
        codes_VL = self._codes_VL.to(batch.items_T.device)
        cache = model.start(batch)
        parts = []
        for codes_NL in codes_VL.split(self.config.block_items):
            score_BN = torch.zeros(batch.size, len(codes_NL), device=codes_NL.device)
            state, parents_BW, codes_BW = cache, None, None
            for level in range(codes_NL.shape[1]):
                logits_BWC, state = model.step(state, level, parents_BW, codes_BW)
                log_BWC = logits_BWC.float().log_softmax(-1)
                codes_BW = codes_NL[:, level].expand(batch.size, -1)
                log_BNC = log_BWC.expand(-1, codes_BW.shape[1], -1)
                score_BN = score_BN + log_BNC.gather(2, codes_BW.unsqueeze(2)).squeeze(2)
                parents_BW = _parents(parents_BW, codes_BW)
            parts.append(score_BN)
        return top_k(torch.cat(parts, 1), k, exclude, batch.users_B)


def _parents(before_BW: Tensor | None, codes_BW: Tensor) -> Tensor:
    """All items extend the empty prefix at first, then each its own."""
    if before_BW is None:
        return torch.zeros_like(codes_BW)
    return torch.arange(codes_BW.shape[1], device=codes_BW.device).expand_as(codes_BW)
