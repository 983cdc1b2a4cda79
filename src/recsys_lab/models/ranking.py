"""Exact top-k lists from scores, with a deterministic tie rule.

Shapes: B users, V items, K list length, R rows with ties, G groups of items.

Tie rule "hash(user, item)": items of equal score are sorted by a fixed pseudo-random hash of
(user, item). A model that scores all items equally therefore performs at chance level, and lists
do not depend on the machine, the batch size or the number of processes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from recsys_lab.contracts import NO_ITEM, RankedLists, exclude_from, fetch, send

if TYPE_CHECKING:
    from torch import Tensor

    from recsys_lab.contracts import Exclude

TIE_RULE = "hash(user, item)"
# On a CPU, from 3,500 to 1M items and k from 11 to 101: 0.1 to 1 x the time of `torch.topk`.
_GROUP = 16
_TIED_ELEMENTS = 1 << 21  # scores of tied rows hashed at a time: bounds memory
_WITHIN, _ACROSS, _NAN = 1, 2, 3  # what a row has: a tie, one across the end of its list, NaN


def top_k(scores_BV: Tensor, k: int, exclude: Exclude | None, users_B: Tensor) -> RankedLists:
    """The k best items of each row.

    Args:
        scores_BV: scores, any float type, (B, V); overwritten at the excluded pairs.
        k: list length; rows with fewer admissible items end in `NO_ITEM`.
        exclude: (rows, items) of pairs that must not appear.
        users_B: user index of each row, int64 (B,); enters the tie rule.

    Returns:
        The lists, best first, ties ordered by `TIE_RULE`.

    Raises:
        ValueError: a score is NaN.
    """
    exclude_from(scores_BV, exclude, -torch.inf)
    num_items = scores_BV.shape[1]
    kept = min(k, num_items)
    # One more than asked for: it shows whether a tie crosses the end of the list.
    best_BK, items_BK = _select(scores_BV, min(kept + 1, num_items))
    found = fetch(_rows_with(best_BK, kept))
    best_BK, items_BK = best_BK[:, :kept].contiguous(), items_BK[:, :kept].contiguous()
    if _NAN in found:
        user = int(users_B[found.index(_NAN)])
        msg = f"the model's score is NaN for user {user}: its lists cannot be ranked"
        raise ValueError(msg)
    if any(found):
        within_R, across_R = (_rows(found, kind, items_BK.device) for kind in (_WITHIN, _ACROSS))
        tied_R = torch.cat([within_R, across_R])
        items_BK[tied_R] = _by_tie_rule(best_BK[tied_R], items_BK[tied_R], users_B[tied_R])
        for part in across_R.split(max(1, _TIED_ELEMENTS // num_items)):
            items_BK[part] = _last_chosen(
                scores_BV[part], best_BK[part], items_BK[part], users_B[part]
            )
    items_BK.masked_fill_(best_BK == -torch.inf, NO_ITEM)
    return fit_length(RankedLists(items_BK, best_BK.float()), k)


def in_order(items_BK: Tensor, scores_BK: Tensor, users_B: Tensor) -> RankedLists:
    """Ranked lists from candidates, for models that do not score the whole catalogue.

    For example beam search or nearest neighbours. Best first, ties ordered by `TIE_RULE`.

    Args:
        items_BK: distinct items of each row, int64 (B, K), in any order, padded with `NO_ITEM`.
        scores_BK: their scores, any float type, (B, K).
        users_B: user index of each row, int64 (B,).

    Returns:
        The same items, sorted.

    Raises:
        ValueError: the score of an item is NaN.
    """
    scores_BK = scores_BK.float().masked_fill(items_BK == NO_ITEM, -torch.inf)
    if any(fetch(scores_BK.isnan().any().view(1))):
        raise ValueError("a score is NaN: the items cannot be ranked")
    by_hash_BK = tie_hash(users_B.unsqueeze(1), items_BK).argsort(1)
    items_BK, scores_BK = items_BK.gather(1, by_hash_BK), scores_BK.gather(1, by_hash_BK)
    # Items before padding, also where an item's own score is -inf.
    first_BK = (items_BK == NO_ITEM).long().argsort(dim=1, stable=True)
    items_BK, scores_BK = items_BK.gather(1, first_BK), scores_BK.gather(1, first_BK)
    order_BK = scores_BK.argsort(dim=1, descending=True, stable=True)
    return RankedLists(items_BK.gather(1, order_BK), scores_BK.gather(1, order_BK))


def fit_length(lists: RankedLists, k: int) -> RankedLists:
    """The first k ranks of each list, padded if they have fewer."""
    items_BK, scores_BK = lists.items_BK[:, :k], lists.scores_BK[:, :k]
    lacking = k - items_BK.shape[1]
    if lacking:
        items_BK = F.pad(items_BK, (0, lacking), value=NO_ITEM)
        scores_BK = F.pad(scores_BK, (0, lacking), value=-torch.inf)
    return RankedLists(items_BK, scores_BK, lists.diagnostics)


def list_shortfall(items_BK: Tensor, num_items: int, exclude: Exclude | None) -> Tensor:
    """Share of each list that a search left empty though it missed items, float32 (B,).

    Ranks that are empty because no further items are admissible do not count.

    Args:
        items_BK: the lists, padded with `NO_ITEM`.
        num_items: V.
        exclude: (rows, items) of pairs that must not appear; a pair may be given twice.
    """
    users, k = items_BK.shape
    most_B = torch.full((users,), num_items, device=items_BK.device)
    if exclude is not None:
        rows_P, items_P = exclude
        pairs_P = (rows_P * num_items + items_P).unique()
        most_B -= (pairs_P // num_items).bincount(minlength=users)
    found_B = (items_BK != NO_ITEM).sum(1)
    return (most_B.clamp(max=k) - found_B).clamp(min=0) / k


def _select(scores_BV: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """`torch.topk`, faster on wide rows: the k best items lie in the k groups of best maxima."""
    num_users, num_items = scores_BV.shape
    groups = num_items // _GROUP
    if groups < 2 * k:
        best_BK, items_BK = scores_BV.topk(k, dim=1)
        return best_BK, items_BK
    body = groups * _GROUP
    # Items `groups` apart form a group, so that maxima are taken over whole vectors.
    maxima_BG = scores_BV[:, :body].unflatten(1, (_GROUP, groups)).amax(1)
    chosen_BK = maxima_BG.topk(k, dim=1, sorted=False).indices
    steps = torch.arange(0, body, groups, device=scores_BV.device)
    columns = (chosen_BK.unsqueeze(2) + steps).flatten(1)
    if body < num_items:
        tail = torch.arange(body, num_items, device=scores_BV.device)
        columns = torch.cat([columns, tail.expand(num_users, -1)], 1)
    best_BK, index_BK = scores_BV.gather(1, columns).topk(k, dim=1)
    return best_BK, columns.gather(1, index_BK)


def _rows_with(best_BK: Tensor, kept: int) -> Tensor:
    """What each row has: `_WITHIN`, `_ACROSS`, `_NAN`, or 0 for none of them, uint8 (B,).

    Args:
        best_BK: the best scores, one more than the list has if there are as many items.
        kept: length of the list.
    """
    same_BK = (best_BK[:, 1:] == best_BK[:, :-1]) & (best_BK[:, 1:] > -torch.inf)
    what_B = same_BK.any(1).to(torch.uint8) * _WITHIN
    if best_BK.shape[1] > kept:
        what_B.masked_fill_(same_BK[:, -1], _ACROSS)
    return what_B.masked_fill_(best_BK[:, 0].isnan(), _NAN)  # NaN sorts first: it cannot hide


def _rows(found: list[int], kind: int, device: torch.device) -> Tensor:
    rows = [row for row, one in enumerate(found) if one == kind]
    return send(torch.tensor(rows, dtype=torch.int64), device)


def _by_tie_rule(best_RK: Tensor, items_RK: Tensor, users_R: Tensor) -> Tensor:
    """The items of each list by (score descending, hash)."""
    by_hash_RK = tie_hash(users_R.unsqueeze(1), items_RK).argsort(1)
    order_RK = best_RK.gather(1, by_hash_RK).argsort(dim=1, descending=True, stable=True)
    return items_RK.gather(1, by_hash_RK.gather(1, order_RK))


def _last_chosen(scores_RV: Tensor, best_RK: Tensor, items_RK: Tensor, users_R: Tensor) -> Tensor:
    """Lists with the right ones of all items that have the last score."""
    k = best_RK.shape[1]
    last_R1 = best_RK[:, -1:]
    all_V = torch.arange(scores_RV.shape[1], device=scores_RV.device)
    hash_RV = tie_hash(users_R.unsqueeze(1), all_V)
    hash_RV.masked_fill_(scores_RV != last_R1, torch.iinfo(torch.int64).max)
    tied_RK = hash_RV.topk(k, dim=1, largest=False).indices  # items with the last score, by hash
    above_R1 = (best_RK > last_R1).sum(1, keepdim=True)
    ranks_K = torch.arange(k, device=scores_RV.device)
    from_tied_RK = tied_RK.gather(1, (ranks_K - above_R1).clamp(min=0))
    return torch.where(ranks_K < above_R1, items_RK, from_tied_RK)


def tie_hash(users: Tensor, items: Tensor) -> Tensor:
    """A fixed pseudo-random int64 for each pair of user and item.

    Multiply and xor-shift rounds of int64, which wraps.
    """
    x = users * 0x1E3779B97F4A7C15 + items * 0x3F58476D1CE4E5B9 + 0x14D049BB133111EB
    for multiplier in (0x3F58476D1CE4E5B9, 0x14D049BB133111EB):
        x = (x ^ ((x >> 30) & 0x3FFFFFFFF)) * multiplier
    return x ^ ((x >> 31) & 0x1FFFFFFFF)
