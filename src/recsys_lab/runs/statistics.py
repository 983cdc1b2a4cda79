"""Are two systems different, or only these runs of them? Paired statistics on per-user results.

A *run* is one training with one seed; a *system* is all runs of one configuration. What is seen of
run r of system s for user u is modelled as

    x[s, r, u] = system mean + user effect + (user x system) effect + seed effect + residual

Users are shared by all runs (crossed), seeds belong to their system (nested). The difference of two
system means then has the variance

    MS_1 / R_1 + MS_2 / R_2 + max(0, V_users - V_residual)

with MS the sample variance of a system's R seed means (seed effect and residual together),
V_users = var_u(d_u) / U for the seed-averaged differences d_u, and V_residual the part of that
which is noise of training and so stands in MS already. Without the third term this is Welch's
t-test on seed means; with it the verdict speaks of other users too. The model: Brennan (2001),
Generalizability Theory, ch. 3.

Degrees of freedom after Satterthwaite (1946), https://doi.org/10.2307/3002019, with unbiased
estimates of the squared variances above and below the line (E[MS^2] = variance^2 (1 + 2 / df)),
which makes it (sum v)^2 / sum(v^2 / (df + 2)) - 2, as in Welch (1938),
https://doi.org/10.2307/2332010. Two systems of equal means are then told apart by chance in at most
5.9% of cases at the 5% level with 3 seeds a side, 6.2% with 3 against 5 and 5.7% with 5, whatever
share of the variance is the seeds' (0, .1, .25, .5, .75, .9, 1; 2,000 draws each, standard error
.5%: `scripts/simulate_comparison.py`). With 2 seeds a side it is up to 9.4%, too much for a
verdict: such a test has ``few_seeds``. A system of one run borrows the seed variance of the other.

With a single MS (a lone run, a deterministic system) that form is too free when seeds vary more
than users: 9.4% with 3 seeds. There 1 / df = sum (v / sum v) / df, which gives 3.7% to 5.8% with 3
seeds, whatever the shares, and 3.7% to 9.3% with 2 (``few_seeds`` again).

A *deterministic* system is one that the seed does not change: its MS is known to be 0. It is
neither borrowed by a lone run, which may well vary, nor does it borrow. Its runs count as one.

Where no seed variance can be had, of a lone run against another or against a deterministic system,
only users are resampled and permuted, and what is tested is whether *these two models* differ
(``covers_seeds`` is false). A second training may well reverse such a finding: Bouthillier et al.
(2021), https://arxiv.org/abs/2103.03098.

Permuted seed labels alone cannot reject at 5% with 3 + 3 seeds (20 arrangements: the smallest
two-sided p is 0.1), so their p-value stands beside the t-test's, which decides. A deterministic
system's labels are not exchangeable with those of another, so there signs are permuted instead.

Shapes: U users, S runs, R runs of one system, B resamples, C columns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recsys_lab.runs.permutations import seed_label_p, sign_flip_p
from recsys_lab.runs.student import quantile, two_sided_p

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FEW = 2
"""Seeds of a system that say too little of how much seeds vary; one borrows, three are enough."""
_TAIL = 0.05  # outside a 95% interval
_AT_ONCE = 1 << 22  # numbers drawn at a time: bounds memory
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Estimate:
    """A mean or a difference with its 95% interval.

    Attributes:
        value: the estimate.
        low: lower end.
        high: upper end.
        covers_seeds: whether the interval speaks of other seeds too, or of these models alone.
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
        p: two-sided, the one that decides: of the t-test over seeds and users, or, where seeds
            are not covered, of the permutation over users.
        degrees_of_freedom: of the t-test; None where seeds are not covered.
        bootstrap: percentile interval of the difference over resampled users, and seeds where a
            system has several that differ.
        permutation_p: of permuted seed labels where a system has several runs and none is
            deterministic; else of permuted signs of the users' differences.
        effect_size: Cohen's d_z = mean / standard deviation of the users' differences (Cohen 1988,
            ch. 2); None where all users differ by the same.
        wins: users whose value is larger in the first.
        ties: users with equal values.
        losses: the others.
        few_seeds: whether a system has two seeds alone, so that p is too small too often.
    """

    __test__ = False  # not a test case, whatever pytest makes of its name

    difference: Estimate
    p: float
    degrees_of_freedom: float | None
    bootstrap: tuple[float, float]
    permutation_p: float
    effect_size: float | None
    wins: int
    ties: int
    losses: int
    few_seeds: bool


class Paired:
    """Results of the same users under several runs.

    Args:
        values_US: one metric, no NaN; at least two users.
        systems: the columns of each system's runs.
        means_BS: mean of every run in each user resample, see `resampled_means`.
        deterministic: whether the seed is known to change nothing, by system; several runs that
            are equal for every user are taken for such.
        permutations: sign flips drawn where users are permuted.
        seed: of everything drawn here.
    """

    def __init__(
        self, values_US: Floats, systems: Sequence[Sequence[int]], means_BS: Floats, *,
        deterministic: Sequence[bool], permutations: int, seed: int,
    ) -> None:  # fmt: skip
        self._values = [values_US[:, list(columns)] for columns in systems]
        self._resampled = [means_BS[:, list(columns)] for columns in systems]
        self._deterministic = [
            known or (values_UR.shape[1] > 1 and bool((values_UR == values_UR[:, :1]).all()))
            for known, values_UR in zip(deterministic, self._values, strict=True)
        ]
        for place, one_run in enumerate(self._deterministic):
            if one_run:
                self._values[place] = self._values[place].mean(1, keepdims=True)
                self._resampled[place] = self._resampled[place].mean(1, keepdims=True)
        self._permutations = permutations
        self._seed = seed

    def mean(self, system: int) -> Estimate:
        """Mean of a system over seeds and users; over users alone where one run may be luck.

        The interval is cut to the range of the users' values, outside which no mean can lie: with
        two seeds the t distribution is wide.
        """
        values_UR = self._values[system]
        value = float(values_UR.mean())
        if values_UR.shape[1] == 1 and not self._deterministic[system]:
            low, high = _percentiles(self._resampled[system][:, 0])
            return Estimate(value, low, high, covers_seeds=False)
        of_system = [(values_UR, self._deterministic[system])]
        found = _t_estimate(value, *_variance(of_system, values_UR.mean(1)))
        low, high = max(found.low, values_UR.min()), min(found.high, values_UR.max())
        return Estimate(value, float(low), float(high), covers_seeds=True)

    def test(self, first: int, second: int) -> Test:
        """First against second system."""
        pair = [(self._values[place], self._deterministic[place]) for place in (first, second)]
        mean_U = pair[0][0].mean(1) - pair[1][0].mean(1)
        value = float(mean_U.mean())
        drawn_B = self._seeds_resampled(first, 0) - self._seeds_resampled(second, 1)
        bootstrap = _percentiles(drawn_B)
        degrees = None
        several = any(values_UR.shape[1] > 1 for values_UR, _ in pair)
        if several and not any(fixed for _, fixed in pair):
            permutation_p = seed_label_p(pair[0][0].mean(0), pair[1][0].mean(0))
        else:
            permutation_p = sign_flip_p(mean_U, self._permutations, self._seed)
        if several or all(fixed for _, fixed in pair):
            variance, degrees = _variance(pair, mean_U)
            difference = _t_estimate(value, variance, degrees)
            p = 1.0 if abs(value) < _ROUNDING else _p(value, variance, degrees)
        else:
            p = permutation_p
            difference = Estimate(value, *bootstrap, covers_seeds=False)
        spread = float(mean_U.std(ddof=1))
        wins, losses = int((mean_U > _ROUNDING).sum()), int((mean_U < -_ROUNDING).sum())
        return Test(
            difference, p, degrees, bootstrap, permutation_p,
            value / spread if spread > _ROUNDING else None,
            wins, len(mean_U) - wins - losses, losses,
            few_seeds=any(values_UR.shape[1] == FEW for values_UR, _ in pair),
        )  # fmt: skip

    def _seeds_resampled(self, system: int, stream: int) -> Floats:
        """System mean in each resample of users and of seeds, (B,).

        Resampling R of R seeds shrinks their variance by (R - 1) / R; the deviations are scaled up
        for that (Rao & Wu 1988, https://doi.org/10.1080/01621459.1988.10478591).
        """
        means_BR = self._resampled[system]
        num_resamples, runs = means_BR.shape
        center_B: Floats = means_BR.mean(1)
        if runs == 1:
            return center_B
        generator = np.random.default_rng([self._seed, stream])
        drawn_BR = generator.integers(0, runs, (num_resamples, runs))
        deviation_B: Floats = np.take_along_axis(means_BR, drawn_BR, 1).mean(1) - center_B
        moved_B: Floats = center_B + math.sqrt(runs / (runs - 1)) * deviation_B
        return moved_B


def resampled_means(values_UC: Floats, resamples: int, seed: int) -> Floats:
    """Means of all columns over users drawn with replacement, the same draw for all, (B, C).

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


def _variance(systems: Sequence[tuple[Floats, bool]], mean_U: Floats) -> tuple[float, float]:
    """Variance of a mean or difference, and its degrees of freedom: see the module.

    Args:
        systems: values (U, R) of each, and whether it is deterministic.
        mean_U: the mean or difference of each user.
    """
    users = len(mean_U)
    random = [values_UR for values_UR, deterministic in systems if not deterministic]
    several = [values_UR for values_UR in random if values_UR.shape[1] > 1]
    variance = parts = residual = 0.0
    for values_UR in random:
        runs = values_UR.shape[1]
        known_UR = values_UR if runs > 1 else several[0]
        of_seeds, noise = _mean_squares(known_UR)
        variance += of_seeds / runs
        residual += noise / (runs * users)
        if runs > 1:
            parts += (of_seeds / runs) ** 2 / (runs + 1)
    of_seeds_alone = variance
    of_users = float(mean_U.var(ddof=1)) / users
    if of_users > residual:
        variance += of_users - residual
        parts += of_users**2 / (users + 1)
    if variance == 0:
        return 0.0, math.inf
    least = min((values_UR.shape[1] - 1 for values_UR in several), default=users - 1)
    if len(several) > 1:
        return variance, max(least, variance**2 / parts - 2)
    share = of_seeds_alone / variance
    return variance, 1 / (share / least + (1 - share) / (users - 1))


def _mean_squares(values_UR: Floats) -> tuple[float, float]:
    """Variance of the seed means, and of what neither user nor seed explains."""
    users, runs = values_UR.shape
    of_run = values_UR.mean(0)
    left = values_UR - values_UR.mean(1, keepdims=True) - of_run + of_run.mean()
    return float(of_run.var(ddof=1)), float((left**2).sum()) / ((users - 1) * (runs - 1))


def _t_estimate(value: float, variance: float, degrees: float) -> Estimate:
    half = 0.0 if variance == 0 else quantile(_TAIL, min(degrees, 1e7)) * math.sqrt(variance)
    return Estimate(value, value - half, value + half, covers_seeds=True)


def _p(value: float, variance: float, degrees: float) -> float:
    return two_sided_p(value / math.sqrt(variance), min(degrees, 1e7)) if variance > 0 else 0.0


def _percentiles(drawn_B: Floats) -> tuple[float, float]:
    low, high = np.quantile(drawn_B, [_TAIL / 2, 1 - _TAIL / 2])
    return float(low), float(high)
