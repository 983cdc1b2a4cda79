"""A worker process of a sweep: claims trials and runs them until none is left.

python -m recsys_lab.sweeps.worker PLAN.json NAME [SECONDS OVER]

With SECONDS it begins no trial after them, nor when the file OVER is there.
"""

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
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from rich.console import Console

from recsys_lab.config import Interrupted, Pruned
from recsys_lab.config.compose import one_line
from recsys_lab.config.environment import guarded
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
from recsys_lab.sweeps.retrain import wait_for_trials, work_on_top
from recsys_lab.sweeps.samplers import make_sampler
from recsys_lab.sweeps.settings import MEASURES, constraint_violation
from recsys_lab.sweeps.storage.attributes import CHANGES
from recsys_lab.sweeps.storage.retry import is_away
from recsys_lab.sweeps.worker_status import INTERRUPTED, WorkerStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optuna.trial import Trial
    from pytorch_lightning import Callback

    from recsys_lab.runs.record import RunRecord
    from recsys_lab.sweeps.study import Claim, Study

OUT_OF_MEMORY = "out_of_memory"
"""Why a trial was tried again with half the batch: one cause for each time."""
_HALVINGS = 3


class Worker:
    """One process of a sweep.

    Args:
        plan: what to do.
        name: of this process, like no other's of the sweep.
        alarm: says when no trial is begun any more and none goes on.
        notes: what it tells of itself.
    """

    def __init__(self, plan: Plan, name: str, alarm: Deadline, notes: WorkerStatus) -> None:
        self.plan, self.alarm, self.notes = plan, alarm, notes
        self.study: Study = plan.study(0, name)
        sampler = plan.sweep.sampler
        self.sampler_seed = sampler.worker_seed(plan.options["seed"], self.study.join())
        self.study.study.sampler = make_sampler(sampler, self.sampler_seed)

    def run(self) -> None:
        """Until nothing is left to claim."""
        with self.notes.written():
            self._work_on_trials(Terminal())
            self._work_on_top(Terminal())
        self.notes.tell("done")

    def _work_on_trials(self, console: Console) -> None:
        while not self.alarm.is_over:
            free = time.monotonic()
            self.notes.tell("looking for a trial")
            claim = self.study.claim(self.plan.options["n_trials"])
            if claim is None:
                # Their processes may die yet, and the best are known when all are done.
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
        """Give a trial back; where that fails too, whoever comes next sees that nobody has it."""
        if any(map(is_away, chain(error))):  # it was waited for already
            return
        try:
            self.study.release(claim.trial)
        except Exception as another:
            _say(f"trial {claim.trial.number} was not given back: {one_line(another)}")

    def _work_on_top(self, console: Console) -> None:
        if not self.plan.options["retrain_top_n"]:
            return
        while wait_for_trials(self.study):  # those that others began before the deadline
            self.notes.tell("waiting for trials")
        with self.notes.busy_with("the best again"):
            work_on_top(self.plan, self.study, console, self.notes)

    def _watchers(self, trial: Trial, free: float) -> list[Callback]:
        """What hears from the training of a trial."""
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
        """The finished run; with half the batch where memory ran out, if that is wanted."""
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
            console.print(f"trial {trial.number}: {causes[-1]}; again with {halved}")


def _set_aside(folder: Path) -> None:
    """Keep the run of an earlier trial of this number, of which the storage knows no more."""
    if folder.exists():
        place = next(
            place
            for number in itertools.count(1)
            if not (place := folder.with_name(f"{folder.name}-lost{number}")).exists()
        )
        folder.rename(place)


def measure(values: Mapping[str, Any], name: str) -> float:
    """An objective or the left side of a constraint, from a trial's record."""
    if name in MEASURES:
        found = values["parameters"] if name == "parameters" else values["compute"][name]
        return float(found)
    return float(values["validation"][name.removeprefix("val/")])


def _halved(batch_size: int, accumulation: int) -> dict[str, int]:
    """Half the batch and twice the batches a step; empty where there is no half."""
    if batch_size < 2:
        return {}
    return {BATCH: batch_size // 2, ACCUMULATION: accumulation * 2}


def die_with_parent() -> None:
    """Be asked to stop when the parent is gone: nobody would begin it again."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def _stop(number: int, frame: Any) -> NoReturn:
    """SIGTERM outside of training, where it would else be a death."""
    del number, frame
    raise Interrupted("stopped")


def _say(text: str) -> None:
    """Print a line into the log, which may stand on the disk that is full."""
    try:
        print(text, flush=True)
    except OSError:  # what waits to be written would else fail once more, and change the exit code
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main() -> int:
    """Run the worker; the exit code."""
    # SLURM tells all processes of a job of its time limit; the one that started this one answers.
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop)
    faulthandler.enable()  # where it was, into the log, when e.g. SIGSEGV kills it
    die_with_parent()
    guard_outputs()
    if os.environ.get(PARENT) not in (None, str(os.getppid())):  # it died during the imports
        return 1
    find_allowed_modules_in(os.getcwd())
    began = process_began()
    plan, name = Plan.load(Path(sys.argv[1])), sys.argv[2]
    limit, over = (float(sys.argv[3]), Path(sys.argv[4])) if len(sys.argv) > 3 else (None, None)
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


if __name__ == "__main__":
    sys.exit(main())
