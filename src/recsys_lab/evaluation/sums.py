"""Reproducible sums: bit-equal for any order, batch size, thread count or SIMD width.

Equal values then give an equal mean to the last bit, so that a reproduced number can be recognised.

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
    """The mean with an exact sum (Shewchuk 1997, `math.fsum`), rounded once; NaN if empty.

    A million values take 0.05 seconds.
    """
    return math.fsum(values_U.tolist()) / len(values_U) if len(values_U) else math.nan


def mean_of_each(values_L: Tensor, groups_L: Tensor) -> tuple[Tensor, Tensor]:
    """Means of consecutive groups of values, without NaN.

    Args:
        values_L: float64 (L,).
        groups_L: group of each value, non-decreasing, int64 (L,).

    Returns:
        The groups, ascending, and the mean of each; NaN for a group without values.
    """
    groups_U, sums_U, counts_U = _sums_of_each(values_L, groups_L)
    return groups_U, sums_U / counts_U


def sum_of_each(values_L: Tensor, groups_L: Tensor) -> tuple[Tensor, Tensor]:
    """Sums of consecutive groups of values; arguments and result as in `mean_of_each`."""
    groups_U, sums_U, _ = _sums_of_each(values_L, groups_L)
    return groups_U, sums_U


def _sums_of_each(values_L: Tensor, groups_L: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Groups, their sums (NaN without values) and their numbers of values."""
    groups_U, counts_U = groups_L.unique_consecutive(return_counts=True)
    if len(groups_U) == len(groups_L):
        return groups_U, values_L, counts_U
    of_L = torch.repeat_interleave(torch.arange(len(groups_U), device=groups_L.device), counts_U)
    known_L = ~values_L.isnan()
    values_L, counts_U = values_L[known_L], torch.bincount(of_L[known_L], minlength=len(groups_U))
    starts_U = counts_U.cumsum(0) - counts_U
    sums_U = torch.full((len(groups_U),), math.nan, dtype=torch.float64, device=values_L.device)
    width, most = 1, int(counts_U.max())
    while width < 2 * most:  # groups of similar size together: one rectangle of all could be huge
        at = ((counts_U > width // 2) & (counts_U <= width)).nonzero().flatten()
        index = torch.arange(width, device=at.device).expand(len(at), -1)
        is_valid = index < counts_U[at, None]
        terms = values_L[(starts_U[at, None] + index) * is_valid] * is_valid
        sums_U[at] = sum_over_ranks(terms)
        width *= 2
    return groups_U, sums_U, counts_U


def mean_over_lists(values_L: Tensor, users_L: Tensor) -> tuple[Tensor, Tensor]:
    """The contribution of each user to the mean over all lists.

    With R the mean over all lists, v_u the mean over the w_u lists of a user, and w the mean number
    of lists, it is ``R + (w_u / w) (v_u - R)``. The mean over users is R, and the variance over
    users that of R as a ratio of two means, linearised (Cochran, "Sampling techniques", 1977,
    section 6.3), so that intervals and paired tests over users are valid for R. A single value has
    no meaning, and may be negative.

    Args:
        values_L: float64 (L,); NaN is left out.
        users_L: user of each value, non-decreasing, int64 (L,).

    Returns:
        The users, ascending, and the value of each; NaN for a user without values.
    """
    users_U, means_U = mean_of_each(values_L, users_L)
    known_L = ~values_L.isnan()
    of_L = torch.searchsorted(users_U, users_L[known_L])
    counts_U = torch.bincount(of_L, minlength=len(users_U)).double()
    ratio = mean(values_L[known_L])
    share_U = counts_U * int((counts_U > 0).sum()) / counts_U.sum()
    return users_U, ratio + share_U * (means_U - ratio)


def sum_over_ranks(values_BK: Tensor) -> Tensor:
    """Pairwise sum over the last dimension; trailing zeros do not change any bit.

    Each step adds neighbours, in a fixed order; torch's own sum depends on the SIMD width.
    """
    while (size := values_BK.shape[-1]) != 1:
        values_BK = pad(values_BK, (0, size % 2 if size else 2))
        values_BK = values_BK[..., 0::2] + values_BK[..., 1::2]
    return values_BK[..., 0]


def sum_by_size(values_BC: Tensor) -> Tensor:
    """`sum_over_ranks` from the largest to the smallest term: zeros do not change any bit."""
    order_BC = values_BC.abs().argsort(dim=1, descending=True, stable=True)
    return sum_over_ranks(values_BC.gather(1, order_BC))


def log2_of_each(counts_V: Tensor) -> Tensor:
    """Binary logarithm of positive numbers with few distinct values, float64 (V,).

    Computed one by one: the last bit of torch's logarithm depends on the position in the array.
    """
    distinct, index_V = counts_V.unique(return_inverse=True)
    logs = torch.tensor([math.log2(count) for count in distinct.tolist()], dtype=torch.float64)
    return logs.to(counts_V.device)[index_V]
