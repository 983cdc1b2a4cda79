"""A trained model as one traceable function: from padded histories to ranked lists.

Shapes: B users, L events of a history, S seen items, D width, V items, K list length, N pairs of
user and candidate.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recsys_lab.contracts import NO_ITEM
from recsys_lab.models.ranking import tie_hash
from recsys_lab.models.sequential.dot_product import DotProductModel
from recsys_lab.models.sequential.rectangle import RectangularBatch


class Program(nn.Module):
    """Encoder, scores, exclusion of seen items, and the k best by the lab's tie rule.

    Args:
        model: in evaluation mode; see `folded`.
        k: length K of the lists, at most V.
        is_candidate_V: items that may be ranked, bool; None: all.
        ranks_empty: whether the model ranks for an empty history; otherwise its list is empty.
    """

    is_left_out_V: Tensor | None
    cells_L: Tensor
    unit_VD: Tensor | None

    def __init__(
        self, model: DotProductModel, k: int, is_candidate_V: Tensor | None, *, ranks_empty: bool
    ) -> None:
        super().__init__()
        self.model, self.k, self.ranks_empty = model, k, ranks_empty
        left_out = None if is_candidate_V is None else ~is_candidate_V
        unit_VD = F.normalize(model.item_table().detach(), dim=-1) if model.cosine else None
        self.register_buffer("is_left_out_V", left_out, persistent=False)
        self.register_buffer("unit_VD", unit_VD, persistent=False)
        self.register_buffer("cells_L", torch.arange(model.window), persistent=False)
        largest = float((model.item_table() if unit_VD is None else unit_VD).abs().max())
        self.largest_entry = largest

    def forward(
        self,
        items_BL: Tensor,
        seen_BS: Tensor,
        users_B: Tensor,
        timestamps_BL: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Ranked lists.

        Args:
            items_BL: item indices, oldest event first, padded with -1 at the end; L is at most the
                model's window.
            seen_BS: items that must not appear, padded with -1.
            users_B: index of each user, which orders equal scores.
            timestamps_BL: seconds since the epoch of every event, for models that read times.

        Returns:
            Items, int64 (B, K), padded with -1, and their scores, float32 (B, K), -inf at padding.
            A row whose scores are not finite has no items, and NaN as scores.
        """
        is_event_BL = items_BL >= 0
        lengths_B = is_event_BL.sum(1)
        # More events than the model's window are an error of the lookup, never other numbers.
        in_window_BL = self.cells_L[torch.arange(items_BL.shape[1])] >= 0
        batch = RectangularBatch.of(
            torch.where(is_event_BL & in_window_BL, items_BL, 0), lengths_B, users_B, timestamps_BL
        )
        states_BD = self.model.query_states(batch)
        table_VD = self.model.item_table()
        if self.unit_VD is not None:
            states_BD, table_VD = F.normalize(states_BD, dim=-1), self.unit_VD
        scores_BV = states_BD @ table_VD.T
        if self.is_left_out_V is not None:
            scores_BV = scores_BV.masked_fill(self.is_left_out_V, -torch.inf)
        # An item that stands for padding gets the smaller of its score and infinity.
        fill_BS = torch.where(seen_BS < 0, torch.inf, -torch.inf)
        scores_BV = scores_BV.scatter_reduce(1, seen_BS.clamp(min=0), fill_BS, "amin")
        items_BK, scores_BK = best_items(scores_BV, self.k, users_B)
        if not self.ranks_empty:
            is_empty_B1 = (lengths_B == 0).unsqueeze(1)
            items_BK = items_BK.masked_fill(is_empty_B1, NO_ITEM)
            scores_BK = scores_BK.masked_fill(is_empty_B1, -torch.inf)
        # No product can overflow or be NaN if this bound is finite; runtimes sort NaN differently.
        bound_B1 = states_BD.abs().sum(1, keepdim=True) * self.largest_entry
        is_wrong_B1 = ~(bound_B1 < torch.finfo(torch.float32).max)
        return (
            items_BK.masked_fill(is_wrong_B1, NO_ITEM),
            scores_BK.masked_fill(is_wrong_B1, torch.nan),
        )


def best_items(scores_BV: Tensor, k: int, users_B: Tensor) -> tuple[Tensor, Tensor]:
    """The k best items of each row as in `recsys_lab.models.ranking.top_k`, traceable.

    Args:
        scores_BV: without NaN; -inf at excluded items.
        k: at most V.
        users_B: user index of each row.

    Returns:
        Items, padded with `NO_ITEM`, and scores, (B, K) each.
    """
    # One more than asked for: it shows whether a tie crosses the end of the list.
    kept = min(k + 1, scores_BV.shape[1])
    best_BK, items_BK = scores_BV.topk(kept, dim=1)
    is_tied = ((best_BK[:, 1:] == best_BK[:, :-1]) & (best_BK[:, 1:] > -torch.inf)).any()

    def by_hash(scores_BV: Tensor, best_BK: Tensor, items_BK: Tensor, users_B: Tensor) -> Tensor:
        is_candidate_BV = (scores_BV >= best_BK[:, k - 1 : k]) & (scores_BV > -torch.inf)
        pairs_N2 = is_candidate_BV.nonzero()
        rows_N, items_N = pairs_N2[:, 0], pairs_N2[:, 1]
        # Stable sorts, the least significant key first: hash, score, row.
        order_N = tie_hash(users_B[rows_N], items_N).argsort(stable=True)
        scores_N = scores_BV[rows_N, items_N]
        order_N = order_N[scores_N[order_N].argsort(descending=True, stable=True)]
        order_N = order_N[rows_N[order_N].argsort(stable=True)]
        rows_N, items_N = rows_N[order_N], items_N[order_N]
        counts_B = is_candidate_BV.sum(1)
        firsts_B = counts_B.cumsum(0) - counts_B
        ranks_N = torch.arange(rows_N.shape[0]) - firsts_B[rows_N]
        lists_BK = torch.full_like(items_BK, NO_ITEM)
        return lists_BK.index_put((rows_N, ranks_N.clamp(max=kept - 1)), items_N)

    def as_they_are(
        scores_BV: Tensor, best_BK: Tensor, items_BK: Tensor, users_B: Tensor
    ) -> Tensor:
        del scores_BV, best_BK, users_B
        return items_BK.clone()

    operands = (scores_BV, best_BK, items_BK, users_B)
    items_BK = torch.cond(is_tied, by_hash, as_they_are, operands)
    items_BK = items_BK.masked_fill(best_BK == -torch.inf, NO_ITEM)
    return items_BK[:, :k], best_BK[:, :k]


def folded(model: DotProductModel) -> DotProductModel:
    """A copy on the CPU in evaluation mode whose item vectors are plain tables.

    Vectors that are fused from columns and texts are computed once.
    """
    copy: Any = deepcopy(model).cpu().eval().requires_grad_(False)
    with torch.no_grad():
        for name in ("items", "output"):
            module = getattr(copy, name)
            if module is not None and type(module) is not nn.Embedding:
                setattr(copy, name, nn.Embedding.from_pretrained(module.weight.clone()))
    return copy  # type: ignore[no-any-return]
