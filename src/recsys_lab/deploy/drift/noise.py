"""Sampling noise of the statistics: what two samples of the same users give without a shift.

Users are the unit: the events of a user are not independent. The users of both logs are pooled and
divided again at random into groups of the original sizes; the statistics of these groups are those
of unshifted data (Fisher's permutation test). A user in both logs is two units, which makes the
test conservative, as the histories of a person resemble each other. All statistics of a resample
are from one division, so that the largest of them corrects for their number (Westfall and Young
1993, Resampling-Based Multiple Testing, the single-step max T).

Shapes: U units (users of OLD, then users of NEW), S values of a distribution, R resamples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    Statistic = Callable[[NDArray[np.float64], NDArray[np.float64]], float]

_CELLS = 1 << 23
"""Largest number of counts that are held at a time, 64 MiB."""


@dataclass(frozen=True)
class Tallies:
    """How often each unit has each value of a distribution.

    Attributes:
        counts_SU: sparse counts.
        statistics: name -> function of the counts of OLD and of NEW, both (S,).
    """

    counts_SU: sparse.csr_array
    statistics: Mapping[str, Statistic]

    def of(self, in_new_U: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The counts of two groups of units, (S,) each."""
        return self.counts_SU @ (~in_new_U).astype(float), self.counts_SU @ in_new_U.astype(float)


@dataclass(frozen=True)
class Judged:
    """A statistic beside its sampling noise.

    Attributes:
        value: of OLD and NEW.
        noise: mean over the resamples.
        p: share of resamples (and the observed one) in which any statistic stands out as much from
            its own noise as this one does.
    """

    value: float
    noise: float
    p: float

    @property
    def excess(self) -> float:
        """The part of the value that sampling does not explain."""
        return max(0.0, self.value - self.noise)


def tally(
    codes_n: NDArray[np.int64], units_n: NDArray[np.int64], size: int, units: int
) -> sparse.csr_array:
    """Count the values of each unit, (S, U)."""
    ones = np.ones(len(codes_n))
    return sparse.csr_array((ones, (codes_n, units_n)), shape=(size, units))


def judge(
    tallies: Sequence[Tallies], in_new_U: NDArray[np.bool_], resamples: int, seed: int
) -> dict[str, Judged]:
    """Compare every statistic with its noise.

    Args:
        tallies: of all distributions; names of statistics are unique.
        in_new_U: the units of NEW.
        resamples: R; 0: the values without their noise.
        seed: of the divisions.

    Returns:
        By name. A statistic that is undefined for OLD and NEW is left out; where it is undefined
        for a resample, it counts as equal to the observed one.
    """
    observed = {
        name: function(*groups)
        for one in tallies
        for groups in [one.of(in_new_U)]
        for name, function in one.statistics.items()
    }
    names = [name for name, value in observed.items() if not np.isnan(value)]
    values = np.array([observed[name] for name in names])
    if not resamples or not names:
        return {name: Judged(float(observed[name]), 0.0, 1.0) for name in names}
    drawn_RN = np.empty((resamples, len(names)))
    rng = np.random.default_rng(seed)
    widest = max([len(in_new_U), *(one.counts_SU.shape[0] for one in tallies)])
    step = max(1, min(resamples, _CELLS // widest))
    totals = [one.counts_SU @ np.ones(len(in_new_U)) for one in tallies]
    for first in range(0, resamples, step):
        divided = [rng.permutation(in_new_U) for _ in range(min(step, resamples - first))]
        drawn = _drawn(tallies, totals, np.stack(divided, axis=1).astype(float))
        drawn_RN[first : first + len(divided)] = np.stack([drawn[name] for name in names], axis=1)
    drawn_RN = np.where(np.isnan(drawn_RN), values, drawn_RN)
    noise = drawn_RN.mean(axis=0)
    spread = np.maximum(drawn_RN.std(axis=0), 1e-9)
    largest_R = ((drawn_RN - noise) / spread).max(axis=1)
    scores = (values - noise) / spread
    above = (largest_R[:, None] >= scores - 1e-9).sum(axis=0)
    return {
        name: Judged(float(values[i]), float(noise[i]), float(1 + above[i]) / (resamples + 1))
        for i, name in enumerate(names)
    }


def _drawn(
    tallies: Sequence[Tallies],
    totals: Sequence[NDArray[np.float64]],
    in_new_UR: NDArray[np.float64],
) -> dict[str, NDArray[np.float64]]:
    """Every statistic of some resamples."""
    drawn = {}
    for one, total_S in zip(tallies, totals, strict=True):
        new_SR = one.counts_SU @ in_new_UR
        groups = [(total_S - new_S, new_S) for new_S in np.ascontiguousarray(new_SR.T)]
        for name, function in one.statistics.items():
            drawn[name] = np.array([function(*pair) for pair in groups])
    return drawn
