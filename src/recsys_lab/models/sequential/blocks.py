"""Transformer blocks, in the variants of published models.

Shapes: T concatenated events of B users, D width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recsys_lab.models.sequential.layers import KeysValues, PaddedLayout, SelfAttention


class HasBlocks(nn.Module):
    """Compiles its blocks, and initialises its weights as the lab's transformers do.

    Attributes:
        blocks: the layers that `compile` compiles.
    """

    blocks: nn.ModuleList

    def compile(self, **options: Any) -> None:
        """Compile the blocks; the code around them depends on lengths known only on the host."""
        for block in self.blocks:
            block.compile(**options)

    def init_weights(self, std: float) -> None:
        """Initialise weights from a normal distribution, biases with zero, in all sub-modules."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=std)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)


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
        return self.prefill(x_TD, layout)[0]

    def prefill(self, x_TD: Tensor, layout: PaddedLayout) -> tuple[Tensor, KeysValues]:
        """The same, and the keys and values of its attention: see `SelfAttention.prefill`."""
        normed_TD = x_TD if self.norm == "post" else self.attention_norm(x_TD)
        if self.norm == "query":
            mixed_TD, kept = self.attention.prefill(x_TD, layout, normed_TD)
            return self._finish(normed_TD, mixed_TD), kept
        mixed_TD, kept = self.attention.prefill(normed_TD, layout)
        return self._finish(x_TD, mixed_TD), kept

    def extend(
        self, x_BWD: Tensor, prefix: KeysValues, mask_BL: Tensor, own: KeysValues | None
    ) -> tuple[Tensor, KeysValues]:
        """The output at the next event of W continuations: see `SelfAttention.extend`.

        Not for ``query``, whose keys are not of the input that asks.
        """
        assert self.norm != "query"
        normed_BWD = x_BWD if self.norm == "post" else self.attention_norm(x_BWD)
        mixed_BWD, own = self.attention.extend(normed_BWD, prefix, mask_BL, own)
        return self._finish(x_BWD, mixed_BWD), own

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
