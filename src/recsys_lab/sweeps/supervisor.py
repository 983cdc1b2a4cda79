"""The process of ``recsys-lab sweep``: starts workers, looks after them until all is done."""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.live import Live

from recsys_lab.config import UserError
from recsys_lab.config.secrets import scrubbed
from recsys_lab.sweeps.failures import describe_exit
from recsys_lab.sweeps.faults import STOPPED, stopped, unwell
from recsys_lab.sweeps.heartbeat import is_alive
from recsys_lab.sweeps.launchers.base import Task
from recsys_lab.sweeps.results import status_line, status_table
from recsys_lab.sweeps.retrain import note_death, top_runs
from recsys_lab.sweeps.worker_status import EVERY, mark_dead

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from optuna.trial import FrozenTrial
    from rich.console import Console

    from recsys_lab.sweeps.launchers.base import Job, Launcher
    from recsys_lab.sweeps.plan import Plan
    from recsys_lab.sweeps.study import Study

_POLL = 0.5
_LINE_EVERY = 15.0
_LOOK_EVERY = 10.0  # less than `BEAT_SECONDS`: all the time between two looks counts
_QUICK = 5.0  # seconds: whatever kills a worker sooner, again and again, kills the next one too
_GIVE_UP = 3
_INTERRUPTED = 130


@dataclass
class _Worker:
    number: int
    name: str
    job: Job
    deaths: int = 0


class Parent:
    """Starts workers, begins dead ones again, shows what goes on."""

    def __init__(
        self, plan: Plan, path: Path, study: Study, console: Console, launcher: Launcher, count: int
    ) -> None:
        self.plan, self.path, self.study, self.console = plan, path, study, console
        self.launcher, self.count = launcher, count
        self.begun = time.monotonic()
        timeout = plan.sweep.config.timeout
        self.deadline = None if timeout is None else self.begun + timeout
        self.looked = self.begun
        self.workers: list[_Worker] = []
        self.lives: Counter[int] = Counter()
        # Unlike any other's: containers may share the name of their box and all be process 1.
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self.notes = plan.path / "workers"
        self.notes.mkdir(parents=True, exist_ok=True)
        self.over = self.notes / f"{self.name}.over"

    def work(self) -> None:
        """Until every trial that may be begun is ended, whoever runs it.

        Raises:
            UserError: workers end before they have begun anything, again and again.
            MachineFault: something is wrong for all trials; nothing is lost.
        """
        try:
            self._work()
        except BaseException:
            self.stop()
            raise

    def _work(self) -> None:
        wanted = min(self.count, max(1, self._left() + self._left_of_top()))
        for number in range(wanted):
            self.workers.append(self._start(number))
        with self._display() as show:
            while True:
                if self._look_after_all():
                    self._call_off()
                show()
                self._look_around()
                if not self.workers:
                    if not self._orphans():
                        break
                    self.workers = [self._start(0)]
                time.sleep(_POLL)

    def _look_after_all(self) -> bool:
        """Begin dead workers again; whether one has done all there was to do."""
        before = len(self.workers)
        for worker in tuple(self.workers):
            place = self.workers.index(worker)
            now = self._check_worker(worker)
            self.workers[place : place + 1] = [now] if now else []
        return len(self.workers) < before

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
        if not options["retrain_top_n"] or self._left():
            return int(options["retrain_top_n"]) * int(options["retrain_seeds"])
        return sum(run.record is None for run in top_runs(self.plan, self.study))

    def _orphans(self) -> bool:
        """Whether a trial is left that nobody works on; waits for those of other commands."""
        from optuna.trial import TrialState

        if self.deadline is not None and time.monotonic() > self.deadline:
            return False
        while True:
            open_ones = [t for t in self.study.trials() if not t.state.is_finished()]
            if any(t.state == TrialState.WAITING for t in open_ones):
                return True
            if self._free_dead(open_ones):
                return True
            if not open_ones:
                return False
            time.sleep(_POLL)

    def _free_dead(self, trials: Sequence[FrozenTrial]) -> bool:
        """Free trials of processes that are gone: workers look for signs of life too seldom."""
        dead = [t for t in trials if t.state.name == "RUNNING" and not is_alive(t.user_attrs)]
        for trial in dead:
            self.study.free(trial)
        return bool(dead)

    def _look_around(self) -> None:
        """Now and then: say that the time is over, look for signs of life."""
        now = time.monotonic()
        if self.deadline is not None and now > self.deadline and not self.over.exists():
            self.over.touch()
        if now - self.looked > _LOOK_EVERY:
            self.looked = now
            self._free_dead(self.study.trials())

    def _start(self, number: int, deaths: int = 0) -> _Worker:
        self.lives[number] += 1  # with notes of its own each: none of its time is forgotten
        name = f"{self.name}-{number}-{self.lives[number]}"
        arguments = ["-m", "recsys_lab.sweeps.worker", str(self.path), name]
        if self.deadline is not None:
            left = max(0.0, self.deadline - time.monotonic())
            arguments += [str(left), str(self.over)]
        task = Task(arguments, log=str(self._log(name)), folder=str(Path.cwd()))
        return _Worker(number, name, self.launcher.start(number, task), deaths)

    def _log(self, worker: str) -> Path:
        return self.notes / f"{worker}.log"

    def _check_worker(self, worker: _Worker) -> _Worker | None:
        """The worker, the one that is begun in its place, or None when it has done all."""
        code = worker.job.code()
        if code is None:
            return worker
        state = self._state(worker.name)
        if code == STOPPED:
            raise stopped(state.get("fault") or unwell(self.plan) or self._last_words(worker))
        if self._was_its_task(worker, code, state):
            return self._start(worker.number)
        if code == 0:
            return None
        # Killed ones may do better; those that gave up by themselves will not.
        gave_up = code > 0 and code != _INTERRUPTED
        before = 0 if state.get("trials") else worker.deaths  # it came on meanwhile
        deaths = before + 1 if gave_up or _was_short(state) else 0
        if deaths >= _GIVE_UP:
            raise UserError(
                f"a worker died {_GIVE_UP} times (exit code {code}); its log "
                f"{self._log(worker.name)} ends with:\n{self._last_words(worker)}"
            )
        self.console.print(f"worker {worker.number} died (exit code {code}); beginning it again")
        return self._start(worker.number, deaths)

    def _was_its_task(self, worker: _Worker, code: int, state: dict[str, Any]) -> bool:
        """Whether a worker ended in the middle of a trial or a run of the best; notes its death.

        Raises:
            MachineFault: something is wrong for all trials, e.g. the dataset is cut off.
        """
        if code != 0 and state:
            mark_dead(self.notes / f"{worker.name}.json", state)
        last = self._last_words(worker).rpartition("\n")[2] if code > 0 else ""
        end, by_itself = scrubbed(describe_exit(code, last)), code != _INTERRUPTED
        if code != 0 and (fault := unwell(self.plan)):
            raise stopped(fault)
        number = self.study.bury(worker.name, end, death=by_itself)
        if number is not None:
            task = f"trial {number}"
        elif by_itself and state.get("top"):
            task = f"the run {state['top']}"
            note_death(self.plan, state["top"], end)
        else:
            return False
        self.console.print(
            f"worker {worker.number}: the process of {task} {end}; beginning it again",
            soft_wrap=True, markup=False, highlight=False,
        )  # fmt: skip
        return True

    def _last_words(self, worker: _Worker) -> str:
        """The end of a worker's log, and what its launcher knows."""
        log = self._log(worker.name)
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return "\n".join([*lines[-5:], *worker.job.error_tail().splitlines()[-5:]])

    @contextmanager
    def _display(self) -> Iterator[Any]:
        n_trials = int(self.plan.options["n_trials"])

        def now() -> Any:
            return self.study, self.states(), n_trials, time.monotonic() - self.begun

        if self.console.is_terminal:
            with Live(console=self.console, refresh_per_second=2, transient=True) as live:
                yield lambda: live.update(status_table(*now()))
            return
        due = 0.0

        def line() -> None:
            nonlocal due
            if time.monotonic() >= due:
                self.console.print(status_line(*now()), soft_wrap=True)
                due = time.monotonic() + _LINE_EVERY

        yield line


def _was_short(state: Mapping[str, Any]) -> bool:
    """Whether a worker hardly began; it may have waited in a queue before."""
    return not state or state["now"] + EVERY - state["ready"] < _QUICK
