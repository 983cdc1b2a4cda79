"""``recipe.refit=true``: the chosen model once more, on training and validation events."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from recsys_lab.experiment.components import make_model
from recsys_lab.experiment.init_from import begin_again
from recsys_lab.experiment.learning import keep_arrays, loss_for, training_batches
from recsys_lab.runs.origin import first_weights
from recsys_lab.runs.record import REFIT_WEIGHTS, RunRecord

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from rich.console import Console

    from recsys_lab.experiment.components import Components


def refit(cfg: DictConfig, parts: Components, record: RunRecord, console: Console) -> Components:
    """What the test is of: a model from the same seed that has learned from both parts.

    One that began with another run's weights (``init_from``) begins with the same ones here.

    The protocol stays as it was: candidates that are ``known``, popularity and slices are of the
    training part alone, so that runs with and without refit are judged alike.

    Args:
        cfg: the whole config.
        parts: of the run, whose model is chosen.
        record: of the run; gets a field ``refit``.
        console: for people.

    Returns:
        The parts with the new model.
    """
    data = parts.data.with_validation()
    again = replace(parts, data=data, model=make_model(cfg, data, parts.inputs))
    segments = data.segments("train")
    noted = {
        "phases": ["train", "validation"],
        "users": len(segments),
        "interactions": int((segments[:, 2] - segments[:, 1]).sum()),
    }
    if parts.is_fitted:
        console.print("refit: on the events of training and validation")
        again.model.fit(data)
        keep_arrays(again.model, record, refit=noted)
    else:
        _train(cfg, again, record, console, noted)
    return replace(parts, model=again.model)


def _nothing(history: list[dict[str, float]]) -> None:
    """The epochs of the record are those that the model was chosen by."""


def _train(
    cfg: DictConfig, parts: Components, record: RunRecord, console: Console, noted: dict[str, Any]
) -> None:
    from recsys_lab.training.cost import CostMonitor
    from recsys_lab.training.fit import fit

    epochs = record.values["best"]["epoch"] + 1
    begin = "from scratch"
    if parts.origin is not None:
        begin_again(parts.model, record)
        noted["init_from"] = parts.origin["weights_sha256"]
        begin = f"from the {first_weights(parts.origin)}"
    console.print(
        f"refit: on the events of training and validation, {begin}, {epochs} epochs",
        soft_wrap=True, highlight=False,
    )  # fmt: skip
    training = training_batches(cfg, parts)
    meter = CostMonitor()
    keeper = fit(
        parts.model, loss_for(cfg, parts, training), parts.recipe, parts.protocol, training,
        parts.batches("validation"),  # not judged on: no epoch is validated
        (record.folder / REFIT_WEIGHTS).parent,
        loggers=[],  # their steps are those of the training that chose
        console=console, on_epoch=_nothing, callbacks=[meter], epochs=epochs,
    )  # fmt: skip
    parts.model.to(parts.device)
    losses = [row["train/loss"] for row in keeper.history]
    record.update(
        refit={**noted, "epochs": epochs, "train_loss": losses, "compute": meter.values()},
        files={**record.values.get("files", {}), REFIT_WEIGHTS: keeper.best_digest},
    )
