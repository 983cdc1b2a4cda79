"""Distances between two distributions of counts, and the bins of numbers.

Shapes: S values of a distribution.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Counts = NDArray[np.float64]

BINS = 10
"""Bins of numbers, and groups of items by their popularity in OLD."""

TOP_PAIRS = 1000
"""Most frequent pairs of OLD whose shares are compared; all others are one further share."""


def jensen_shannon(old_S: Counts, new_S: Counts) -> float:
    """The Jensen-Shannon divergence in bits: 0 for equal shares, 1 for disjoint ones.

    The divergence (base 2), not its square root, which SciPy returns, in base e, under this name.
    NaN if either side has no counts. Lin (1991), https://doi.org/10.1109/18.61115.
    """
    if not old_S.sum() or not new_S.sum():
        return float("nan")
    p_S, q_S = old_S / old_S.sum(), new_S / new_S.sum()
    middle_S = (p_S + q_S) / 2
    bits = 0.0
    for share_S in (p_S, q_S):
        some = share_S > 0
        bits += 0.5 * float(np.sum(share_S[some] * np.log2(share_S[some] / middle_S[some])))
    return min(max(bits, 0.0), 1.0)


def psi(old_S: Counts, new_S: Counts) -> float:
    """The population stability index: sum of (q - p) ln(q / p) over the shares p of OLD, q of NEW.

    A share of zero is replaced by half an event of the larger side, the same number on both: it is
    below every share that occurs, so that no rare value is overwritten. NaN if either side has no
    counts.
    """
    if not old_S.sum() or not new_S.sum():
        return float("nan")
    least = 0.5 / max(old_S.sum(), new_S.sum())
    p_S = np.maximum(old_S / old_S.sum(), least)
    q_S = np.maximum(new_S / new_S.sum(), least)
    some = (old_S > 0) | (new_S > 0)
    return float(np.sum((q_S - p_S)[some] * np.log(q_S[some] / p_S[some])))


def new_share(old_S: Counts, new_S: Counts) -> float:
    """The share of NEW's counts on values that OLD lacks."""
    total = float(new_S.sum())
    return float(new_S[old_S == 0].sum()) / total if total else float("nan")


def popularity_groups(old_S: Counts) -> NDArray[np.int64]:
    """The group of every item by its popularity in OLD, 0 (most popular) to `BINS`.

    Group g begins where the more popular items have g tenths of OLD's events; items of equal
    counts share a group. Items without an event in OLD are group `BINS`.
    """
    values, inverse = np.unique(old_S, return_inverse=True)
    mass = values * np.bincount(inverse, minlength=len(values))
    before = mass.sum() - np.cumsum(mass)  # events of the more popular items
    groups = np.minimum((BINS * before / max(mass.sum(), 1)).astype(np.int64), BINS - 1)
    groups[values == 0] = BINS
    return np.asarray(groups[inverse])


def popularity_psi(old_S: Counts, new_S: Counts) -> float:
    """`psi` over the `popularity_groups` of OLD."""
    groups = popularity_groups(old_S)
    size = BINS + 1
    old_G, new_G = (np.bincount(groups, side_S, size).astype(float) for side_S in (old_S, new_S))
    return psi(old_G, new_G)


def pair_divergence(old_S: Counts, new_S: Counts) -> float:
    """`jensen_shannon` over the `TOP_PAIRS` most frequent pairs of OLD and all others as one."""
    if len(old_S) > TOP_PAIRS:
        top = np.argpartition(-old_S, TOP_PAIRS)[:TOP_PAIRS]
    else:
        top = np.flatnonzero(old_S)
    rest_old, rest_new = old_S.sum() - old_S[top].sum(), new_S.sum() - new_S[top].sum()
    return jensen_shannon(np.append(old_S[top], rest_old), np.append(new_S[top], rest_new))


def frozen_edges(values_n: NDArray[Any], weights_n: NDArray[Any] | None = None) -> NDArray[Any]:
    """Upper edges of the bins of numbers, from OLD alone: its deciles without repetitions.

    Bin i holds the values above edge i - 1 up to edge i, the last bin those above every edge. So
    there are fewer than `BINS` bins where many values are equal.

    Args:
        values_n: of OLD, at least one, without NaN.
        weights_n: how often each occurs; None: once.
    """
    order = np.argsort(values_n, kind="stable")
    weights = np.ones(len(values_n)) if weights_n is None else np.asarray(weights_n, np.float64)
    up_to = np.cumsum(weights[order])
    marks = np.searchsorted(up_to, up_to[-1] * np.arange(1, BINS) / BINS * (1 - 1e-12))
    edges: NDArray[Any] = np.unique(values_n[order][marks])
    return np.asarray(edges[edges < values_n.max()])
