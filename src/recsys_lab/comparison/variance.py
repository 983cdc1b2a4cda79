"""The variance of a mean or of a difference of means, over seeds and users: see `paired_test`.

Shapes: U users, R runs of one system.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_UNLIKE = 2  # ratio of the systems' numbers of runs, see `paired_test`


@dataclass(frozen=True)
class Variance:
    """The variance of a mean or difference.

    Attributes:
        of_seeds: variance over seeds, including training noise.
        of_users: variance over users, without training noise.
        real_users: share of the observed variance over users that is not training noise.
        degrees_of_freedom: of the sum.
    """

    of_seeds: float
    of_users: float
    real_users: float
    degrees_of_freedom: float

    @property
    def whole(self) -> float:
        """The sum of both parts."""
        return self.of_seeds + self.of_users


def variance(systems: Sequence[tuple[Floats, bool]], mean_U: Floats, of_users: float) -> Variance:
    """The variance of a mean over users and runs.

    Args:
        systems: values (U, R) of each system, and whether it is deterministic.
        mean_U: the mean or difference of each user.
        of_users: variance of the mean of ``mean_U``.
    """
    users = len(mean_U)
    random = [values_UR for values_UR, deterministic in systems if not deterministic]
    several = [values_UR for values_UR in random if values_UR.shape[1] > 1]
    if not several:
        return Variance(0.0, of_users, 1.0, users - 1)
    of_seeds = squares = shares = residual = 0.0
    for values_UR in random:
        runs = values_UR.shape[1]
        known_UR = values_UR if runs > 1 else several[0]
        square, noise = _mean_squares(known_UR)
        of_seeds += square / runs
        residual += noise / (runs * users)
        if runs > 1:
            squares += (square / runs) ** 2 / (runs - 1)
            shares += square / runs / (runs - 1)
    real = max(0.0, of_users - residual)
    whole = of_seeds + real
    if whole == 0:
        return Variance(0.0, 0.0, 0.0 if of_users else 1.0, math.inf)
    share = real / of_users if of_users else 1.0
    counts = [values_UR.shape[1] for values_UR in several]
    if len(several) > 1 and max(counts) <= _UNLIKE * min(counts):
        squares += of_users**2 / (users - 1) if real else 0.0
        degrees = max(min(counts) - 1, whole**2 / squares)
    else:
        if len(several) == 1:  # a single run borrows the seed variance of the other system
            shares = of_seeds / (counts[0] - 1)
        degrees = whole / (shares + real / (users - 1))
    return Variance(of_seeds, real, share, degrees)


def _mean_squares(values_UR: Floats) -> tuple[float, float]:
    """Variance of the seed means, and the residual variance."""
    users, runs = values_UR.shape
    of_run = values_UR.mean(0)
    left = values_UR - values_UR.mean(1, keepdims=True) - of_run + of_run.mean()
    return float(of_run.var(ddof=1)), float((left**2).sum()) / ((users - 1) * (runs - 1))
