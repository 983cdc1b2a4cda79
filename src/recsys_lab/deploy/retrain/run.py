"""Retrain a run: prepare the newer data, report what changed, train an ordinary run."""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf, open_dict

from recsys_lab.config import Interrupted, UserError, command_line
from recsys_lab.config.secrets import scrubbed
from recsys_lab.data.prepared import NotWhole
from recsys_lab.deploy.retrain.changes import changes_table, data_changes
from recsys_lab.deploy.retrain.codes import codes_line, codes_report, keep_codes_of
from recsys_lab.deploy.retrain.request import OWN, require_retrainable
from recsys_lab.experiment.backtest import window_configs
from recsys_lab.experiment.prepare import prepare_from
from recsys_lab.experiment.recording import recorded
from recsys_lab.experiment.restore import prepared_of
from recsys_lab.experiment.run_folder import run_folder
from recsys_lab.experiment.several.plan import refuse_devices
from recsys_lab.files.atomic import write_text
from recsys_lab.runs.find import whole_record
from recsys_lab.runs.record import RunRecord
from recsys_lab.runs.weights import weights_of

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from rich.console import Console

    from recsys_lab.data.prepared import PreparedDataset

REPORT = "retrain.json"
"""File of the report in the folder of the new run; the record has the same under ``retrain``."""
_DECIDES = ("model", "inputs", "loss", "recipe", "evaluation", "seed", "semantic_ids", "decoding")
"""Keys that decide a run's result besides its data, whose fingerprint covers filter and split."""
_log = logging.getLogger(__name__)


def retrain(cfg: DictConfig, output_dir: Path, console: Console) -> dict[str, Any]:
    """Retrain a run.

    Args:
        cfg: the config of the run with overrides, and the keys of the verb.
        output_dir: the new run directory, which exists.
        console: the console.

    Returns:
        The outcome as JSON values: ``status`` (trained or nothing_new), ``run``, its folder or
        None, ``test``, and the report.

    Raises:
        UserError: the data or the config cannot be used.
    """
    try:
        return _retrain(cfg, output_dir, console)
    except BaseException as error:
        with suppress(OSError):
            output_dir.rmdir()  # made by Hydra; only if nothing was written to it
        if isinstance(error, KeyboardInterrupt):  # before training, which raises `Interrupted`
            raise Interrupted(
                "stopped before training, so there is no run to resume; what was prepared is kept. "
                "Run the same command again"
            ) from None
        raise


def _retrain(cfg: DictConfig, output_dir: Path, console: Console) -> dict[str, Any]:
    require_retrainable(Path(cfg.run).absolute())
    parent = whole_record(Path(cfg.run).absolute())
    config = _config(cfg, parent)
    _refuse_windows(config)
    data = prepare_from(config)
    old = _old_data(parent, warm=cfg.warm)
    report = _report(cfg, parent, data, old)
    _tell(report, console)
    if not cfg.force and _is_unchanged(parent, config, data):
        with suppress(OSError):
            output_dir.rmdir()  # made by Hydra, empty
        console.print("nothing new: data and settings are those of RUN; force=true trains anyway")
        return {"status": "nothing_new", "run": None, "test": None, **report}
    if "_target_" in config.get("semantic_ids", {}):
        report["semantic_ids"] = codes_report(parent, config, data)
        console.print(codes_line(report["semantic_ids"]), soft_wrap=True, highlight=False)
    folder = _folder(config, output_dir, data)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / REPORT, json.dumps(scrubbed(report), indent=2) + "\n")
    record = recorded(config, folder, console, prepared=data.path, retrain=report)
    console.print(f"run: {record.folder}", soft_wrap=True, highlight=False)
    test = record.values.get("test")
    return {"status": "trained", "run": str(folder.resolve()), "test": test, **report}


def _config(cfg: DictConfig, parent: RunRecord) -> DictConfig:
    """The config of the new run, without the keys of the verb."""
    config = cfg.copy()
    with open_dict(config):
        for key in OWN:
            del config[key]
        config.init_from = str(parent.folder) if cfg.warm else None
        keep_codes_of(parent, config)
        config.name = cfg.name or parent.values["name"]
        if cfg.window is not None:
            config.filter.window = cfg.window
    refuse_devices(config, "retrain")
    return config


def _refuse_windows(config: DictConfig) -> None:
    if len(window_configs(config)) > 1:
        raise UserError(
            "split.window: got null, which is a back-test of several runs; retrain trains one: "
            "choose a window, or run the back-test with recsys-lab train"
        )


def _old_data(parent: RunRecord, *, warm: bool) -> PreparedDataset | None:
    """The dataset of the run; None if it is lost, which only a cold run can do without."""
    try:
        return prepared_of(parent)
    except NotWhole as error:
        again = command_line("evaluate", str(parent.folder), "prepare=true")
        advice = f"{again} makes it from its source"
        if warm:
            raise UserError(
                f"warm=true: {error.problem}: the dataset of RUN, whose ids the weights are "
                f"matched by. Restore it ({advice}), or use warm=false"
            ) from error
        _log.warning(
            "%s: the dataset of RUN; what changed in the data is not known (%s)",
            error.problem,
            advice,
        )
        return None


def _report(
    cfg: DictConfig, parent: RunRecord, data: PreparedDataset, old: PreparedDataset | None
) -> dict[str, Any]:
    weights, digest = weights_of(parent)
    return {
        "parent": {
            "run": str(parent.folder.resolve()),
            "name": parent.values["name"],
            "weights": weights,
            "weights_sha256": digest,
            "data_fingerprint": parent.values["data"]["fingerprint"],
        },
        "warm": bool(cfg.warm),
        "window": cfg.window,
        "data_fingerprint": data.fingerprint,
        "changes": None if old is None else data_changes(old, data),
        "fixed_dates": _fixed_dates(cfg),
    }


def _fixed_dates(cfg: DictConfig) -> dict[str, str]:
    """Dates of filter and split, which do not move with the data."""
    return {
        f"{group}.{key}": str(value)
        for group in ("filter", "split")
        for key, value in cfg[group].items()
        if str(key).endswith(("start", "end")) and value is not None
    }


def _tell(report: dict[str, Any], console: Console) -> None:
    """Print what changed, with a warning for what is probably a mistake."""
    changes = report["changes"]
    if changes is not None:
        console.print(changes_table(changes, report["parent"]["name"]).rich())
        if changes["older"]:
            days = changes["days"]
            _log.warning(
                "the data end on %s, before those of RUN (%s): are these the newer data?",
                days["new"]["last"],
                days["old"]["last"],
            )
    if fixed := report["fixed_dates"]:
        dates = ", ".join(f"{key}={value}" for key, value in fixed.items())
        console.print(
            f"note: dates of RUN's config do not move with the data: {dates}",
            soft_wrap=True,
            highlight=False,
        )


def _is_unchanged(parent: RunRecord, config: DictConfig, data: PreparedDataset) -> bool:
    """Whether a cold run would repeat the parent: the same data, and settings that decide."""
    noted, stored = parent.values["data"], parent.values["config"]
    now: Any = scrubbed(OmegaConf.to_container(config, resolve=True))
    features = noted.get("features_fingerprint", data.features_fingerprint)
    same_data = (noted["fingerprint"], features) == (data.fingerprint, data.features_fingerprint)
    return same_data and all(_without_keep(stored, k) == _without_keep(now, k) for k in _DECIDES)


def _without_keep(config: dict[str, Any], key: str) -> Any:
    """A value of a config, without the run whose semantic IDs are kept."""
    value = config.get(key)
    if key != "semantic_ids" or not isinstance(value, dict):
        return value
    return {name: inner for name, inner in value.items() if name != "keep"}


def _folder(config: DictConfig, output_dir: Path, data: PreparedDataset) -> Path:
    """The run directory; with ``resume=auto`` that of the stopped run of these data, if any.

    A run that stopped on older data is left alone: it cannot be resumed on newer ones.
    """
    folder = run_folder(config, output_dir)
    if folder == output_dir:
        return folder
    noted = RunRecord.load(folder).values.get("data") or {}
    return folder if noted.get("fingerprint") in (None, data.fingerprint) else output_dir
