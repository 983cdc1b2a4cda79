"""The network of RQ-VAE: encoder, codebooks of the residuals, decoder.

Shapes: N vectors of a batch, E width, D width of the latent vectors, L levels, C codes of a level.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from recsys_lab.semantic_ids.kmeans import EQUAL, k_means, means, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Quantised:
    """Latent vectors with their codes.

    Attributes:
        codes_NL: int64.
        latent_ND: the sum of the codes' vectors, with the gradient of the encoder's output
            (straight-through).
        left_NLD: what each level quantises: the encoder's output without the codes before.
        chosen_NLD: the code vectors.
    """

    codes_NL: Tensor
    latent_ND: Tensor
    left_NLD: Tensor
    chosen_NLD: Tensor


class RqVaeNetwork(nn.Module):
    """An autoencoder whose latent vectors are sums of code vectors, one of each level.

    Args:
        width: E.
        hidden_dims: widths of the encoder's hidden layers; the decoder has them in reverse.
        latent_dim: D.
    """

    def __init__(self, width: int, hidden_dims: Sequence[int], latent_dim: int) -> None:
        super().__init__()
        dims = [width, *hidden_dims, latent_dim]
        self.encoder, self.decoder = _mlp(dims), _mlp(dims[::-1])
        self.codebooks = nn.ParameterList()

    def start(self, x_NE: Tensor, levels: int, num_codes: int, generator: torch.Generator) -> None:
        """Set the codebooks to the centroids of the first encodings, level by level."""
        with torch.no_grad():
            left_ND = self.encoder(x_NE)
            equal = EQUAL * float((left_ND - left_ND.mean(0)).pow(2).sum(1).mean())
            for _ in range(levels):
                centroids_CD = k_means(left_ND, num_codes, generator, equal=equal, iterations=10)
                self.codebooks.append(centroids_CD)
                left_ND = left_ND - centroids_CD[nearest(left_ND, centroids_CD)[0]]

    def quantise(self, x_NE: Tensor) -> Quantised:
        """Encode, and choose the nearest code of each level."""
        encoded_ND = left_ND = self.encoder(x_NE)
        codes, lefts, chosen = [], [], []
        for codebook_CD in self.codebooks:
            codes_N, _ = nearest(left_ND.detach(), codebook_CD.detach())
            lefts.append(left_ND)
            codes.append(codes_N)
            chosen.append(codebook_CD[codes_N])
            # Detached: else the encoder's gradient of every later level cancels out.
            left_ND = left_ND - chosen[-1].detach()
        chosen_NLD = torch.stack(chosen, 1)
        total_ND = chosen_NLD.detach().sum(1)
        latent_ND = encoded_ND + (total_ND - encoded_ND).detach()
        return Quantised(torch.stack(codes, 1), latent_ND, torch.stack(lefts, 1), chosen_NLD)

    @torch.no_grad()
    def revive(self, x_NE: Tensor) -> dict[int, list[int]]:
        """Set code vectors that no vector chooses to encodings that are far from all code vectors.

        One after the other: each is then a code vector, so that equal vectors are not taken twice.

        Returns:
            The codes that were set, by level; none below the first level that has some, whose
            vectors change.
        """
        found = self.quantise(x_NE)
        for level, codebook_CD in enumerate(self.codebooks):
            used_C = torch.bincount(found.codes_NL[:, level], minlength=len(codebook_CD))
            dead = (used_C == 0).nonzero().flatten()
            if len(dead):
                left_ND = found.left_NLD[:, level]
                apart_N = (left_ND - found.chosen_NLD[:, level]).pow(2).sum(1)
                for code in dead.tolist():
                    codebook_CD.data[code] = left_ND[apart_N.argmax()]
                    apart_N = torch.minimum(apart_N, (left_ND - codebook_CD[code]).pow(2).sum(1))
                return {level: dead.tolist()}
        return {}


class MovingCodebooks:
    """Code vectors as moving means of the vectors that choose them, in place of gradients.

    van den Oord et al., NeurIPS 2017, appendix A.1.

    Args:
        codebooks: changed in place.
        decay: of the means, for each step.
    """

    def __init__(self, codebooks: Sequence[Tensor], decay: float) -> None:
        self._codebooks, self._decay = codebooks, decay
        self._sums = [book.detach().clone() for book in codebooks]
        self._counts = [book.new_ones(len(book)) for book in codebooks]

    @torch.no_grad()
    def update(self, found: Quantised) -> None:
        """Move the vectors towards the means of a batch."""
        for level, book_CD in enumerate(self._codebooks):
            codes_N = found.codes_NL[:, level]
            counts_C = torch.bincount(codes_N, minlength=len(book_CD))
            mean_CD = means(found.left_NLD[:, level], codes_N, len(book_CD))
            self._counts[level].lerp_(counts_C.to(book_CD.dtype), 1 - self._decay)
            self._sums[level].lerp_(mean_CD * counts_C.unsqueeze(1), 1 - self._decay)
            enough_C = self._counts[level] > 1e-3
            moved_CD = self._sums[level] / self._counts[level].clamp_min(1e-3).unsqueeze(1)
            book_CD.data[enough_C] = moved_CD[enough_C]

    def restart(self, codes: dict[int, list[int]]) -> None:
        """Forget the means of codes that were set anew."""
        for level, dead in codes.items():
            self._sums[level][dead] = self._codebooks[level].detach()[dead]
            self._counts[level][dead] = 1.0


def _mlp(dims: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(dims):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
