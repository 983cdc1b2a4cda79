"""``train resume=RUN_DIR recipe.max_epochs=N``: train a run longer than it was configured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from recsys_lab.config import UserError
from recsys_lab.experiment.resume import LONGER
from recsys_lab.files.atomic import write_text
from recsys_lab.runs.record import CONFIG
from recsys_lab.training.checkpoint_names import LAST

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recsys_lab.runs.record import RunRecord


def train_longer(record: RunRecord, config: Mapping[Any, Any]) -> None:
    """Let a run, finished or not, go on to more epochs, to what it would be if begun with them.

    The record keeps under ``extended`` how long it was trained before, and the test result that it
    had then: the test split is opened once more at the end.

    Args:
        record: of the run.
        config: the run's, with another recipe.

    Raises:
        UserError: it would not be what a run with more epochs is, or nothing is left to train.
    """
    old, new = record.values["config"]["recipe"], config["recipe"]
    _refuse(record, old, new)
    earlier = {
        **{name.partition(".")[2]: old.get(name.partition(".")[2]) for name in LONGER},
        **{name: record.values.get(name) for name in ("best", "test")},
    }
    # The config last: a process that is killed in between is told to give the same command again.
    files = {name: noted for name, noted in record.values["files"].items() if name != CONFIG}
    extended = [*record.values.get("extended", []), earlier]
    record.update(config=dict(config), status="interrupted", files=files, extended=extended)
    write_text(record.folder / CONFIG, OmegaConf.to_yaml(OmegaConf.create(dict(config))))
    record.note_files(CONFIG)


def _refuse(record: RunRecord, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    where, names = f"{record.folder}: cannot be trained longer:", [n.split(".")[1] for n in LONGER]
    others = [name for name in new if name not in names and old.get(name) != new[name]]
    if others:
        raise UserError(f"{where} its recipe differs in {', '.join(others)} as well")
    if new["max_epochs"] < old["max_epochs"]:
        raise UserError(
            f"{where} recipe.max_epochs={new['max_epochs']} is less than the {old['max_epochs']} "
            "that it was configured with; give more"
        )
    if new["schedule"] != "constant" and new["max_epochs"] != old["max_epochs"]:
        raise UserError(
            f"{where} the learning rate of recipe.schedule={new['schedule']} has fallen to 0 by "
            f"epoch {old['max_epochs']}, and would have fallen slower; begin a new run"
        )
    if record.status == "finished" and not (record.folder / "checkpoints" / LAST).exists():
        raise UserError(f"{where} it has no checkpoints/{LAST}; begin a new run")
    epochs, best = record.values.get("epochs") or [], record.values.get("best") or {}
    epochs_without_improvement = epochs[-1]["epoch"] - best["epoch"] if epochs and best else 0
    if new["patience"] is not None and epochs_without_improvement >= new["patience"]:
        raise UserError(
            f"{where} it stopped {epochs_without_improvement} epochs after its best one, so "
            f"recipe.patience={new['patience']} leaves nothing to train; give more of it, or null"
        )
