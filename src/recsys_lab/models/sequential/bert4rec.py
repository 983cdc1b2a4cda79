"""BERT4Rec: a bidirectional transformer with a Cloze objective (Sun et al., CIKM 2019).

Shapes: B users, T concatenated events of all users, D width, V items, N masked events.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import torch
from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor, nn

from recsys_lab.models.sequential.blocks import TransformerBlock
from recsys_lab.models.sequential.dot_product import DotProductModel, check_heads
from recsys_lab.models.sequential.layers import (
    PaddedLayout,
    cloze_probabilities,
    rows_at,
    sample_cloze_mask,
    sent_mask,
)
from recsys_lab.models.sequential.rectangle import with_appended

if TYPE_CHECKING:
    from recsys_lab.contracts import Batch


class BERT4Rec(DotProductModel):
    """Predicts masked events of a history from all the others (Cloze).

    To rank, a masked event is appended to the history. Training needs up to 30 times the epochs
    of a causal model (Petrov and Macdonald, 2022, https://arxiv.org/abs/2207.07483): see
    ``recipe=bert4rec``. Paper: https://arxiv.org/abs/1904.06690.

    Args:
        config: the options.
        num_items: catalogue size V.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of `BERT4Rec`.

        Attributes:
            hidden_dim: width D, a multiple of num_heads.
            num_layers: number of transformer blocks.
            num_heads: attention heads.
            max_length: most recent events that are read, including the appended masked event.
            feedforward_dim: inner width of the feed-forward layers.
            dropout: dropout rate of the embeddings and of each sub-layer's output.
            attention_dropout: dropout rate of the attention weights.
            mask_probability: probability of masking each event; at least one per history.
            last_probability: share of histories in which only the last event is masked, as in
                ranking.
            init_std: standard deviation of the normal initialisation.
        """

        hidden_dim: Annotated[int, Ge(1)]
        num_layers: Annotated[int, Ge(1)]
        num_heads: Annotated[int, Ge(1)]
        max_length: Annotated[int, Ge(2)]
        feedforward_dim: Annotated[int, Ge(1)]
        dropout: Annotated[float, Ge(0), Lt(1)]
        attention_dropout: Annotated[float, Ge(0), Lt(1)]
        mask_probability: Annotated[float, Gt(0), Lt(1)]
        last_probability: Annotated[float, Ge(0), Le(1)]
        init_std: Annotated[float, Gt(0)]

    def __init__(self, config: Config, *, num_items: int) -> None:
        super().__init__()
        check_heads(config.hidden_dim, config.num_heads)
        self.config = config
        self.window = config.max_length - 1
        self.mask_probability = config.mask_probability
        self.items = nn.Embedding(num_items, config.hidden_dim)
        self.hidden_event = nn.Parameter(torch.empty(config.hidden_dim))
        self.positions = nn.Embedding(config.max_length, config.hidden_dim)
        self.norm = nn.LayerNorm(config.hidden_dim)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            TransformerBlock(
                config.hidden_dim,
                config.num_heads,
                config.feedforward_dim,
                activation="gelu",
                norm="post",
                gated=False,
                dropout=config.dropout,
                attention_dropout=config.attention_dropout,
                feedforward_dropout=0.0,
                causal=False,
            )
            for _ in range(config.num_layers)
        )
        self.head = nn.Sequential(
            nn.Linear(config.hidden_dim, config.hidden_dim), nn.GELU(),
            nn.LayerNorm(config.hidden_dim),
        )  # fmt: skip
        self.init_weights(config.init_std)
        nn.init.normal_(self.hidden_event, std=config.init_std)

    def training_states(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The states of the masked events, (N, D), and their items, (N,).

        The mask is drawn from torch's generator. A history has at most ``max_length`` events.
        """
        drawn_T = sample_cloze_mask(
            batch, self.config.mask_probability, self.config.last_probability
        )
        hidden_T, index_N = sent_mask(drawn_T, batch.items_T.device)
        layout = PaddedLayout.of(batch.lengths, batch.items_T.device)
        x_TD = torch.where(hidden_T.unsqueeze(1), self.hidden_event, self.embed(batch))
        states_TD = self._states(x_TD, layout)
        return self.head(rows_at(states_TD, index_N)), batch.items_T[index_N]

    def target_chances(self, batch: Batch) -> Tensor:
        """Probability of each event to be masked, (T,), on the host."""
        return cloze_probabilities(
            batch, self.config.mask_probability, self.config.last_probability
        )

    def query_states(self, batch: Batch) -> Tensor:
        """The state of a masked event after each history, (B, D)."""
        x_TD, layout, last_B = with_appended(batch, self.embed(batch), self.hidden_event)
        return self.head(self._states(x_TD, layout)[last_B])  # type: ignore[no-any-return]

    def _states(self, x_TD: Tensor, layout: PaddedLayout) -> Tensor:
        # Positions count from the end: the appended masked event always has position 0.
        x_TD = self.dropout(self.norm(x_TD + self.positions(layout.from_end())))
        for block in self.blocks:
            x_TD = block(x_TD, layout)
        return x_TD
