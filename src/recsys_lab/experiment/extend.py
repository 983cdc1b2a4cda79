"""``train resume=RUN_DIR recipe.max_epochs=N``: train a run longer than it was configured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf

from recsys_lab.config import UserError, class_of_chosen, command_line
from recsys_lab.config.choice import say
from recsys_lab.experiment.resume import DEVICES, LONGER
from recsys_lab.files.atomic import write_text
from recsys_lab.runs.record import CONFIG, RunRecord
from recsys_lab.training.checkpoint_names import LAST
from recsys_lab.training.schedules import SCHEDULES


def train_longer(record: RunRecord, config: Mapping[Any, Any]) -> None:
    """Train a run, finished or not, for more epochs; it equals a run started with that many.

    The record has the earlier epochs and test result under ``extended``; the test is repeated at
    the end.

    Args:
        record: record of the run.
        config: the run's config, with another recipe.

    Raises:
        UserError: it would differ from a run with more epochs, or nothing is left to train.
    """
    old, new = record.values["config"]["recipe"], config["recipe"]
    _refuse(record, old, new)
    earlier = {
        **{name.partition(".")[2]: old.get(name.partition(".")[2]) for name in LONGER},
        **{name: record.values.get(name) for name in ("best", "test")},
    }
    # The config last: if the process is killed in between, the same command works again.
    files = {name: noted for name, noted in record.values["files"].items() if name != CONFIG}
    extended = [*record.values.get("extended", []), earlier]
    record.update(config=dict(config), status="interrupted", files=files, extended=extended)
    write_text(record.folder / CONFIG, OmegaConf.to_yaml(OmegaConf.create(dict(config))))
    record.note_files(CONFIG)


def how_to_train_longer(record: RunRecord) -> str:
    """What to do with a run that was still improving: a command that `train_longer` accepts.

    Args:
        record: of a trained run.
    """
    recipe = record.values["config"]["recipe"]
    steps, epochs = recipe.get("max_steps"), record.values.get("epochs") or []
    if steps is not None and epochs and epochs[-1]["step"] >= steps:
        return f"train a new run with more steps, e.g. recipe.max_steps={2 * steps}"
    key = f"recipe.max_epochs={2 * recipe['max_epochs']}"
    try:
        _refuse(record, recipe, {**recipe, "max_epochs": 2 * recipe["max_epochs"]})
    except (UserError, ImportError):  # also: its own schedule is not there
        return f"train a new run with more epochs, e.g. {key}"
    return f"train it longer, e.g. {command_line('train', f'resume={record.folder}', key)}"


def _refuse(record: RunRecord, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    where = f"{record.folder}: cannot be trained longer:"
    names = [name.split(".")[1] for name in (*LONGER, DEVICES)]
    others = [name for name in new if name not in names and old.get(name) != new[name]]
    if others:
        raise UserError(f"{where} its recipe differs in {', '.join(others)} as well")
    if new["max_epochs"] < old["max_epochs"]:
        raise UserError(
            f"{where} recipe.max_epochs: got {new['max_epochs']}, expected at least "
            f"{old['max_epochs']}, the value that it was configured with"
        )
    longer = new["max_epochs"] != old["max_epochs"]
    if longer and class_of_chosen(SCHEDULES, new["schedule"]).reads_total:
        raise UserError(
            f"{where} the learning rates of recipe.schedule={say(new['schedule'])} depend on the "
            f"number of epochs, and would have been different up to epoch {old['max_epochs']}; "
            "start a new run"
        )
    if record.status == "finished" and not (record.folder / "checkpoints" / LAST).exists():
        raise UserError(f"{where} it has no checkpoints/{LAST}; start a new run")
    epochs, best = record.values.get("epochs") or [], record.values.get("best") or {}
    steps = new.get("max_steps")
    if steps is not None and epochs and epochs[-1]["step"] >= steps:
        raise UserError(f"{where} it ended at recipe.max_steps={steps}; start a new run")
    epochs_without_improvement = epochs[-1]["epoch"] - best["epoch"] if epochs and best else 0
    if new["patience"] is not None and epochs_without_improvement >= new["patience"]:
        raise UserError(
            f"{where} it stopped {epochs_without_improvement} epochs after its best one, so "
            f"recipe.patience={new['patience']} leaves nothing to train; use a larger value, or "
            "null"
        )
