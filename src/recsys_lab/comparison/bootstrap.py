"""Bootstrap over users and seeds.

Shapes: U users, R runs of one system, C columns, B resamples.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_AT_ONCE = 1 << 22  # numbers drawn at a time: bounds memory


def resampled_means(values_UC: Floats, resamples: int, seed: int) -> Floats:
    """Column means over users drawn with replacement, the same draws for all columns, (B, C).

    The bootstrap of Efron (1979), https://doi.org/10.1214/aos/1176344552.
    """
    generator = np.random.default_rng(seed)
    users = len(values_UC)
    step = max(1, _AT_ONCE // users)
    means = []
    for first in range(0, resamples, step):
        size = min(step, resamples - first)
        drawn = generator.integers(0, users, (size, users)) + users * np.arange(size)[:, None]
        counts_bU = np.bincount(drawn.ravel(), minlength=size * users).reshape(size, users)
        means.append(counts_bU.astype(np.float64) @ values_UC / users)
    return np.concatenate(means)


def resampled_means_of_few(values_UC: Floats, resamples: int, seed: int) -> Floats:
    """The same bootstrap for metrics of few distinct values, whose cost does not grow with U.

    Users with equal rows are drawn together: their number in a resample is multinomial. Other draws
    than those of `resampled_means`, which is used if most rows differ.
    """
    rows_DC, counts_D = np.unique(values_UC, axis=0, return_counts=True)
    users, distinct = len(values_UC), len(rows_DC)
    if 4 * distinct > users:
        return resampled_means(values_UC, resamples, seed)
    generator = np.random.default_rng(seed)
    step = max(1, _AT_ONCE // distinct)
    means = []
    for first in range(0, resamples, step):
        size = min(step, resamples - first)
        drawn_bD = generator.multinomial(users, counts_D / users, size)
        means.append(drawn_bD @ rows_DC / users)
    return np.concatenate(means)


def seeds_resampled(means_BR: Floats, seed: list[int]) -> Floats:
    """System mean in each resample of users and seeds, (B,).

    Resampling R of R seeds shrinks their variance by (R - 1) / R; the deviations are rescaled to
    compensate (Rao & Wu 1988, https://doi.org/10.1080/01621459.1988.10478591).

    Args:
        means_BR: mean of each run, or difference of two runs, in each resample of users.
        seed: of the draws of runs.
    """
    num_resamples, runs = means_BR.shape
    center_B: Floats = means_BR.mean(1)
    if runs == 1:
        return center_B
    drawn_BR = np.random.default_rng(seed).integers(0, runs, (num_resamples, runs))
    deviation_B: Floats = np.take_along_axis(means_BR, drawn_BR, 1).mean(1) - center_B
    moved_B: Floats = center_B + math.sqrt(runs / (runs - 1)) * deviation_B
    return moved_B


def percentiles(drawn_B: Floats, tail: float) -> tuple[float, float]:
    """The percentile interval with half of the tail on each side."""
    low, high = np.quantile(drawn_B, [tail / 2, 1 - tail / 2])
    return float(low), float(high)
