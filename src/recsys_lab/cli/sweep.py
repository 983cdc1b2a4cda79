"""``recsys-lab sweep``: worker processes on one study, watched until its trials are done."""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf
from rich.console import Console
from rich.live import Live

from recsys_lab.cli.prepare import prepare_from
from recsys_lab.cli.sweep_identity import refuse_another_study
from recsys_lab.cli.sweep_notes import EVERY, mark_dead
from recsys_lab.cli.sweep_plan import (
    DATA_KEYS,
    Plan,
    base_overrides,
    data_config,
    measured,
    refuse_keys_of_one_run,
)
from recsys_lab.cli.sweep_results import finish, status_line, status_table
from recsys_lab.cli.sweep_top import top_runs
from recsys_lab.config import Interrupted, UserError, build, config_values
from recsys_lab.pages.terminal import Terminal
from recsys_lab.sweeps.launching import Task
from recsys_lab.sweeps.options import check_computed, is_accuracy
from recsys_lab.sweeps.space import refuse_endless

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from omegaconf import DictConfig

    from recsys_lab.sweeps.launching import Job, Launcher
    from recsys_lab.sweeps.study import Study

_POLL = 0.5
_LINE_EVERY = 15.0
_QUICK = 5.0  # seconds: whatever kills a worker sooner, again and again, kills the next one too
_GIVE_UP = 3
_INTERRUPTED = 130


def run(cfg: DictConfig, output_dir: Path) -> None:
    """Begin a sweep, or go on with it."""
    del output_dir
    console = Terminal()
    plan = _plan(cfg)
    plan.check()
    launcher = build(cfg.launcher)
    count = launcher.count(plan.sweep.config.workers)
    plan = _with_data(plan, cfg)
    study = plan.study(sampler_seed=0)
    refuse_another_study(plan, study)
    path = plan.store()
    console.print(f"sweep: {plan.folder} ({plan.storage})", soft_wrap=True)
    parent = _Parent(plan, path, study, console, launcher, count)
    try:
        parent.work()
    except (Interrupted, KeyboardInterrupt):
        parent.stop()
        raise Interrupted(
            "stopped; finished trials are kept, unfinished ones go on from their last checkpoint "
            "when the same command is given again"
        ) from None
    finally:
        launcher.close()
    finish(plan, study, console, parent.states())
    study.close()


def _plan(cfg: DictConfig) -> Plan:
    sweep = build(cfg.sweep)
    space = build(cfg.search).space
    if sweep.config.sampler == "grid":
        refuse_endless(space)
    options = config_values(cfg.sweep)
    check_computed(sweep, *measured(cfg.evaluation))
    monitored = [name for name in sweep.config.objectives if is_accuracy(name)]
    if sweep.config.pruner != "none" and not monitored:
        raise UserError(
            f"sweep.pruner: got {sweep.config.pruner}, and {sweep.config.objectives[0]} is known "
            "at the end only; use sweep.pruner=none"
        )
    if "num_windows" in cfg.split and cfg.split.window is None:
        raise UserError("split.window: a sweep needs one window; name it, e.g. split.window=0")
    folder = (Path(cfg.sweep.dir) / cfg.sweep.name).absolute()
    hydra = HydraConfig.get()
    refuse_keys_of_one_run(hydra.overrides.task)
    own = [s.path for s in hydra.runtime.config_sources if s.provider == "command-line"]
    return Plan(
        folder=str(folder),
        storage=cfg.sweep.storage or str(folder / "study.journal"),
        options=options,
        params=OmegaConf.to_container(cfg.search.params, resolve=True),  # type: ignore[arg-type]
        base=base_overrides(hydra.overrides.task),
        config_dir=own[0] if own else None,
    )


def _with_data(plan: Plan, cfg: DictConfig) -> Plan:
    """The plan with the dataset of all trials, made or found once, not in every trial."""
    searched = {d.key.partition(".")[0] for d in plan.search.space.dimensions}
    if searched & set(DATA_KEYS):
        return plan
    data = prepare_from(cfg)
    prepared = {
        "folder": str(data.path.absolute()),
        "fingerprint": data.fingerprint,
        "config": data_config(cfg),
    }
    return replace(plan, prepared=prepared)


@dataclass
class _Worker:
    number: int
    name: str
    job: Job
    deaths: int = 0


class _Parent:
    """Starts workers, begins dead ones again, shows what goes on."""

    def __init__(
        self, plan: Plan, path: Path, study: Study, console: Console, launcher: Launcher, count: int
    ) -> None:
        self.plan, self.path, self.study, self.console = plan, path, study, console
        self.launcher, self.count = launcher, count
        self.begun = time.time()
        timeout = plan.sweep.config.timeout
        self.deadline = None if timeout is None else self.begun + timeout
        self.workers: list[_Worker] = []
        self.lives: Counter[int] = Counter()
        # Unlike any other's: containers may share the name of their box and all be process 1.
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self.notes = plan.path / "workers"
        self.notes.mkdir(parents=True, exist_ok=True)

    def work(self) -> None:
        """Until every trial that may be begun is ended, whoever runs it."""
        wanted = min(self.count, max(1, self._left() + self._left_of_top()))
        self.workers = [self._start(number) for number in range(wanted)]
        with self._display() as show:
            while True:
                before = len(self.workers)
                self.workers = [w for w in map(self._looked_after, self.workers) if w]
                if len(self.workers) < before:
                    self._call_off()
                show()
                if not self.workers:
                    if not self._orphans():
                        break
                    self.workers = [self._start(0)]
                time.sleep(_POLL)

    def stop(self) -> None:
        """Wait for the workers to store where they are."""
        for worker in self.workers:
            worker.job.interrupt()
        for worker in self.workers:
            worker.job.finish()

    def _call_off(self) -> None:
        """One found nothing left to do: whoever still waits in a queue would not either."""
        waiting = [w for w in self.workers if not self._state(w.name)]
        self.workers = [w for w in self.workers if w not in waiting]
        for worker in waiting:
            worker.job.interrupt()
        for worker in waiting:
            worker.job.finish()

    def states(self) -> list[dict[str, Any]]:
        """What the workers of this command last told."""
        found = [self._state(file.stem) for file in sorted(self.notes.glob(f"{self.name}-*.json"))]
        return [state for state in found if state]

    def _state(self, worker: str) -> dict[str, Any]:
        with suppress(ValueError, OSError):
            state: dict[str, Any] = json.loads((self.notes / f"{worker}.json").read_text())
            return state
        return {}

    def _left(self) -> int:
        ended = sum(trial.state.is_finished() for trial in self.study.trials())
        return int(self.plan.options["n_trials"]) - ended

    def _left_of_top(self) -> int:
        """Runs of the best that are to be done; all of them while the best are not known."""
        options = self.plan.options
        if not options["top_n"] or self._left():
            return int(options["top_n"]) * int(options["top_seeds"])
        return sum(run.record is None for run in top_runs(self.plan, self.study))

    def _orphans(self) -> bool:
        """Whether a trial is left that nobody works on; waits for those of other commands."""
        from optuna.trial import TrialState

        from recsys_lab.sweeps.owners import is_alive

        if self.deadline is not None and time.time() > self.deadline:
            return False
        while True:
            open_ones = [t for t in self.study.trials() if not t.state.is_finished()]
            if any(t.state == TrialState.WAITING for t in open_ones):
                return True
            dead = [t for t in open_ones if not is_alive(t.user_attrs)]
            for trial in dead:  # the worker that is begun now has not watched for signs of life
                self.study.disown(trial)
            if dead:
                return True
            if not open_ones:
                return False
            time.sleep(_POLL)

    def _start(self, number: int, deaths: int = 0) -> _Worker:
        self.lives[number] += 1  # with notes of its own each: none of its time is forgotten
        name = f"{self.name}-{number}-{self.lives[number]}"
        arguments = ["-m", "recsys_lab.cli.sweep_worker", str(self.path), name]
        if self.deadline is not None:
            arguments.append(str(self.deadline))
        task = Task(arguments, log=str(self._log(name)), folder=str(Path.cwd()))
        return _Worker(number, name, self.launcher.start(number, task), deaths)

    def _log(self, worker: str) -> Path:
        return self.notes / f"{worker}.log"

    def _looked_after(self, worker: _Worker) -> _Worker | None:
        code = worker.job.code()
        if code is None:
            return worker
        if code == 0:
            return None
        # Killed ones may do better; those that gave up by themselves will not.
        gave_up = code > 0 and code != _INTERRUPTED
        state = self._state(worker.name)
        if state:
            mark_dead(self.notes / f"{worker.name}.json", state)
        before = 0 if state.get("trials") else worker.deaths  # it came on meanwhile
        deaths = before + 1 if gave_up or _was_short(state) else 0
        if deaths >= _GIVE_UP:
            log = self._log(worker.name)
            lines = log.read_text(errors="replace").splitlines() if log.exists() else []
            self.stop()
            raise UserError(
                f"a worker died {_GIVE_UP} times (exit code {code}); its log {log} ends with:\n"
                + "\n".join([*lines[-5:], *worker.job.told().splitlines()[-5:]])
            )
        self.console.print(f"worker {worker.number} died (exit code {code}); beginning it again")
        return self._start(worker.number, deaths)

    @contextmanager
    def _display(self) -> Iterator[Any]:
        n_trials = int(self.plan.options["n_trials"])

        def now() -> Any:
            return self.study, self.states(), n_trials, time.time() - self.begun

        if self.console.is_terminal:
            with Live(console=self.console, refresh_per_second=2, transient=True) as live:
                yield lambda: live.update(status_table(*now()))
            return
        due = 0.0

        def line() -> None:
            nonlocal due
            if time.time() >= due:
                self.console.print(status_line(*now()), soft_wrap=True)
                due = time.time() + _LINE_EVERY

        yield line


def _was_short(state: Mapping[str, Any]) -> bool:
    """Whether a worker hardly began; it may have waited in a queue before."""
    return not state or state["now"] + EVERY - state["ready"] < _QUICK
