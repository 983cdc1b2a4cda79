"""Training with sparse gradients: a step updates only the item vectors that it looked up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from torch import nn
from torch.optim import Optimizer

from recsys_lab.config import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from recsys_lab.contracts import DenseModel


class DenseSparseOptimizer(Optimizer):
    """Combines an optimizer of dense parameters with one of parameters with sparse gradients.

    Args:
        dense: optimizer of all other parameters.
        sparse: optimizer of the parameters with sparse gradients.
    """

    def __init__(self, dense: Optimizer, sparse: Optimizer) -> None:
        # Without the base class's __init__: the parameters belong to the two optimizers.
        self.dense, self.sparse = dense, sparse
        self.defaults = dense.defaults
        self.param_groups = [*dense.param_groups, *sparse.param_groups]

    @property
    def state(self) -> dict[Any, Any]:  # type: ignore[override]
        """The state of all parameters."""
        return {**self.dense.state, **self.sparse.state}

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update all parameters."""
        loss = closure() if closure is not None else None
        self.dense.step()
        self.sparse.step()
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Reset the gradients."""
        self.dense.zero_grad(set_to_none)
        self.sparse.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """The states of both optimizers."""
        return {"dense": self.dense.state_dict(), "sparse": self.sparse.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The reverse of `state_dict`."""
        self.dense.load_state_dict(state_dict["dense"])
        self.sparse.load_state_dict(state_dict["sparse"])
        self.param_groups = [*self.dense.param_groups, *self.sparse.param_groups]


@runtime_checkable
class HasItems(Protocol):
    """A model with an item embedding module.

    Attributes:
        items: item vectors by index; `nn.Embedding` for a plain table.
    """

    items: nn.Module


@runtime_checkable
class ReadsFewItems(Protocol):
    """A loss that reads the vectors of a sample of items in each step.

    Attributes:
        sparse: whether the table's gradient is a sparse tensor of these rows.
    """

    sparse: bool


def sparse_tables(model: DenseModel, loss: object) -> list[nn.Parameter]:
    """Switch the item tables to sparse gradients.

    Returns:
        The tables.

    Raises:
        UserError: the loss reads the whole table, or the item vectors are not a plain table.
    """
    if not isinstance(model, HasItems) or not isinstance(model.items, nn.Embedding):
        raise UserError(
            "recipe.sparse_embeddings: got true, but the item vectors of this model are not a "
            "plain embedding table; use inputs=ids, or recipe.sparse_embeddings=false"
        )
    if not isinstance(loss, ReadsFewItems):
        raise UserError(
            "recipe.sparse_embeddings: got true, but this loss reads the vectors of all items; use "
            "a sampled one (loss=sampled_softmax, bce, gbce, bpr), or "
            "recipe.sparse_embeddings=false"
        )
    items = model.items
    items.sparse = loss.sparse = True
    table = model.item_table()
    tables: list[nn.Parameter] = [items.weight]  # type: ignore[list-item]
    if isinstance(table, nn.Parameter) and table is not items.weight:
        tables.append(table)
    return tables
