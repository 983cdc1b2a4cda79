"""BSARec: self-attention combined with a low-pass filter (Shin et al., AAAI 2024).

Shapes: B users, T concatenated events of all users, L sequence length, D width, V items.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import torch
from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor, nn

from recsys_lab.models.sequential.blocks import feedforward
from recsys_lab.models.sequential.dot_product import DotProductModel, check_heads
from recsys_lab.models.sequential.layers import PaddedLayout, SelfAttention, next_item_targets
from recsys_lab.models.sequential.rectangle import layout_of

if TYPE_CHECKING:
    from recsys_lab.contracts import Batch


class BSARec(DotProductModel):
    """Mixes causal self-attention with a filter that rescales high frequencies, in each layer.

    The filter makes an event depend on later ones, so each training history has one target, its
    last event, and every prefix of the training window (``recipe.crop``; the authors use ``last``)
    is a separate history. Paper: https://arxiv.org/abs/2312.10325, equations 8-11.

    Args:
        config: the options.
        num_items: catalogue size V.
    """

    one_target = True

    @dataclass(frozen=True)
    class Config:
        """Options of `BSARec`.

        Attributes:
            hidden_dim: width D, a multiple of num_heads.
            num_layers: number of layers.
            num_heads: attention heads.
            max_length: most recent events that are read; also the period of the filter.
            feedforward_dim: inner width of the feed-forward layers.
            filter_share: weight of the filter (alpha in the paper); attention has the rest.
            cutoff: the filter keeps the constant and the ``cutoff // 2`` lowest frequencies (c).
            dropout: dropout rate of the embeddings and of each sub-layer's output.
            attention_dropout: dropout rate of the attention weights.
            init_std: standard deviation of the normal initialisation.
        """

        hidden_dim: Annotated[int, Ge(1)]
        num_layers: Annotated[int, Ge(1)]
        num_heads: Annotated[int, Ge(1)]
        max_length: Annotated[int, Ge(1)]
        feedforward_dim: Annotated[int, Ge(1)]
        filter_share: Annotated[float, Ge(0), Le(1)]
        cutoff: Annotated[int, Ge(1)]
        dropout: Annotated[float, Ge(0), Lt(1)]
        attention_dropout: Annotated[float, Ge(0), Lt(1)]
        init_std: Annotated[float, Gt(0)]

    def __init__(self, config: Config, *, num_items: int) -> None:
        super().__init__()
        check_heads(config.hidden_dim, config.num_heads)
        self.config = config
        self.window = config.max_length
        self.items = nn.Embedding(num_items, config.hidden_dim)
        self.positions = nn.Embedding(config.max_length, config.hidden_dim)
        self.norm = nn.LayerNorm(config.hidden_dim)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.num_layers))
        self.init_weights(config.init_std)

    def training_states(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The state before each history's last event, (B, D), and that event's item, (B,).

        Each history must have 2 to ``max_length + 1`` events.
        """
        inputs, _ = next_item_targets(batch)
        return self.query_states(inputs), batch.items_T[batch.last_B]

    def query_states(self, batch: Batch) -> Tensor:
        """The state after the last event of each history, (B, D)."""
        layout, last_B = layout_of(batch), batch.last_B
        # Positions count from the end: the latest event always has position 0.
        x_TD = self.embed(batch) + self.positions(layout.from_end())
        x_TD = self.dropout(self.norm(x_TD))
        for block in self.blocks:
            x_TD = block(x_TD, layout)
        return x_TD[last_B]  # type: ignore[no-any-return]


class _Block(nn.Module):
    """Filter and attention in parallel, then feed-forward, each with a norm after the residual."""

    low_LL: Tensor

    def __init__(self, config: BSARec.Config) -> None:
        super().__init__()
        dim = config.hidden_dim
        self.filter_share = config.filter_share
        self.register_buffer("low_LL", low_pass(config.max_length, config.cutoff), persistent=False)
        self.high_scale = nn.Parameter(torch.randn(dim))  # beta; its square is applied
        self.filter_norm = nn.LayerNorm(dim)
        self.attention = SelfAttention(dim, config.num_heads, config.attention_dropout, causal=True)
        self.attention_norm = nn.LayerNorm(dim)
        self.feedforward = feedforward(dim, config.feedforward_dim, "gelu")
        self.feedforward_norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x_TD: Tensor, layout: PaddedLayout) -> Tensor:
        """(T, D) -> (T, D)."""
        # Translation-invariant, so the side of the padding does not matter.
        low_TD = layout.unpad(layout.corner(self.low_LL) @ layout.pad(x_TD))
        filtered_TD = low_TD + self.high_scale**2 * (x_TD - low_TD)
        filtered_TD = self.filter_norm(x_TD + self.dropout(filtered_TD))
        attended_TD = self.dropout(self.attention(x_TD, layout))
        attended_TD = self.attention_norm(x_TD + attended_TD)
        x_TD = self.filter_share * filtered_TD + (1 - self.filter_share) * attended_TD
        return self.feedforward_norm(x_TD + self.dropout(self.feedforward(x_TD)))  # type: ignore[no-any-return]


def low_pass(length: int, cutoff: int) -> Tensor:
    """The projection onto the ``cutoff // 2 + 1`` lowest frequencies of a period, (L, L).

    Equals a Fourier transform, zeroing the higher coefficients, and the inverse transform.
    """
    kept = torch.arange(min(cutoff // 2, length // 2) + 1)
    apart_LL = torch.arange(length).unsqueeze(1) - torch.arange(length)
    waves = torch.cos(2 * math.pi / length * kept[:, None, None] * apart_LL)
    # Every frequency has two coefficients, except the constant and the highest one.
    alone = (kept == 0) | (2 * kept == length)
    weights = torch.where(alone, 1.0, 2.0) / length
    return (weights[:, None, None] * waves).sum(0)
