"""After a search: its best configs are retrained with other seeds and then tested."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recsys_lab.config import Interrupted, UserError
from recsys_lab.config.errors import one_line
from recsys_lab.config.quoting import quoted
from recsys_lab.experiment.recording import recorded
from recsys_lab.files.atomic import write_text
from recsys_lab.files.faults import MachineFault
from recsys_lab.runs.record import Busy, RunRecord
from recsys_lab.sweeps.failures import describe_deaths
from recsys_lab.sweeps.faults import fault_of
from recsys_lab.sweeps.heartbeat import is_alive
from recsys_lab.sweeps.storage.attributes import CHANGES
from recsys_lab.sweeps.winner import RetrainedConfig, best_trials

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from omegaconf import DictConfig
    from optuna.trial import FrozenTrial
    from rich.console import Console

    from recsys_lab.sweeps.plan import Plan
    from recsys_lab.sweeps.study import Study
    from recsys_lab.sweeps.worker_status import WorkerStatus

_POLL = 0.5
_DEATHS = "deaths.json"


@dataclass(frozen=True)
class TopRun:
    """One retraining run.

    Attributes:
        trial: whose config it has.
        seed: not the search's, by which the config was chosen.
        folder: its run directory.
        cfg: its config.
    """

    trial: FrozenTrial
    seed: int
    folder: Path
    cfg: DictConfig

    @property
    def record(self) -> RunRecord | None:
        """The record; None until the run is finished."""
        try:
            record = RunRecord.load(self.folder)
        except UserError:
            return None
        return record if record.done else None

    @property
    def deaths(self) -> list[str]:
        """How each process ended that died during the run."""
        return _deaths(self.folder)


def top_runs(plan: Plan, study: Study) -> Iterator[TopRun]:
    """The retraining runs: all configs with the first seed, then with the second, ..."""
    best = best_trials(study.copy(), plan.options["retrain_top_n"])
    for offset in range(1, plan.options["retrain_seeds"] + 1):
        for trial in best:
            yield _top_run(plan, trial, offset)


def _top_run(plan: Plan, trial: FrozenTrial, offset: int) -> TopRun:
    point = {**trial.params, **trial.user_attrs.get(CHANGES, {})}
    overrides = plan.point_overrides(point)
    seed = int(plan.composed(overrides).seed) + offset
    folder = plan.path / "top" / f"{trial.number:04d}-seed{seed}"
    name = f"{plan.options['name']} {trial.number} seed {seed}"
    own = [
        f"seed={seed}",
        f"run_dir={quoted(str(folder))}",
        f"group={quoted(plan.options['name'])}",
        f"name={quoted(name)}",
    ]
    return TopRun(trial, seed, folder, plan.composed([*overrides, *own]))


def wait_for_trials(study: Study) -> bool:
    """Wait a moment if a process still runs a trial; whether one does."""
    running = [trial for trial in study.trials() if trial.state.name == "RUNNING"]
    if not any(is_alive(trial.user_attrs) for trial in running):
        return False
    time.sleep(_POLL)
    return True


def note_death(plan: Plan, name: str, end: str) -> None:
    """Record how the process of a run died.

    Args:
        plan: of the sweep.
        name: of the run's folder.
        end: text of `recsys_lab.sweeps.failures.describe_exit`.
    """
    folder = plan.path / "top" / name
    write_text(folder / _DEATHS, json.dumps([*_deaths(folder), end]) + "\n")


def _deaths(folder: Path) -> list[str]:
    file = folder / _DEATHS
    return [str(end) for end in json.loads(file.read_text())] if file.exists() else []


def work_on_top(plan: Plan, study: Study, console: Console, notes: WorkerStatus) -> None:
    """Do the runs that no other worker has done or does; called when all trials have ended."""
    for run in top_runs(plan, study):
        if run.record is not None or len(run.deaths) >= study.most_deaths:
            continue
        notes.tell_of_top(run.folder.name)
        console.print(f"retraining trial {run.trial.number} with seed {run.seed}", soft_wrap=True)
        try:
            recorded(run.cfg, run.folder, console, prepared=plan.prepared_for(run.cfg))
        except (Interrupted, KeyboardInterrupt):
            raise
        except Busy:  # another worker has it
            continue
        except BaseException as error:  # some libraries' own are no `Exception`, nor is SystemExit
            fault = fault_of(error, plan)
            if fault:
                raise MachineFault(fault) from error
            console.print(f"failed: {one_line(error)}", soft_wrap=True, markup=False)


def top_results(plan: Plan, study: Study, metric: str) -> tuple[list[RetrainedConfig], list[str]]:
    """The results of the retraining runs by config, and the unfinished runs with their reasons.

    Args:
        plan: of the sweep.
        study: has the trials.
        metric: without its phase, e.g. ``ndcg@10``.
    """
    by_trial: dict[int, list[tuple[int, float, float]]] = {}
    trials: dict[int, FrozenTrial] = {}
    missing = []
    for run in top_runs(plan, study):
        record = run.record
        if record is None:
            why = f": {describe_deaths(run.deaths)}" if run.deaths else ""
            missing.append(f"{run.folder.name}{why}")
            continue
        values = record.values
        row = (run.seed, values["validation"][metric], values["test"][metric])
        by_trial.setdefault(run.trial.number, []).append(row)
        trials[run.trial.number] = run.trial
    return [_retrained(plan, trials[n], rows, metric) for n, rows in by_trial.items()], missing


def _retrained(plan: Plan, trial: FrozenTrial, rows: list[Any], metric: str) -> RetrainedConfig:
    seeds, validation, test = zip(*rows, strict=True)
    try:
        folder = plan.trial_folder(trial.number, trial.user_attrs.get(CHANGES))
        searched = float(RunRecord.load(folder).values["validation"][metric])
    except (UserError, KeyError):  # the trial ran on a machine with another disk
        searched = None
    return RetrainedConfig(trial.number, trial.params, searched, seeds, validation, test)
