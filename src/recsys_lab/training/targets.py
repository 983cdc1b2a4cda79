"""Which events are targets in training, and how often each item is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch

from recsys_lab.config import UserError
from recsys_lab.contracts import SamplesTargets
from recsys_lab.models.sequential.layers import next_item_weights

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from recsys_lab.contracts import Batch, DenseModel
    from recsys_lab.training.recipe import Recipe


class SupervisedData(Protocol):
    """The part of a prepared dataset that says what is trained on."""

    @property
    def is_target(self) -> NDArray[np.bool_] | None:
        """Which events may be targets, (T,); None: all."""
        ...

    def segments(self, phase: str) -> NDArray[np.int64]:
        """For ``"train"``: rows (user, start, end), (n, 3)."""
        ...


def expected_targets(model: DenseModel, epoch: Iterable[Batch], num_items: int) -> Tensor:
    """The expected number of times that each item is a target in an epoch, float64 (V,).

    Exact but for windows at random places (``recipe.crop=random``), of which an epoch is a sample.

    Args:
        model: says which events of a history it predicts: see `DenseModel` and `SamplesTargets`.
        epoch: its batches.
        num_items: V.
    """
    counts_V = torch.zeros(num_items, dtype=torch.float64)
    for batch in epoch:
        chances_T = _chances(model, batch).double()
        if batch.supervised_T is not None:
            chances_T = chances_T * batch.supervised_T
        counts_V.index_add_(0, batch.items_T, chances_T)
    return counts_V


def supervised_events(data: SupervisedData, recipe: Recipe) -> NDArray[np.bool_] | None:
    """The events that the loss may ask for, bool (T,); None: all.

    Raises:
        UserError: only target events are to be, and the split names none, or none is trained on.
    """
    if recipe.config.supervise == "all":
        return None
    option = "recipe.supervise=target_events"
    if data.is_target is None:
        raise UserError(
            f"{option}: the split takes events of all types for targets (split.target_events=null);"
            " name types there, or set recipe.supervise=all"
        )
    known = data.is_target
    # A history's first event is predicted from nothing.
    if not any(known[start + 1 : end].any() for _, start, end in data.segments("train")):
        raise UserError(
            f"{option}: none of the events that are trained on is of these types, but for the "
            "first of a history; set recipe.supervise=all"
        )
    return known


def supervised_positions(model: DenseModel, batch: Batch) -> Tensor:
    """Which of the N positions of ``training_states`` the loss may look at, bool (N,).

    Raises:
        UserError: the model draws what it predicts, so that its positions are not known.
    """
    assert batch.supervised_T is not None
    chances_T = _chances(model, batch)
    if bool(((chances_T > 0) & (chances_T < 1)).any()):
        raise UserError(
            f"recipe.supervise=target_events: {type(model).__name__} draws at random which events "
            "it predicts (Cloze); set recipe.supervise=all, or take a model that predicts the "
            "next event"
        )
    return batch.supervised_T[chances_T > 0]


def _chances(model: DenseModel, batch: Batch) -> Tensor:
    """Chance of each event to be a target, float32 (T,); models predict in the events' order."""
    if getattr(model, "one_target", False):
        chances_T = torch.zeros(len(batch.items_T), device=batch.items_T.device)
        chances_T[batch.last_B] = 1
        return chances_T
    chances_of = model.target_chances if isinstance(model, SamplesTargets) else next_item_weights
    return chances_of(batch)
