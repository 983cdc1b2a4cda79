"""Refuse a run of a search that cannot fit into memory, before anything of it is made."""

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
    """Compare what training needs at least with what is free.

    Args:
        parts: of the run, without data and model yet.
        data: the prepared dataset.

    Raises:
        CannotFit: it is more.
    """
    model = _without_memory(parts, data.num_items)
    if not isinstance(model, torch.nn.Module):  # it is fitted, or nothing is known
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


def _without_memory(parts: Components, num_items: int) -> Any:
    """The model on torch's meta device, where tensors have shapes and no content.

    One more than the run's own: shapes are known once a model is made, and weights are drawn as it
    is made, so that the same object cannot come before the memory and have the seed's weights.
    """
    try:
        with torch.device("meta"):
            return parts.new_model(num_items)
    except UserError:
        return None  # told when the model is made in earnest
    except Exception as error:  # a model that needs content to be made: there is no estimate
        _log.info("no estimate of the memory: %s", error)
        return None
