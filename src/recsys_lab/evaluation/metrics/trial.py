"""Test of a user's own metric on artificial data, before anything is trained."""

from __future__ import annotations

import math
from typing import Any

import torch

from recsys_lab.config import UserError
from recsys_lab.contracts import NO_ITEM, Batch, EvaluationBatch, RankedLists
from recsys_lab.evaluation.metrics.accuracy import PerUserMetric, hits_of
from recsys_lab.evaluation.metrics.user_mean import AccuracyMetric

USERS = 3
"""Number of artificial users."""


def try_out(where: str, metric: Any, num_items: int, device: torch.device | str = "cpu") -> None:
    """Compute a user's own metric once on artificial lists, and reset it.

    Args:
        where: option and class, for messages.
        metric: a metric without data.
        num_items: V.
        device: device of the metric.

    Raises:
        UserError: it fails, or its value is not finite.
    """
    batch, ranked = _sample(metric.k, num_items)
    batch, items_BK = batch.to(device), ranked.items_BK.to(device)
    ranked = RankedLists(items_BK, ranked.scores_BK.to(device))
    try:
        if isinstance(metric, PerUserMetric):
            hits = hits_of(items_BK, batch.target_rows, batch.target_items)
            metric.update(batch.lists_B, *hits)
        elif isinstance(metric, AccuracyMetric):
            metric.update(batch, ranked, None)
        else:
            metric.update(batch, ranked)
        value = float(metric.compute())
    except Exception as error:
        raise UserError(
            f"{where}: fails on {USERS} artificial users ({type(error).__name__}: {error})"
        ) from error
    if not math.isfinite(value):
        raise UserError(
            f"{where}: got {value} for {USERS} artificial users, expected a finite number"
        )
    metric.reset()


def _sample(k: int, num_items: int) -> tuple[EvaluationBatch, RankedLists]:
    """Users with a target at the first, last and no rank, each with a history of one item."""
    rows_B = torch.arange(USERS)
    items_BK = (torch.arange(k) + rows_B.unsqueeze(1)) % num_items
    if k > num_items:
        items_BK[:, num_items:] = NO_ITEM
    targets_B = torch.stack([items_BK[0, 0], items_BK[1, min(k, num_items) - 1], rows_B[2] * 0])
    targets_B[2] = (items_BK[2, 0] + num_items - 1) % num_items
    seen_B = targets_B.flip(0)
    history = Batch(rows_B, seen_B, torch.arange(USERS + 1), (1,) * USERS)
    batch = EvaluationBatch(
        history, rows_B, seen_B, rows_B, targets_B, target_values_G=torch.ones(USERS).double()
    )
    return batch, RankedLists(items_BK, -torch.arange(k).float().expand(USERS, k))
