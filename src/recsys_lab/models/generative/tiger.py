"""TIGER: an encoder-decoder that generates semantic IDs (Rajput et al., NeurIPS 2023).

Shapes: B users, T concatenated events of all users, S tokens of a history, L levels, C codes of a
level, W beams of a user, D width.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Annotated, Any

import torch
from annotated_types import Ge, Lt
from torch import Tensor, nn
from torch.nn import functional as F

from recsys_lab.models.generative import t5_decoder
from recsys_lab.models.generative.base import CodeGenerator, code_losses, of_supervised_targets
from recsys_lab.models.sequential.layers import PaddedLayout, next_item_targets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recsys_lab.contracts import Batch, SemanticIds, TrainingData


class TIGER(CodeGenerator):
    """T5 that reads the codes of a history's items and generates those of the next item.

    Each training history has one target, its last event, and every prefix of the training window
    is a separate history; with ``recipe.crop=sliding`` every event but a user's first is a target:
    see ``recipe=tiger``. Input and output vectors of a code are the same, as in T5. Paper:
    https://arxiv.org/abs/2305.05065. The layers are those of the transformers library.

    Args:
        config: the options.
        num_items: catalogue size V; not used, the codes stand for the items.
    """

    one_target = True
    by_user_index = ("users.weight",)
    rows_VL: Tensor

    @dataclass(frozen=True)
    class Config:
        """Options of `TIGER`.

        Attributes:
            hidden_dim: width D.
            num_layers: blocks of the encoder.
            num_decoder_layers: blocks of the decoder.
            num_heads: attention heads.
            head_dim: width of each head.
            feedforward_dim: inner width of the feed-forward layers.
            max_length: most recent events that are read.
            dropout: dropout rate of embeddings, attention weights and each sub-layer's output.
            user_tokens: size of the table of user vectors; each history begins with the one at
                the user's index modulo this. 0: none; GRID's ablation sees no use of them.
        """

        hidden_dim: Annotated[int, Ge(1)]
        num_layers: Annotated[int, Ge(1)]
        num_decoder_layers: Annotated[int, Ge(1)]
        num_heads: Annotated[int, Ge(1)]
        head_dim: Annotated[int, Ge(1)]
        feedforward_dim: Annotated[int, Ge(1)]
        max_length: Annotated[int, Ge(1)]
        dropout: Annotated[float, Ge(0), Lt(1)]
        user_tokens: Annotated[int, Ge(0)]

    def __init__(self, config: Config, *, num_items: int) -> None:
        super().__init__()
        del num_items
        self.config = config
        self.window = config.max_length

    def make_weights(self, ids: SemanticIds, data: TrainingData) -> None:
        """Make encoder, decoder and the vectors of the codes, initialised as T5's."""
        del data
        config = self.config
        self.codes = nn.Embedding(sum(ids.num_codes), config.hidden_dim)
        self.begin = nn.Parameter(torch.randn(config.hidden_dim))
        self.users = (
            nn.Embedding(config.user_tokens, config.hidden_dim) if config.user_tokens else None
        )
        self.encoder, self.decoder = _stack(config, False), _stack(config, True)
        firsts = accumulate(ids.num_codes, initial=0)
        # Rows of each item's codes in the table.
        rows = [codes_V + first for codes_V, first in zip(ids.codes_VL.T, firsts, strict=False)]
        self.register_buffer("rows_VL", torch.stack(rows, 1), persistent=False)
        levels, inner = len(ids.num_codes), config.num_heads * config.head_dim
        self.tokens_per_event = levels
        tokens = config.max_length * levels + 1
        self.values_per_beam = 2 * config.feedforward_dim + 2 * config.num_heads * tokens
        self.values_per_beam += 4 * config.num_decoder_layers * levels * inner

    @property
    def blocks(self) -> nn.ModuleList:
        """The encoder's layers, which hold most of a training step's memory."""
        return nn.ModuleList(self.encoder.block)

    @property
    def target_blocks(self) -> nn.ModuleList:
        """The decoder's layers."""
        return nn.ModuleList(self.decoder.block)

    def compile(self, **options: Any) -> None:
        """Compile both stacks; the code around them depends on lengths known only on the host."""
        self.encoder.compile(**options)
        self.decoder.compile(**options)

    def training_loss(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Mean over targets of the sum of code losses; the parts are those of the levels."""
        logits, codes_BL = self.training_logits(batch)
        codes_NL, *logits = of_supervised_targets(batch, codes_BL, *logits)
        return code_losses(logits, codes_NL.T)

    def training_logits(self, batch: Batch) -> tuple[list[Tensor], Tensor]:
        """Logits (B, C) of each level of each history's last event, and its codes, (B, L)."""
        history, _ = next_item_targets(batch)
        targets_B = batch.items_T[batch.last_B]
        return self.target_logits(*self._encode(history), targets_B), self.codes_VL[targets_B]

    def target_logits(self, states_BSD: Tensor, mask_BS: Tensor, targets_B: Tensor) -> list[Tensor]:
        """Logits (B, C) of each level of the targets, given the states of the histories."""
        before_BLD = self.codes(self.rows_VL[targets_B, :-1])
        begin_B1D = self.begin.expand(len(targets_B), 1, -1).to(before_BLD.dtype)
        states_BLD = self.decoder(
            inputs_embeds=torch.cat([begin_B1D, before_BLD], 1),
            encoder_hidden_states=states_BSD,
            encoder_attention_mask=mask_BS,
            use_cache=False,
        ).last_hidden_state
        return [
            self._logits(state_BD, level) for level, state_BD in enumerate(states_BLD.unbind(1))
        ]

    def start(self, batch: Batch) -> t5_decoder.DecoderCache:
        """Encode the histories once.

        Raises:
            ValueError: a history is empty.
        """
        return t5_decoder.start(self.decoder, *self.encoded(batch))

    def step(
        self,
        cache: t5_decoder.DecoderCache,
        level: int,
        parents_BW: Tensor | None,
        codes_BW: Tensor | None,
    ) -> tuple[Tensor, t5_decoder.DecoderCache]:
        """Logits of a level's codes after each beam: see `CodeGenerator.step`."""
        if codes_BW is None:
            x_BWD = self.begin.expand(len(cache.mask_B11S), 1, -1)
        else:
            x_BWD = self.codes(codes_BW + sum(self.num_codes[: level - 1]))
        states_BWD, cache = t5_decoder.step(self.decoder, cache, x_BWD, parents_BW)
        return self._logits(states_BWD, level), cache

    def item_tokens(self, items_T: Tensor) -> Tensor:
        """Input vectors of the codes of some items, (T, L, D)."""
        vectors_TLD: Tensor = self.codes(self.rows_VL[items_T])
        return vectors_TLD

    def encoded(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """States of the tokens of histories to rank for, (B, S, D), and which are tokens, (B, S).

        Raises:
            ValueError: a history is empty.
        """
        assert batch.last_B is not None  # raises the error
        return self._encode(batch)

    def _encode(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """States of the histories' tokens, (B, S, D), and which are tokens, bool (B, S)."""
        layout = PaddedLayout.of(batch.lengths, batch.items_T.device)
        vectors_TLD = self.item_tokens(batch.items_T)
        levels = vectors_TLD.shape[1]
        x_BSD = layout.pad(vectors_TLD.flatten(1)).unflatten(2, (levels, -1)).flatten(1, 2)
        mask_BS = layout.mask(x_BSD.device).repeat_interleave(levels, 1)
        if self.users is not None:
            users_B1D = self.users(batch.users_B % self.config.user_tokens).unsqueeze(1)
            x_BSD = torch.cat([users_B1D, x_BSD], 1)
            mask_BS = torch.cat([torch.ones_like(mask_BS[:, :1]), mask_BS], 1)
        states_BSD = self.encoder(inputs_embeds=x_BSD, attention_mask=mask_BS).last_hidden_state
        return states_BSD, mask_BS

    def _logits(self, states_D: Tensor, level: int) -> Tensor:
        """Logits of a level's codes, (..., D) -> (..., C)."""
        first = sum(self.num_codes[:level])
        table_CD = self.codes.weight[first : first + self.num_codes[level]]
        return F.linear(states_D * self.config.hidden_dim**-0.5, table_CD)


def _stack(config: TIGER.Config, is_decoder: bool) -> Any:
    """Half of a T5 with random weights, without token embeddings."""
    from transformers import T5Config
    from transformers.models.t5.modeling_t5 import T5Stack

    stack: Any = T5Stack(
        T5Config(
            vocab_size=1,
            eos_token_id=None,
            d_model=config.hidden_dim,
            d_kv=config.head_dim,
            d_ff=config.feedforward_dim,
            num_layers=config.num_decoder_layers if is_decoder else config.num_layers,
            num_heads=config.num_heads,
            dropout_rate=config.dropout,
            is_decoder=is_decoder,
            use_cache=False,
        )
    )
    stack.set_input_embeddings(nn.Identity())
    return stack
