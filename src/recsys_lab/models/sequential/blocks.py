"""Transformer blocks, in the variants of published models.

Shapes: T concatenated events of B users, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recsys_lab.models.sequential.layers import PaddedLayout, SelfAttention


class TransformerBlock(nn.Module):
    """Attention and feed-forward, each with dropout, residual connection and layer norm.

    Args:
        hidden_dim: width D, a multiple of num_heads.
        num_heads: attention heads.
        feedforward_dim: inner width of the feed-forward layers.
        activation: ``gelu``, ``relu`` or ``swiglu`` (Shazeer, 2020, https://arxiv.org/abs/2002.05202).
        norm: layer norm before each sub-layer (``pre``), after its residual sum (``post``), or as
            in SASRec's published code (``query``): before each sub-layer, with queries and the
            residual connection from the normalised input, keys and values from the input itself.
            Attention then has no output layer, and dropout only on its weights.
        gated: scale each sub-layer's output by a learned gate of its input, for ``pre`` (LiGR,
            Borisyuk et al., 2025, https://arxiv.org/abs/2502.03417).
        dropout: dropout rate of each sub-layer's output.
        attention_dropout: dropout rate of the attention weights.
        feedforward_dropout: dropout rate between the two feed-forward layers.
        causal: whether an event attends only to itself and earlier events.
    """

    def __init__(
        self, hidden_dim: int, num_heads: int, feedforward_dim: int, *, activation: str, norm: str,
        gated: bool, dropout: float, attention_dropout: float, feedforward_dropout: float,
        causal: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.norm = norm
        self.attention_gate = _Gate(hidden_dim) if gated else None
        self.feedforward_gate = _Gate(hidden_dim) if gated else None
        self.attention = SelfAttention(
            hidden_dim, num_heads, attention_dropout, causal=causal, projected=norm != "query"
        )
        self.attention_norm = nn.LayerNorm(hidden_dim)
        self.feedforward = feedforward(hidden_dim, feedforward_dim, activation, feedforward_dropout)
        self.feedforward_norm = nn.LayerNorm(hidden_dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_TD: Tensor, layout: PaddedLayout) -> Tensor:
        """(T, D) -> (T, D)."""
        normed_TD = x_TD if self.norm == "post" else self.attention_norm(x_TD)
        if self.norm == "query":
            return self._finish(normed_TD, self.attention(x_TD, layout, normed_TD))
        return self._finish(x_TD, self.attention(normed_TD, layout))

    def last(self, x_TD: Tensor, last_B: Tensor, layout: PaddedLayout) -> Tensor:
        """The output at only the last event of each sequence, (T, D) -> (B, D)."""
        normed_TD = x_TD if self.norm == "post" else self.attention_norm(x_TD)
        read_TD = x_TD if self.norm == "query" else normed_TD
        mixed_BD = self.attention.last(read_TD, normed_TD[last_B], layout)
        return self._finish((normed_TD if self.norm == "query" else x_TD)[last_B], mixed_BD)

    def _finish(self, x: Tensor, attended: Tensor) -> Tensor:
        if self.norm == "query":
            x = self.feedforward_norm(x + attended)
            return x + self.dropout(self.feedforward(x))  # type: ignore[no-any-return]
        if self.norm == "post":
            x = self.attention_norm(x + self.dropout(attended))
            return self.feedforward_norm(x + self.dropout(self.feedforward(x)))  # type: ignore[no-any-return]
        attended = self.dropout(attended)
        x = x + (attended if self.attention_gate is None else self.attention_gate(x, attended))
        fed = self.dropout(self.feedforward(self.feedforward_norm(x)))
        return x + (fed if self.feedforward_gate is None else self.feedforward_gate(x, fed))  # type: ignore[no-any-return]


class _Gate(nn.Module):
    def __init__(self, hidden_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(hidden_dim, hidden_dim)

    def forward(self, x: Tensor, update: Tensor) -> Tensor:
        """The update, scaled by the gate of x."""
        return torch.sigmoid(self.linear(x)) * update


def feedforward(
    hidden_dim: int, inner_dim: int, activation: str, dropout: float = 0.0
) -> nn.Module:
    """Two linear layers with ``gelu``, ``relu`` or ``swiglu`` (no biases) and dropout between."""
    if activation == "swiglu":
        return _SwiGLU(hidden_dim, inner_dim, dropout)
    return nn.Sequential(
        nn.Linear(hidden_dim, inner_dim),
        nn.Sequential(nn.GELU() if activation == "gelu" else nn.ReLU(), nn.Dropout(dropout)),
        nn.Linear(inner_dim, hidden_dim),
    )


class _SwiGLU(nn.Module):
    def __init__(self, hidden_dim: int, inner_dim: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.inner = nn.Linear(hidden_dim, 2 * inner_dim, bias=False)
        self.out = nn.Linear(inner_dim, hidden_dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        gate, value = self.inner(x).chunk(2, dim=-1)
        return self.out(self.dropout(F.silu(gate) * value))  # type: ignore[no-any-return]
