"""SASRec: self-attentive sequential recommendation (Kang & McAuley, ICDM 2018).

Shapes: B users, T events of all users end to end, D width, V items, N supervised positions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Gt, Lt
from torch import Tensor, nn

from recsys_lab.config import UserError
from recsys_lab.models.sequential.blocks import TransformerBlock
from recsys_lab.models.sequential.dot_product import DotProductModel, check_heads
from recsys_lab.models.sequential.layers import PaddedLayout, next_item_targets
from recsys_lab.models.sequential.rectangle import layout_of

if TYPE_CHECKING:
    from recsys_lab.contracts import Batch


class SASRec(DotProductModel):
    """A causal transformer over item embeddings, which also score the items.

    The defaults are a common modern variant. The authors' code (kang205/SASRec) is ``activation:
    relu``, ``norm: query``, ``position_origin: end``, ``feedforward_dim`` equal to ``hidden_dim``,
    ``scale_embedding: true``, one rate for ``dropout``, ``attention_dropout`` and
    ``feedforward_dropout``, and loss=bce. ``model=gsasrec`` has these blocks and a separate output
    table (Petrov and Macdonald, RecSys 2023, https://arxiv.org/abs/2308.07192; loss=gbce);
    ``model=esasrec`` has gated blocks and no final norm (Tikhonovich et al., RecSys 2025,
    https://arxiv.org/abs/2508.06450; loss=sampled_softmax). All weights are initialised from a
    normal distribution with ``init_std``, unlike in the published implementations.

    Args:
        config: the options.
        num_items: catalogue size V.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of `SASRec`.

        Attributes:
            hidden_dim: width D, a multiple of num_heads.
            num_layers: number of transformer blocks.
            num_heads: attention heads.
            max_length: most recent events that are read; also the number of positions.
            feedforward_dim: inner width of the feed-forward layers.
            activation: activation of the feed-forward layers.
            norm: layer norm before each sub-layer ("pre"), after its residual sum ("post"), or
                before it with only queries and residual from the normalised input ("query"): see
                `recsys_lab.models.sequential.blocks.TransformerBlock`.
            final_norm: layer norm after the last block; not with "post", whose blocks end in one.
            gated: scale each sub-layer's output by a learned gate of its input; needs "pre".
            position_origin: count positions from the start of the history that is read, or from
                its end (the most recent event is position 0).
            dropout: dropout rate of the embeddings and of each sub-layer's output.
            attention_dropout: dropout rate of the attention weights; above 0 the kernel is slower.
            feedforward_dropout: dropout rate within the feed-forward layers, after the activation.
            scale_embedding: multiply the input embeddings by sqrt(D).
            tied: score with the input embeddings; false: with a separate output table.
            init_std: standard deviation of the normal initialisation.
        """

        hidden_dim: Annotated[int, Ge(1)]
        num_layers: Annotated[int, Ge(1)]
        num_heads: Annotated[int, Ge(1)]
        max_length: Annotated[int, Ge(1)]
        feedforward_dim: Annotated[int, Ge(1)]
        activation: Literal["gelu", "relu", "swiglu"]
        norm: Literal["pre", "post", "query"]
        final_norm: bool = field(default=True, kw_only=True)
        gated: bool
        position_origin: Literal["start", "end"]
        dropout: Annotated[float, Ge(0), Lt(1)]
        attention_dropout: Annotated[float, Ge(0), Lt(1)]
        feedforward_dropout: Annotated[float, Ge(0), Lt(1)] = field(default=0.0, kw_only=True)
        scale_embedding: bool
        tied: bool
        init_std: Annotated[float, Gt(0)]

    def __init__(self, config: Config, *, num_items: int) -> None:
        super().__init__()
        check_heads(config.hidden_dim, config.num_heads)
        if config.gated and config.norm != "pre":
            raise UserError(
                f"model.gated: got true with model.norm={config.norm}; the gate needs norm=pre"
            )
        if config.final_norm and config.norm == "post":
            raise UserError(
                "model.final_norm: got true with model.norm=post, whose blocks end in a norm; set "
                "model.final_norm=false, or use another norm"
            )
        self.config = config
        self.window = config.max_length
        self.items = nn.Embedding(num_items, config.hidden_dim)
        if not config.tied:
            self.output = nn.Embedding(num_items, config.hidden_dim)
        self.positions = nn.Embedding(config.max_length, config.hidden_dim)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            TransformerBlock(
                config.hidden_dim,
                config.num_heads,
                config.feedforward_dim,
                activation=config.activation,
                norm=config.norm,
                gated=config.gated,
                dropout=config.dropout,
                attention_dropout=config.attention_dropout,
                feedforward_dropout=config.feedforward_dropout,
                causal=True,
            )
            for _ in range(config.num_layers)
        )
        self.final_norm = nn.LayerNorm(config.hidden_dim) if config.final_norm else nn.Identity()
        self.init_weights(config.init_std)

    def training_states(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """States that predict the next item, (N, D), and the targets, (N,).

        Each history must have 2 to ``max_length + 1`` events.
        """
        inputs, targets_N = next_item_targets(batch)
        layout = PaddedLayout.of(inputs.lengths, inputs.items_T.device)
        x_ND = self._enter(inputs, layout)
        for block in self.blocks:
            x_ND = block(x_ND, layout)
        return self.final_norm(x_ND), targets_N

    def query_states(self, batch: Batch) -> Tensor:
        """The state after the last event of each history, (B, D)."""
        layout, last_B = layout_of(batch), batch.last_B
        x_TD = self._enter(batch, layout)
        for block in self.blocks[:-1]:
            x_TD = block(x_TD, layout)
        # The other outputs of the last block are not needed.
        return self.final_norm(self.blocks[-1].last(x_TD, last_B, layout))  # type: ignore[operator, no-any-return]

    def _enter(self, batch: Batch, layout: PaddedLayout) -> Tensor:
        x_TD = self.embed(batch)
        if self.config.scale_embedding:
            x_TD = x_TD * self.config.hidden_dim**0.5
        position_T = layout.position_T
        if self.config.position_origin == "end":
            position_T = layout.from_end()
        return self.dropout(x_TD + self.positions(position_T))  # type: ignore[no-any-return]
