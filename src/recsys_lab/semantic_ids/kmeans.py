"""k-means on vectors in memory: greedy k-means++ start, empty clusters revived, deterministic.

Shapes: N vectors, E width, C clusters, n vectors of a block, S candidates.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_BLOCK = 1 << 24
"""Distances in memory at a time."""
_ROWS = 1 << 14
"""Differences of vectors in memory at a time."""
_STARTS, _FIRST_ITERATIONS = 4, 3
EQUAL = 1e-10
"""Squared distance, relative to the mean squared distance from the mean, below which two vectors
are equal: distances are rounded."""


def k_means(
    x_NE: Tensor,
    num_clusters: int,
    generator: torch.Generator,
    *,
    equal: float | None = None,
    iterations: int = 30,
) -> Tensor:
    """Centroids, float32 (C, E), by Lloyd's iterations until no assignment changes.

    Of several starts, the one with the smallest error after a few iterations is taken.

    Args:
        x_NE: the vectors, float32, on any device.
        num_clusters: C; fewer centroids are returned if there are fewer distinct vectors.
        generator: of the start, on the CPU.
        equal: squared distance at or below which two vectors count as equal; None: `EQUAL` of their
            mean squared distance from the mean.
        iterations: at most so many.
    """
    if equal is None:
        equal = EQUAL * float((x_NE - x_NE.mean(0)).pow(2).sum(1).mean())
    most = min(num_clusters, len(x_NE))
    tried = [
        _lloyd(x_NE, _start(x_NE, most, generator, equal), _FIRST_ITERATIONS)
        for _ in range(_STARTS if most > 1 else 1)
    ]
    centroids_CE, _ = min(tried, key=lambda found: found[1])
    return _lloyd(x_NE, centroids_CE, iterations)[0]


def _lloyd(x_NE: Tensor, centroids_CE: Tensor, iterations: int) -> tuple[Tensor, float]:
    """Centroids after at most so many iterations, and the sum of squared distances before them."""
    before_N: Tensor | None = None
    error = torch.inf
    for _ in range(iterations):
        nearest_N, distance_N = nearest(x_NE, centroids_CE)
        error = float(distance_N.double().sum())
        if before_N is not None and torch.equal(nearest_N, before_N):
            break
        before_N = nearest_N
        nearest_N = revived(nearest_N, distance_N, len(centroids_CE))
        centroids_CE = means(x_NE, nearest_N, len(centroids_CE))
    return centroids_CE, error


def nearest(x_NE: Tensor, centroids_CE: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest centroid of each vector, int64 (N,), and its squared distance, rounded, (N,)."""
    squares_C = centroids_CE.pow(2).sum(1)
    found, distances = [], []
    for x_nE in x_NE.split(max(1, _BLOCK // len(centroids_CE))):
        best = torch.addmm(squares_C, x_nE, centroids_CE.T, alpha=-2).min(1)
        found.append(best.indices)
        distances.append(best.values + x_nE.pow(2).sum(1))
    return torch.cat(found), torch.cat(distances)


def means(x_NE: Tensor, cluster_N: Tensor, num_clusters: int) -> Tensor:
    """The mean of each cluster's vectors, (C, E); zeros for an empty one."""
    sums_CE = x_NE.new_zeros(num_clusters, x_NE.shape[1], dtype=torch.float64)
    sums_CE.index_add_(0, cluster_N, x_NE.double())
    counts_C = torch.bincount(cluster_N, minlength=num_clusters).clamp_min(1)
    return (sums_CE / counts_C.unsqueeze(1)).to(x_NE.dtype)


def revived(cluster_N: Tensor, distance_N: Tensor, num_clusters: int) -> Tensor:
    """The clusters, each empty one with the vector that is farthest from its centroid."""
    counts_C = torch.bincount(cluster_N, minlength=num_clusters)
    empty = (counts_C == 0).nonzero().flatten()
    if not len(empty):
        return cluster_N
    cluster_N = cluster_N.clone()
    farthest = distance_N.sort(descending=True, stable=True).indices.tolist()
    for cluster in empty.tolist():
        for place in farthest:  # none that is alone in its cluster, or was moved before
            if counts_C[cluster_N[place]] > 1:
                counts_C[cluster_N[place]] -= 1
                counts_C[cluster] += 1
                cluster_N[place] = cluster
                break
    return cluster_N


def _start(x_NE: Tensor, num_clusters: int, generator: torch.Generator, equal: float) -> Tensor:
    """Greedy k-means++ (Arthur and Vassilvitskii, SODA 2007): of S draws the best each time."""
    squares_N = x_NE.pow(2).sum(1)
    drawn_S = torch.randint(len(x_NE), (1,), generator=generator)
    distance_N, chosen = torch.full_like(squares_N, torch.inf), []
    num_draws = 2 + int(math.log(num_clusters))
    while True:
        apart_SN = _distances(x_NE, squares_N, drawn_S.to(x_NE.device))
        apart_SN = torch.minimum(apart_SN, distance_N)
        best = int(apart_SN.sum(1, dtype=torch.float64).argmin())
        chosen.append(int(drawn_S[best]))
        distance_N = apart_SN[best]
        distance_N = distance_N.where(distance_N > equal, 0.0)
        total_N = distance_N.double().cumsum(0).cpu()
        if len(chosen) == num_clusters or total_N[-1] <= 0:  # all are equal to a centroid
            return x_NE[torch.tensor(chosen, device=x_NE.device)].clone()
        draws_S = torch.rand(num_draws, generator=generator, dtype=torch.float64) * total_N[-1]
        # Of a vector with distance 0 the sum does not rise, so it is never drawn.
        drawn_S = torch.searchsorted(total_N, draws_S, right=True).clamp_max(len(x_NE) - 1)


def _distances(x_NE: Tensor, squares_N: Tensor, rows_S: Tensor) -> Tensor:
    """Squared distances of all vectors from some of them, (S, N)."""
    sums_SN = squares_N[rows_S].unsqueeze(1) + squares_N
    apart_SN = torch.addmm(sums_SN, x_NE[rows_S], x_NE.T, alpha=-2)
    # Of small distances the product has lost the digits: those are computed from the difference.
    near, row = (apart_SN < 1e-4 * sums_SN).nonzero(as_tuple=True)
    for some, other in zip(near.split(_ROWS), row.split(_ROWS), strict=True):
        apart_SN[some, other] = (x_NE[rows_S[some]] - x_NE[other]).pow(2).sum(1)
    return apart_SN
