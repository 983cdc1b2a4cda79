"""The interface of launchers, which start a sweep's worker processes here or elsewhere."""

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

from recsys_lab.config.environment import for_workers

KILLED = -signal.SIGKILL
"""Exit code of a worker that ended for an unknown reason."""
PARENT = "RECSYS_LAB_SWEEP_PARENT"
"""Environment variable with the process id of a worker's parent; the worker ends with it."""
_PATIENCE = 60.0
_POLL = 0.2


@dataclass(frozen=True)
class Task:
    """A worker to start.

    Attributes:
        arguments: of the Python interpreter.
        log: file that its output is appended to, on a file system that all machines share.
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
        """Its exit code, negative where it was killed, None while it waits or runs."""

    def interrupt(self) -> None:
        """Ask it to write a checkpoint and to end."""

    def finish(self) -> None:
        """Wait until it has ended; kill it if that takes too long."""

    def error_tail(self) -> str:
        """The launcher's message about its end, besides its log; may be empty."""


class Launcher(Protocol):
    """Starts workers; choose one by ``launcher=`` of ``recsys-lab sweep``."""

    def count(self, wanted: int | Literal["auto"]) -> int:
        """How many workers to start.

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


def begin(task: Task, *, own_group: bool = False) -> subprocess.Popen[bytes]:
    """Start a task on this machine.

    Args:
        task: what to start.
        own_group: a terminal's Ctrl-C does not reach it; whoever started it passes that on.
    """
    environment = {**os.environ, **for_workers(), **task.environment, PARENT: str(os.getpid())}
    with Path(task.log).open("ab") as log:
        return subprocess.Popen(
            # -P: nothing is imported from the folder it runs in
            [sys.executable, "-P", *task.arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=task.folder,
            process_group=0 if own_group else None,
        )


def end(process: subprocess.Popen[bytes]) -> None:
    """Wait for a process that was asked to end."""
    try:
        process.wait(timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def run(task: Task) -> int:
    """Start a task on this machine and wait for it; its exit code."""
    process = begin(task)
    try:
        while process.poll() is None:
            time.sleep(_POLL)  # not wait(): Ray's interrupt wakes no system call
        return int(process.returncode)
    except BaseException:  # Ray's answer to a cancelled task, submitit's to a job's time limit
        process.terminate()  # no SIGINT: Ray has it blocked, for the processes it starts too
        end(process)
        raise
