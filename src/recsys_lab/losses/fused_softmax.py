"""Fused linear layer and softmax cross-entropy, without N x V logits in memory.

The rows are processed in blocks. For each block the logits are computed in one reused buffer,
exponentiated in place, and used at once for both gradients: nothing of size N x V is stored, and
nothing is computed twice (three matrix products in all, as in the plain loss).

Shapes: N positions, V items, D width, R rows of a block, C columns of a tile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

TILE_BYTES = 4 << 20  # one tile of logits: stays in cache between its product and its exp
MAX_ROWS = 256  # more was not faster on a CPU (5,600 positions, 100k items)


@dataclass(frozen=True)
class Blocking:
    """How the N x V logits are split.

    Attributes:
        rows: R, rows of a block.
        columns: C, columns of a tile.
    """

    rows: int
    columns: int

    @staticmethod
    def choose(
        num_items: int, memory_bytes: int, on_cpu: bool = True, item_bytes: int = 4
    ) -> Blocking:
        """The largest blocks whose R x V buffer fits the budget; on a CPU, tiles fit the cache.

        ``item_bytes`` is the size of one logit: 4 for float32, 8 for float64.
        """
        row_bytes = item_bytes * num_items
        rows = max(1, memory_bytes // row_bytes)
        if not on_cpu:  # few large kernels: a GPU has no cache of this size
            return Blocking(rows, num_items)
        rows = min(MAX_ROWS, rows)
        if row_bytes * min(rows, 64) <= TILE_BYTES:  # a block of whole rows fits the cache
            return Blocking(min(rows, TILE_BYTES // row_bytes), num_items)
        return Blocking(rows, min(num_items, max(256, TILE_BYTES // (item_bytes * rows))))


class FusedSoftmax(torch.autograd.Function):
    """Mean cross-entropy of softmax(states @ table.T); the forward pass computes the gradients."""

    @staticmethod
    def forward(
        ctx: Any, states_ND: Tensor, targets_N: Tensor, table_VD: Tensor, blocking: Blocking,
        buffer: Tensor,
    ) -> Tensor:  # fmt: skip
        """See `SoftmaxLoss`; ``buffer`` is float (R * V,) and is overwritten."""
        wanted = (ctx.needs_input_grad[0], ctx.needs_input_grad[2])
        loss, grad_ND, grad_VD = _work(states_ND, targets_N, table_VD, blocking, buffer, wanted)
        ctx.save_for_backward(grad_ND, grad_VD)
        return loss

    @staticmethod
    @once_differentiable  # the stored gradients are constants: a second derivative would be wrong
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Scale the stored gradients."""
        scaled = []
        for part in ctx.saved_tensors:
            unit = part is None or (grad.device.type == "cpu" and grad.item() == 1)
            scaled.append(part if unit else part * grad)
        return scaled[0], None, scaled[1], None, None


def _work(
    states_ND: Tensor, targets_N: Tensor, table_VD: Tensor, blocking: Blocking, buffer: Tensor,
    wanted: tuple[bool, bool],
) -> tuple[Tensor, Tensor | None, Tensor | None]:  # fmt: skip
    num = states_ND.shape[0]
    chosen_ND = table_VD.index_select(0, targets_N)
    losses_N = -(states_ND * chosen_ND).sum(1, dtype=buffer.dtype)
    grad_ND = torch.empty_like(states_ND) if wanted[0] else None
    grad_VD = torch.zeros_like(table_VD) if wanted[1] else None
    for first in range(0, num, blocking.rows):
        block = slice(first, min(first + blocking.rows, num))
        rows_RD = states_ND[block]
        exps, top_TR1, sum_TR1, part_TRD = _first_pass(rows_RD, table_VD, blocking, buffer, wanted)
        top_R1 = top_TR1.amax(0)
        scale_TR1 = (top_TR1 - top_R1).exp_()
        total_R1 = (scale_TR1 * sum_TR1).sum(0)
        losses_N[block] += (top_R1 + total_R1.log()).squeeze(1)
        scale_TR1.div_(total_R1 * num)
        if grad_ND is not None:
            torch.sum(part_TRD.mul_(scale_TR1), 0, out=grad_ND[block])
        if grad_VD is not None:
            for tile, (exp_RC, grad_CD) in enumerate(
                zip(exps, grad_VD.split(blocking.columns), strict=True)
            ):
                grad_CD.addmm_(exp_RC.t(), rows_RD * scale_TR1[tile])
    if grad_ND is not None:
        grad_ND.sub_(chosen_ND, alpha=1 / num)
    if grad_VD is not None:
        grad_VD.index_add_(0, targets_N, states_ND, alpha=-1 / num)
    return losses_N.mean(), grad_ND, grad_VD


def _first_pass(
    rows_RD: Tensor, table_VD: Tensor, blocking: Blocking, buffer: Tensor, wanted: tuple[bool, bool]
) -> tuple[list[Tensor], Tensor, Tensor, Tensor]:
    """Exponentials of every tile (below its own row maximum), maxima, sums, products."""
    rows = rows_RD.shape[0]
    tiles = table_VD.split(blocking.columns)
    top_TR1 = buffer.new_empty(len(tiles), rows, 1)
    sum_TR1 = torch.empty_like(top_TR1)
    part_TRD = buffer.new_empty(len(tiles), rows, table_VD.shape[1])
    exps, used = [], 0
    for tile, table_CD in enumerate(tiles):
        size = rows * table_CD.shape[0]
        exp_RC = buffer[used : used + size].view(rows, -1)
        torch.mm(rows_RD, table_CD.t(), out=exp_RC)
        torch.amax(exp_RC, 1, keepdim=True, out=top_TR1[tile])
        exp_RC.sub_(top_TR1[tile]).exp_()
        torch.sum(exp_RC, 1, keepdim=True, out=sum_TR1[tile])
        if wanted[0]:
            torch.mm(exp_RC, table_CD, out=part_TRD[tile])
        if wanted[1]:  # kept until the row totals are known
            used += size
            exps.append(exp_RC)
    return exps, top_TR1, sum_TR1, part_TRD
