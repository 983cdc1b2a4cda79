"""Student's t distribution, for numbers of degrees that need not be whole."""

from __future__ import annotations

import math
from functools import lru_cache

_STEPS = 10_000
_CLOSE = 1e-15
_TINY = 1e-300


def two_sided_p(t: float, degrees: float) -> float:
    """P(|T| >= |t|) = I_x(degrees / 2, 1 / 2) with x = degrees / (degrees + t^2).

    Source: DLMF 8.17, https://dlmf.nist.gov/8.17; Abramowitz & Stegun (1964), 26.7.1.

    Args:
        t: the statistic; may be infinite.
        degrees: of freedom, > 0.
    """
    if math.isinf(t):
        return 0.0
    return _regular_beta(degrees / 2, 0.5, degrees / (degrees + t * t), t * t / (degrees + t * t))


@lru_cache
def quantile(p: float, degrees: float) -> float:
    """The t > 0 with ``two_sided_p(t, degrees) == p``, for 0 < p < 1."""
    low, high = 0.0, 1.0
    while two_sided_p(high, degrees) > p:
        low, high = high, 2 * high
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if two_sided_p(middle, degrees) > p else (low, middle)
    return (low + high) / 2


def _regular_beta(a: float, b: float, x: float, rest: float) -> float:
    """I_x(a, b), with ``rest`` = 1 - x given on its own so that no digits are lost."""
    if x <= 0 or rest <= 0:
        return 0.0 if x <= 0 else 1.0
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(log_front + a * math.log(x) + b * math.log(rest))
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(a, b, x) / a
    return 1 - front * _fraction(b, a, rest) / b


def _fraction(a: float, b: float, x: float) -> float:
    """The continued fraction of the incomplete beta function (DLMF 8.17.22), Lentz's method."""
    above, below = 1.0, _nonzero(1 - (a + b) * x / (a + 1))
    below = 1 / below
    value = below
    for m in range(1, _STEPS):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            below = 1 / _nonzero(1 + term * below)
            above = _nonzero(1 + term / above)
            value *= above * below
        if abs(above * below - 1) < _CLOSE:
            break
    return value


def _nonzero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
