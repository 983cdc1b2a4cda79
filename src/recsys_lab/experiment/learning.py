"""What a model learns from, and where what it has learned is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_lab.config import UserError
from recsys_lab.contracts import UsesTargetCounts
from recsys_lab.data.batches import TrainingBatches
from recsys_lab.experiment.components import make_loss
from recsys_lab.files.arrays import save_npz
from recsys_lab.files.atomic import replace_atomically
from recsys_lab.runs.record import FITTED, RunRecord

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from recsys_lab.contracts import Loss
    from recsys_lab.experiment.components import Components


def training_batches(cfg: DictConfig, parts: Components) -> TrainingBatches:
    """The histories of the training part of ``parts.data``.

    Raises:
        UserError: there are none, or the model cannot be trained on some of the events alone.
    """
    # Lightning: not for a fitted model
    from recsys_lab.training.targets import supervised_events, supervised_positions

    training = TrainingBatches(
        parts.data,
        batch_size=parts.recipe.config.batch_size,
        window=parts.model.window + 1,  # one more than is read: the first target
        seed=cfg.seed,
        crop=parts.recipe.config.crop,
        prefixes=getattr(parts.model, "one_target", False),
        features=getattr(parts.model, "features", ()),
        supervised=supervised_events(parts.data, parts.recipe),
    )
    if not len(training):
        msg = f"{parts.data.path}: no user has two training events, so there is nothing to train on"
        raise UserError(msg)
    if parts.recipe.config.supervise != "all":
        supervised_positions(parts.model, next(training.first_epoch()))  # refused now, if at all
    return training


def loss_for(
    cfg: DictConfig, parts: Components, training: TrainingBatches, loss: Loss | None = None
) -> Loss:
    """A loss that knows how often each item is a target in these batches; made, or ``loss``."""
    from recsys_lab.training.targets import expected_targets  # Lightning: not for a fitted model

    loss = make_loss(cfg, parts) if loss is None else loss
    if isinstance(loss, UsesTargetCounts) and loss.reads_targets:
        epoch = training.first_epoch()
        loss.read_targets(expected_targets(parts.model, epoch, parts.data.num_items))
    return loss


def keep_arrays(model: Any, record: RunRecord, **changes: Any) -> None:
    """Store what a fitted model has learned, with its size and ``changes`` of the record."""
    arrays = model.arrays()
    replace_atomically(record.folder / FITTED, lambda path: save_npz(path, arrays))
    size = sum(int(np.size(values)) for values in arrays.values())
    record.note_files(FITTED, parameters=size, **changes)
