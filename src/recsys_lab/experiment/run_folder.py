"""The folder of a run, new or resumed."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from recsys_lab.config import UserError, command_line
from recsys_lab.config.secrets import scrubbed
from recsys_lab.experiment.extend import train_longer
from recsys_lab.experiment.resume import LONGER
from recsys_lab.files.atomic import write_text
from recsys_lab.runs.failure import is_check
from recsys_lab.runs.find import flatten, whole_record
from recsys_lab.runs.record import CONFIG, RECORD, RunRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

    from omegaconf import DictConfig


def run_folder(cfg: DictConfig, output_dir: Path) -> Path:
    """The run directory; ``resume=auto`` finds the latest unfinished run of this config."""
    chosen = any(o.startswith("run_dir=") for o in HydraConfig.get().overrides.task)
    if cfg.resume != "auto" or chosen or (output_dir / RECORD).exists():
        return output_dir
    wanted = _identity(scrubbed(OmegaConf.to_container(cfg, resolve=True)))
    candidates = []
    for path in output_dir.parents[1].glob(f"*/*/{RECORD}"):  # runs/DAY/RUN/run.json
        try:
            record = whole_record(path.parent)
        except UserError:  # skip damaged records of other runs
            continue
        is_resumed = not record.done and not is_check(record)
        if is_resumed and _identity(record.values["config"]) == wanted:
            candidates.append((record.values["created"], path.parent))
    if not candidates:
        return output_dir
    with suppress(OSError):
        output_dir.rmdir()  # created by Hydra, empty
    return max(candidates)[1]


def _identity(config: Any) -> dict[str, Any]:
    """The config without the keys that may differ when a run is resumed."""
    own = {k: v for k, v in config.items() if k not in ("run_dir", "resume", "verify")}
    if own.get("init_from") is None:  # runs of older versions have no such key
        own.pop("init_from", None)
    else:  # older runs have the path as it was given
        own["init_from"] = str(Path(own["init_from"]).absolute())
    if own.get("recipe"):  # the number of processes may differ, and older runs have none
        own["recipe"] = {k: v for k, v in own["recipe"].items() if k != "devices"}
    for late in ("debug", "from"):
        if own.get(late) is None:
            own.pop(late, None)
    return own


def open_record(cfg: DictConfig, folder: Path, **fields: Any) -> RunRecord:
    """The record of a run in its folder; created if there is none.

    Args:
        cfg: the whole config.
        folder: the run directory.
        fields: more fields of a new record.

    Raises:
        UserError: the folder has a run with another config.
    """
    config = scrubbed(OmegaConf.to_container(cfg, resolve=True))
    assert isinstance(config, dict)
    if config.get("init_from") is not None:
        config["init_from"] = str(Path(config["init_from"]).absolute())
    if not (folder / RECORD).exists() or RunRecord.load(folder).failed_before_training:
        # The record last: a folder with a record can be resumed, so it needs the config.
        write_text(folder / CONFIG, OmegaConf.to_yaml(OmegaConf.create(config)))
        name = _marked(cfg.name or default_name(cfg), cfg)
        return RunRecord.create(folder, name=name, config=config, **fields)  # type: ignore[arg-type]
    record = RunRecord.load(folder)
    stored = _identity(record.values["config"])
    differing = [k for k, v in _identity(config).items() if stored.get(k) != v]
    if differing == ["recipe"] and cfg.resume not in (None, "auto"):
        train_longer(record, config)
    elif differing:
        msg = f"{folder}: has a run with another config (differs in {', '.join(differing)});"
        advice = _how_to_resume(folder, config, record.values["config"])
        raise UserError(f"{msg} {advice}, or choose another run_dir")
    return record


def _how_to_resume(folder: Path, new: Mapping[Any, Any], old: Mapping[Any, Any]) -> str:
    """The command that resumes a run: longer, if only keys that allow it differ."""
    stored = flatten(_identity(old))
    changed = {k: v for k, v in flatten(_identity(new)).items() if stored.get(k) != v}
    longer = [f"{key}={value}" for key, value in changed.items() if key in LONGER]
    again = command_line("train", f"resume={folder}", *longer)
    if len(longer) == len(changed):
        return f"train that run longer with {again}"
    return f"resume that run, with its own config, with {command_line('train', f'resume={folder}')}"


def _marked(name: str, cfg: DictConfig) -> str:
    """The name, which says so if the run is a smoke test."""
    return f"{name} (debug={cfg.debug})" if cfg.get("debug") is not None else name


def default_name(cfg: DictConfig) -> str:
    """The model's class, or the name of its config if that is a variant.

    A variant (``model=ease_decayed``) is not recorded under the published model's name.
    """
    name = str(cfg.model._target_.rpartition(".")[2])
    chosen = HydraConfig.get().runtime.choices.get("model") if HydraConfig.initialized() else None
    is_variant = chosen and chosen.replace("_", "").lower() != name.lower()
    return str(chosen) if is_variant else name
