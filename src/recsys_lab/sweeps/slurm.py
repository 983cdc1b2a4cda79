"""Workers of a sweep as SLURM jobs, through submitit."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Gt

from recsys_lab.config import UserError
from recsys_lab.sweeps.launching import KILLED, Task, run

if TYPE_CHECKING:
    import submitit

_PATIENCE = 60.0


class Slurm:
    """A job for each worker, on whatever node SLURM gives it.

    The workers need the sweep's folder, the data and this environment under the same paths on
    every node: a shared file system, or a container. They go on when the command that submitted
    them is killed; Ctrl-C cancels them.

    Args:
        config: the options.

    Raises:
        UserError: submitit is not installed.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of `Slurm`.

        Attributes:
            cluster: slurm; or local: submitit's own processes on this machine, to try it out.
            partition: of the jobs, or null for the cluster's own choice.
            minutes: time limit of a job; its worker's trial goes on in the next one.
            gpus: of each worker.
            cpus: of each worker.
            memory_gib: of each worker, or null.
            parameters: further sbatch options by name, e.g. {account: x, constraint: a100}.
        """

        cluster: Literal["slurm", "local"]
        partition: str | None
        minutes: Annotated[int, Ge(1)]
        gpus: Annotated[int, Ge(0)]
        cpus: Annotated[int, Ge(1)]
        memory_gib: Annotated[float, Gt(0)] | None
        parameters: dict[str, str]

    def __init__(self, config: Config) -> None:
        try:
            import submitit  # noqa: F401
        except ImportError:
            raise UserError(
                "launcher: slurm needs submitit; pip install 'recsys-lab[slurm]'"
            ) from None
        self.config = config

    def count(self, wanted: int | Literal["auto"]) -> int:
        """As many as wanted.

        Raises:
            UserError: auto, which counts the devices of this machine.
        """
        if wanted == "auto":
            raise UserError(
                "sweep.workers: got auto, which counts this machine's devices; say how many jobs "
                "launcher=slurm is to submit, e.g. sweep.workers=8"
            )
        return wanted

    def start(self, number: int, task: Task) -> _Job:
        """Submit the job.

        Raises:
            UserError: SLURM refuses it.
        """
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        del number
        # "environment" is what slurm itself sets: threads by cpus, devices by gpus.
        try:
            return _Job(self._executor(task).submit(run, task))
        except (FailedJobError, FailedSubmissionError, RuntimeError, OSError) as error:
            raise UserError(f"launcher: SLURM took no job: {error}") from error

    def close(self) -> None:
        """Nothing is held."""

    def _executor(self, task: Task) -> submitit.AutoExecutor:
        import submitit

        config = self.config
        folder = Path(task.log).parent / "jobs"
        executor = submitit.AutoExecutor(folder=folder, cluster=config.cluster)
        options: dict[str, Any] = {
            "name": "recsys-lab", "timeout_min": config.minutes, "gpus_per_node": config.gpus,
            "cpus_per_task": config.cpus,
        }  # fmt: skip
        if config.memory_gib is not None:
            options["mem_gb"] = config.memory_gib
        if config.cluster == "slurm":
            options["slurm_partition"] = config.partition
            options["slurm_additional_parameters"] = config.parameters
        executor.update_parameters(**options)
        return executor


@dataclass
class _Job:
    job: submitit.Job[int]
    known: int | None = None  # a lost job takes submitit 15 s to tell

    def code(self) -> int | None:
        from submitit.core.utils import UncompletedJobError

        if self.known is None and self.job.done():
            try:
                self.known = self.job.result()
            except UncompletedJobError:  # killed by its time limit, a node that died, ...
                self.known = KILLED
        return self.known

    def interrupt(self) -> None:
        self.job.cancel(check=False)

    def finish(self) -> None:
        until = time.time() + _PATIENCE
        while self.code() is None and time.time() < until:
            time.sleep(0.2)
