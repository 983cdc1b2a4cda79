"""Training targets: which events are targets, and how often each item is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch

from recsys_lab.config import UserError
from recsys_lab.contracts import SamplesTargets, send, traits
from recsys_lab.models.sequential.layers import next_item_weights, target_events

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from recsys_lab.contracts import Batch, DenseModel
    from recsys_lab.training.recipe import Recipe


class SupervisedData(Protocol):
    """The part of a prepared dataset with the training targets."""

    @property
    def is_target(self) -> NDArray[np.bool_] | None:
        """Which events may be targets, (T,); None: all."""
        ...

    def segments(self, phase: str) -> NDArray[np.int64]:
        """For ``"train"``: rows (user, start, end), (n, 3)."""
        ...


def expected_targets(model: DenseModel, epoch: Iterable[Batch], num_items: int) -> Tensor:
    """The expected number of times that each item is a target in an epoch, float64 (V,).

    Exact, except for random windows (``recipe.crop=random``), where an epoch is a sample.

    Args:
        model: the model; see `SamplesTargets` for models that sample the predicted events.
        epoch: the batches of an epoch.
        num_items: V.
    """
    counts_V = torch.zeros(num_items, dtype=torch.float64)
    for batch in epoch:
        chances_T = _chances(model, batch).double()
        if batch.supervised_T is not None:
            chances_T = chances_T * batch.supervised_T
        counts_V.index_add_(0, batch.items_T.cpu(), chances_T)
    return counts_V


def count_targets(model: object, batch: Batch) -> int:
    """Number of targets of a model that makes its own loss."""
    if traits(model).one_target:
        supervised_T = batch.supervised_T
        return batch.size if supervised_T is None else int(supervised_T[_last(batch)].sum())
    if batch.supervised_T is None:
        return sum(batch.lengths) - batch.size
    return len(target_events(batch))


def supervised_events(data: SupervisedData, recipe: Recipe) -> NDArray[np.bool_] | None:
    """The events that may be targets of the loss, bool (T,); None: all.

    Raises:
        UserError: ``supervise`` is "target_events", and the split has no target events, or none is
            in the training part.
    """
    if recipe.config.supervise == "all":
        return None
    option = "recipe.supervise=target_events"
    if data.is_target is None:
        raise UserError(
            f"{option}: events of all types are targets of the split (split.target_events=null); "
            "name types there, or set recipe.supervise=all"
        )
    known = data.is_target
    # A history's first event is predicted from nothing.
    if not any(known[start + 1 : end].any() for _, start, end in data.segments("train")):
        raise UserError(
            f"{option}: no training event is of these types, except first events of histories, "
            "which are never targets; set recipe.supervise=all"
        )
    return known


def supervised_positions(model: DenseModel, batch: Batch) -> Tensor:
    """Which of the positions of ``training_states`` are supervised, ascending int64 (N,).

    Computed on the host, so that no step waits for the device.

    Raises:
        UserError: the model samples the events that it predicts, so the positions are not known.
    """
    assert batch.supervised_T is not None
    chances_T = _chances(model, batch)
    if bool(((chances_T > 0) & (chances_T < 1)).any()):
        raise UserError(
            f"recipe.supervise=target_events: {type(model).__name__} predicts randomly masked "
            "events (Cloze); set recipe.supervise=all, or use a model that predicts the next event"
        )
    index_N = batch.supervised_T[chances_T > 0].nonzero().squeeze(1)
    return send(index_N, batch.items_T.device)


def _chances(model: DenseModel, batch: Batch) -> Tensor:
    """Probability of each event to be a target, float32 (T,), on the host."""
    if traits(model).one_target:
        chances_T = torch.zeros(sum(batch.lengths))
        chances_T[_last(batch)] = 1
        return chances_T
    chances_of = model.target_chances if isinstance(model, SamplesTargets) else next_item_weights
    return chances_of(batch).cpu()


def _last(batch: Batch) -> Tensor:
    """Index of each history's last event, int64 (B,), on the host."""
    starts_B, lengths_B = batch.ranges_on_host
    return starts_B + lengths_B - 1
