"""``recsys-lab sweep``: run the trials of a study in supervised worker processes."""

from __future__ import annotations

import glob
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from recsys_lab.config import Interrupted, UserError, build, config_values
from recsys_lab.config.choice import say
from recsys_lab.config.environment import address_of
from recsys_lab.evaluation.metrics.registry import own_metrics
from recsys_lab.experiment.prepare import prepare_from
from recsys_lab.experiment.several.plan import refuse_devices
from recsys_lab.pages.terminal import Terminal
from recsys_lab.sweeps.faults import GO_ON, explain_faults
from recsys_lab.sweeps.first_weights import refuse_other_architectures
from recsys_lab.sweeps.plan import (
    DATA_KEYS,
    Plan,
    base_overrides,
    data_config,
    measured,
    refuse_keys_of_one_run,
)
from recsys_lab.sweeps.progress.failed_trials import retry_failed
from recsys_lab.sweeps.pruners import AUTO
from recsys_lab.sweeps.results import finish
from recsys_lab.sweeps.settings import check_computed
from recsys_lab.sweeps.space import refuse_endless
from recsys_lab.sweeps.storage.backends import StorageAway
from recsys_lab.sweeps.study_folder import refuse_another_study
from recsys_lab.sweeps.supervisor import Parent

if TYPE_CHECKING:
    from collections.abc import Collection

    from omegaconf import DictConfig

    from recsys_lab.sweeps.study import Study


def run(cfg: DictConfig, output_dir: Path) -> None:
    """Start or resume a sweep."""
    del output_dir
    console = Terminal()
    plan = _plan(cfg)
    plan.check()
    refuse_other_architectures(plan, cfg.init_from)
    launcher = build(cfg.launcher)
    count = launcher.count(plan.sweep.config.workers)
    plan = _with_data(plan, cfg)
    with explain_faults(plan):
        study = _opened(plan)
        refuse_another_study(plan, study)
        again = retry_failed(study) if plan.sweep.config.retry_failed else []
        ended = [trial.number for trial in study.trials() if trial.state.is_finished()]
        plan = replace(plan, ended=ended)
        path = plan.store()
        console.print(f"sweep: {plan.folder} ({plan.storage})", soft_wrap=True)
        if cfg.sweep.pruner == AUTO:
            console.print(_pruner_line(plan), soft_wrap=True, highlight=False)
        if plan.sweep.config.retry_failed:
            failed = ", ".join(map(str, again)) or "none"
            console.print(f"failed trials that run again: {failed}", soft_wrap=True)
        parent = Parent(plan, path, study, console, launcher, count)
        try:
            parent.work()
        except (Interrupted, KeyboardInterrupt):
            raise Interrupted(GO_ON) from None
        finally:
            launcher.close()
        try:
            finish(plan, study, console, parent.states(), parent.stopped)
        finally:
            study.close()


def _opened(plan: Plan) -> Study:
    """Open the study, without retries: the address of the storage may be wrong."""
    try:
        return plan.study(sampler_seed=0)
    except StorageAway as error:
        raise UserError(str(error)) from error


def _plan(cfg: DictConfig) -> Plan:
    refuse_devices(cfg, "sweep")
    if cfg.sweep.storage:
        cfg.sweep.storage = address_of(cfg.sweep.storage, "sweep.storage")
    own = own_metrics(cfg.evaluation)
    sweep = build(cfg.sweep, own_metrics=own)
    space = build(cfg.search).space
    if sweep.sampler.exhaustive:
        refuse_endless(space, say(sweep.config.sampler))
    options = config_values(cfg.sweep) | {"pruner": sweep.config.pruner}
    check_computed(sweep, *measured(cfg.evaluation))
    monitored = [name for name in sweep.config.objectives if sweep.is_accuracy(name)]
    if sweep.pruner.prunes and not monitored:
        raise UserError(
            f"sweep.pruner: got {say(sweep.config.pruner)}, but {sweep.config.objectives[0]} is "
            "only computed after training; use sweep.pruner=auto or none"
        )
    if "num_windows" in cfg.split and cfg.split.window is None:
        raise UserError("split.window: got null, but a sweep uses one window; e.g. split.window=0")
    folder = (Path(cfg.sweep.dir) / cfg.sweep.name).absolute()
    hydra = HydraConfig.get()
    refuse_keys_of_one_run(hydra.overrides.task)
    folders = [s.path for s in hydra.runtime.config_sources if s.provider == "command-line"]
    return Plan(
        folder=str(folder),
        storage=cfg.sweep.storage or str(folder / "study.journal"),
        options=options,
        params=OmegaConf.to_container(cfg.search.params, resolve=True),  # type: ignore[arg-type]
        base=base_overrides(hydra.overrides.task),
        config_dir=folders[0] if folders else None,
        own_metrics=own,
    )


def _pruner_line(plan: Plan) -> str:
    """What ``sweep.pruner=auto`` has chosen."""
    objectives = plan.sweep.config.objectives
    why = f"one objective, {objectives[0]}, which every validation computes"
    if not plan.sweep.pruner.prunes:
        several = f"{len(objectives)} objectives"
        why = several if len(objectives) > 1 else f"{objectives[0]} is known after the training"
    return f"pruner: {say(plan.sweep.config.pruner)} (sweep.pruner=auto: {why})"


def _with_data(plan: Plan, cfg: DictConfig) -> Plan:
    """Prepare the dataset that all trials share, once."""
    keys = {d.key for d in plan.search.space.dimensions}
    if {key.partition(".")[0] for key in keys} & set(DATA_KEYS):
        return replace(plan, source=_source(cfg, keys))
    data = prepare_from(cfg)
    prepared = {
        "folder": str(data.path.absolute()),
        "fingerprint": data.fingerprint,
        "config": data_config(cfg),
    }
    return replace(plan, prepared=prepared)


def _source(cfg: DictConfig, searched: Collection[str]) -> str | None:
    """The absolute path of the file or folder that every trial reads.

    Raises:
        UserError: it does not exist.
    """
    path = cfg.data.get("path")
    if path is None or {"data", "data.path"} & set(searched):
        return None
    if "://" in path or (glob.has_magic(path) and not Path(path).exists()):
        return None
    if not Path(path).exists():
        raise UserError(
            f"data.path={path}: there is no such file or folder; the working directory is "
            f"{Path.cwd()}"
        )
    return str(Path(path).absolute())
