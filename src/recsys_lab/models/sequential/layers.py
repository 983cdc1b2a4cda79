"""Layers shared by several architectures.

Sequences are concatenated without padding (T events of B users, width D), so that position-wise
layers compute real events only. Only attention needs a rectangle of length L; `PaddedLayout`
converts between the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recsys_lab.contracts import send
from recsys_lab.contracts.processes import common_draws
from recsys_lab.moved import names_before

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recsys_lab.contracts import Batch

__getattr__ = names_before(__name__)

KeysValues = tuple[Tensor, Tensor]
"""Keys and values of events, which later events attend to."""


@dataclass(frozen=True)
class PaddedLayout:
    """Positions of T events in a (B, L) rectangle with padding at the end of each row.

    With padding at the end, no real position sees padding under a causal mask, and no mask tensor
    is needed.

    Attributes:
        index_T: row-major index of each event in the rectangle, int64 (T,).
        position_T: position of each event in its sequence, from 0, int64 (T,).
        lengths_B: length of each sequence, int64 (B,).
        shape: (B, L), L being the longest of these sequences.
    """

    index_T: Tensor
    position_T: Tensor
    lengths_B: Tensor
    shape: tuple[int, int]

    @staticmethod
    def of(lengths: Sequence[int], device: torch.device) -> PaddedLayout:
        """The layout of concatenated sequences with these lengths."""
        # The sizes are known on the host, so that nothing waits for the device.
        width, total = max(lengths), sum(lengths)
        lengths_B = send(torch.tensor(lengths, dtype=torch.int64), device)
        rows_T = torch.repeat_interleave(lengths_B, output_size=total)
        starts_B = lengths_B.cumsum(0) - lengths_B
        position_T = torch.arange(total, device=device) - starts_B[rows_T]
        index_T = rows_T * width + position_T
        return PaddedLayout(index_T, position_T, lengths_B, (len(lengths), width))

    def mask(self, device: torch.device) -> Tensor:
        """True at events, False at padding, bool (B, L)."""
        return torch.arange(self.shape[1], device=device) < self.lengths_B.unsqueeze(1)

    def from_end(self) -> Tensor:
        """Position of each event from the end of its sequence; the last event has 0, (T,)."""
        rows_T = torch.div(self.index_T, self.shape[1], rounding_mode="floor")
        return self.lengths_B[rows_T] - 1 - self.position_T

    def corner(self, table: Tensor) -> Tensor:
        """The first L rows and columns of a table with a row and a column for each position."""
        return table[: self.shape[1], : self.shape[1]]

    def pad(self, x_TD: Tensor) -> Tensor:
        """(T, D) -> (B, L, D), zeros at the padding."""
        batch, width = self.shape
        if x_TD.shape[0] == batch * width:
            return x_TD.view(batch, width, -1)
        out: Tensor = _Scatter.apply(x_TD, self.index_T, batch * width)  # type: ignore[no-untyped-call]
        return out.view(batch, width, -1)

    def unpad(self, x_BLD: Tensor) -> Tensor:
        """(B, L, D) -> (T, D), without the padding."""
        flat = x_BLD.flatten(0, 1)
        if flat.shape[0] == self.index_T.shape[0]:
            return flat
        return rows_at(flat, self.index_T)


class _Scatter(torch.autograd.Function):
    """Writes rows to distinct indices; the gradient is a plain gather."""

    @staticmethod
    def forward(ctx: Any, x_TD: Tensor, index_T: Tensor, size: int) -> Tensor:
        ctx.save_for_backward(index_T)
        return x_TD.new_zeros(size, x_TD.shape[1]).index_copy_(0, index_T, x_TD)

    @staticmethod
    def backward(ctx: Any, grad_PD: Tensor) -> tuple[Tensor, None, None]:
        (index_T,) = ctx.saved_tensors
        return grad_PD.index_select(0, index_T), None, None


def rows_at(x_TD: Tensor, index_N: Tensor) -> Tensor:
    """The rows at distinct indices, (N, D)."""
    rows_ND: Tensor = _Gather.apply(x_TD, index_N)  # type: ignore[no-untyped-call]
    return rows_ND


class _Gather(torch.autograd.Function):
    """Reads rows from distinct indices; the gradient is a plain scatter (autograd's would add)."""

    @staticmethod
    def forward(ctx: Any, x_PD: Tensor, index_T: Tensor) -> Tensor:
        ctx.save_for_backward(index_T)
        ctx.size = x_PD.shape[0]
        return x_PD.index_select(0, index_T)

    @staticmethod
    def backward(ctx: Any, grad_TD: Tensor) -> tuple[Tensor, None]:
        (index_T,) = ctx.saved_tensors
        zeros = grad_TD.new_zeros(ctx.size, grad_TD.shape[1])
        return zeros.index_copy_(0, index_T, grad_TD), None


def next_item_targets(batch: Batch) -> tuple[Batch, Tensor]:
    """All events but each history's last, and the item that follows each, int64 (T - B,)."""
    lengths_B = batch.offsets.diff() - 1
    total = batch.items_T.shape[0] - batch.size
    rows_N = torch.repeat_interleave(lengths_B, output_size=total)
    index_N = torch.arange(total, device=rows_N.device) + rows_N
    lengths = tuple(length - 1 for length in batch.lengths)
    return batch.events(index_N, lengths), batch.items_T[index_N + 1]


def target_events(batch: Batch) -> Tensor:
    """Index of every supervised event but each history's first, int64 (N,)."""
    is_target_T = next_item_weights(batch) > 0
    if batch.supervised_T is not None:
        is_target_T &= batch.supervised_T
    return send(is_target_T.nonzero().squeeze(1), batch.items_T.device)


def next_item_weights(batch: Batch) -> Tensor:
    """1 for every event but each history's first, never a target; float32 (T,), on the host."""
    starts_B, _ = batch.ranges_on_host
    chances_T = torch.ones(sum(batch.lengths))
    chances_T[starts_B] = 0
    return chances_T


def sample_cloze_mask(batch: Batch, probability: float, only_last: float) -> Tensor:
    """Random mask of the events that a Cloze model predicts, bool (T,); at least one per history.

    Drawn on the host and left there, so that no step waits for the device to count them: see
    `sent_mask`.

    Args:
        batch: the histories.
        probability: probability of masking each event.
        only_last: share of histories in which only the last event is masked.
    """
    starts_B, lengths_B = batch.ranges_on_host
    total = sum(batch.lengths)
    rows_T = torch.repeat_interleave(lengths_B, output_size=total)
    last_B = starts_B + lengths_B - 1
    events, rows = slice(None), slice(None)
    share = batch.share
    if share is not None:
        events, rows = slice(*share.events), slice(*share.rows)
    with common_draws():
        draws_T = torch.rand(total if share is None else share.num_events)[events]
        draws_B = torch.rand(batch.size if share is None else share.num_rows)[rows]
    hidden_T = draws_T < probability
    only_last_B = draws_B < only_last
    hidden_T &= ~only_last_B[rows_T]
    none_B = torch.zeros(batch.size, dtype=torch.int64)
    none_B = none_B.index_add_(0, rows_T, hidden_T.long()) == 0
    hidden_T[last_B] |= none_B
    return hidden_T


def sent_mask(mask_T: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """A mask of the host, and the indices of its N true events, int64 (N,), on a device."""
    return send(mask_T, device), send(mask_T.nonzero().squeeze(1), device)


def cloze_probabilities(batch: Batch, probability: float, only_last: float) -> Tensor:
    """Probability of each event to be masked by `sample_cloze_mask`, float32 (T,), on the host."""
    starts_B, lengths_B = batch.ranges_on_host
    chances_T = torch.full((sum(batch.lengths),), (1 - only_last) * probability)
    none_B = (1 - only_last) * (1 - probability) ** lengths_B  # then the last one is masked
    chances_T[starts_B + lengths_B - 1] += (only_last + none_B).to(chances_T)
    return chances_T


class SelfAttention(nn.Module):
    """Multi-head attention within a sequence (Vaswani et al. 2017, section 3.2).

    Args:
        hidden_dim: width D, a multiple of num_heads.
        num_heads: heads H.
        dropout: dropout rate of the attention weights.
        causal: whether an event attends only to itself and earlier events.
        projected: whether a linear output layer mixes the heads.
    """

    def __init__(
        self, hidden_dim: int, num_heads: int, dropout: float, *, causal: bool,
        projected: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.causal = causal
        self.num_heads = num_heads
        self.dropout = dropout
        self.qkv = nn.Linear(hidden_dim, 3 * hidden_dim)
        self.out = nn.Linear(hidden_dim, hidden_dim) if projected else nn.Identity()

    def forward(
        self, x_TD: Tensor, layout: PaddedLayout, asking_TD: Tensor | None = None
    ) -> Tensor:
        """States of all T events, (T, D) -> (T, D); queries from ``asking_TD`` if given."""
        return self.prefill(x_TD, layout, asking_TD)[0]

    def prefill(
        self, x_TD: Tensor, layout: PaddedLayout, asking_TD: Tensor | None = None
    ) -> tuple[Tensor, KeysValues]:
        """The same, and the keys and values for `extend`, (B, H, L, D / H) each."""
        qkv_TE = self.qkv(x_TD)
        if asking_TD is not None:
            width = x_TD.shape[1]
            weight, bias = self.qkv.weight, self.qkv.bias
            query_TD = F.linear(asking_TD, weight[:width], bias[:width])
            qkv_TE = torch.cat([query_TD, F.linear(x_TD, weight[width:], bias[width:])], dim=1)
        q, k, v = self._heads(layout.pad(qkv_TE), 3)
        dropout = self.dropout if self.training else 0.0
        mask = None if self.causal else layout.mask(x_TD.device)[:, None, None, :]
        mixed = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, dropout_p=dropout, is_causal=self.causal
        )
        return self.out(layout.unpad(mixed.transpose(1, 2).flatten(2))), (k, v)

    def extend(
        self, x_BWD: Tensor, prefix: KeysValues, mask_BL: Tensor, own: KeysValues | None
    ) -> tuple[Tensor, KeysValues]:
        """States of the next event of W continuations of each sequence; without dropout.

        An event attends to the sequence, to the earlier events of its continuation, and to itself.

        Args:
            x_BWD: the events.
            prefix: keys and values of the sequences, from `prefill`.
            mask_BL: False at their padding.
            own: keys and values of the S earlier events of each continuation,
                (B, H, W, S, D / H) each; None if S is 0.

        Returns:
            States, (B, W, D), and keys and values of the S + 1 events.
        """
        q, k, v = self._heads(self.qkv(x_BWD), 3)
        q = q / q.shape[-1] ** 0.5
        keys, values = k.unsqueeze(3), v.unsqueeze(3)
        if own is not None:
            keys, values = torch.cat([own[0], keys], 3), torch.cat([own[1], values], 3)
        to_prefix = (q @ prefix[0].mT).masked_fill(~mask_BL[:, None, None], -torch.inf)
        to_own = (keys @ q.unsqueeze(4)).squeeze(4)
        weights = torch.cat([to_prefix, to_own], -1).softmax(-1)
        of_prefix, of_own = weights.split([mask_BL.shape[1], keys.shape[3]], -1)
        mixed = of_prefix @ prefix[1] + (of_own.unsqueeze(3) @ values).squeeze(3)
        return self.out(mixed.transpose(1, 2).flatten(2)), (keys, values)

    def last(self, x_TD: Tensor, last_BD: Tensor, layout: PaddedLayout) -> Tensor:
        """States of only the last event of each sequence, (T, D), (B, D) -> (B, D)."""
        width = x_TD.shape[1]
        weight, bias = self.qkv.weight, self.qkv.bias
        (q,) = self._heads(F.linear(last_BD, weight[:width], bias[:width]).unsqueeze(1), 1)
        kv_TD = F.linear(x_TD, weight[width:], bias[width:])
        k, v = self._heads(layout.pad(kv_TD), 2)
        mask_BL = layout.mask(x_TD.device)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask_BL[:, None, None, :])
        return self.out(mixed.transpose(1, 2).flatten(1))  # type: ignore[no-any-return]

    def _heads(self, x_BLD: Tensor, parts: int) -> tuple[Tensor, ...]:
        x = x_BLD.unflatten(2, (parts, self.num_heads, -1))
        return tuple(part.transpose(1, 2) for part in x.unbind(2))
