"""Base class of trained models that score by the dot product of a state and an item vector.

Shapes: B users, T events, D width, V items, K list length.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from recsys_lab.config import UserError
from recsys_lab.contracts import Batch, Exclude, RankedLists, traits
from recsys_lab.models.ranking import top_k
from recsys_lab.models.sequential.blocks import HasBlocks


class DotProductModel(HasBlocks):
    """Ranks items by the dot product of their vectors with the user's state.

    Further attributes that a model may set are in `recsys_lab.contracts.Traits`.

    Attributes:
        items: item embeddings; called with indices, read as ``items.weight``.
        output: separate output embeddings, read as ``output.weight``; None: ``items`` scores too.
        window: most recent events that are read.
        cosine: rank by the cosine instead of the dot product, for losses that train cosines.
        context: module that gives an additional vector for each event of a batch, or None.
        features: columns that the context reads.
    """

    items: nn.Embedding
    window: int
    cosine = False
    features: tuple[str, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        self.context: nn.Module | None = None
        self.output: nn.Embedding | None = None

    @property
    def reads_times(self) -> bool:
        """Whether histories need timestamps."""
        return traits(self.context).reads_times

    def embed(self, batch: Batch) -> Tensor:
        """Input vector of each event, (T, D)."""
        x_TD: Tensor = self.items(batch.items_T)
        return x_TD if self.context is None else x_TD + self.context(batch)

    def query_states(self, batch: Batch) -> Tensor:
        """The state that ranks the next item, (B, D)."""
        raise NotImplementedError

    def item_table(self) -> Tensor:
        """Item vectors that score, (V, D)."""
        return (self.items if self.output is None else self.output).weight

    def recommend(self, batch: Batch, k: int, exclude: Exclude | None) -> RankedLists:
        """The k items with the highest scores that are not excluded."""
        states_BD, table_VD = self.query_states(batch), self.item_table()
        if self.cosine:
            states_BD, table_VD = F.normalize(states_BD, dim=-1), F.normalize(table_VD, dim=-1)
        return top_k(states_BD @ table_VD.T, k, exclude, batch.users_B)

    def initialise(self, std: float) -> None:
        """The old name of `init_weights`, until the next release."""
        self.init_weights(std)


def check_heads(hidden_dim: int, num_heads: int) -> None:
    """Check that the heads divide the width.

    Raises:
        UserError: ``hidden_dim`` is not a multiple of ``num_heads``.
    """
    if hidden_dim % num_heads:
        raise UserError(
            f"model.hidden_dim: got {hidden_dim}, which {num_heads} heads cannot share; choose a "
            "multiple of model.num_heads"
        )
