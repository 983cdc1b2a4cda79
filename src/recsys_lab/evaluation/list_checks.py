"""Validation of the lists of any recommender, before metrics are computed.

Shapes: B users, K list length, V items, P excluded pairs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from recsys_lab.contracts import NO_ITEM

if TYPE_CHECKING:
    from torch import Tensor

    from recsys_lab.contracts import Exclude, RankedLists

_ELEMENTS = 1 << 26
"""Elements of the mask of excluded pairs at a time: bounds memory."""


def check_lists(
    lists: RankedLists, k: int, exclude: Exclude | None, num_items: int, model: str
) -> None:
    """Check that lists are valid.

    A list with a duplicate item can have an NDCG above 1; an excluded item would be a forbidden
    hit; a list that is not sorted by score is truncated wrongly.

    Args:
        lists: lists of B users, shapes (B, K).
        k: the requested K.
        exclude: (rows, items) of the pairs that must not be recommended.
        num_items: V.
        model: name of the recommender, for the error.

    Raises:
        ValueError: names the model, the row of the batch and the rank.
    """
    items_BK, scores_BK = lists.items_BK, lists.scores_BK
    if items_BK.shape != scores_BK.shape or items_BK.shape[1] != k:
        raise _error(
            model,
            f"lists of shape {tuple(items_BK.shape)} with scores of shape "
            f"{tuple(scores_BK.shape)}, expected (users, {k}) for both",
        )
    is_none_BK = items_BK == NO_ITEM
    _refuse(
        model,
        (items_BK >= num_items) | ((items_BK < 0) & ~is_none_BK),
        items_BK,
        f"an item outside the catalogue of {num_items:,}",
    )
    _refuse(model, is_none_BK[:, :-1] & ~is_none_BK[:, 1:], items_BK, "an item after padding")
    _refuse(model, scores_BK.isnan(), items_BK, "a score that is NaN")
    # Scores of padding are ignored.
    rises_BK = (scores_BK[:, 1:] > scores_BK[:, :-1]) & ~is_none_BK[:, 1:]
    _refuse(model, rises_BK, items_BK, "a score below that of the next rank")
    ordered_BK = items_BK.sort(dim=1).values
    twice_BK = (ordered_BK[:, 1:] == ordered_BK[:, :-1]) & (ordered_BK[:, 1:] != NO_ITEM)
    _refuse(model, twice_BK, ordered_BK, "an item twice")
    if exclude is not None:
        _refuse(model, _is_excluded(items_BK, exclude, num_items), items_BK, "an excluded item")


def _is_excluded(items_BK: Tensor, exclude: Exclude, num_items: int) -> Tensor:
    """Whether the item at each rank is excluded for its row, bool (B, K)."""
    rows_P, items_P = exclude
    parts = []
    rows = max(1, _ELEMENTS // num_items)
    for first in range(0, items_BK.shape[0], rows):
        part_bK = items_BK[first : first + rows]
        mask_bV = torch.zeros(
            (part_bK.shape[0], num_items), dtype=torch.bool, device=items_BK.device
        )
        here_P = (rows_P >= first) & (rows_P < first + rows)
        mask_bV[rows_P[here_P] - first, items_P[here_P]] = True
        parts.append(mask_bV.gather(1, part_bK.clamp(min=0)) & (part_bK != NO_ITEM))
    return torch.cat(parts)


def _refuse(model: str, is_wrong_BK: Tensor, items_BK: Tensor, what: str) -> None:
    if not bool(is_wrong_BK.any()):
        return
    row, column = (int(index) for index in is_wrong_BK.nonzero()[0])
    item = int(items_BK[row, column])
    raise _error(model, f"{what}: item {item} near rank {column + 1} of row {row} of a batch")


def _error(model: str, what: str) -> ValueError:
    return ValueError(
        f"{model}.recommend returned {what}. Lists have distinct items, best first, without the "
        "excluded pairs, padded with NO_ITEM; recsys_lab.models.ranking.top_k makes such lists "
        "from scores, with the tie rule"
    )
