"""Excluded pairs among ranked items.

Shapes: B users, V items, K list length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from recsys_lab.contracts import NO_ITEM, ExcludedItems

if TYPE_CHECKING:
    from torch import Tensor

    from recsys_lab.contracts import Exclude

_ELEMENTS = 1 << 26
"""Elements of the mask of excluded pairs at a time: bounds memory."""
_SPARSE = 64
"""With fewer than one excluded pair in so many, pairs are looked up one by one."""


def is_excluded(items_BK: Tensor, exclude: Exclude, num_items: int) -> Tensor:
    """Whether the item at each rank is excluded for its row, bool (B, K)."""
    if isinstance(exclude, ExcludedItems):
        alone = exclude.rows, exclude.items
        is_none_BK = items_BK == NO_ITEM
        mask_BV = exclude.mask.expand(len(items_BK), -1)
        masked_BK = mask_BV.gather(1, items_BK.clamp(min=0)) & ~is_none_BK
        return masked_BK | is_excluded(items_BK, alone, num_items)
    rows_P, items_P = exclude
    if len(rows_P) * _SPARSE < items_BK.shape[0] * num_items:  # far cheaper than a mask
        rows_B1 = torch.arange(len(items_BK), device=items_BK.device).unsqueeze(1) * num_items
        keys_BK = torch.where(items_BK == NO_ITEM, -1, rows_B1 + items_BK)
        return _is_in(keys_BK, rows_P * num_items + items_P)
    parts = []
    rows = max(1, _ELEMENTS // num_items)
    for first in range(0, items_BK.shape[0], rows):
        part_bK = items_BK[first : first + rows]
        size = part_bK.shape[0]
        # Pairs of other rows are marked in a row of their own: to leave them out, the host would
        # wait for their number.
        mask_bV = torch.zeros((size + 1, num_items), dtype=torch.bool, device=items_BK.device)
        here_P = (rows_P >= first) & (rows_P < first + size)
        mask_bV[torch.where(here_P, rows_P - first, size), items_P] = True
        parts.append(mask_bV[:size].gather(1, part_bK.clamp(min=0)) & (part_bK != NO_ITEM))
    return torch.cat(parts)


def _is_in(keys_BK: Tensor, among_P: Tensor) -> Tensor:
    """`torch.isin`, for which a GPU would count the distinct keys, and the host wait."""
    if not len(among_P):
        return torch.zeros_like(keys_BK, dtype=torch.bool)
    among_P = among_P.sort().values
    index_BK = torch.searchsorted(among_P, keys_BK).clamp_(max=len(among_P) - 1)
    return among_P[index_BK] == keys_BK
