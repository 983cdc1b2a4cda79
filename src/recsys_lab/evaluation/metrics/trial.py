"""Test of a user's own metric on artificial data, before anything is trained."""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

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
    arguments: tuple[Any, ...] = (batch, ranked)
    if isinstance(metric, PerUserMetric):
        arguments = (batch.lists_B, *hits_of(items_BK, batch.target_rows, batch.target_items))
    elif isinstance(metric, AccuracyMetric):
        arguments = (batch, ranked, None)
    before = deepcopy(arguments)
    try:
        metric.update(*arguments)
        value = float(metric.compute())
    except Exception as error:
        raise UserError(
            f"{where}: fails on {USERS} artificial users ({type(error).__name__}: {error})"
        ) from error
    changed = [f for f, (one, two) in _tensors(arguments, before).items() if not one.equal(two)]
    if changed:
        raise UserError(
            f"{where}: update changes what it is given ({', '.join(changed)}), which other metrics "
            "read too; change a copy, as x.clone()"
        )
    if not math.isfinite(value):
        raise UserError(
            f"{where}: got {value} for {USERS} artificial users, expected a finite number"
        )
    metric.reset()


def _tensors(ones: Any, twos: Any, name: str = "argument") -> dict[str, tuple[Tensor, Tensor]]:
    """Pairs of tensors at the same path of two equal structures."""
    if isinstance(ones, Tensor):
        return {name: (ones, twos)}
    pairs: dict[str, tuple[Tensor, Tensor]] = {}
    if isinstance(ones, tuple):
        for index, (one, two) in enumerate(zip(ones, twos, strict=True), start=1):
            pairs |= _tensors(one, two, f"{name} {index}")
    elif is_dataclass(ones):
        for field in fields(ones):
            inner = getattr(ones, field.name), getattr(twos, field.name)
            pairs |= _tensors(*inner, f"{name}'s {field.name}")
    return pairs


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
