"""Runs workers of a sweep as SLURM jobs, through submitit."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Gt

from recsys_lab.config import UserError, install_hint
from recsys_lab.sweeps.launchers.base import KILLED, Task, run

if TYPE_CHECKING:
    import submitit

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_PATIENCE = 60.0
_ASK_EVERY = 10.0  # seconds, as many users share one controller
_NOT_PLACEMENT = (
    "output",
    "error",
    "input",
    "open-mode",
    "chdir",
    "wrap",
    "export",
    "export-file",
    "get-user-env",
    "bb",
    "bbf",
    "bcast",
    "container",
    "container-id",
    "batch",
    "uid",
    "gid",
)
"""Options of sbatch that name files, commands, variables or users."""
_SLOW_FILES = 60.0  # seconds for which NFS may cache a folder


class Slurm:
    """Submits a job for each worker.

    The workers need the sweep's folder, the data and this environment under the same paths on
    every node, by a shared file system or a container. They continue if the command that submitted
    them is killed; Ctrl-C cancels them.

    Args:
        config: the options.

    Raises:
        UserError: submitit is not installed, or ``parameters`` has an invalid option of sbatch.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of `Slurm`.

        Attributes:
            cluster: ``slurm``, or ``local`` for processes of submitit on this machine, for tests.
            partition: of the jobs, or null for the cluster's default.
            minutes: time limit of a job; a minute before it, the worker writes a checkpoint, from
                which the next job resumes.
            gpus: of each worker.
            cpus: of each worker.
            memory_gib: of each worker, or null.
            parameters: further sbatch options by name, e.g. {account: x, constraint: a100}, except
                for commands, files and environment variables.
        """

        cluster: Literal["slurm", "local"]
        partition: str | None
        minutes: Annotated[int, Ge(5)]
        gpus: Annotated[int, Ge(0)]
        cpus: Annotated[int, Ge(1)]
        memory_gib: Annotated[float, Gt(0)] | None
        parameters: dict[str, str]

    def __init__(self, config: Config) -> None:
        _refuse_more_than_options(config)
        try:
            import submitit  # noqa: F401
        except ImportError:
            raise UserError(f"launcher=slurm needs submitit: {install_hint('slurm')}") from None
        self.config = config
        self._queue = _Queue() if config.cluster == "slurm" else None

    def count(self, wanted: int | Literal["auto"]) -> int:
        """The wanted number.

        Raises:
            UserError: for auto, which counts the devices of this machine.
        """
        if wanted == "auto":
            raise UserError(
                "sweep.workers: got auto, which counts this machine's devices; give the number of "
                "jobs that launcher=slurm submits, e.g. sweep.workers=8"
            )
        return wanted

    def start(self, number: int, task: Task) -> _Job:
        """Submit the job.

        Raises:
            UserError: SLURM refuses it.
        """
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        del number
        # The task needs no environment: SLURM sets threads by cpus and devices by gpus.
        try:
            return _Job(self._executor(task).submit(run, task), self._queue)
        except (FailedJobError, FailedSubmissionError, RuntimeError, OSError) as error:
            raise UserError(f"launcher: SLURM did not accept the job: {error}") from error

    def close(self) -> None:
        """Do nothing."""

    def _executor(self, task: Task) -> submitit.AutoExecutor:
        import submitit

        config = self.config
        folder = Path(task.log).parent / "jobs"
        # -P: no imports from the working directory
        python = {f"{config.cluster}_python": f"{shlex.quote(sys.executable)} -P"}
        executor = submitit.AutoExecutor(folder=folder, cluster=config.cluster, **python)
        options: dict[str, Any] = {
            "name": "recsys-lab",
            "timeout_min": config.minutes,
            "gpus_per_node": config.gpus,
            "cpus_per_task": config.cpus,
        }
        if config.memory_gib is not None:
            options["mem_gb"] = config.memory_gib
        if config.cluster == "slurm":
            options["slurm_partition"] = config.partition
            options["slurm_additional_parameters"] = config.parameters
        executor.update_parameters(**options)
        return executor


def _refuse_more_than_options(config: Slurm.Config) -> None:
    """Check sbatch options, which are lines of a script and so could inject commands."""
    for name in config.parameters:
        if name.replace("_", "-").lower() in _NOT_PLACEMENT:
            raise UserError(
                f"launcher.parameters.{name}: not allowed in a config, as it names a command, a "
                "file or variables; use sbatch's SBATCH_ environment variables"
            )
        if not _NAME.fullmatch(name):
            raise UserError(
                f"launcher.parameters: {name!r} is not a valid name of an sbatch option; write it "
                "as in its manual without the dashes, e.g. {account: x, mail-type: FAIL}"
            )
    values = {f"parameters.{name}": value for name, value in config.parameters.items()}
    for name, value in {"partition": config.partition, **values}.items():
        if value is not None and not (value and value.isprintable()):
            raise UserError(
                f"launcher.{name}: got {value!r}, expected one line of printable characters"
            )


class _Queue:
    """The waiting and running jobs of SLURM.

    submitit uses sacct instead, which needs a cluster with accounting, and polls it at intervals of
    up to ten minutes.
    """

    def __init__(self) -> None:
        self._ids: frozenset[str] = frozenset()
        self._asked = self._answered = float("-inf")

    def has_lost(self, job: str, submitted: float, every: float) -> bool:
        """Whether a job has left the queue.

        Args:
            job: its number.
            submitted: `time.monotonic` of its submission.
            every: seconds for which an answer is cached.
        """
        now = time.monotonic()
        if now - self._asked > every:
            self._asked = now
            command = ["squeue", "--me", "--noheader", "--format=%A"]
            answer = subprocess.run(command, capture_output=True, text=True, check=False)
            if answer.returncode == 0:  # else the controller is not available
                self._ids, self._answered = frozenset(answer.stdout.split()), now
        return self._answered > submitted and job not in self._ids


@dataclass
class _Job:
    job: submitit.Job[int]
    queue: _Queue | None  # None: submitit's own process
    submitted: float = field(default_factory=time.monotonic)
    gone: float | None = None
    known: int | None = None
    message: str = ""

    def code(self) -> int | None:
        if self.known is None:
            gone = self._is_gone(_ASK_EVERY)  # asked before the result, which a job writes last
            if self.job.paths.result_pickle.exists():
                self._read()
            elif gone and self._waited():
                self.known, self.message = KILLED, self.job.stderr() or ""
        return self.known

    def interrupt(self) -> None:
        self.job.cancel(check=False)

    def finish(self) -> None:
        until = time.monotonic() + _PATIENCE
        while not self._is_gone(1.0) and time.monotonic() < until:
            time.sleep(0.2)

    def error_tail(self) -> str:
        return self.message

    def _is_gone(self, every: float) -> bool:
        if self.queue is None:
            return bool(self.job.done())
        return self.queue.has_lost(self.job.job_id, self.submitted, every)

    def _waited(self) -> bool:
        """Whether its result would be visible by now."""
        if self.queue is None:
            return True
        self.gone = self.gone or time.monotonic()
        return time.monotonic() - self.gone > _SLOW_FILES

    def _read(self) -> None:
        from submitit.core.utils import UncompletedJobError

        try:
            self.known = self.job.result()
        except UncompletedJobError as error:  # time limit, missing folder, ...
            self.known, self.message = KILLED, str(error)
