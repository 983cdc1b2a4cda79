"""How much memory a training step needs at least, known before it is tried.

Every number is a lower bound of something that surely is in memory at once: at the end of a
forward pass the weights, the optimizer's averages, the gradients of the step before (Lightning
frees them after the forward pass) and what backward will read.

Shapes: T events of a batch, N supervised positions, V items, D width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from recsys_lab.config import UserError
from recsys_lab.losses.fused_softmax import Blocking
from recsys_lab.losses.softmax import uses_liger

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recsys_lab.training.recipe import Recipe

_FULL, _HALF = 4, 2
_MOMENTS = 2  # of Adam
_GIBIBYTE = 1 << 30


class CannotFit(UserError):
    """A step surely needs more memory than is free.

    Args:
        message: for people.
        whatever_batch: even the weights alone are too large.
    """

    def __init__(self, message: str, *, whatever_batch: bool) -> None:
        super().__init__(message)
        self.whatever_batch = whatever_batch


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes of a training step, at least.

    Attributes:
        parameters: weights.
        gradients: of the weights that are trained.
        optimizer: its running averages.
        logits: scores of items that are in memory together.
        activations: what backward reads of the layers.
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
        """Say no to what surely is too large.

        Args:
            free: bytes.

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
    model: nn.Module, loss: Any, recipe: Recipe, *, num_items: int, events: float, histories: float
) -> MemoryEstimate:
    """The lower bound for a model, which may be on torch's meta device.

    Args:
        model: has ``blocks`` with its layers, where activations are to be counted.
        loss: its ``config`` says which scores it forms.
        recipe: precision, optimizer, device.
        num_items: V.
        events: T of a batch.
        histories: of a batch.
    """
    weights = list(model.parameters())
    trained = [weight for weight in weights if weight.requires_grad]
    dense = trained
    if recipe.config.sparse_embeddings:  # a step has gradients of the looked up rows alone
        tables = {id(item) for item in _tables(model)}
        dense = [weight for weight in trained if id(weight) not in tables]
    one_target = getattr(model, "one_target", False)
    masked = getattr(model, "mask_probability", 1.0)
    positions = int(histories if one_target else max(histories, events * masked))
    on_gpu = recipe.device() == "cuda"
    item_bytes = _FULL if recipe.trainer_precision() == "32" else _HALF
    return MemoryEstimate(
        parameters=sum(w.numel() * w.element_size() for w in weights),
        gradients=sum(w.numel() * w.element_size() for w in dense),
        optimizer=_MOMENTS * sum(w.numel() * w.element_size() for w in trained),
        logits=_FULL * logits_in_memory(loss.config, positions, num_items, on_gpu=on_gpu),
        activations=int(events * item_bytes * kept_per_event(model)),
    )


def kept_per_event(model: nn.Module) -> int:
    """Numbers that backward reads for every event: inputs of the layers with weights to train."""
    recurrent = [module for module in model.modules() if isinstance(module, nn.RNNBase)]
    kept = sum(cells.input_size + cells.num_layers * cells.hidden_size for cells in recurrent)
    for name, module in getattr(model, "blocks", nn.ModuleList()).named_modules():
        if not any(weight.requires_grad for weight in module.parameters(recurse=False)):
            continue
        if isinstance(module, nn.Linear):
            kept += module.in_features
            kept += module.out_features if name.endswith("qkv") else 0  # attention reads them
        elif isinstance(module, nn.LayerNorm):
            kept += math.prod(module.normalized_shape)
    return kept


def logits_in_memory(config: Any, positions: int, num_items: int, *, on_gpu: bool) -> int:
    """Scores of items that a loss holds at once; 0 for losses that are not the lab's."""
    negatives = getattr(config, "num_negatives", None)
    if negatives is not None:
        return positions * (1 + int(negatives))
    if hasattr(config, "bucket_items"):
        return int(config.num_buckets * config.bucket_states * config.bucket_items)
    if not hasattr(config, "memory_mib"):
        return 0
    if uses_liger(config.kernel, "cuda" if on_gpu else "cpu"):
        return 0  # its blocks are its own affair
    blocking = Blocking.choose(num_items, config.memory_mib << 20, on_cpu=not on_gpu)
    return min(blocking.rows, positions) * num_items


def events_per_batch(
    lengths: NDArray[np.int64], *, window: int, batch_size: int, crop: str, prefixes: bool
) -> tuple[float, float]:
    """Events and histories of a mean batch; the largest one is no smaller.

    Args:
        lengths: events of the users' training histories.
        window: most recent events that the model reads, the targets not counted.
        batch_size: histories a batch.
        crop: which window of a longer history is trained on.
        prefixes: every beginning of a window is a history of its own.
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


def _tables(model: Any) -> list[Any]:
    return [getattr(model.items, "weight", None), model.item_table()]


def _said(count: int) -> str:
    return f"{count / _GIBIBYTE:,.2f} GiB"
