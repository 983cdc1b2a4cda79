"""Vectors of items from what is known of them.

Shapes: n items looked up, V items, D width, E width of given vectors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from recsys_lab.config import UserError
from recsys_lab.contracts import ListFeature

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from recsys_lab.contracts import FeatureColumns


INITIAL_STD = 0.02
"""Of every item vector's numbers before training, whatever it is made of.

So the first loss is near log V: scores of unit-scale states and such vectors are nearly alike.
"""
LARGEST_SCORE = 5.0
"""Standard deviations; numbers farther from the mean are read as these, or a few prices of a long
tail would be larger than everything else that is known of an item."""


class KnownItems(nn.Module):
    """Free vectors, zero for items of which they say nothing, and at times for the others.

    Args:
        items: the vectors.
        is_known_V: whether training meets each item, or a text has set its vector, bool (V,).
        dropout: chance of a vector to be left out in training.
    """

    is_known_V: Tensor

    def __init__(self, items: nn.Embedding, is_known_V: NDArray[np.bool_], dropout: float) -> None:
        super().__init__()
        self.items = items
        self.dropout = dropout
        self.register_buffer("is_known_V", torch.from_numpy(is_known_V), persistent=False)

    def forward(self, items: Tensor) -> Tensor:
        """(n,) -> (n, D)."""
        is_kept = self.is_known_V[items]
        if self.training and self.dropout:
            # Not scaled up as usual: what is left when ranking cold items is not scaled either.
            is_kept = is_kept & (torch.rand(items.shape, device=items.device) >= self.dropout)
        return self.items(items) * is_kept.unsqueeze(-1)  # type: ignore[no-any-return]


class Projected(nn.Module):
    """Fixed vectors of any width through a trained layer; zero where they are zero.

    Its first vectors have numbers of the size `INITIAL_STD`, whatever the given ones have.
    """

    vectors_VE: Tensor

    def __init__(self, vectors_VE: Tensor, dim: int) -> None:
        super().__init__()
        self.register_buffer("vectors_VE", vectors_VE, persistent=False)
        self.layer = nn.Linear(vectors_VE.shape[1], dim, bias=False)
        squares_V = vectors_VE.double().pow(2).sum(1)
        length = float(squares_V[squares_V > 0].mean().sqrt()) if squares_V.any() else 1.0
        nn.init.normal_(self.layer.weight, std=INITIAL_STD / length)

    def forward(self, items: Tensor) -> Tensor:
        """(n,) -> (n, D)."""
        return self.layer(self.vectors_VE[items])  # type: ignore[no-any-return]


class CodedFeature(nn.Module):
    """A vector for each code: of a categorical column."""

    codes_V: Tensor

    def __init__(self, codes_V: NDArray[np.int32], cardinality: int, dim: int) -> None:
        super().__init__()
        codes = torch.from_numpy(np.array(codes_V))
        self.register_buffer("codes_V", codes, persistent=False)
        self.table = nn.Embedding(cardinality, dim)
        nn.init.normal_(self.table.weight, std=INITIAL_STD)

    def forward(self, items: Tensor) -> Tensor:
        """(n,) -> (n, D)."""
        return self.table(self.codes_V[items])  # type: ignore[no-any-return]


class ListedFeature(nn.Module):
    """The mean vector of several codes: of a list column."""

    codes: Tensor
    offsets: Tensor

    def __init__(self, codes: Any, offsets: Any, cardinality: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("codes", torch.from_numpy(np.array(codes)), persistent=False)
        self.register_buffer("offsets", torch.from_numpy(np.array(offsets)), persistent=False)
        self.table = nn.EmbeddingBag(cardinality, dim, mode="mean")
        nn.init.normal_(self.table.weight, std=INITIAL_STD)

    def forward(self, items: Tensor) -> Tensor:
        """(n,) -> (n, D); zero for an item without codes."""
        rows = ListFeature(self.codes, self.offsets).rows(items.flatten())
        found = self.table(rows.codes.long(), rows.offsets[:-1])
        return found.unflatten(0, items.shape)  # type: ignore[no-any-return]


def item_feature(name: str, columns: FeatureColumns, dim: int) -> nn.Module:
    """The embedding of one item column, ``item.NAME``.

    Raises:
        UserError: there is no such column, or it is text.
    """
    entry, column = columns.entry(name), columns.column(name)
    if entry["type"] == "list":
        return ListedFeature(column.codes, column.offsets, entry["cardinality"], dim)
    if entry["type"] == "numeric":
        return Projected(standard_score(torch.from_numpy(np.array(column)), entry), dim)
    return CodedFeature(column, entry["cardinality"], dim)


def standard_score(numbers: Tensor, entry: Mapping[str, Any]) -> Tensor:
    """Standard score, 0 where missing, and beside it whether it is known, (n,) -> (n, 2).

    Scores beyond `LARGEST_SCORE` are cut to it.

    Args:
        numbers: NaN where missing.
        entry: with ``mean`` and ``std``, None where nothing is known.
    """
    is_known = ~numbers.isnan()
    score = (numbers - (entry["mean"] or 0.0)) / (entry["std"] or 1.0)
    score = score.clamp(-LARGEST_SCORE, LARGEST_SCORE)
    return torch.stack([score.where(is_known, 0.0), is_known.to(score.dtype)], dim=1)


def principal_components(vectors_VE: NDArray[np.float32], dim: int, like: Tensor) -> Tensor:
    """The first D principal components, of the same mean square as ``like``, float32 (V, D).

    Raises:
        UserError: D is more than the encoder gives.
    """
    if dim > vectors_VE.shape[1]:
        raise UserError(
            f"model.hidden_dim: got {dim}, and the encoder of inputs.text gives "
            f"{vectors_VE.shape[1]} numbers; choose at most these, or inputs.text_mode=projected"
        )
    centred = vectors_VE.astype(np.float64) - vectors_VE.mean(0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    components = centred @ axes[:, ::-1][:, :dim]
    size = float(like.detach().pow(2).mean().sqrt())
    return torch.from_numpy(components * size / np.sqrt((components**2).mean())).float()
