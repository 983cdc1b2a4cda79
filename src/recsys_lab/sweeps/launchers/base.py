"""The interface of launchers, which start a sweep's worker processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from recsys_lab.config import UserError
from recsys_lab.config.environment import for_workers

KILLED = -signal.SIGKILL
"""Exit code of a worker that ended for an unknown reason."""
PARENT = "RECSYS_LAB_SWEEP_PARENT"
"""Environment variable with the process id of a worker's parent; the worker ends with it."""
_OF_JOB = ("code", "interrupt", "finish", "error_tail")
_PATIENCE = 60.0
_POLL = 0.2


@dataclass(frozen=True)
class Task:
    """A worker to start.

    Attributes:
        arguments: of the Python interpreter.
        log: file for its output, which is appended, on a shared file system.
        folder: working directory, likewise.
        environment: additional variables.
    """

    arguments: Sequence[str]
    log: str
    folder: str
    environment: Mapping[str, str] = field(default_factory=dict)


class Job(Protocol):
    """A worker that was started."""

    def code(self) -> int | None:
        """Its exit code, negative if it was killed, or None while it waits or runs."""

    def interrupt(self) -> None:
        """Ask it to write a checkpoint and exit."""

    def finish(self) -> None:
        """Wait until it has exited; kill it after a timeout."""

    def error_tail(self) -> str:
        """The launcher's message about its exit, besides its log; may be empty."""


class Launcher(Protocol):
    """Starts workers; choose one by ``launcher=`` of ``recsys-lab sweep``."""

    def count(self, wanted: int | Literal["auto"]) -> int:
        """The number of workers to start.

        Raises:
            UserError: the launcher cannot decide it.
        """

    def start(self, number: int, task: Task) -> Job:
        """Start worker ``number`` of this command.

        Raises:
            UserError: it cannot be started.
        """

    def close(self) -> None:
        """Release resources; all jobs have ended."""


def started(launcher: Launcher, number: int, task: Task) -> Job:
    """Start a worker.

    Raises:
        UserError: it cannot be started, or the user's own launcher returned no job.
    """
    job: Job = launcher.start(number, task)
    absent = [name for name in _OF_JOB if not callable(getattr(job, name, None))]
    if absent:
        raise UserError(
            f"launcher: {type(launcher).__name__}.start returned a {type(job).__name__} without "
            f"{', '.join(absent)}; expected a job as in recsys_lab.sweeps.launchers.base.Job"
        )
    return job


def begin(task: Task, *, own_group: bool = False) -> subprocess.Popen[bytes]:
    """Start a task on this machine.

    Args:
        task: the worker.
        own_group: start a process group, so that Ctrl-C of the terminal does not reach it.
    """
    environment = {**os.environ, **for_workers(), **task.environment, PARENT: str(os.getpid())}
    with Path(task.log).open("ab") as log:
        return subprocess.Popen(
            # -P: no imports from the working directory
            [sys.executable, "-P", *task.arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=task.folder,
            process_group=0 if own_group else None,
        )


def end(process: subprocess.Popen[bytes]) -> None:
    """Wait for an interrupted process; kill it after a timeout."""
    try:
        process.wait(timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def run(task: Task) -> int:
    """Start a task on this machine, wait for it and return its exit code."""
    process = begin(task)
    try:
        while process.poll() is None:
            time.sleep(_POLL)  # not wait(), which Ray's interrupt does not wake
        return int(process.returncode)
    except BaseException:  # raised by Ray for cancelled tasks, by submitit at the time limit
        process.terminate()  # not SIGINT, which Ray blocks in child processes too
        end(process)
        raise
