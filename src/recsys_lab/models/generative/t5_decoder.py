"""The decoder of T5, one token at a time for many beams.

It reads the weights of transformers' `T5Stack`. The states of the encoder, and their keys and
values, are kept once for each user: the beams of a user are positions that ask them.

Shapes: B users, W beams of a user, S encoded tokens, T tokens of a beam, H heads, E width of a
head, D width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class DecoderCache:
    """What the next token of every beam attends to.

    Attributes:
        encoded: for each block, keys and values of the encoded tokens, (B, H, S, E) each.
        mask_B11S: whether each encoded token is one, not padding.
        own: for each block, keys and values of the beams' tokens, (B, W, T, H, E) each; empty
            before the first token.
    """

    encoded: tuple[tuple[Tensor, Tensor], ...]
    mask_B11S: Tensor
    own: tuple[tuple[Tensor, Tensor], ...] = ()


def start(stack: Any, states_BSD: Tensor, mask_BS: Tensor) -> DecoderCache:
    """The cache before the first token.

    Args:
        stack: the decoder, a `T5Stack`.
        states_BSD: the encoder's states.
        mask_BS: whether each is a token, not padding.
    """
    encoded = []
    for block in stack.block:
        attention = block.layer[1].EncDecAttention
        pair = (_heads(layer(states_BSD), attention) for layer in (attention.k, attention.v))
        keys, values = (x_BSHE.transpose(1, 2).contiguous() for x_BSHE in pair)
        encoded.append((keys, values))
    return DecoderCache(tuple(encoded), mask_BS[:, None, None, :])


def step(
    stack: Any, cache: DecoderCache, x_BWD: Tensor, parents_BW: Tensor | None
) -> tuple[Tensor, DecoderCache]:
    """The states after one more token of each beam, without dropout.

    Args:
        stack: the decoder, a `T5Stack`.
        cache: of the tokens before; not changed.
        x_BWD: embeddings of the tokens.
        parents_BW: the beam before that each beam extends, int64; None for the first token.

    Returns:
        The states, (B, W, D), and the cache with the tokens.
    """
    own = []
    bias_TH = None
    for index, block in enumerate(stack.block):
        attend, ask, feed = block.layer
        before = _reordered(cache.own[index], parents_BW) if parents_BW is not None else None
        attention = attend.SelfAttention
        query_BWHE, keys, values = _grown(attend.layer_norm(x_BWD), attention, before)
        own.append((keys, values))
        if bias_TH is None:  # only the first block has position weights
            tokens = keys.shape[2]
            bias = attention.compute_bias(1, tokens, keys.device, past_seen_tokens=tokens - 1)
            bias_TH = bias[0, :, 0].T
        # Few tokens: products of elements are faster than many small matrix products.
        scores_BWTH = (query_BWHE.unsqueeze(2) * keys).sum(-1) + bias_TH
        weights_BWTH = scores_BWTH.softmax(2)
        mixed_BWHE = (weights_BWTH.unsqueeze(-1) * values).sum(2)
        x_BWD = x_BWD + attention.o(mixed_BWHE.flatten(2))
        attention = ask.EncDecAttention
        query_BWHE = _heads(attention.q(ask.layer_norm(x_BWD)), attention)
        mixed_BHWE = F.scaled_dot_product_attention(
            query_BWHE.transpose(1, 2), *cache.encoded[index], attn_mask=cache.mask_B11S, scale=1.0
        )
        x_BWD = x_BWD + attention.o(mixed_BHWE.transpose(1, 2).flatten(2))
        x_BWD = feed(x_BWD)
    return stack.final_layer_norm(x_BWD), replace(cache, own=tuple(own))


def _heads(x: Tensor, attention: Any) -> Tensor:
    heads: Tensor = x.unflatten(-1, (attention.n_heads, attention.key_value_proj_dim))
    return heads


def _grown(
    x_BWD: Tensor, attention: Any, before: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, Tensor, Tensor]:
    """The query of one more token, and keys and values of all, (B, W, T, H, E) each."""
    query_BWHE = _heads(attention.q(x_BWD), attention)
    keys = _heads(attention.k(x_BWD), attention).unsqueeze(2)
    values = _heads(attention.v(x_BWD), attention).unsqueeze(2)
    if before is not None:
        keys = torch.cat([before[0], keys], 2)
        values = torch.cat([before[1], values], 2)
    return query_BWHE, keys, values


def _reordered(pair: tuple[Tensor, Tensor], parents_BW: Tensor) -> tuple[Tensor, Tensor]:
    """Keys and values of the beams that are extended."""
    users, width = pair[0].shape[:2]
    first_B1 = torch.arange(0, users * width, width, device=parents_BW.device).unsqueeze(1)
    index_N = (first_B1 + parents_BW).flatten()
    keys, values = (
        x.flatten(0, 1).index_select(0, index_N).unflatten(0, tuple(parents_BW.shape)) for x in pair
    )
    return keys, values
