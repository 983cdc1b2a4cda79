"""GRU4Rec: a recurrent network over item embeddings (Hidasi et al., ICLR 2016).

Shapes: B users, T concatenated events of all users, L longest history, D width, V items,
N supervised positions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Gt, Lt
from torch import Tensor, nn

from recsys_lab.models.sequential.dot_product import DotProductModel
from recsys_lab.models.sequential.layers import PaddedLayout, next_item_targets
from recsys_lab.models.sequential.rectangle import layout_of

if TYPE_CHECKING:
    from recsys_lab.contracts import Batch


class GRU4Rec(DotProductModel):
    """Gated recurrent units over item embeddings, which also score the items.

    Strongest with the full softmax; the original losses use sampled items
    (https://arxiv.org/abs/1511.06939, https://arxiv.org/abs/1706.03847).

    Args:
        config: the options.
        num_items: catalogue size V.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of `GRU4Rec`.

        Attributes:
            hidden_dim: width D of the embeddings.
            recurrent_dim: width of the recurrent layers; projected back to D.
            num_layers: number of recurrent layers.
            max_length: most recent events that are read.
            dropout: dropout rate of the embeddings and between layers.
            init_std: standard deviation of the initial embeddings.
        """

        hidden_dim: Annotated[int, Ge(1)]
        recurrent_dim: Annotated[int, Ge(1)]
        num_layers: Annotated[int, Ge(1)]
        max_length: Annotated[int, Ge(1)]
        dropout: Annotated[float, Ge(0), Lt(1)]
        init_std: Annotated[float, Gt(0)]

    def __init__(self, config: Config, *, num_items: int) -> None:
        super().__init__()
        self.config = config
        self.window = config.max_length
        self.items = nn.Embedding(num_items, config.hidden_dim)
        nn.init.normal_(self.items.weight, std=config.init_std)
        self.dropout = nn.Dropout(config.dropout)
        between = config.dropout if config.num_layers > 1 else 0.0
        self.gru = nn.GRU(
            config.hidden_dim, config.recurrent_dim, config.num_layers, batch_first=True,
            dropout=between,
        )  # fmt: skip
        self.projection = nn.Linear(config.recurrent_dim, config.hidden_dim)

    def compile(self, **options: Any) -> None:
        """No effect: the recurrent layers already run as one fused kernel."""
        del options

    def training_states(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """States that predict the next item, (N, D), and the targets, (N,).

        Each history must have at least 2 events.
        """
        inputs, targets_N = next_item_targets(batch)
        layout = PaddedLayout.of(inputs.lengths, inputs.items_T.device)
        return self.projection(self._states(inputs, layout)), targets_N

    def query_states(self, batch: Batch) -> Tensor:
        """The state after the last event of each history, (B, D)."""
        layout = layout_of(batch)
        states_TD = self._states(batch, layout)
        return self.projection(states_TD[batch.last_B])  # type: ignore[no-any-return]

    def _states(self, batch: Batch, layout: PaddedLayout) -> Tensor:
        """Outputs of the last recurrent layer; padding follows the events, so it has no effect."""
        x_TD = self.dropout(self.embed(batch))
        states_BLD, _ = self.gru(layout.pad(x_TD))
        return layout.unpad(states_BLD)
