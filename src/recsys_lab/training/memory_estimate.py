"""A lower bound of the memory of a training step, computed before training.

It is the memory at the end of a forward pass: the weights, the optimizer's state, the gradients of
the previous step (Lightning frees them after the forward pass), and the activations that the
backward pass reads.

Shapes: T events of a batch, N supervised positions, V items, D width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from recsys_lab.config import UserError
from recsys_lab.contracts import HoldsScores, traits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recsys_lab.contracts import Loss
    from recsys_lab.training.recipe import Recipe

_FULL, _HALF = 4, 2
_GIBIBYTE = 1 << 30


class CannotFit(UserError):
    """A training step needs more memory than is free.

    Args:
        message: the error message.
        whatever_batch: whether the weights alone are too large, for any batch size.
    """

    def __init__(self, message: str, *, whatever_batch: bool) -> None:
        super().__init__(message)
        self.whatever_batch = whatever_batch


@dataclass(frozen=True)
class MemoryEstimate:
    """Lower bounds of the bytes of a training step.

    Attributes:
        parameters: weights, and their average if the recipe has one.
        gradients: gradients of the trained weights.
        optimizer: optimizer state, e.g. Adam's moments.
        logits: item scores that are in memory at once.
        activations: activations that the backward pass reads.
    """

    parameters: int
    gradients: int
    optimizer: int
    logits: int
    activations: int

    @property
    def total(self) -> int:
        """All of it."""
        per_weight = self.parameters + self.gradients + self.optimizer
        return per_weight + self.logits + self.activations

    def refuse(self, free: int) -> None:
        """Raise an error if the step does not fit.

        Args:
            free: free memory in bytes.

        Raises:
            CannotFit: it needs more.
        """
        if self.total <= free:
            return
        weights = self.parameters + self.gradients + self.optimizer
        raise CannotFit(
            f"cannot fit: needs about {_said(self.total)} (parameters with gradients and "
            f"optimizer {_said(weights)}, logits {_said(self.logits)}, activations "
            f"{_said(self.activations)}), {_said(free)} free",
            whatever_batch=weights > free,
        )


def estimate_memory(
    model: Any, loss: Loss, recipe: Recipe, *, num_items: int, events: float, histories: float
) -> MemoryEstimate:
    """The lower bound for a model, which may be on torch's meta device.

    Args:
        model: activations are counted for the layers in its ``blocks``: see `Traits`.
        loss: scores are counted if it implements `HoldsScores`.
        recipe: precision, device and optimizer.
        num_items: V.
        events: T, events per batch.
        histories: histories per batch.
    """
    stated, weights = traits(model), list(model.parameters())
    trained = [weight for weight in weights if weight.requires_grad]
    dense = trained
    if recipe.config.sparse_embeddings:  # gradients only of the rows looked up
        items = stated.items
        tables = [items.weight, model.item_table()] if isinstance(items, nn.Embedding) else []
        dense = [weight for weight in trained if not any(weight is table for table in tables)]
    predicted = 0 if stated.one_target else events * stated.mask_probability
    positions = int(max(histories, predicted))
    scores = 0
    if isinstance(loss, HoldsScores):
        scores = loss.scores_in_memory(positions, num_items, recipe.device())
    copies = 1 if recipe.config.ema_decay is None else 2
    item_bytes = _FULL if recipe.trainer_precision() == "32" else _HALF
    return MemoryEstimate(
        parameters=copies * sum(w.numel() * w.element_size() for w in weights),
        gradients=sum(w.numel() * w.element_size() for w in dense),
        optimizer=int(
            recipe.optimizer_factory.values_per_weight
            * sum(w.numel() * w.element_size() for w in trained)
        ),
        logits=_FULL * scores,
        activations=int(
            item_bytes * (events * kept_per_event(model) + histories * kept_per_target(model))
        ),
    )


def kept_per_event(model: nn.Module) -> int:
    """Numbers that the backward pass reads per event: inputs of layers with trained weights."""
    recurrent = [module for module in model.modules() if isinstance(module, nn.RNNBase)]
    stated = traits(model)
    of_cells = sum(cells.input_size + cells.num_layers * cells.hidden_size for cells in recurrent)
    return of_cells + stated.tokens_per_event * _kept_per_token(stated.blocks)


def kept_per_target(model: nn.Module) -> int:
    """The same per history, of layers that run on the tokens of its target alone."""
    stated = traits(model)
    return stated.tokens_per_event * _kept_per_token(stated.target_blocks)


def _kept_per_token(blocks: nn.Module | None) -> int:
    kept = 0
    for name, module in (blocks or nn.ModuleList()).named_modules():
        if not any(weight.requires_grad for weight in module.parameters(recurse=False)):
            continue
        if isinstance(module, nn.Linear):
            kept += module.in_features
            kept += module.out_features if name.endswith("qkv") else 0  # attention reads them
        elif isinstance(module, nn.LayerNorm):
            kept += math.prod(module.normalized_shape)
    return kept


def events_per_batch(
    lengths: NDArray[np.int64], *, window: int, batch_size: int, crop: str, prefixes: bool
) -> tuple[float, float]:
    """Mean events and histories per batch, a lower bound of the largest batch.

    Args:
        lengths: numbers of events of the users' training histories.
        window: most recent events that the model reads, without targets.
        batch_size: histories per batch.
        crop: window of a longer history: see `Recipe.Config`.
        prefixes: whether every prefix of a window is a separate history.
    """
    read = np.asarray(lengths)[np.asarray(lengths) >= 2].astype(np.int64) - 1
    if not len(read):
        return 0.0, 0.0
    short = np.minimum(read, window)
    events, histories = int(short.sum()), len(read)
    if crop == "sliding" and not prefixes:
        events, histories = int(read.sum()), int((-(-read // window)).sum())
    if prefixes:
        beyond = read - short if crop == "sliding" else np.zeros_like(read)
        events = int((short * (short + 1) // 2 + beyond * window).sum())
        histories = int((short + beyond).sum())
    batches = -(-histories // batch_size)
    return events / batches, histories / batches


def _said(count: int) -> str:
    return f"{count / _GIBIBYTE:,.2f} GiB"
