"""A worker process of a sweep: claims trials and runs them until none is left."""

from __future__ import annotations

import ctypes
import faulthandler
import itertools
import math
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console

from recsys_lab.config import Interrupted, Pruned
from recsys_lab.config.environment import guarded
from recsys_lab.config.errors import one_line
from recsys_lab.config.own_modules import find_allowed_modules_in
from recsys_lab.config.secrets import scrubbed
from recsys_lab.experiment.recording import recorded
from recsys_lab.experiment.run import TrialRun
from recsys_lab.files.faults import MachineFault, chain
from recsys_lab.pages.terminal import Terminal, guard_outputs
from recsys_lab.sweeps.deadline import Deadline
from recsys_lab.sweeps.failures import cause_of, smaller_batch_helps
from recsys_lab.sweeps.faults import STOPPED, fault_of, unwell
from recsys_lab.sweeps.heartbeat import heartbeat, process_began
from recsys_lab.sweeps.launchers.base import PARENT
from recsys_lab.sweeps.plan import ACCUMULATION, BATCH, Plan
from recsys_lab.sweeps.progress.failed_trials import why_stopped
from recsys_lab.sweeps.retrain import wait_for_trials, work_on_top
from recsys_lab.sweeps.samplers import make_sampler
from recsys_lab.sweeps.settings import MEASURES, constraint_violation
from recsys_lab.sweeps.storage.attributes import CHANGES
from recsys_lab.sweeps.storage.retry import is_away
from recsys_lab.sweeps.worker_status import INTERRUPTED, WorkerStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optuna.trial import Trial
    from pytorch_lightning import Callback

    from recsys_lab.runs.record import RunRecord
    from recsys_lab.sweeps.study import Claim, Study

OUT_OF_MEMORY = "out_of_memory"
"""Attribute of a trial that was retried with half the batch: the cause of each retry."""
_HALVINGS = 3


class Worker:
    """One process of a sweep.

    Args:
        plan: of the sweep.
        name: of this process, unique in the sweep.
        alarm: the deadline, after which no trial starts or continues.
        notes: its status file.
    """

    def __init__(self, plan: Plan, name: str, alarm: Deadline, notes: WorkerStatus) -> None:
        self.plan, self.alarm, self.notes = plan, alarm, notes
        self.study: Study = plan.study(0, name)
        sampler = plan.sweep.sampler
        self.sampler_seed = sampler.worker_seed(plan.options["seed"], self.study.join())
        self.study.study.sampler = make_sampler(sampler, self.sampler_seed)

    def run(self) -> None:
        """Run trials, then retraining runs, until none is left."""
        with self.notes.written():
            self._work_on_trials(Terminal())
            if not why_stopped(self.plan, self.study.trials()):
                self._work_on_top(Terminal())
        self.notes.tell("done")

    def _work_on_trials(self, console: Console) -> None:
        while not self.alarm.is_over:
            free = time.monotonic()
            self.notes.tell("looking for a trial")
            if why_stopped(self.plan, self.study.trials()):
                break
            claim = self.study.claim(self.plan.options["n_trials"])
            if claim is None:
                # Other processes may still die, and the best are known when all trials ended.
                if self.plan.options["retrain_top_n"] and wait_for_trials(self.study):
                    continue
                break
            console.print(f"trial {claim.trial.number}: {dict(claim.point)}", soft_wrap=True)
            try:
                with self.notes.busy_with(f"trial {claim.trial.number}"), heartbeat(claim.trial):
                    self.study.note(claim.trial, "sampler_seed", self.sampler_seed)
                    self._run_trial(claim, console, free)
            except (Interrupted, KeyboardInterrupt):
                self.study.release(claim.trial)
                if not self.alarm.reached:
                    raise
            except Exception as error:  # of the machine or the storage, not of the trial
                self._let_go(claim, error)
                raise
            else:
                self.notes.trials += 1

    def _let_go(self, claim: Claim, error: Exception) -> None:
        """Release a trial; if that fails, too, the next process sees that its owner is dead."""
        if any(map(is_away, chain(error))):  # every call has waited for the storage already
            return
        try:
            self.study.release(claim.trial)
        except Exception as another:
            _say(f"trial {claim.trial.number} could not be released: {one_line(another)}")

    def _work_on_top(self, console: Console) -> None:
        if not self.plan.options["retrain_top_n"]:
            return
        while wait_for_trials(self.study):  # those that others began before the deadline
            self.notes.tell("waiting for trials")
        with self.notes.busy_with("retraining the best"):
            work_on_top(self.plan, self.study, console, self.notes)

    def _watchers(self, trial: Trial, free: float) -> list[Callback]:
        """Callbacks of a trial's training."""
        from recsys_lab.sweeps.callbacks import FirstStep, Report, StopAt  # Lightning

        objectives = self.plan.sweep.config.objectives
        watchers: list[Callback] = [
            FirstStep(partial(self.study.note, trial), free),
            StopAt(self.alarm),
        ]
        if len(objectives) == 1 and self.plan.sweep.is_accuracy(objectives[0]):
            watchers.append(Report(trial, objectives[0], self.study.patiently))
        return watchers

    def _run_trial(self, claim: Claim, console: Console, free: float) -> None:
        trial, config = claim.trial, self.plan.sweep.config
        torch.manual_seed(0)
        run = TrialRun(partial(self._watchers, trial, free), self.plan.sweep.beyond)
        try:
            record = self._recorded(claim, console, run)
            values = [measure(record.values, name) for name in config.objectives]
            broken = {
                " ".join(map(str, limit)): constraint_violation(
                    limit, measure(record.values, limit[0])
                )
                for limit in self.plan.sweep.limits
            }
        except Pruned:
            self.study.prune(trial)
        except (Interrupted, KeyboardInterrupt):
            raise
        except BaseException as error:  # some libraries' own are no `Exception`, nor is SystemExit
            fault = fault_of(error, self.plan)
            if fault:
                raise MachineFault(fault) from error
            self.study.fail(trial, cause_of(error))
            console.print(f"trial {trial.number} failed: {cause_of(error)}", soft_wrap=True)
        else:
            for name, value in broken.items():
                self.study.patiently(partial(trial.set_constraint, name, value))
            self.study.note(trial, "epochs", len(record.values["epochs"]))
            if any(math.isnan(value) for value in values):
                self.study.fail(
                    trial, f"not a number: {dict(zip(config.objectives, values, strict=True))}"
                )
            else:
                self.study.complete(trial, values)

    def _recorded(self, claim: Claim, console: Console, run: TrialRun) -> RunRecord:
        """The finished run; retried with half the batch when memory runs out, if so configured."""
        trial = claim.trial
        while True:
            changes = trial.user_attrs.get(CHANGES, {})
            cfg = self.plan.trial_config(trial.number, claim.point, changes)
            try:
                folder = self.plan.trial_folder(trial.number, changes)
                if claim.attempts == 1 and not changes:
                    _set_aside(folder)
                return recorded(cfg, folder, console, run, self.plan.prepared_for(cfg))
            except Exception as error:
                before = trial.user_attrs.get(OUT_OF_MEMORY, [])
                halved = _halved(cfg.recipe.batch_size, cfg.recipe.accumulate_grad_batches)
                wanted = self.plan.options["retry_out_of_memory"] and len(before) < _HALVINGS
                if not (wanted and halved and smaller_batch_helps(error)):
                    raise
                causes = [*before, cause_of(error)]
            self.study.note(trial, OUT_OF_MEMORY, causes)
            self.study.note(trial, CHANGES, halved)
            console.print(f"trial {trial.number}: {causes[-1]}; retrying with {halved}")


def _set_aside(folder: Path) -> None:
    """Keep the run of an earlier trial of this number, which the storage has lost."""
    if folder.exists():
        names = (folder.with_name(f"{folder.name}-lost{number}") for number in itertools.count(1))
        folder.rename(next(path for path in names if not path.exists()))


def measure(values: Mapping[str, Any], name: str) -> float:
    """An objective or the left side of a constraint, from a trial's record."""
    if name in MEASURES:
        return float(values["parameters"] if name == "parameters" else values["compute"][name])
    return float(values["validation"][name.removeprefix("val/")])


def _halved(batch_size: int, accumulation: int) -> dict[str, int]:
    """Half the batch and twice the batches a step; empty for a batch of one."""
    if batch_size < 2:
        return {}
    return {BATCH: batch_size // 2, ACCUMULATION: accumulation * 2}


def die_with_parent() -> None:
    """Get SIGTERM when the parent dies, as no process would restart this one."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def _say(text: str) -> None:
    """Print a line into the log, which may be on the full disk."""
    try:
        print(text, flush=True)
    except OSError:  # flushing the rest at exit would fail again, and change the exit code
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def work(arguments: Sequence[str]) -> int:
    """Run the worker; the exit code.

    Args:
        arguments: see `recsys_lab.sweeps.__main__`.
    """
    faulthandler.enable()  # writes a traceback into the log when e.g. SIGSEGV kills it
    die_with_parent()
    guard_outputs()
    if os.environ.get(PARENT) not in (None, str(os.getppid())):  # the parent died meanwhile
        return 1
    find_allowed_modules_in(os.getcwd())
    began = process_began()
    plan, name = Plan.load(Path(arguments[0])), arguments[1]
    limit, over = (float(arguments[2]), Path(arguments[3])) if arguments[2:] else (None, None)
    notes = WorkerStatus(plan.path / "workers" / f"{name}.json", began)
    try:
        fault = unwell(plan)
        if fault is None:
            with guarded([]):
                Worker(plan, name, Deadline(limit, over), notes).run()
    except (Interrupted, KeyboardInterrupt):
        notes.tell(INTERRUPTED)
        return 130
    except Exception as error:
        fault = fault_of(error, plan)
        if fault is None:
            raise
    if fault is None:
        return 0
    notes.tell("stopped", scrubbed(fault))
    _say(f"stopped: {fault}")
    return STOPPED
