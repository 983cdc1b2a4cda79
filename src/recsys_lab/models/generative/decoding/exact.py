"""Exact scoring: the probability of every item's codes, in blocks of items.

Shapes: B users, V items, L levels, C codes of a level, N distinct codes of a block, W prefixes of
a level, K list length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import torch
from annotated_types import Ge

from recsys_lab.models.ranking import top_k

if TYPE_CHECKING:
    from torch import Tensor

    from recsys_lab.contracts import Batch, Exclude, RankedLists, SemanticIds
    from recsys_lab.models.generative.base import CodeGenerator


class ExactDecoding:
    """Scores all items by the model's probability of their codes.

    Items that share all codes are scored once, and so are the prefixes that the items of a block
    share.

    Args:
        config: the options.
    """

    diagnostics = ()

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

    @property
    def width(self) -> int:
        """Prefixes of a user at once."""
        return min(self.config.block_items, len(self._codes_VL))

    @property
    def num_beams(self) -> None:
        """All items are scored."""
        return None

    def check_length(self, k: int) -> None:
        """Lists may have any length."""

    def rank(
        self, model: CodeGenerator, batch: Batch, k: int, exclude: Exclude | None
    ) -> RankedLists:
        """The k best items of all."""
        codes_VL = self._codes_VL.to(batch.items_T.device)
        # In order, so that items with equal prefixes are in one block.
        codes_NL, which_V = codes_VL.unique(dim=0, return_inverse=True)
        start = model.start(batch)
        parts = [
            _scores(model, start, batch.size, block_NL)
            for block_NL in codes_NL.split(self.config.block_items)
        ]
        return top_k(torch.cat(parts, 1)[:, which_V], k, exclude, batch.users_B)


def _scores(model: CodeGenerator, cache: Any, users: int, codes_NL: Tensor) -> Tensor:
    """Log-probability of each item's codes for each user, (B, N)."""
    place_N = codes_NL.new_zeros(len(codes_NL))  # of each item's prefix among the distinct ones
    parents_BW, codes_BW, score_BN = None, None, None
    for level, codes_N in enumerate(codes_NL.unbind(1)):
        logits_BWC, cache = model.step(cache, level, parents_BW, codes_BW)
        log_BN = logits_BWC.float().log_softmax(-1)[:, place_N, codes_N]
        score_BN = log_BN if score_BN is None else score_BN + log_BN
        pairs_NP, after_N = torch.stack([place_N, codes_N], 1).unique(dim=0, return_inverse=True)
        parents_BW, codes_BW = (x_W.expand(users, -1) for x_W in pairs_NP.unbind(1))
        place_N = after_N
    assert score_BN is not None  # there is at least one level
    return score_BN
