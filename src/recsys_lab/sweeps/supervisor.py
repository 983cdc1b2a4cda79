"""The process of ``recsys-lab sweep``: starts the workers and watches them until all are done."""

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
from recsys_lab.sweeps.failures import budgeted, describe_exit
from recsys_lab.sweeps.faults import STOPPED, stopped, unwell
from recsys_lab.sweeps.heartbeat import is_alive
from recsys_lab.sweeps.launchers.base import Task, started
from recsys_lab.sweeps.progress.failed_trials import why_stopped
from recsys_lab.sweeps.progress.status import status_line, status_table
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
_QUICK = 5.0  # seconds: what kills worker after worker sooner than that kills the next one, too
_GIVE_UP = 3
_INTERRUPTED = 130


@dataclass
class _Worker:
    number: int
    name: str
    job: Job
    deaths: int = 0


class Parent:
    """Starts workers, restarts those that died, and shows the progress."""

    def __init__(
        self, plan: Plan, path: Path, study: Study, console: Console, launcher: Launcher, count: int
    ) -> None:
        self.plan, self.path, self.study, self.console = plan, path, study, console
        self.launcher, self.count = launcher, count
        self.started = time.monotonic()
        timeout = plan.sweep.config.timeout
        self.deadline = None if timeout is None else self.started + timeout
        self.looked = self.started
        self.workers: list[_Worker] = []
        self.lives: Counter[int] = Counter()
        # Unique: containers may share their host's name, and each be process 1.
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self.notes = plan.path / "workers"
        self.notes.mkdir(parents=True, exist_ok=True)
        self.over = self.notes / f"{self.name}.over"
        self.stopped: str | None = None  # by the same error in trial after trial

    def work(self) -> None:
        """Return when every trial of the budget has ended, whichever command runs it.

        Also if the same error stops the sweep (`stopped`): its workers release their trials.

        Raises:
            UserError: workers repeatedly end before they start a trial.
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
                self.stopped = why_stopped(self.plan, self.study.trials())
                if self.stopped:
                    self.stop()
                    break
                if not self.workers:
                    if not self._orphans():
                        break
                    self.workers = [self._start(0)]
                time.sleep(_POLL)

    def _look_after_all(self) -> bool:
        """Restart dead workers; whether a worker ended because nothing was left to do."""
        before = len(self.workers)
        for worker in tuple(self.workers):
            index = self.workers.index(worker)
            now = self._check_worker(worker)
            self.workers[index : index + 1] = [now] if now else []
        return len(self.workers) < before

    def stop(self) -> None:
        """Interrupt the workers and wait until they have written their checkpoints."""
        for worker in self.workers:
            worker.job.interrupt()
        for worker in self.workers:
            worker.job.finish()

    def _call_off(self) -> None:
        """Cancel workers that still wait in a queue: nothing is left for them to do."""
        waiting = [w for w in self.workers if not self._state(w.name)]
        self.workers = [w for w in self.workers if w not in waiting]
        for worker in waiting:
            worker.job.interrupt()
        for worker in waiting:
            worker.job.finish()

    def states(self) -> list[dict[str, Any]]:
        """The last status of each worker of this command."""
        files = sorted(self.notes.glob(f"{self.name}-*.json"))
        return [state for file in files if (state := self._state(file.stem))]

    def _state(self, worker: str) -> dict[str, Any]:
        with suppress(ValueError, OSError):
            state: dict[str, Any] = json.loads((self.notes / f"{worker}.json").read_text())
            return state
        return {}

    def _left(self) -> int:
        ended = sum(trial.state.is_finished() for trial in budgeted(self.study.trials()))
        return int(self.plan.options["n_trials"]) - ended

    def _left_of_top(self) -> int:
        """Retraining runs that are left; all of them until the best configs are known."""
        options = self.plan.options
        if not options["retrain_top_n"] or self._left():
            return int(options["retrain_top_n"]) * int(options["retrain_seeds"])
        return sum(run.record is None for run in top_runs(self.plan, self.study))

    def _orphans(self) -> bool:
        """Whether a trial is left that no process runs; waits for trials of other commands."""
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
        """Free the trials of dead processes: workers look for signs of life too seldom."""
        dead = [t for t in trials if t.state.name == "RUNNING" and not is_alive(t.user_attrs)]
        for trial in dead:
            self.study.free(trial)
        return bool(dead)

    def _look_around(self) -> None:
        """At intervals, signal the deadline to the workers and check for dead processes."""
        now = time.monotonic()
        if self.deadline is not None and now > self.deadline and not self.over.exists():
            self.over.touch()
        if now - self.looked > _LOOK_EVERY:
            self.looked = now
            self._free_dead(self.study.trials())

    def _start(self, number: int, deaths: int = 0) -> _Worker:
        self.lives[number] += 1  # each start has its own status file: no time is forgotten
        name = f"{self.name}-{number}-{self.lives[number]}"
        arguments = ["-m", "recsys_lab.sweeps", str(self.path), name]
        if self.deadline is not None:
            left = max(0.0, self.deadline - time.monotonic())
            arguments += [str(left), str(self.over)]
        task = Task(arguments, log=str(self._log(name)), folder=str(Path.cwd()))
        return _Worker(number, name, started(self.launcher, number, task), deaths)

    def _log(self, worker: str) -> Path:
        return self.notes / f"{worker}.log"

    def _check_worker(self, worker: _Worker) -> _Worker | None:
        """The worker, its replacement if it died, or None if nothing was left to do."""
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
        # Another try may help a worker that was killed, but not one that exited by itself.
        gave_up = code > 0 and code != _INTERRUPTED
        before = 0 if state.get("trials") else worker.deaths  # a finished trial resets the count
        deaths = before + 1 if gave_up or _was_short(state) else 0
        if deaths >= _GIVE_UP:
            raise UserError(
                f"a worker died {_GIVE_UP} times (exit code {code}); its log "
                f"{self._log(worker.name)} ends with:\n{self._last_words(worker)}"
            )
        self.console.print(f"worker {worker.number} died (exit code {code}); restarting it")
        return self._start(worker.number, deaths)

    def _was_its_task(self, worker: _Worker, code: int, state: dict[str, Any]) -> bool:
        """Whether a worker ended during a trial or a retraining run; records its death.

        Raises:
            MachineFault: something is wrong for all trials, e.g. the dataset is truncated.
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
            f"worker {worker.number}: the process of {task} {end}; restarting it",
            soft_wrap=True,
            markup=False,
            highlight=False,
        )
        return True

    def _last_words(self, worker: _Worker) -> str:
        """The last lines of a worker's log, and of its launcher's messages."""
        log = self._log(worker.name)
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return "\n".join([*lines[-5:], *worker.job.error_tail().splitlines()[-5:]])

    @contextmanager
    def _display(self) -> Iterator[Any]:
        def now() -> Any:
            spent = time.monotonic() - self.started
            return self.plan, self.study.trials(), self.states(), spent

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
    """Whether a worker lived for a few seconds only, without its time in a queue."""
    return not state or state["now"] + EVERY - state["ready"] < _QUICK
