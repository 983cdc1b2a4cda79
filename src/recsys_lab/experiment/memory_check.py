"""Refuses trials that do not fit into memory, before they train."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from recsys_lab.config import UserError
from recsys_lab.contracts import traits
from recsys_lab.training.free_memory import free_memory
from recsys_lab.training.memory_estimate import estimate_memory, events_per_batch

if TYPE_CHECKING:
    from recsys_lab.data.prepared import PreparedDataset
    from recsys_lab.experiment.components import Components

_log = logging.getLogger(__name__)


def refuse_too_large(parts: Components, data: PreparedDataset) -> None:
    """Compare the estimated memory of a training step with the free memory.

    Args:
        parts: components of the run, without data and model.
        data: the prepared dataset.

    Raises:
        CannotFit: the estimate, a lower bound, is larger.
    """
    model = _without_memory(parts, data)
    if not isinstance(model, torch.nn.Module):  # a fitted model, or no estimate
        return
    recipe, stated = parts.recipe, traits(model)
    segments = np.asarray(data.segments("train"))
    events, histories = events_per_batch(
        segments[:, 2] - segments[:, 1],
        window=stated.window or 1,
        batch_size=recipe.config.batch_size,
        crop=recipe.config.crop,
        prefixes=stated.one_target,
    )
    needed = estimate_memory(
        model, parts.loss, recipe, num_items=data.num_items, events=events, histories=histories
    )
    needed.refuse(free_memory(recipe.device()))


def _without_memory(parts: Components, data: PreparedDataset) -> Any:
    """The model on torch's meta device, where tensors have shapes but no content.

    The run builds its own model later: weights are drawn from the seed during construction.
    """
    try:
        with torch.device("meta"):
            model = parts.new_model(data.num_items)
            parts.complete(model, data)
            return model
    except UserError:
        return None  # raised again when the run builds the model
    except Exception as error:  # the model cannot be built on the meta device
        _log.info("no memory estimate: %s", error)
        return None
