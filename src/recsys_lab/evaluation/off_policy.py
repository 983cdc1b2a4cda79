"""Off-policy estimates: what a policy would have earned, from a log that another one made.

The log has, for each of N events, the item that was shown, the reward that followed, and the
propensity: the probability with which the logging policy showed that item to that user at that
time. With w = target probability / propensity, cut at ``clip``:

- ``ips``, inverse propensity scoring: mean of w r (Horvitz and Thompson 1952,
  https://doi.org/10.1080/01621459.1952.10483446). Unbiased without a clip.
- ``snips``, self-normalised: sum of w r / sum of w (Swaminathan and Joachims, NeurIPS 2015,
  https://papers.nips.cc/paper/5748). Biased by O(1 / N), of less variance.
- ``dr``, doubly robust: mean of ``sum over a of pi(a) q(a) + w (r - q(shown))`` with a model q of
  the reward (Dudik, Langford and Li, ICML 2011, https://arxiv.org/abs/1103.4601). Unbiased without
  a clip, whatever q, if q has not seen these events.

A clip bounds the variance, and the estimates are then too low for items whose weights it cuts.
Intervals are Student's at 95%, with the variance over users (events of one user are not
independent), of the ratio by linearisation (Cochran 1977, section 6.3). They are of the log as it
is: no estimate knows of items that the logging policy never shows.

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
    """Events of a logging policy, and what the policy to be judged would have done.

    Attributes:
        users_N: who, int64.
        rewards_N: what followed.
        propensities_N: probability of the shown item under the logging policy, in (0, 1].
        chances_N: probability of the shown item under the policy to be judged, in [0, 1].
        modelled_N: q of the shown item.
        expected_N: mean of q over the items that the policy to be judged would show.
    """

    users_N: NDArray[np.int64]
    rewards_N: Floats
    propensities_N: Floats
    chances_N: Floats
    modelled_N: Floats
    expected_N: Floats


@dataclass(frozen=True)
class Estimate:
    """The mean reward of an event under the policy to be judged.

    Attributes:
        estimator: ``ips``, ``snips`` or ``dr``.
        value: in the reward's unit; NaN for ``snips`` where no shown item is one of the policy's.
        low: of the 95% interval; None where fewer than 30 users have an event with a weight.
        high: likewise.
    """

    estimator: str
    value: float
    low: float | None
    high: float | None


def check_propensities(propensities_N: Floats) -> None:
    """Refuse what is no probability of something that happened.

    Raises:
        UserError: a propensity is missing, not above 0, or above 1.
    """
    p_N = propensities_N
    wrong_N = ~((p_N > 0) & (p_N <= 1))
    if wrong_N.any():
        raise UserError(
            f"off-policy: {int(wrong_N.sum()):,} of {len(p_N):,} propensities are missing, not "
            f"above 0 or above 1, such as {p_N[wrong_N][0]:g}; an estimate needs the probability "
            "of every shown item. Leave out events without one (evaluation.off_policy_where), or "
            "mend the column"
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
    """All three of the module.

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
    """The same, divided by the mean weight."""
    weights_N = weights(logged, clip)
    return _ratio("snips", logged, weights_N, weights_N * logged.rewards_N, weights_N)


def doubly_robust(logged: Logged, clip: float | None = None) -> Estimate:
    """A model of the reward, and the weighted rest that it does not explain."""
    weights_N = weights(logged, clip)
    rest_N = weights_N * (logged.rewards_N - logged.modelled_N)
    return _ratio("dr", logged, weights_N, logged.expected_N + rest_N, np.ones_like(weights_N))


def diagnostics(logged: Logged, clip: float | None = None) -> dict[str, Any]:
    """What says how far the estimates can be trusted.

    Returns:
        ``events``, ``users``; ``matched``: events whose item the policy would show;
        ``mean_weight``: near 1 where the propensities are right and cover the policy's items;
        ``largest_weight``; ``clipped``: weights that were cut; ``effective_events``: (sum of
        weights)^2 / sum of squares (Kish).
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
