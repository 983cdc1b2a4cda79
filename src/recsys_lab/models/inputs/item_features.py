"""Item embeddings from item columns and given vectors.

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
"""Standard deviation of the entries of item vectors at initialisation, whatever their source.

With unit-scale states all scores are then nearly equal, and the initial loss is close to log V.
"""
LARGEST_SCORE = 5.0
"""In standard deviations: numeric features are clipped to it, because a few values of a long tail
(prices) would otherwise dominate the item vector."""


class KnownItems(nn.Module):
    """ID embeddings, zero for items without training events; with dropout of whole vectors.

    Args:
        items: the embeddings.
        is_known_V: whether each item occurs in training, or its vector comes from a text, bool
            (V,).
        dropout: probability of replacing a vector by zeros in training.
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
            # Not scaled up as in usual dropout: vectors of cold items are not scaled either.
            is_kept = is_kept & (torch.rand(items.shape, device=items.device) >= self.dropout)
        return self.items(items) * is_kept.unsqueeze(-1)  # type: ignore[no-any-return]


class Projected(nn.Module):
    """Fixed vectors projected to width D by a trained linear layer without bias.

    Initialised so that the projected vectors have the scale `INITIAL_STD`.
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
    """The embedding of a categorical column, ``item.NAME``."""

    codes_V: Tensor

    def __init__(self, column: str, codes_V: NDArray[np.int32], cardinality: int, dim: int) -> None:
        super().__init__()
        self.column = column
        codes = torch.from_numpy(np.array(codes_V))
        self.register_buffer("codes_V", codes, persistent=False)
        self.table = nn.Embedding(cardinality, dim)
        nn.init.normal_(self.table.weight, std=INITIAL_STD)

    def forward(self, items: Tensor) -> Tensor:
        """(n,) -> (n, D)."""
        return self.table(self.codes_V[items])  # type: ignore[no-any-return]


class ListedFeature(nn.Module):
    """The mean embedding of the values of a list column, ``item.NAME``."""

    codes: Tensor
    offsets: Tensor

    def __init__(self, column: str, codes: Any, offsets: Any, cardinality: int, dim: int) -> None:
        super().__init__()
        self.column = column
        self.register_buffer("codes", torch.from_numpy(np.array(codes)), persistent=False)
        self.register_buffer("offsets", torch.from_numpy(np.array(offsets)), persistent=False)
        self.table = nn.EmbeddingBag(cardinality, dim, mode="mean")
        nn.init.normal_(self.table.weight, std=INITIAL_STD)

    def forward(self, items: Tensor) -> Tensor:
        """(n,) -> (n, D); zero for an item without values."""
        rows = ListFeature(self.codes, self.offsets).rows(items.flatten())
        vectors = self.table(rows.codes.long(), rows.offsets[:-1])
        return vectors.unflatten(0, items.shape)  # type: ignore[no-any-return]


def item_feature(name: str, columns: FeatureColumns, dim: int) -> nn.Module:
    """The embedding of one item column, ``item.NAME``.

    Raises:
        UserError: there is no such column, or it is text.
    """
    entry, column = columns.entry(name), columns.column(name)
    if entry["type"] == "list":
        return ListedFeature(name, column.codes, column.offsets, entry["cardinality"], dim)
    if entry["type"] == "numeric":
        return Projected(standard_score(torch.from_numpy(np.array(column)), entry), dim)
    return CodedFeature(name, column, entry["cardinality"], dim)


def standard_score(numbers: Tensor, entry: Mapping[str, Any]) -> Tensor:
    """Standard score (0 where missing) and whether the number is known, (n,) -> (n, 2).

    Scores are clipped to +-`LARGEST_SCORE`.

    Args:
        numbers: NaN where missing.
        entry: has ``mean`` and ``std``, None for a column without values.
    """
    is_known = ~numbers.isnan()
    score = (numbers - (entry["mean"] or 0.0)) / (entry["std"] or 1.0)
    score = score.clamp(-LARGEST_SCORE, LARGEST_SCORE)
    return torch.stack([score.where(is_known, 0.0), is_known.to(score.dtype)], dim=1)


def principal_components(vectors_VE: NDArray[np.float32], dim: int, like: Tensor) -> Tensor:
    """The first D principal components, scaled to the mean square of ``like``, float32 (V, D).

    Raises:
        UserError: D is larger than the encoder's width.
    """
    if dim > vectors_VE.shape[1]:
        raise UserError(
            f"model.hidden_dim: got {dim}, expected at most {vectors_VE.shape[1]}, the width of "
            "the encoder of inputs.text; reduce it, or use inputs.text_mode=projected"
        )
    centred = vectors_VE.astype(np.float64) - vectors_VE.mean(0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    components = centred @ axes[:, ::-1][:, :dim]
    size = float(like.detach().pow(2).mean().sqrt())
    return torch.from_numpy(components * size / np.sqrt((components**2).mean())).float()
