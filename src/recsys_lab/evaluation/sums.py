"""Sums that depend on nothing but their terms: no order, batch, thread or width of a processor.

The same values then give the same mean to the last bit, whoever adds them up, so that a number
which is reproduced can be told from one which is not.

Shapes: B rows, K terms of a row, U users, V items.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import pad

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def mean(values_U: Tensor | NDArray[np.float64]) -> float:
    """The mean, rounded once: the sum is exact (Shewchuk 1997, `math.fsum`); NaN of nothing.

    A million values take a twentieth of a second.
    """
    return math.fsum(values_U.tolist()) / len(values_U) if len(values_U) else math.nan


def mean_of_each(values_L: Tensor, groups_L: Tensor) -> tuple[Tensor, Tensor]:
    """Means of groups of values that stand together; NaN is left out.

    Args:
        values_L: float64 (L,).
        groups_L: not decreasing, int64 (L,).

    Returns:
        The groups, ascending, and the mean of each: NaN where it has no value.
    """
    groups_U, sums_U, counts_U = _sums_of_each(values_L, groups_L)
    return groups_U, sums_U / counts_U


def sum_of_each(values_L: Tensor, groups_L: Tensor) -> tuple[Tensor, Tensor]:
    """Sums of groups of values that stand together, as `mean_of_each` has their means."""
    groups_U, sums_U, _ = _sums_of_each(values_L, groups_L)
    return groups_U, sums_U


def _sums_of_each(values_L: Tensor, groups_L: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Groups, their sums (NaN of no value) and their numbers of values."""
    groups_U, counts_U = groups_L.unique_consecutive(return_counts=True)
    if len(groups_U) == len(groups_L):
        return groups_U, values_L, counts_U
    of_L = torch.repeat_interleave(torch.arange(len(groups_U), device=groups_L.device), counts_U)
    known_L = ~values_L.isnan()
    values_L, counts_U = values_L[known_L], torch.bincount(of_L[known_L], minlength=len(groups_U))
    starts_U = counts_U.cumsum(0) - counts_U
    sums_U = torch.full((len(groups_U),), math.nan, dtype=torch.float64, device=values_L.device)
    width, most = 1, int(counts_U.max())
    while width < 2 * most:  # groups of about one size at a time: a rectangle of all could be huge
        at = ((counts_U > width // 2) & (counts_U <= width)).nonzero().flatten()
        places = torch.arange(width, device=at.device).expand(len(at), -1)
        is_there = places < counts_U[at, None]
        terms = values_L[(starts_U[at, None] + places) * is_there] * is_there
        sums_U[at] = sum_over_ranks(terms)
        width *= 2
    return groups_U, sums_U, counts_U


def mean_over_lists(values_L: Tensor, users_L: Tensor) -> tuple[Tensor, Tensor]:
    """What users add to the mean over all lists, as one number each.

    With R the mean over all lists, v_u that over the w_u lists of a user, and w their mean number,
    it is ``R + (w_u / w) (v_u - R)``. The mean over users is R, and their variance is that of R
    where users differ in their lists: a ratio of two means, linearised (Cochran, "Sampling
    techniques", 1977, section 6.3). So intervals and paired tests over users hold for R. A single
    number means nothing, and may be negative.

    Args:
        values_L: float64 (L,); NaN is left out.
        users_L: not decreasing, int64 (L,).

    Returns:
        The users, ascending, and the number of each: NaN where a user has no value.
    """
    users_U, means_U = mean_of_each(values_L, users_L)
    known_L = ~values_L.isnan()
    of_L = torch.searchsorted(users_U, users_L[known_L])
    counts_U = torch.bincount(of_L, minlength=len(users_U)).double()
    ratio = mean(values_L[known_L])
    share_U = counts_U * int((counts_U > 0).sum()) / counts_U.sum()
    return users_U, ratio + share_U * (means_U - ratio)


def sum_over_ranks(values_BK: Tensor) -> Tensor:
    """Sum of each row over the last dimension; zeros at its end change no bit.

    Neighbours are added, then the sums of neighbours, and so on: each addition is one of the
    standard (IEEE 754), where the library's own sum takes as many terms at once as the machine can.
    """
    while (size := values_BK.shape[-1]) != 1:
        values_BK = pad(values_BK, (0, size % 2 if size else 2))
        values_BK = values_BK[..., 0::2] + values_BK[..., 1::2]
    return values_BK[..., 0]


def sum_by_size(values_BC: Tensor) -> Tensor:
    """`sum_over_ranks` from the largest to the smallest term: zeros anywhere change no bit."""
    order_BC = values_BC.abs().argsort(dim=1, descending=True, stable=True)
    return sum_over_ranks(values_BC.gather(1, order_BC))


def log2_of_each(counts_V: Tensor) -> Tensor:
    """Binary logarithm of positive numbers of which few differ, float64 (V,).

    One by one: the library's last bit depends on where in an array, and in which thread's part of
    it, a number stands.
    """
    distinct, places_V = counts_V.unique(return_inverse=True)
    logs = torch.tensor([math.log2(count) for count in distinct.tolist()], dtype=torch.float64)
    return logs.to(counts_V.device)[places_V]
