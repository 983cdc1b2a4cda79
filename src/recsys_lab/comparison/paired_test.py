"""Paired tests of two systems on per-user results, over seeds and users.

A *run* is one training with one seed; a *system* is all runs of one configuration. The value of a
metric for user u in run r of system s is modelled as

    x[s, r, u] = system mean + user effect + (user x system) effect + seed effect + residual

Users are shared by all runs (crossed), seeds belong to their system (nested). The difference of two
system means then has the variance

    MS_1 / R_1 + MS_2 / R_2 + max(0, V_users - V_residual)

with MS the sample variance of a system's R seed means (seed effect and residual together),
V_users = var_u(d_u) / U for the seed-averaged differences d_u, and V_residual the training noise in
V_users, which MS already includes. Without the third term this is Welch's t-test on seed means;
with it the test generalizes to other users too. The model: Brennan (2001), Generalizability Theory,
ch. 3.

Degrees of freedom after Satterthwaite (1946), https://doi.org/10.2307/3002019: (sum v)^2 /
sum(v^2 / df) over the variances v above. With a single MS (a single run, a deterministic system,
matched seeds), or where one system has more than twice the runs of the other, that is too liberal
when seeds vary more than users; there 1 / df = sum (v / sum v) / df. A system of one run borrows
the seed variance of the other.

Where both systems have the same seeds, runs of one seed are paired: MS is that of the differences
by seed, which cancels effects that a seed has on both. Pairing unrelated seeds costs little: with 3
seeds the interval is wider by at most 55%, with 5 by 20%.

The rate of false positives at the 5% level is 3.1% to 5.8% with 3 and 3, 3 and 5, 5 and 5, 1 and 3,
1 and 5 seeds, and with 3 or 5 matched ones, for every share of the variance due to seeds (0, .1,
.25, .5, .75, .9, 1; 2,000 to 8,000 draws each, standard error .5% or less) and for every effect
that a seed has on both: `scripts/checks/simulate_comparison.py`. With 2 seeds a side it is up
to 8.3%, too high for a verdict: such a test has ``few_seeds``.

For hit-based metrics, which are 0 for most users, few users underestimate the variance between
users; means then have the interval of `recsys_lab.evaluation.intervals`, and differences add two
pseudo-users, one half for each way in which two systems can hit and miss (Agresti and Min 2005,
https://doi.org/10.1002/sim.1781). The rate of false positives with one run each is then at most
5.3% with 30 to 1,000 users and 2% to 60% of hits (0% to 3% with fewer than about 10 hits). The
interval and p come from one statistic, so they agree.

A *deterministic* system does not depend on the seed: its MS is 0. A single run does not borrow that
0, and a deterministic system does not borrow either. Its runs count as one.

Without any seed variance, for a single run against another or against a deterministic system, only
users vary, and the test asks whether *these two models* differ (``covers_seeds`` is false). A new
training may well reverse such a result: Bouthillier et al. (2021),
https://arxiv.org/abs/2103.03098.

Permuted seed labels alone cannot reject at 5% with 3 + 3 seeds (20 arrangements: the smallest
two-sided p is 0.1), so their p-value is shown next to the t-test's, which decides. The labels of a
deterministic system are not exchangeable with those of another, so there signs are permuted
instead; with matched seeds, the signs of the differences by seed.

Shapes: U users, S runs, R runs of one system, B resamples, C columns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recsys_lab.comparison.bootstrap import percentiles, seeds_resampled
from recsys_lab.comparison.permutation_test import seed_label_p, seed_sign_p, sign_flip_p
from recsys_lab.comparison.variance import Variance, variance
from recsys_lab.evaluation.intervals import TAIL, hit_size, score_interval
from recsys_lab.evaluation.student import quantile, two_sided_p

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FEW = 2
"""A number of seeds that underestimates their variance; one seed borrows, three are enough."""
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Estimate:
    """A mean or a difference with its 95% interval.

    Attributes:
        value: the estimate.
        low: lower end.
        high: upper end.
        covers_seeds: whether the interval covers other seeds too, or these trained models only.
    """

    value: float
    low: float
    high: float
    covers_seeds: bool


@dataclass(frozen=True)
class Test:
    """First system against second.

    Attributes:
        difference: mean of the first minus mean of the second.
        p: two-sided p-value of the t-test over seeds and users, or over users where seeds are not
            covered; it decides, and is below 5% where the interval excludes 0.
        degrees_of_freedom: of the t-test.
        bootstrap: percentile interval of the difference over resampled users, and over seeds where
            a system has several that differ.
        permutation_p: p-value of permuted signs of the differences by seed where seeds are
            matched; of permuted seed labels where a system has several runs and none is
            deterministic; else of permuted signs of the users' differences.
        effect_size: Cohen's d_z = mean / standard deviation of the users' differences (Cohen 1988,
            ch. 2); None where all users have the same difference.
        wins: number of users whose value is larger in the first.
        ties: number of users with equal values.
        losses: number of users whose value is smaller in the first.
        few_seeds: whether a system has only two seeds, so that p is too small too often.
        matched: whether both have the same seeds, so that runs of one seed are paired.
    """

    __test__ = False  # pytest would collect the class by its name

    difference: Estimate
    p: float
    degrees_of_freedom: float
    bootstrap: tuple[float, float]
    permutation_p: float
    effect_size: float | None
    wins: int
    ties: int
    losses: int
    few_seeds: bool
    matched: bool


class Paired:
    """Results of several runs for the same users.

    Args:
        values_US: one metric, without NaN; at least two users.
        systems: the columns of each system's runs.
        means_BS: mean of every run in each user resample, see `bootstrap.resampled_means`.
        deterministic: whether a system is known not to depend on the seed; several runs that
            are equal for every user count as deterministic too.
        permutations: number of sign flips where users are permuted.
        seed: of the random draws.
        seeds: of each system's runs; None disables matching.
        largest: the largest value of a hit-based metric for a user; None for other metrics.
    """

    def __init__(
        self,
        values_US: Floats,
        systems: Sequence[Sequence[int]],
        means_BS: Floats,
        *,
        deterministic: Sequence[bool],
        permutations: int,
        seed: int,
        seeds: Sequence[Sequence[int]] | None = None,
        largest: float | None = None,
    ) -> None:
        orders = [np.argsort(own, kind="stable") for own in seeds] if seeds else None
        columns = [
            list(runs) if orders is None else [runs[index] for index in orders[system]]
            for system, runs in enumerate(systems)
        ]
        self._seeds = None if seeds is None else [sorted(own) for own in seeds]
        self._values = [values_US[:, own] for own in columns]
        self._resampled = [means_BS[:, own] for own in columns]
        self._deterministic = [
            known or (values_UR.shape[1] > 1 and bool((values_UR == values_UR[:, :1]).all()))
            for known, values_UR in zip(deterministic, self._values, strict=True)
        ]
        for system, one_run in enumerate(self._deterministic):
            if one_run:
                self._values[system] = self._values[system].mean(1, keepdims=True)
                self._resampled[system] = self._resampled[system].mean(1, keepdims=True)
        self._permutations = permutations
        self._seed = seed
        self._largest = largest

    def mean(self, system: int) -> Estimate:
        """Mean of a system over seeds and users, or over users only with a single run.

        The interval is clipped to the range of the metric: with two seeds the t distribution is
        wide.
        """
        values_UR, fixed = self._values[system], self._deterministic[system]
        mean_U = values_UR.mean(1)
        users, value = len(mean_U), float(mean_U.mean())
        spread = variance([(values_UR, fixed)], mean_U, float(mean_U.var(ddof=1)) / users)
        covers_seeds = fixed or values_UR.shape[1] > 1
        if self._largest is None:
            low, high = _interval(value, spread)
            least, most = float(values_UR.min()), float(values_UR.max())
        else:
            degrees = spread.degrees_of_freedom if values_UR.shape[1] > 1 else math.inf
            low, high = score_interval(
                value,
                hit_size(mean_U, self._largest),
                users / spread.real_users if spread.real_users else math.inf,
                _deviations(degrees),
                beside=spread.of_seeds,
            )
            least, most = 0.0, self._largest
        return Estimate(value, max(low, least), min(high, most), covers_seeds)

    def test(self, first: int, second: int) -> Test:
        """Test the first system against the second."""
        pair = [(self._values[s], self._deterministic[s]) for s in (first, second)]
        means = [self._resampled[s] for s in (first, second)]
        mean_U = pair[0][0].mean(1) - pair[1][0].mean(1)
        value = float(mean_U.mean())
        fixed = [known for _, known in pair]
        several = any(values_UR.shape[1] > 1 for values_UR, _ in pair)
        matched = self._are_matched(first, second)
        if matched:
            by_seed_UR = pair[0][0] - pair[1][0]
            pair_or_one = [(by_seed_UR, False)]
            drawn_B = seeds_resampled(means[0] - means[1], [self._seed, 0])
            permutation_p = seed_sign_p(by_seed_UR.mean(0))
        else:
            pair_or_one = pair
            drawn_B = seeds_resampled(means[0], [self._seed, 0]) - seeds_resampled(
                means[1], [self._seed, 1]
            )
            if several and not any(fixed):
                permutation_p = seed_label_p(pair[0][0].mean(0), pair[1][0].mean(0))
            else:
                permutation_p = sign_flip_p(mean_U, self._permutations, self._seed)
        center, of_users = self._over_users(mean_U)
        spread = variance(pair_or_one, mean_U, of_users)
        low, high = _interval(center, spread)
        sd = float(mean_U.std(ddof=1))
        wins, losses = int((mean_U > _ROUNDING).sum()), int((mean_U < -_ROUNDING).sum())
        return Test(
            Estimate(value, low, high, covers_seeds=several or all(fixed)),
            1.0 if abs(value) < _ROUNDING else _p(center, spread),
            spread.degrees_of_freedom,
            percentiles(drawn_B, TAIL),
            permutation_p,
            value / sd if sd > _ROUNDING else None,
            wins,
            len(mean_U) - wins - losses,
            losses,
            few_seeds=any(values_UR.shape[1] == FEW for values_UR, _ in pair),
            matched=matched,
        )

    def _are_matched(self, first: int, second: int) -> bool:
        """Whether both systems have several runs, of the same seeds."""
        sizes = {self._values[system].shape[1] for system in (first, second)}
        if self._seeds is None or 1 in sizes:
            return False
        return self._seeds[first] == self._seeds[second]

    def _over_users(self, difference_U: Floats) -> tuple[float, float]:
        """Center of the interval of a mean difference, and its variance over users.

        For hit-based metrics with the two pseudo-users of Agresti and Min, see the module.
        """
        users = len(difference_U)
        if self._largest is None:
            return float(difference_U.mean()), float(difference_U.var(ddof=1)) / users
        users += 2
        center = float(difference_U.sum()) / users
        square = (float(difference_U @ difference_U) + self._largest**2) / users
        return center, (square - center**2) / users


def _interval(center: float, spread: Variance) -> tuple[float, float]:
    half = _deviations(spread.degrees_of_freedom) * math.sqrt(spread.whole) if spread.whole else 0.0
    return center - half, center + half


def _deviations(degrees: float) -> float:
    return quantile(TAIL, min(degrees, 1e7))


def _p(center: float, spread: Variance) -> float:
    if spread.whole == 0:
        return 0.0
    return two_sided_p(center / math.sqrt(spread.whole), min(spread.degrees_of_freedom, 1e7))
