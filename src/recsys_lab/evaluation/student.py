"""Student's t distribution, also for fractional degrees of freedom.

scipy is imported in the functions: its import is slow, and most commands do not need it.
"""

from __future__ import annotations

from functools import lru_cache


def two_sided_p(t: float, degrees: float) -> float:
    """P(|T| >= |t|).

    Args:
        t: the statistic; may be infinite.
        degrees: degrees of freedom, > 0.
    """
    from scipy.special import stdtr

    return float(2 * stdtr(degrees, -abs(t)))


@lru_cache
def quantile(p: float, degrees: float) -> float:
    """The t > 0 with ``two_sided_p(t, degrees) == p``, for 0 < p < 1."""
    from scipy.special import stdtrit

    return float(-stdtrit(degrees, p / 2))
