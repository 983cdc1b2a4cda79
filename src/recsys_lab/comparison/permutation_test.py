"""Permutation tests and Holm's correction for multiple tests.

Shapes: U users, R runs of one system.
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_AT_ONCE = 1 << 22  # numbers drawn at a time: bounds memory
_MOST_ARRANGEMENTS = 10_000
_ROUNDING = 1e-12


def sign_flip_p(difference_U: Floats, permutations: int, seed: int) -> float:
    """Paired permutation test: under the null each user's difference may have either sign.

    p = (1 + flips at least as far from zero) / (1 + flips), which is never 0 and never too small:
    Phipson & Smyth (2010), https://doi.org/10.2202/1544-6115.1585. Users with the same absolute
    difference are flipped together by one binomial draw, so for metrics of few distinct values
    the cost does not grow with the users.
    """
    sizes, counts = np.unique(np.abs(difference_U), return_counts=True)
    alone = sizes[counts == 1]
    shared, counts = sizes[counts > 1], counts[counts > 1]
    seen = abs(float(difference_U.sum()))
    generator = np.random.default_rng(seed)
    step = max(1, _AT_ONCE // len(sizes))
    far = 0
    for first in range(0, permutations, step):
        size = min(step, permutations - first)
        positive = generator.binomial(counts, 0.5, (size, len(counts)))
        up = generator.integers(0, 2, (size, len(alone)), dtype=np.int8)
        sums = (2 * positive - counts) @ shared + (2.0 * up - 1) @ alone
        far += int((np.abs(sums) >= seen - _ROUNDING * (1 + seen)).sum())
    return (1 + far) / (1 + permutations)


def seed_label_p(first_R: Floats, second_R: Floats) -> float:
    """Permutation test on seed means: under the null any run could belong to either system.

    Over all arrangements of the labels, or 10,000 random ones if there are more. The smallest value
    with 2 + 2, 3 + 3, 5 + 5 seeds is 1/3, 1/10, 1/126.
    """
    means = np.concatenate([first_R, second_R])
    total, size = float(means.sum()), len(first_R)

    def distance(sum_of_first: Floats) -> Floats:
        away: Floats = np.abs(sum_of_first / size - (total - sum_of_first) / (len(means) - size))
        return away

    if math.comb(len(means), size) <= _MOST_ARRANGEMENTS:
        chosen = np.array(list(combinations(range(len(means)), size)))
    else:
        generator = np.random.default_rng(0)
        order = generator.random((_MOST_ARRANGEMENTS, len(means))).argsort(1)
        order[0] = np.arange(len(means))  # the labels as they are count as one arrangement
        chosen = order[:, :size]
    away = distance(means[chosen].sum(1))
    seen = distance(np.array([first_R.sum()]))[0]
    return float((away >= seen - _ROUNDING).mean())


def seed_sign_p(difference_R: Floats) -> float:
    """Permutation test on the differences by seed: under the null either sign is equally likely.

    Over all 2^R signs, or 10,000 random ones if there are more. The smallest value with 2, 3, 5
    seeds is 1/2, 1/4, 1/16.
    """
    runs = len(difference_R)
    if 2**runs <= _MOST_ARRANGEMENTS:
        bits = np.arange(2**runs)[:, None] >> np.arange(runs) & 1
        away = np.abs((2.0 * bits - 1) @ difference_R)
        return float((away >= abs(float(difference_R.sum())) - _ROUNDING).mean())
    return sign_flip_p(difference_R, _MOST_ARRANGEMENTS, 0)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted to control the family-wise error rate.

    Sorted ascending, p(i) is multiplied by m - i + 1, made monotone and cut at 1: Holm (1979),
    https://www.jstor.org/stable/4615733.
    """
    order = np.argsort(p_values, kind="stable")
    factors = len(p_values) - np.arange(len(p_values))
    stepped = np.minimum(1, np.maximum.accumulate(np.asarray(p_values)[order] * factors))
    adjusted = np.empty(len(p_values))
    adjusted[order] = stepped
    return [float(p) for p in adjusted]
