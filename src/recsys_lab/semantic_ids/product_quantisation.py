"""Product quantisation: a vector is cut into parts, and each part has a code of its own.

Jégou et al., TPAMI 2011; with a learned rotation: Ge et al., Optimized Product Quantization, CVPR
2013. Its levels have no order: a later code refines nothing (RPG: Hou et al., KDD 2025).

Shapes: V items, N items with training events, L levels (parts), C codes of a level, E width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import torch
from annotated_types import Ge

from recsys_lab.config import UserError
from recsys_lab.semantic_ids.base import Codes, Items, VectorQuantiser
from recsys_lab.semantic_ids.kmeans import EQUAL, k_means, means, nearest
from recsys_lab.semantic_ids.residual_kmeans import spread, tell_fewer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class ProductQuantisation(VectorQuantiser):
    """One k-means for each part of the vectors.

    A part gets fewer codes if it has fewer distinct values. If E is not a multiple of L, the first
    parts are one wider.
    """

    @dataclass(frozen=True)
    class Config(VectorQuantiser.Config):
        """Options of `ProductQuantisation`.

        Attributes:
            levels: L, without the one that tells duplicates apart; at most E.
            codes: C, the same for all levels.
            rotations: number of times that the rotation of the vectors before they are cut is
                improved; 0: they are cut as they are.
        """

        levels: Annotated[int, Ge(1)]
        codes: Annotated[int, Ge(2)]
        rotations: Annotated[int, Ge(0)]

    config: Config

    def quantise(self, items: Items) -> Codes:
        """The codes of all items."""
        config = self.config
        generator = torch.Generator().manual_seed(config.seed)
        is_known_V = torch.from_numpy(items.is_known_V)
        x_VE = torch.from_numpy(items.vectors)
        width = x_VE.shape[1]
        if config.levels > width:
            raise UserError(
                f"semantic_ids.levels: got {config.levels}, expected at most {width}, the width of "
                "the vectors, which the levels share; use fewer, or wider vectors"
            )
        x_VE = x_VE - x_VE[is_known_V].mean(0)
        variance = spread(x_VE[is_known_V])
        equal = EQUAL * variance
        sizes = [
            width // config.levels + (at < width % config.levels) for at in range(config.levels)
        ]
        if config.rotations:
            rotation_EE = _allocated(x_VE[is_known_V], sizes)
            rotation_EE = self._improved(x_VE[is_known_V], rotation_EE, sizes, generator, equal)
            x_VE = x_VE @ rotation_EE
        columns, num_codes, error = [], [], 0.0
        for part_VE in x_VE.split(sizes, 1):
            known_NE = part_VE[is_known_V]
            centroids_CE = k_means(known_NE, config.codes, generator, equal=equal)
            codes_V, _ = nearest(part_VE, centroids_CE)
            error += float((part_VE - centroids_CE[codes_V])[is_known_V].pow(2).sum(1).mean())
            columns.append(codes_V)
            num_codes.append(len(centroids_CE))
        tell_fewer(num_codes, config.codes)
        notes = {"unexplained_variance": error / variance}
        return Codes(torch.stack(columns, 1).numpy(), tuple(num_codes), notes)

    def _improved(
        self,
        x_NE: Tensor,
        rotation_EE: Tensor,
        sizes: Sequence[int],
        generator: torch.Generator,
        equal: float,
    ) -> Tensor:
        """The rotation that fits the quantised vectors best, and these to the rotated: in turns."""
        parts = (x_NE @ rotation_EE).split(sizes, 1)
        found = [
            k_means(part, self.config.codes, generator, equal=equal, iterations=4) for part in parts
        ]
        for _ in range(self.config.rotations):
            rotated = (x_NE @ rotation_EE).split(sizes, 1)
            quantised = []
            for place, part_NE in enumerate(rotated):
                codes_N, _ = nearest(part_NE, found[place])
                moved_CE = means(part_NE, codes_N, len(found[place]))
                is_used_C = torch.bincount(codes_N, minlength=len(moved_CE)) > 0
                found[place] = torch.where(is_used_C[:, None], moved_CE, found[place])
                quantised.append(found[place][codes_N])
            # The orthogonal Procrustes problem: min |x R - y|.
            left, _, right = torch.linalg.svd(x_NE.T.double() @ torch.cat(quantised, 1).double())
            rotation_EE = (left @ right).to(x_NE.dtype)
        return rotation_EE


def _allocated(x_NE: Tensor, sizes: Sequence[int]) -> Tensor:
    """Principal axes, dealt to the parts so that the products of their variances are alike.

    Ge et al., section 3.2: the largest variance left goes to the part with the smallest product.
    """
    variances, axes = torch.linalg.eigh((x_NE.T.double() @ x_NE.double()) / len(x_NE))
    given: list[list[int]] = [[] for _ in sizes]
    logs = [0.0] * len(sizes)
    floor = float(variances.max()) * 1e-12
    for axis in range(len(variances) - 1, -1, -1):
        open_parts = [p for p, size in enumerate(sizes) if len(given[p]) < size]
        part = min(open_parts, key=lambda p: (logs[p], p))
        given[part].append(axis)
        logs[part] += float((variances[axis] / floor).clamp_min(1).log())  # at least 0
    order = [axis for part in given for axis in part]
    dealt: Tensor = axes[:, order].to(x_NE.dtype)
    return dealt
