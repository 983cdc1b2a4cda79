"""Optimizers that torch has no single class for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim import Optimizer

from recsys_lab.config import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from recsys_lab.contracts import DenseModel, Loss


class DenseSparseOptimizer(Optimizer):
    """One optimizer for most parameters, another for tables of which a step touches few rows.

    Args:
        dense: of all other parameters.
        sparse: of the parameters with sparse gradients.
    """

    def __init__(self, dense: Optimizer, sparse: Optimizer) -> None:
        # Not the base class's: the parameters belong to the two.
        self.dense, self.sparse = dense, sparse
        self.defaults = dense.defaults
        self.param_groups = [*dense.param_groups, *sparse.param_groups]

    @property
    def state(self) -> dict[Any, Any]:  # type: ignore[override]
        """What is kept of every parameter."""
        return {**self.dense.state, **self.sparse.state}

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Move all parameters."""
        loss = closure() if closure is not None else None
        self.dense.step()
        self.sparse.step()
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        self.dense.zero_grad(set_to_none)
        self.sparse.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """Of both."""
        return {"dense": self.dense.state_dict(), "sparse": self.sparse.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The reverse of `state_dict`."""
        self.dense.load_state_dict(state_dict["dense"])
        self.sparse.load_state_dict(state_dict["sparse"])
        self.param_groups = [*self.dense.param_groups, *self.sparse.param_groups]


def make_sparse(model: DenseModel, loss: Loss) -> list[nn.Parameter]:
    """Let the item tables have gradients of the looked up rows alone.

    Returns:
        The tables.

    Raises:
        UserError: the loss reads the whole table, or the item vectors are no plain table.
    """
    items = getattr(model, "items", None)
    if not isinstance(items, nn.Embedding):
        raise UserError(
            "recipe.sparse_embeddings: got true, and the item vectors of this model are no plain "
            "table; use inputs=ids, or recipe.sparse_embeddings=false"
        )
    if not hasattr(loss, "sparse"):
        raise UserError(
            "recipe.sparse_embeddings: got true, and this loss reads the vectors of all items; "
            "use a sampled one (loss=sampled_softmax, bce, gbce, bpr), or "
            "recipe.sparse_embeddings=false"
        )
    items.sparse = loss.sparse = True
    table = model.item_table()
    tables: list[nn.Parameter] = [items.weight]  # type: ignore[list-item]
    if isinstance(table, nn.Parameter) and table is not items.weight:
        tables.append(table)
    return tables


def dense_sparse_optimizer(
    dense: Callable[[list[nn.Parameter]], Optimizer], model: DenseModel,
    tables: list[nn.Parameter], *, learning_rate: float, betas: tuple[float, float],
) -> DenseSparseOptimizer:  # fmt: skip
    """Lazy Adam for the tables: only rows with a gradient are moved, their averages included.

    Args:
        dense: makes the optimizer of all other parameters.
        model: has the parameters.
        tables: those with sparse gradients.
        learning_rate: of the tables.
        betas: of the tables.
    """
    known = {id(table) for table in tables}
    others = [parameter for parameter in model.parameters() if id(parameter) not in known]
    sparse = torch.optim.SparseAdam(tables, lr=learning_rate, betas=betas)
    return DenseSparseOptimizer(dense(others), sparse)
