"""How often each item is a target in training: what a loss needs that draws from the batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from recsys_lab.contracts import DrawsTargets
from recsys_lab.models.layers import followers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from recsys_lab.contracts import Batch, DenseModel


def expected_targets(model: DenseModel, epoch: Iterable[Batch], num_items: int) -> Tensor:
    """The expected number of times that each item is a target in an epoch, float64 (V,).

    Exact but for windows at random places (``recipe.crop=random``), of which an epoch is a sample.

    Args:
        model: says which events of a history it predicts: see `DenseModel` and `DrawsTargets`.
        epoch: its batches.
        num_items: V.
    """
    counts_V = torch.zeros(num_items, dtype=torch.float64)
    one_target = getattr(model, "one_target", False)
    for batch in epoch:
        if one_target:
            items_N = batch.items_T[batch.last_B]
            counts_V.index_add_(0, items_N, torch.ones(len(items_N), dtype=torch.float64))
            continue
        chances_of = model.target_chances if isinstance(model, DrawsTargets) else followers
        chances_T = chances_of(batch)
        counts_V.index_add_(0, batch.items_T, chances_T.double())
    return counts_V
