"""Layers that more than one architecture uses.

Sequences lie end to end, without padding (T events of B users, width D), so that every
position-wise layer works on real events only. Attention alone needs a rectangle of length L;
`Rectangle` moves between the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recsys_lab.contracts import Batch


@dataclass(frozen=True)
class Rectangle:
    """Where each of T events stands in a (B, L) rectangle, padding at the end of each row.

    Padding at the end, not in front: under a causal mask no real position can then see
    padding, and no mask tensor is needed.

    Attributes:
        place_T: row-major place of each event in the rectangle, int64 (T,).
        position_T: place of each event in its own sequence, from 0, int64 (T,).
        lengths_B: length of each sequence, int64 (B,).
        shape: (B, L), L being the longest of these sequences.
    """

    place_T: Tensor
    position_T: Tensor
    lengths_B: Tensor
    shape: tuple[int, int]

    @staticmethod
    def of(lengths: Sequence[int], device: torch.device) -> Rectangle:
        """The rectangle of sequences with these lengths, laid end to end."""
        lengths_B = torch.tensor(lengths, dtype=torch.int64)
        width, total = max(lengths), int(lengths_B.sum())
        rows_T = torch.repeat_interleave(lengths_B, output_size=total)
        starts_B = lengths_B.cumsum(0) - lengths_B
        position_T = torch.arange(total) - starts_B[rows_T]
        place_T = rows_T * width + position_T
        # Worked out on the host and sent once: the device never waits for a count.
        send = [x.to(device, non_blocking=True) for x in (place_T, position_T, lengths_B)]
        return Rectangle(send[0], send[1], send[2], (len(lengths), width))

    def real(self, device: torch.device) -> Tensor:
        """Which places hold an event, bool (B, L)."""
        return torch.arange(self.shape[1], device=device) < self.lengths_B.unsqueeze(1)

    def from_end(self) -> Tensor:
        """Place of each event counted from its sequence's last, which has 0, (T,)."""
        rows_T = torch.div(self.place_T, self.shape[1], rounding_mode="floor")
        return self.lengths_B[rows_T] - 1 - self.position_T

    def spread(self, x_TD: Tensor) -> Tensor:
        """(T, D) -> (B, L, D), zeros at the padding."""
        batch, width = self.shape
        if x_TD.shape[0] == batch * width:
            return x_TD.view(batch, width, -1)
        out: Tensor = _Scatter.apply(x_TD, self.place_T, batch * width)  # type: ignore[no-untyped-call]
        return out.view(batch, width, -1)

    def gather(self, x_BLD: Tensor) -> Tensor:
        """(B, L, D) -> (T, D), the padding left behind."""
        flat = x_BLD.flatten(0, 1)
        if flat.shape[0] == self.place_T.shape[0]:
            return flat
        out: Tensor = _Gather.apply(flat, self.place_T)  # type: ignore[no-untyped-call]
        return out


class _Scatter(torch.autograd.Function):
    """Rows to distinct places; its gradient is a plain gather (autograd's own would add up)."""

    @staticmethod
    def forward(ctx: Any, x_TD: Tensor, place_T: Tensor, size: int) -> Tensor:
        ctx.save_for_backward(place_T)
        return x_TD.new_zeros(size, x_TD.shape[1]).index_copy_(0, place_T, x_TD)

    @staticmethod
    def backward(ctx: Any, grad_PD: Tensor) -> tuple[Tensor, None, None]:
        (place_T,) = ctx.saved_tensors
        return grad_PD.index_select(0, place_T), None, None


class _Gather(torch.autograd.Function):
    """Rows from distinct places; its gradient is a plain scatter."""

    @staticmethod
    def forward(ctx: Any, x_PD: Tensor, place_T: Tensor) -> Tensor:
        ctx.save_for_backward(place_T)
        ctx.size = x_PD.shape[0]
        return x_PD.index_select(0, place_T)

    @staticmethod
    def backward(ctx: Any, grad_TD: Tensor) -> tuple[Tensor, None]:
        (place_T,) = ctx.saved_tensors
        zeros = grad_TD.new_zeros(ctx.size, grad_TD.shape[1])
        return zeros.index_copy_(0, place_T, grad_TD), None


def shift(batch: Batch) -> tuple[Batch, Tensor]:
    """All events but each history's last, and what follows each of them, int64 (T - B,)."""
    lengths_B = batch.offsets.diff() - 1
    total = batch.items_T.shape[0] - batch.size
    rows_N = torch.repeat_interleave(lengths_B, output_size=total)
    index_N = torch.arange(total, device=rows_N.device) + rows_N
    lengths = tuple(length - 1 for length in batch.lengths)
    return batch.events(index_N, lengths), batch.items_T[index_N + 1]


def followers(batch: Batch) -> Tensor:
    """1 for the events that `shift` makes targets, all but each history's first; float32 (T,)."""
    chances_T = torch.ones(len(batch.items_T), device=batch.items_T.device)
    chances_T[batch.offsets[:-1]] = 0
    return chances_T


def draw_hidden(batch: Batch, probability: float, only_last: float) -> Tensor:
    """Which events a Cloze model has to find, bool (T,); at least one of each history.

    Args:
        batch: the histories.
        probability: chance of each event.
        only_last: share of histories of which the last event alone is hidden.
    """
    device = batch.items_T.device
    total = batch.items_T.shape[0]
    rows_T = torch.repeat_interleave(batch.offsets.diff(), output_size=total)
    last_B = batch.last_B
    hidden_T = torch.rand(total, device=device) < probability
    only_last_B = torch.rand(batch.size, device=device) < only_last
    hidden_T &= ~only_last_B[rows_T]
    none_B = torch.zeros(batch.size, dtype=torch.int64, device=device)
    none_B = none_B.index_add_(0, rows_T, hidden_T.long()) == 0
    hidden_T[last_B] |= none_B
    return hidden_T


def hidden_chances(batch: Batch, probability: float, only_last: float) -> Tensor:
    """Chance of each event to be hidden by `draw_hidden`, float32 (T,); the arguments are its."""
    chances_T = torch.full((len(batch.items_T),), (1 - only_last) * probability)
    lengths_B = torch.tensor(batch.lengths)
    none_B = (1 - only_last) * (1 - probability) ** lengths_B  # then the last one is hidden
    chances_T = chances_T.to(batch.items_T.device)
    chances_T[batch.last_B] += (only_last + none_B).to(chances_T)
    return chances_T


class SelfAttention(nn.Module):
    """Multi-head attention within a sequence (Vaswani et al. 2017, section 3.2).

    Args:
        hidden_dim: width D, a multiple of num_heads.
        num_heads: heads H.
        dropout: of the attention weights.
        causal: whether an event sees only itself and earlier ones, or all.
    """

    def __init__(self, hidden_dim: int, num_heads: int, dropout: float, *, causal: bool) -> None:
        super().__init__()
        self.causal = causal
        self.num_heads = num_heads
        self.dropout = dropout
        self.qkv = nn.Linear(hidden_dim, 3 * hidden_dim)
        self.out = nn.Linear(hidden_dim, hidden_dim)

    def forward(self, x_TD: Tensor, rectangle: Rectangle) -> Tensor:
        """States of all T events, (T, D) -> (T, D)."""
        q, k, v = self._heads(rectangle.spread(self.qkv(x_TD)), 3)
        dropout = self.dropout if self.training else 0.0
        mask = None if self.causal else rectangle.real(x_TD.device)[:, None, None, :]
        mixed = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, dropout_p=dropout, is_causal=self.causal
        )
        return self.out(rectangle.gather(mixed.transpose(1, 2).flatten(2)))  # type: ignore[no-any-return]

    def last(self, x_TD: Tensor, last_BD: Tensor, rectangle: Rectangle) -> Tensor:
        """States of the last event of each sequence alone, (T, D), (B, D) -> (B, D)."""
        width = x_TD.shape[1]
        weight, bias = self.qkv.weight, self.qkv.bias
        (q,) = self._heads(F.linear(last_BD, weight[:width], bias[:width]).unsqueeze(1), 1)
        kv_TD = F.linear(x_TD, weight[width:], bias[width:])
        k, v = self._heads(rectangle.spread(kv_TD), 2)
        real_BL = rectangle.real(x_TD.device)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=real_BL[:, None, None, :])
        return self.out(mixed.transpose(1, 2).flatten(1))  # type: ignore[no-any-return]

    def _heads(self, x_BLD: Tensor, parts: int) -> tuple[Tensor, ...]:
        x = x_BLD.unflatten(2, (parts, self.num_heads, -1))
        return tuple(part.transpose(1, 2) for part in x.unbind(2))


class TransformerBlock(nn.Module):
    """Attention and feed-forward, each with dropout, residual sum and layer norm.

    Args:
        hidden_dim: width D, a multiple of num_heads.
        num_heads: attention heads.
        feedforward_dim: inner width of the feed-forward layers.
        activation: ``gelu``, ``relu`` or ``swiglu`` (Shazeer, 2020, https://arxiv.org/abs/2002.05202).
        norm: layer norm before each sub-layer (``pre``) or after its residual sum (``post``).
        gated: scale each sub-layer's output by a learned gate of its input, for ``pre`` (LiGR,
            Borisyuk et al., 2025, https://arxiv.org/abs/2502.03417).
        dropout: of each sub-layer's output.
        attention_dropout: of the attention weights.
        causal: whether an event sees only itself and earlier ones.
    """

    def __init__(
        self, hidden_dim: int, num_heads: int, feedforward_dim: int, *, activation: str, norm: str,
        gated: bool, dropout: float, attention_dropout: float, causal: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.pre = norm == "pre"
        self.attention_gate = _Gate(hidden_dim) if gated else None
        self.feedforward_gate = _Gate(hidden_dim) if gated else None
        self.attention = SelfAttention(hidden_dim, num_heads, attention_dropout, causal=causal)
        self.attention_norm = nn.LayerNorm(hidden_dim)
        self.feedforward = feedforward(hidden_dim, feedforward_dim, activation)
        self.feedforward_norm = nn.LayerNorm(hidden_dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_TD: Tensor, rectangle: Rectangle) -> Tensor:
        """(T, D) -> (T, D)."""
        normed_TD = self.attention_norm(x_TD) if self.pre else x_TD
        return self._finish(x_TD, self.attention(normed_TD, rectangle))

    def last(self, x_TD: Tensor, last_B: Tensor, rectangle: Rectangle) -> Tensor:
        """The output at the last event of each sequence alone, (T, D) -> (B, D)."""
        normed_TD = self.attention_norm(x_TD) if self.pre else x_TD
        mixed_BD = self.attention.last(normed_TD, normed_TD[last_B], rectangle)
        return self._finish(x_TD[last_B], mixed_BD)

    def _finish(self, x: Tensor, attended: Tensor) -> Tensor:
        if not self.pre:
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
        """The update, scaled by what the gate makes of x."""
        return torch.sigmoid(self.linear(x)) * update


def feedforward(hidden_dim: int, inner_dim: int, activation: str) -> nn.Module:
    """Two layers with an activation between: ``gelu``, ``relu``, or ``swiglu`` without biases."""
    if activation == "swiglu":
        return _SwiGLU(hidden_dim, inner_dim)
    return nn.Sequential(
        nn.Linear(hidden_dim, inner_dim),
        nn.GELU() if activation == "gelu" else nn.ReLU(),
        nn.Linear(inner_dim, hidden_dim),
    )


class _SwiGLU(nn.Module):
    def __init__(self, hidden_dim: int, inner_dim: int) -> None:
        super().__init__()
        self.inner = nn.Linear(hidden_dim, 2 * inner_dim, bias=False)
        self.out = nn.Linear(inner_dim, hidden_dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        gate, value = self.inner(x).chunk(2, dim=-1)
        return self.out(F.silu(gate) * value)  # type: ignore[no-any-return]
