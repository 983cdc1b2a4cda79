"""The jobs of ``train --multirun``: side by side if there are several devices, and their table.

Hydra composes and checks the jobs. A job that runs side by side with others is a process of its
own, with one device, whose output is in ``job.log`` of its run directory.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from recsys_lab.cli.output import RunFailed
from recsys_lab.config import Interrupted, UserError
from recsys_lab.config.quoting import quoted
from recsys_lab.experiment.resume import parsed
from recsys_lab.pages.terminal import tell
from recsys_lab.runs.failure import again, stopped
from recsys_lab.runs.record import RECORD, RunRecord

if TYPE_CHECKING:
    from recsys_lab.sweeps.launchers.base import Job as Process
    from recsys_lab.sweeps.launchers.local import Local

OPTION = "launcher.jobs"
LABEL = "RECSYS_LAB_JOB"
"""Environment variable with the overrides in which the jobs of a multirun differ."""
LOG = "job.log"
_POLL = 0.2
_USER_ERROR = 2
_OF_THE_PARENT = ("hydra.mode", "hydra.sweep", "hydra.run")


@dataclass
class Job:
    """A job of a multirun.

    Attributes:
        number: from 0.
        overrides: key=value, all of them.
        folder: its run directory.
        failure: in one line, or None.
    """

    number: int
    overrides: Sequence[str]
    folder: Path
    failure: str | None = None


@dataclass
class Jobs:
    """The jobs of a command, in this process one after the other, or side by side.

    Args:
        swept: keys with several values.
        launcher: starts processes, one per device; None: the jobs run in this process.
        count: number of processes at a time.
        shared: arguments that every process gets.
    """

    swept: Sequence[str] = ()
    launcher: Local | None = None
    count: int = 1
    shared: Sequence[str] = ()
    all: list[Job] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    _running: dict[int, tuple[Job, Process]] = field(default_factory=dict)

    def add(self, overrides: Sequence[str], folder: Path) -> Job:
        """Note a job."""
        job = Job(len(self.all), overrides, folder)
        self.all.append(job)
        return job

    def label(self, job: Job) -> str:
        """The overrides in which the jobs differ."""
        return " ".join(f"{key}={value}" for key, value in self.varied(job).items())

    def varied(self, job: Job) -> dict[str, str]:
        """The swept keys of a job with their values, without marks of Hydra's grammar."""
        given = {key_of(text): text for text in job.overrides if key_of(text) in self.swept}
        return {key: _plain(text) for key, text in given.items()}

    @contextmanager
    def labelled(self, job: Job | None) -> Iterator[None]:
        """Name a job in this process's environment, for its record and trackers; see `LABEL`."""
        if job is None:
            yield
            return
        os.environ[LABEL] = self.label(job)
        try:
            yield
        finally:
            del os.environ[LABEL]

    def note(self, job: Job | None, result: Any) -> None:
        """Note the run directory of a job that has finished in this process."""
        if job is not None and isinstance(result, Path):
            job.folder = result

    def note_failure(self, job: Job | None, cause: str) -> None:
        """Note and tell why a job of this process has failed."""
        if job is not None:
            job.failure = cause
            tell(f"job {job.number} failed: {cause}")

    def start(self, job: Job) -> None:
        """Start a job as a process as soon as a device is free."""
        from recsys_lab.sweeps.launchers.base import Task

        assert self.launcher is not None
        slot = self._free_slot()
        job.folder.mkdir(parents=True, exist_ok=True)
        task = Task(
            ["-m", "recsys_lab", "train", *self._arguments(job)],
            log=str(job.folder / LOG),
            folder=str(Path.cwd()),
            environment={LABEL: self.label(job)},
        )
        self._running[slot] = job, self.launcher.start(slot, task)

    def wait(self) -> None:
        """Wait until all processes have ended."""
        with self._interruptible():
            self._collect()
            while self._running:
                time.sleep(_POLL)
                self._collect()

    def _arguments(self, job: Job) -> list[str]:
        """The command line of a job's process."""
        typed = [text for text in job.overrides if key_of(text) != "run_dir"]
        group = [f"group={quoted(job.folder.parent.name)}"]  # as for jobs of this process
        grouped = any(key_of(text) == "group" for text in typed)
        run_dir = f"run_dir={quoted(str(job.folder))}"
        return [*typed, *([] if grouped else group), run_dir, *self.shared]

    def _free_slot(self) -> int:
        with self._interruptible():
            self._collect()
            while len(self._running) >= self.count:
                time.sleep(_POLL)
                self._collect()
        return next(slot for slot in range(self.count) if slot not in self._running)

    def _collect(self) -> None:
        """Take note of the processes that have ended."""
        for slot, (job, process) in [*self._running.items()]:
            code = process.code()
            if code is None:
                continue
            del self._running[slot]
            log = job.folder / LOG
            words = _last_words(log)
            job.folder = _folder_told(words) or job.folder
            if code == 0:
                tell(f"job {job.number} finished: {job.folder}")
                continue
            last = words[-1] if words else ""
            job.failure = f"exit code {code}" + (f": {last}" if last else "")
            tell(f"job {job.number} failed: {job.failure}; its log: {log}")
            self.failures.append(_error(job, code))

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """End the processes with this one, each with its checkpoint.

        Raises:
            Interrupted: instead of the interruption; says how to go on.
        """
        try:
            yield
        except BaseException as error:
            for _, process in self._running.values():
                process.interrupt()
            for _, process in self._running.values():
                process.finish()
            if not isinstance(error, KeyboardInterrupt | Interrupted):
                raise
            raise Interrupted(_how_to_resume([job for job, _ in self._running.values()])) from None


def _how_to_resume(jobs: Sequence[Job]) -> str:
    """What to do after an interruption; a job without a record had not begun."""
    begun = [job for job in jobs if (job.folder / RECORD).exists()]
    records = [RunRecord.load(job.folder) for job in begun]
    lines = [f"  {again(record)}" for record in records]
    told = [stopped(records[0]), *lines] if records else ["stopped."]
    if others := [str(job.number) for job in jobs if job not in begun]:
        told.append(
            f"Not begun: job {', '.join(others)}; start it with the command of the multirun"
        )
    return "\n".join(told)


def take_jobs(
    overrides: Sequence[str], *, multirun: bool
) -> tuple[int | Literal["auto"], list[str]]:
    """The value of `OPTION` and the other overrides.

    It belongs to the command, not to the config of its runs.

    Raises:
        UserError: the value is invalid, or there is no multirun.
    """
    given = [text for text in overrides if text.startswith(f"{OPTION}=")]
    others = [text for text in overrides if text not in given]
    if not given:
        return "auto", others
    value = given[-1].partition("=")[2]
    if value != "auto" and not (value.isdecimal() and int(value) >= 1):
        raise UserError(f"{OPTION}: expected an int >= 1 or auto, got {value!r}")
    if not multirun:
        raise UserError(
            f"{OPTION}={value}: is for the jobs of --multirun, of which so many run side by side; "
            "add --multirun, or leave it out"
        )
    return ("auto" if value == "auto" else int(value)), others


def jobs_of(wanted: int | Literal["auto"], args: argparse.Namespace) -> Jobs:
    """How the jobs of a multirun run.

    Args:
        wanted: how many side by side; auto: one per GPU.
        args: the command line.
    """
    typed = [(text, o) for text in args.overrides if (o := parsed(text)) is not None]
    swept = [o.key_or_group for _, o in typed if o.is_sweep_override()]
    chosen = [o.key_or_group for _, o in typed]
    if wanted == 1 or {"hydra/launcher", "hydra/sweeper"} & {*chosen}:  # Hydra's own way
        return Jobs(swept)
    shared = [
        text
        for text, o in typed
        if o.is_hydra_override() and not o.key_or_group.startswith(_OF_THE_PARENT)
    ]
    if args.config_dir:
        shared += ["--config-dir", args.config_dir]
    from recsys_lab.sweeps.launchers.local import Local, visible_devices

    count = len(visible_devices()) if wanted == "auto" else wanted
    if count < 2:
        return Jobs(swept)
    launcher = Local(Local.Config())
    launcher.count(count)
    devices = visible_devices()
    on = f"on the GPUs {', '.join(devices)}" if devices else "on the CPU"
    tell(f"{count} jobs at a time, {on} ({OPTION}={count}); each one's output is in its {LOG}")
    return Jobs(swept, launcher, count, shared)


def key_of(text: str) -> str:
    """The key of an override."""
    return text.partition("=")[0].lstrip("+~")


def _plain(text: str) -> str:
    """The value of an override, a text without its quotes."""
    override = parsed(text)
    value = override.value() if override is not None else None
    return value if isinstance(value, str) else text.partition("=")[2]


def _last_words(log: Path) -> list[str]:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return [line for line in lines if line.strip()]


def _folder_told(words: Sequence[str]) -> Path | None:
    """The run directory that a job has told: with ``resume=auto`` another one."""
    told = [line.removeprefix("run: ") for line in words[-3:] if line.startswith("run: ")]
    return Path(told[-1]) if told else None


def _error(job: Job, code: int) -> BaseException:
    text = f"job {job.number}: {job.failure}"
    if code == _USER_ERROR:
        return UserError(text)
    error = RunFailed(job.folder)
    error.__cause__ = RuntimeError(text)
    return error
