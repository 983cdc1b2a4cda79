"""Off-policy estimates: the mean reward of a policy, from the log of another policy.

The log has, for each of N events, the shown item, the reward, and the propensity: the probability
of the logging policy to show that item to that user at that time. With w = target probability /
propensity, clipped at ``clip``:

- ``ips``, inverse propensity scoring: mean of w r (Horvitz and Thompson 1952,
  https://doi.org/10.1080/01621459.1952.10483446). Unbiased without a clip.
- ``snips``, self-normalised: sum of w r / sum of w (Swaminathan and Joachims, NeurIPS 2015,
  https://papers.nips.cc/paper/5748). Bias O(1 / N), lower variance.
- ``dr``, doubly robust: mean of ``sum over a of pi(a) q(a) + w (r - q(shown))`` with a model q of
  the reward (Dudik, Langford and Li, ICML 2011, https://arxiv.org/abs/1103.4601). Unbiased without
  a clip for any q that is not fitted to these events.

A clip bounds the variance; estimates are then too low for items with clipped weights. Intervals are
Student's at 95%, with the variance over users (events of a user are not independent) of the
linearised ratio (Cochran 1977, section 6.3). No estimate covers items that the logging policy never
shows.

Shapes: N events.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_lab.config import UserError
from recsys_lab.evaluation.intervals import FEWEST_USERS, TAIL
from recsys_lab.evaluation.student import quantile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Logged:
    """Events of a logging policy, with probabilities under the target policy.

    Attributes:
        users_N: user index, int64.
        rewards_N: observed reward.
        propensities_N: probability of the shown item under the logging policy, in (0, 1].
        chances_N: probability of the shown item under the target policy, in [0, 1].
        modelled_N: q of the shown item.
        expected_N: mean of q over the items that the target policy would show.
    """

    users_N: NDArray[np.int64]
    rewards_N: Floats
    propensities_N: Floats
    chances_N: Floats
    modelled_N: Floats
    expected_N: Floats


@dataclass(frozen=True)
class Estimate:
    """The mean reward per event under the target policy.

    Attributes:
        estimator: ``ips``, ``snips`` or ``dr``.
        value: in the reward's unit; NaN for ``snips`` if the target policy shows none of the items.
        low: lower end of the 95% interval; None if fewer than 30 users have a weight above 0.
        high: upper end, likewise.
    """

    estimator: str
    value: float
    low: float | None
    high: float | None


def check_propensities(propensities_N: Floats) -> None:
    """Check that propensities are in (0, 1].

    Raises:
        UserError: one is missing or outside of that range.
    """
    p_N = propensities_N
    wrong_N = ~((p_N > 0) & (p_N <= 1))
    if wrong_N.any():
        raise UserError(
            f"off-policy: {int(wrong_N.sum()):,} of {len(p_N):,} propensities are not valid, e.g. "
            f"{p_N[wrong_N][0]:g}, expected probabilities above 0 and at most 1. Leave these "
            "events out (evaluation.off_policy_where), or correct the column"
        )


def weights(logged: Logged, clip: float | None = None) -> Floats:
    """Target probability / propensity, at most ``clip``, (N,).

    Raises:
        UserError: see `check_propensities`.
    """
    check_propensities(logged.propensities_N)
    weights_N: Floats = logged.chances_N / logged.propensities_N
    return weights_N if clip is None else np.minimum(weights_N, clip)


def estimates(logged: Logged, clip: float | None = None) -> list[Estimate]:
    """All three estimates of the module.

    Raises:
        UserError: see `weights`.
    """
    return [ips(logged, clip), snips(logged, clip), doubly_robust(logged, clip)]


def ips(logged: Logged, clip: float | None = None) -> Estimate:
    """Inverse propensity scoring."""
    weights_N = weights(logged, clip)
    ones_N = np.ones_like(weights_N)
    return _ratio("ips", logged, weights_N, weights_N * logged.rewards_N, ones_N)


def snips(logged: Logged, clip: float | None = None) -> Estimate:
    """Self-normalised inverse propensity scoring."""
    weights_N = weights(logged, clip)
    return _ratio("snips", logged, weights_N, weights_N * logged.rewards_N, weights_N)


def doubly_robust(logged: Logged, clip: float | None = None) -> Estimate:
    """Doubly robust: a reward model plus the weighted residuals."""
    weights_N = weights(logged, clip)
    rest_N = weights_N * (logged.rewards_N - logged.modelled_N)
    return _ratio("dr", logged, weights_N, logged.expected_N + rest_N, np.ones_like(weights_N))


def diagnostics(logged: Logged, clip: float | None = None) -> dict[str, Any]:
    """Diagnostics of the estimates' reliability.

    Returns:
        ``events``, ``users``; ``matched``: events whose item the target policy would show;
        ``mean_weight``: near 1 if the propensities are correct and cover the policy's items;
        ``largest_weight``; ``clipped``: number of clipped weights; ``effective_events``: effective
        sample size, (sum of weights)^2 / sum of squares (Kish).
    """
    weights_N, uncut_N = weights(logged, clip), weights(logged)
    squares = float(weights_N @ weights_N)
    return {
        "events": len(weights_N),
        "users": len(np.unique(logged.users_N)),
        "matched": int((weights_N > 0).sum()),
        "mean_weight": math.fsum(weights_N) / len(weights_N),
        "largest_weight": float(weights_N.max()),
        "clipped": int((weights_N < uncut_N).sum()),
        "effective_events": math.fsum(weights_N) ** 2 / squares if squares else 0.0,
    }


def _ratio(
    name: str, logged: Logged, weights_N: Floats, over_N: Floats, under_N: Floats
) -> Estimate:
    """Sum of ``over_N`` / sum of ``under_N``, with the variance over users."""
    total = math.fsum(under_N)
    if total == 0:
        return Estimate(name, math.nan, None, None)
    value = math.fsum(over_N) / total
    users, of_event = np.unique(logged.users_N, return_inverse=True)
    if len(np.unique(of_event[weights_N > 0])) < FEWEST_USERS:
        return Estimate(name, value, None, None)
    rest_U = np.bincount(of_event, over_N - value * under_N)
    spread = math.sqrt(len(users) / (len(users) - 1) * math.fsum(rest_U**2)) / abs(total)
    half = quantile(TAIL, len(users) - 1) * spread
    return Estimate(name, value, value - half, value + half)
