"""Training data, training, and storage of fitted models.

Lightning is imported in the functions: a fitted model does not need it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from recsys_lab.config import UserError
from recsys_lab.contracts import UsesItemCounts, UsesTargetCounts, ValidatesDevice
from recsys_lab.contracts.processes import is_first, shard
from recsys_lab.contracts.read_ahead import read_ahead
from recsys_lab.data.batches import TrainingBatches
from recsys_lab.data.resident import resident_columns
from recsys_lab.files.arrays import save_npz
from recsys_lab.files.atomic import replace_atomically
from recsys_lab.pages.number_format import duration
from recsys_lab.pages.terminal import PROGRESS
from recsys_lab.runs.record import FITTED, RunRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pytorch_lightning import Callback
    from pytorch_lightning.loggers import Logger
    from rich.console import Console

    from recsys_lab.experiment.components import Components
    from recsys_lab.training.checkpoint import CheckpointCallback
    from recsys_lab.training.recipe import Recipe


def ready_loss(parts: Components) -> None:
    """Check the loss's device, and pass it the item counts.

    Raises:
        UserError: the loss does not work on the run's device.
    """
    if isinstance(parts.loss, ValidatesDevice):
        parts.loss.check_device(parts.device)
    if isinstance(parts.loss, UsesItemCounts):
        parts.loss.read_counts(torch.from_numpy(parts.data.training_item_counts()))


def train(
    parts: Components,
    folder: Path,
    console: Console,
    *,
    on_epoch: Callable[[list[dict[str, float]]], None],
    loggers: Sequence[Logger] = (),
    callbacks: Sequence[Callback] = (),
    epochs: int | None = None,
) -> tuple[CheckpointCallback, dict[str, Any]]:
    """Train the model, after `ready_loss`, and move it to the run's device.

    See `recsys_lab.training.fit.fit` for the arguments and errors.

    Returns:
        The checkpoint callback, and the cost of the training.
    """
    from recsys_lab.training.cost import CostMonitor
    from recsys_lab.training.fit import fit
    from recsys_lab.training.numerics import numerics
    from recsys_lab.training.targets import expected_targets

    training = training_batches(parts)
    if isinstance(parts.loss, UsesTargetCounts) and parts.loss.reads_targets:
        epoch = training.first_epoch()
        parts.loss.read_targets(expected_targets(parts.model, epoch, parts.data.num_items))
    meter = CostMonitor()
    if epochs is None:  # not a refit, which nothing is told of
        callbacks = [*_looks(parts.recipe, folder.parent, loggers), *callbacks]
    learned: Any = training if training.device else read_ahead(training, parts.device)
    if parts.recipe.config.overfit_loss is not None:
        learned, looks = _one_batch(parts, training, console)
        callbacks = [*callbacks, looks]
    with numerics(parts.recipe):
        keeper = fit(
            parts.model,
            parts.loss,
            parts.recipe,
            parts.protocol,
            learned,
            read_ahead(parts.batches("validation", users=parts.validation_users), parts.device),
            folder,
            loggers=loggers,
            console=console,
            on_epoch=on_epoch,
            callbacks=[meter, *callbacks],
            epochs=epochs,
        )
    parts.model.to(parts.device)
    return keeper, meter.values()


def _looks(recipe: Recipe, folder: Path, loggers: Sequence[Logger]) -> list[Callback]:
    """The callbacks that look into the steps, if the recipe asks for them; in one process."""
    from recsys_lab.training.profile import Profile
    from recsys_lab.training.step_log import StepLog

    looks: list[Callback] = []
    if recipe.config.log_every is not None and loggers:
        looks.append(StepLog(recipe.config.log_every))
    if recipe.config.profile is not None and is_first():
        looks.append(Profile(recipe.config.profile, folder / "profile"))
    return looks


def _one_batch(
    parts: Components, training: TrainingBatches, console: Console
) -> tuple[Any, Callback]:
    """The batch to overfit, and the callback that looks at its loss."""
    from recsys_lab.training.overfit import OneBatch, Overfit

    config = parts.recipe.config
    assert config.overfit_loss is not None
    batch = training.distinct(config.batch_size)
    steps = config.max_steps or len(training)
    return OneBatch(batch, steps), Overfit(config.overfit_loss, console)


def training_batches(parts: Components) -> TrainingBatches:
    """The histories of the training part of ``parts.data``.

    Raises:
        UserError: there are none, or the model does not support ``recipe.supervise``.
    """
    from recsys_lab.training.targets import supervised_events, supervised_positions

    stated = parts.traits
    training = TrainingBatches(
        parts.data,
        batch_size=parts.recipe.config.batch_size,
        window=parts.model.window + 1,  # one event more than is read: the last target
        seed=parts.seed,
        crop=parts.recipe.config.crop,
        prefixes=stated.one_target,
        features=stated.features,
        supervised=supervised_events(parts.data, parts.recipe),
        device=device_of_data(parts),
        shard=shard(),
    )
    if not len(training):
        msg = f"{parts.data.path}: no user has at least two training events to train on"
        raise UserError(msg)
    if parts.recipe.config.supervise != "all":
        supervised_positions(parts.model, next(training.first_epoch()))  # raises early
    return training


def device_of_data(parts: Components) -> torch.device | None:
    """Where the events are kept during training: see ``recipe.data_on_device``; None: the host.

    Raises:
        UserError: they do not fit the device's free memory.
    """
    from recsys_lab.training.free_memory import free_memory

    asked = parts.recipe.config.data_on_device
    if asked is False or (asked == "auto" and parts.device == "cpu"):
        return None
    columns = resident_columns(parts.data, parts.traits.features)
    needed, free = sum(c.nbytes for c in columns.values()), free_memory(parts.device)
    if asked == "auto":
        return torch.device(parts.device) if needed <= free // 4 else None
    if needed > free:
        raise UserError(
            f"recipe.data_on_device: got true, but the events take {needed / 2**30:,.2f} GiB, and "
            f"{free / 2**30:,.2f} GiB of the device are free; use auto or false"
        )
    return torch.device(parts.device)


def fit_in_steps(parts: Components) -> None:
    """Fit a model that is not trained, and say so."""
    PROGRESS.info("fitting %s", parts.model_name)
    began = time.monotonic()
    parts.model.fit(parts.data)
    PROGRESS.info("fitted in %s", duration(time.monotonic() - began))


def keep_arrays(model: Any, record: RunRecord, **changes: Any) -> None:
    """Store a fitted model's arrays; update the record with its size and ``changes``."""
    arrays = model.arrays()
    replace_atomically(record.folder / FITTED, lambda path: save_npz(path, arrays))
    size = sum(int(np.size(values)) for values in arrays.values())
    record.note_files(FITTED, parameters=size, **changes)
