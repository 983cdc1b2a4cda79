"""Residual k-means: k-means on the vectors, then on what each level leaves, level by level.

Also called RK-means (Deng et al., OneRec, arXiv 2502.18965; Ju et al., GRID, arXiv 2507.22224).

Shapes: V items, N items with training events, L levels, C codes of a level, E width.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge

from recsys_lab.semantic_ids.base import Codes, Items, VectorQuantiser
from recsys_lab.semantic_ids.kmeans import EQUAL, k_means, means, nearest

_log = logging.getLogger(__name__)


class ResidualKMeans(VectorQuantiser):
    """One k-means a level, each of the differences from the centroids of the level before.

    A level gets fewer codes if fewer distinct vectors are left to tell apart.
    """

    @dataclass(frozen=True)
    class Config(VectorQuantiser.Config):
        """Options of `ResidualKMeans`.

        Attributes:
            levels: L, without the one that tells duplicates apart.
            codes: C, the same for all levels.
        """

        levels: Annotated[int, Ge(1)]
        codes: Annotated[int, Ge(2)]

    config: Config

    def quantise(self, items: Items) -> Codes:
        """The codes of all items."""
        generator = torch.Generator().manual_seed(self.config.seed)
        left_VE = torch.from_numpy(items.vectors).clone()
        is_known_V = torch.from_numpy(items.is_known_V)
        variance = spread(left_VE[is_known_V])
        columns, num_codes, errors = [], [], []
        for _ in range(self.config.levels):
            centroids_CE = k_means(
                left_VE[is_known_V], self.config.codes, generator, equal=EQUAL * variance
            )
            codes_V, _ = nearest(left_VE, centroids_CE)
            left_VE -= centroids_CE[codes_V]
            columns.append(codes_V)
            num_codes.append(len(centroids_CE))
            errors.append(float(left_VE[is_known_V].pow(2).sum(1).mean()) / variance)
        tell_fewer(num_codes, self.config.codes)
        notes = {"unexplained_variance": errors}
        return Codes(torch.stack(columns, 1).numpy(), tuple(num_codes), notes)

    def extend(self, items: Items, kept: Codes) -> Codes:
        """The codes of all items: a new item gets the nearest code, level by level.

        A code is where the items that keep it are on average, which is what k-means converges to;
        so the vectors may have moved since, all together. A code that no item keeps is not given.
        """
        left_VE = torch.from_numpy(items.vectors).clone()
        codes_VL = torch.from_numpy(kept.codes_VL)
        is_kept_V = codes_VL[:, 0] >= 0
        columns = []
        for codes_V, count in zip(codes_VL.T, kept.num_codes, strict=True):
            centroids_CE = means(left_VE[is_kept_V], codes_V[is_kept_V], count)
            used = torch.bincount(codes_V[is_kept_V], minlength=count).nonzero().flatten()
            nearest_V, _ = nearest(left_VE, centroids_CE[used])
            extended_V = codes_V.where(is_kept_V, used[nearest_V])
            left_VE -= centroids_CE[extended_V]
            columns.append(extended_V)
        return Codes(torch.stack(columns, 1).numpy(), kept.num_codes)


def spread(x_NE: torch.Tensor) -> float:
    """Mean squared distance from the mean."""
    return float((x_NE - x_NE.mean(0)).pow(2).sum(1).mean())


def tell_fewer(num_codes: list[int], asked: int) -> None:
    """Warn of levels with fewer codes than were asked for."""
    if min(num_codes) < asked:
        _log.warning(
            "semantic_ids.codes: got %d, but there are fewer distinct vectors to tell apart; the "
            "levels have %s codes",
            asked,
            ", ".join(map(str, num_codes)),
        )
