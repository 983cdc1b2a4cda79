"""Scores of K items per position, gathered from products of blocks of positions with all items.

Shapes: N positions, K items per position, D width, V items.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

_BLOCK_BYTES = {"cpu": 1 << 22}  # stays in a core's cache
_BLOCK_BYTES_OF_A_DEVICE = 1 << 28


def gathering_pays(items_NK: Tensor, table_VD: Tensor) -> bool:
    """Whether it is faster than an embedding lookup, which moves K x D numbers per position.

    Gathering moves V numbers per position.
    """
    return table_VD.shape[0] <= items_NK.shape[1] * table_VD.shape[1]


def gathered_scores(states_ND: Tensor, table_VD: Tensor, items_NK: Tensor) -> Tensor:
    """``(states_ND @ table_VD.T).gather(1, items_NK)``, (N, K), computed in blocks of rows."""
    scores: Tensor = _GatheredScores.apply(states_ND, table_VD, items_NK)  # type: ignore[no-untyped-call]
    return scores


class _GatheredScores(torch.autograd.Function):
    # The backward pass needs the item indices, not the scores: nothing of size N x V is stored,
    # and nothing is computed twice.

    @staticmethod
    def forward(ctx: FunctionCtx, states_ND: Tensor, table_VD: Tensor, items_NK: Tensor) -> Tensor:
        ctx.save_for_backward(states_ND, table_VD, items_NK)
        scores_NK = states_ND.new_empty(items_NK.shape)
        rows = _rows(states_ND, table_VD)
        buffer = states_ND.new_empty(rows, table_VD.shape[0])
        for start in range(0, states_ND.shape[0], rows):
            states = states_ND[start : start + rows]
            block = torch.mm(states, table_VD.T, out=buffer[: states.shape[0]])
            items = items_NK[start : start + rows]
            torch.gather(block, 1, items, out=scores_NK[start : start + rows])
        return scores_NK

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad_NK: Tensor) -> tuple[Tensor, Tensor, None]:
        states_ND, table_VD, items_NK = ctx.saved_tensors  # type: ignore[attr-defined]
        grad_states_ND, grad_table_VD = torch.empty_like(states_ND), torch.zeros_like(table_VD)
        rows = _rows(states_ND, table_VD)
        buffer = states_ND.new_empty(rows, table_VD.shape[0])
        for start in range(0, states_ND.shape[0], rows):
            span = slice(start, start + rows)
            block = buffer[: items_NK[span].shape[0]].zero_()
            block.scatter_add_(1, items_NK[span], grad_NK[span])
            torch.mm(block, table_VD, out=grad_states_ND[span])
            grad_table_VD.addmm_(block.T, states_ND[span])
        return grad_states_ND, grad_table_VD, None


def _rows(states_ND: Tensor, table_VD: Tensor) -> int:
    budget = _BLOCK_BYTES.get(states_ND.device.type, _BLOCK_BYTES_OF_A_DEVICE)
    return max(1, min(states_ND.shape[0], budget // (table_VD.shape[0] * states_ND.itemsize)))
