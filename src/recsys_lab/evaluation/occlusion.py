"""Attribution by occlusion: what changes when another item stands in an event's place.

Shapes: T events of one user, K explained items, M replacements, N = T M histories, V items.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from recsys_lab.evaluation.attribution import joined, joined_column, scores_of

if TYPE_CHECKING:
    from torch import Tensor

    from recsys_lab.contracts import Batch, Recommender

_EVENTS_AT_A_TIME = 1 << 16  # in histories that are ranked together, to bound memory


@dataclass(frozen=True)
class Replacements:
    """Items that are put in the place of an event.

    Attributes:
        events: M events with different items; only items and their columns are read.
        population: number of items that they were drawn from; with M of them, all are used.
    """

    events: Batch
    population: int

    @property
    def are_all(self) -> bool:
        """Whether every item is used, so that the attributions have no sampling error."""
        return len(self.events.items_T) == self.population


def occlusion(
    model: Recommender,
    history: Batch,
    items_K: Tensor,
    num_items: int,
    replacements: Replacements,
    *,
    at_once: int,
) -> tuple[Tensor, Tensor]:
    """Replacement occlusion, and its standard errors, (K, T) each.

    The attribution of item k to event t is ``s_k(H) - mean_r s_k(H with item r as event t)``, over
    the replacements r other than k and the event's own item. It equals the effect of removing the
    event minus the mean effect of removing an event r from its place, whatever a removal does
    besides: the history keeps its length, positions and times, so that an event that the model
    cannot use gets 0. Robnik-Sikonja and Kononenko, TKDE 2008, with a sample of the items.

    Works with every recommender: trained, fitted or generative.

    Args:
        model: the recommender.
        history: history of one user, T >= 1.
        items_K: item indices, int64.
        num_items: V.
        replacements: at least 3, so that one is left for each item and event.
        at_once: largest number of histories that the model ranks in one call.

    Raises:
        UserError: the model does not score all items.
    """
    length, device = history.lengths[0], items_K.device
    others_M = replacements.events.items_T
    # Row t * M + m of the index has the m-th replacement, event T + m, in the place of event t.
    event_N = torch.arange(length, device=device).repeat_interleave(len(others_M))
    other_N = torch.arange(len(others_M), device=device).repeat(length)
    index_NT = torch.arange(length, device=device).repeat(len(event_N), 1)
    index_NT.scatter_(1, event_N[:, None], length + other_N[:, None])
    whole_1K = scores_of(model, history, items_K, num_items)
    step = max(1, min(at_once, _EVENTS_AT_A_TIME // length))
    scores_NK = torch.cat(
        [
            scores_of(model, _replaced(history, replacements.events, rows), items_K, num_items)
            for rows in index_NT.split(step)
        ]
    )
    changes_TMK = (whole_1K - scores_NK).view(length, len(others_M), len(items_K))
    is_other_TM1 = (history.items_T[:, None] != others_M)[:, :, None]
    is_other_TMK = (is_other_TM1 & (others_M[:, None] != items_K)).to(changes_TMK.device)
    return _means(changes_TMK, is_other_TMK, replacements.population)


def _replaced(history: Batch, others: Batch, index_RT: Tensor) -> Batch:
    """R copies of the history with the items at ``index_RT`` among both batches' events."""
    columns = {
        name: joined_column([column, others.features[name]])
        for name, column in history.features.items()
        if name.startswith("item.")
    }
    index = index_RT.flatten()
    copies = joined([history] * len(index_RT))
    return replace(
        copies,
        items_T=torch.cat([history.items_T, others.items_T])[index],
        features={
            **copies.features,
            **{
                name: column[index] if isinstance(column, torch.Tensor) else column.rows(index)
                for name, column in columns.items()
            },
        },
    )


def _means(x_TMK: Tensor, keep_TMK: Tensor, population: int) -> tuple[Tensor, Tensor]:
    """Means over the kept replacements, and their standard errors, (K, T) each."""
    counts_TK = keep_TMK.sum(1)
    means_TK = torch.where(keep_TMK, x_TMK, 0).sum(1) / counts_TK
    squares_TK = torch.where(keep_TMK, (x_TMK - means_TK[:, None]) ** 2, 0).sum(1)
    # A sample without repetition from a small catalogue has a smaller error, and none if complete.
    left = 1 - x_TMK.shape[1] / population
    errors_TK = (left * squares_TK / (counts_TK - 1).clamp(min=1) / counts_TK).sqrt()
    return means_TK.T, errors_TK.T
