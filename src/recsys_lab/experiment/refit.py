"""``recipe.refit=true``: retrain the chosen model on training and validation events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recsys_lab.experiment.init_from import begin_again
from recsys_lab.experiment.learning import fit_in_steps, keep_arrays, ready_loss, train
from recsys_lab.pages.terminal import PROGRESS
from recsys_lab.runs.origin import first_weights
from recsys_lab.runs.record import REFIT_WEIGHTS, RunRecord

if TYPE_CHECKING:
    from rich.console import Console

    from recsys_lab.experiment.components import Components


def refit(parts: Components, record: RunRecord, console: Console) -> None:
    """Replace the chosen model by one trained on both parts, which is then tested.

    It starts from the same seed, and the same initial weights if the run has ``init_from``.

    The protocol does not change: ``known`` candidates, popularity and slices are from the training
    part, so that runs with and without refit are evaluated in the same way.

    Args:
        parts: components of the run; the model is replaced.
        record: record of the run; gets a field ``refit``.
        console: the console.
    """
    again = parts.again(parts.data.with_validation())
    segments = again.data.segments("train")
    noted = {
        "phases": ["train", "validation"],
        "users": len(segments),
        "interactions": int((segments[:, 2] - segments[:, 1]).sum()),
    }
    if again.is_fitted:
        PROGRESS.info("refit: on the events of training and validation")
        fit_in_steps(again)
        keep_arrays(again.model, record, refit=noted)
    else:
        _train(again, record, console, noted)
    parts.model, parts.semantic_ids = again.model, again.semantic_ids


def _train(parts: Components, record: RunRecord, console: Console, noted: dict[str, Any]) -> None:
    epochs = record.values["best"]["epoch"] + 1
    begin = "from scratch"
    if parts.origin is not None:
        begin_again(parts.model, record)
        noted["init_from"] = parts.origin["weights_sha256"]
        begin = f"from the {first_weights(parts.origin)}"
    PROGRESS.info("refit: on the events of training and validation, %s, %d epochs", begin, epochs)
    ready_loss(parts)
    folder = (record.folder / REFIT_WEIGHTS).parent
    # Its epochs are not logged or recorded; those of the model selection are.
    keeper, cost = train(parts, folder, console, on_epoch=lambda _: None, epochs=epochs)
    losses = [row["train/loss"] for row in keeper.history]
    record.update(
        refit={**noted, "epochs": epochs, "train_loss": losses, "compute": cost},
        files={**record.values.get("files", {}), REFIT_WEIGHTS: keeper.best_digest},
    )
