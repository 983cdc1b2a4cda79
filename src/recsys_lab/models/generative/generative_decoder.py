"""A decoder-only model over the codes of the history.

Shapes: B users, T events, L levels, C codes of a level, N targets, D width, W beams of a user,
S = T L tokens of the histories or tokens of a beam, H heads, E width of a head.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor, nn
from torch.nn import functional as F

from recsys_lab.contracts import without_autocast
from recsys_lab.models.generative.base import CodeGenerator, code_losses
from recsys_lab.models.generative.stacks import BlockStack, HuggingFaceStack, Prefix, Stack
from recsys_lab.models.sequential.architectures import Sizes
from recsys_lab.models.sequential.blocks import HasBlocks
from recsys_lab.models.sequential.layers import PaddedLayout, target_events

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from recsys_lab.contracts import Batch, SemanticIds, TrainingData
    from recsys_lab.models.sequential.layers import KeysValues


class GenerativeDecoder(HasBlocks, CodeGenerator):
    """A causal language model whose words are codes: a history is its items' codes in a row.

    Every code of every item but the first is predicted from all codes before it, in one pass over a
    history, as in text. (TIGER reads each prefix of a history anew.) A token is the sum of the
    embeddings of its code, of the codes of its item before it, of its level and its item's
    position, so that the last token of an item has the whole item. Hugging Face architectures have
    their own positions, of tokens.

    Args:
        config: the options.
        num_items: catalogue size V.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of `GenerativeDecoder`.

        Attributes:
            architecture: a causal architecture of the transformers library with attention: see
                `recsys_lab.models.sequential.architectures`; null: the lab's pre-norm blocks.
            hidden_dim: width D, a multiple of num_heads.
            num_layers: number of layers.
            num_heads: attention heads.
            feedforward_dim: inner width of the feed-forward layers.
            max_length: most recent items that are read; each has L tokens.
            dropout: dropout rate of the embeddings and of each sub-layer's output; all rates of a
                Hugging Face architecture.
            tied: predict codes with their input embeddings; false: with a separate table.
            init_std: standard deviation of the normal initialisation; of the embeddings only, for a
                Hugging Face architecture.
        """

        architecture: str | None
        hidden_dim: Annotated[int, Ge(1)]
        num_layers: Annotated[int, Ge(1)]
        num_heads: Annotated[int, Ge(1)]
        feedforward_dim: Annotated[int, Ge(1)]
        max_length: Annotated[int, Ge(1)]
        dropout: Annotated[float, Ge(0), Lt(1)]
        tied: bool
        init_std: Annotated[float, Gt(0)]

    @dataclass(frozen=True)
    class Cache:
        """What `step` reads.

        Attributes:
            prefix: keys and values of the histories.
            last_BD: the state after each history, which predicts the first code.
            own: keys and values of the beams' codes, for each layer; None before the first.
            sums_BWD: sum of the embeddings of each beam's codes; None likewise.
        """

        prefix: Prefix
        last_BD: Tensor
        own: Sequence[KeysValues] | None = None
        sums_BWD: Tensor | None = None

    def __init__(self, config: Config, *, num_items: int) -> None:
        super().__init__()
        del num_items  # the codes are known later
        self.config = config
        self.window = config.max_length

    @property
    def blocks(self) -> nn.ModuleList:  # type: ignore[override]
        """The layers."""
        return self.stack.blocks

    def make_weights(self, ids: SemanticIds, data: TrainingData) -> None:
        """Make the tables of codes and the layers."""
        del data
        config, levels = self.config, len(ids.num_codes)
        self.tokens_per_event = levels
        self.values_per_beam = config.hidden_dim * (4 + 4 * levels * config.num_layers)
        self.values_per_beam += 2 * config.num_heads * config.max_length * levels
        self.codes = nn.Embedding(sum(ids.num_codes), config.hidden_dim)
        self.levels = nn.Embedding(levels, config.hidden_dim)
        # A history's codes, and those of the item that follows.
        sizes = Sizes(
            config.hidden_dim, config.num_layers, config.num_heads, config.feedforward_dim,
            (config.max_length + 1) * levels,
        )  # fmt: skip
        if not config.tied:
            self.output = nn.Embedding(sum(ids.num_codes), config.hidden_dim)
        self.stack: Stack
        if config.architecture is None:
            self.stack = BlockStack(sizes, config.dropout, 0.0, tokens_per_item=levels)
            self.init_weights(config.init_std)
        else:
            self.init_weights(config.init_std)  # of the embeddings
            self.stack = HuggingFaceStack(config.architecture, sizes, config.dropout)

    def training_loss(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The mean over targets of the sum of a target's code losses, and the mean of each level.

        Each history must have 2 to ``max_length + 1`` events.
        """
        targets_N = target_events(batch)
        states_SD = self.stack(self._embed(batch), self._layout(batch))
        codes_LN = self.codes_VL[batch.items_T[targets_N]].T
        # The state at the token before predicts a code.
        before_N = targets_N * len(codes_LN) - 1
        logits = [self._logits(states_SD[before_N + at], at) for at in range(len(codes_LN))]
        return code_losses(logits, codes_LN)

    def start(self, batch: Batch) -> Cache:
        """Read the histories once."""
        last_B = (batch.last_B + 1) * len(self.num_codes) - 1
        states_SD, prefix = self.stack.prefill(self._embed(batch), self._layout(batch))
        return self.Cache(prefix, states_SD[last_B])

    def step(
        self, cache: Cache, level: int, parents_BW: Tensor | None, codes_BW: Tensor | None
    ) -> tuple[Tensor, Cache]:
        """Logits of the codes of a level."""
        if parents_BW is None or codes_BW is None:
            return self._logits(cache.last_BD.unsqueeze(1), level), cache
        sums_BWD = self._codes(codes_BW, level - 1)
        if cache.sums_BWD is not None:
            index = parents_BW.unsqueeze(2).expand(-1, -1, sums_BWD.shape[2])
            sums_BWD = cache.sums_BWD.gather(1, index) + sums_BWD
        tokens = sums_BWD + self.levels.weight[level - 1]
        states, owns = [], []
        chunk = self.stack.beams_at_once
        for x_BWD, parents in zip(tokens.split(chunk, 1), parents_BW.split(chunk, 1), strict=True):
            own = None if cache.own is None else [_pick(layer, parents) for layer in cache.own]
            states_BWD, own = self.stack.extend(x_BWD, cache.prefix, own)
            states.append(states_BWD)
            owns.append(own)
        joined = [_join(chunks) for chunks in zip(*owns, strict=True)]
        cache = replace(cache, own=joined, sums_BWD=sums_BWD)
        return self._logits(torch.cat(states, 1), level), cache

    def _embed(self, batch: Batch) -> Tensor:
        """Input vectors of all codes of all events, (T L, D)."""
        by_level = enumerate(self.codes_VL[batch.items_T].unbind(1))
        codes_TLD = torch.stack([self._codes(codes_T, level) for level, codes_T in by_level], 1)
        return (codes_TLD.cumsum(1) + self.levels.weight).flatten(0, 1)

    def _codes(self, codes: Tensor, level: int) -> Tensor:
        """Embeddings of codes of a level, (...) -> (..., D)."""
        return self.codes(sum(self.num_codes[:level]) + codes)  # type: ignore[no-any-return]

    def _layout(self, batch: Batch) -> PaddedLayout:
        lengths = [length * len(self.num_codes) for length in batch.lengths]
        return PaddedLayout.of(lengths, batch.items_T.device)

    def _output(self) -> Tensor:
        return self.codes.weight if self.config.tied else self.output.weight

    def _logits(self, states: Tensor, level: int) -> Tensor:
        """(..., D) -> (..., C), in float32: half precision has too few bits for probabilities."""
        with without_autocast(states.device.type):
            return F.linear(states.float(), self._output().split(self.num_codes)[level])


def _pick(kept: KeysValues, parents_BW: Tensor) -> KeysValues:
    """Keys and values of each beam's parent, (B, H, W', S, E) -> (B, H, W, S, E)."""
    keys, values = kept
    index = parents_BW[:, None, :, None, None].expand(-1, keys.shape[1], -1, *keys.shape[3:])
    return keys.gather(2, index), values.gather(2, index)


def _join(chunks: Sequence[KeysValues]) -> KeysValues:
    """Chunks of beams, one after the other."""
    keys, values = zip(*chunks, strict=True)
    return torch.cat(keys, 2), torch.cat(values, 2)
