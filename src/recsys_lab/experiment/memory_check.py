"""Refuse a run of a search that cannot fit into memory, before anything of it is made."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from recsys_lab.config import UserError, build
from recsys_lab.training.free_memory import free_memory
from recsys_lab.training.memory_estimate import MemoryEstimate, estimate_memory, events_per_batch

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from recsys_lab.data.prepared import PreparedDataset

_log = logging.getLogger(__name__)


def refuse_too_large(cfg: DictConfig, data: PreparedDataset) -> None:
    """Compare what training needs at least with what is free.

    Args:
        cfg: of the run.
        data: the prepared dataset.

    Raises:
        CannotFit: it is more.
    """
    needed = needs(cfg, data)
    if needed is not None:
        needed.refuse(free_memory(build(cfg.recipe).device()))


def needs(cfg: DictConfig, data: PreparedDataset) -> MemoryEstimate | None:
    """What a step of the run needs at least; None for a model that is fitted, or not known."""
    model = _without_memory(cfg, data.num_items)
    if not isinstance(model, torch.nn.Module):
        return None
    recipe = build(cfg.recipe)
    segments = np.asarray(data.segments("train"))
    events, histories = events_per_batch(
        segments[:, 2] - segments[:, 1], window=getattr(model, "window", 1),
        batch_size=recipe.config.batch_size, crop=recipe.config.crop,
        prefixes=getattr(model, "one_target", False),
    )  # fmt: skip
    return estimate_memory(
        model, build(cfg.loss), recipe,
        num_items=data.num_items, events=events, histories=histories,
    )  # fmt: skip


def _without_memory(cfg: DictConfig, num_items: int) -> Any:
    """The model on torch's meta device, where tensors have shapes and no content."""
    try:
        with torch.device("meta"):
            return build(cfg.model, num_items=num_items)
    except UserError:
        return None  # told when the model is made in earnest
    except Exception as error:  # a model that needs content to be made: there is no estimate
        _log.info("no estimate of the memory: %s", error)
        return None
