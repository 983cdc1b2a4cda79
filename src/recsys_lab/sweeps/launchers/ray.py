"""Runs workers of a sweep as tasks of a Ray cluster."""

from __future__ import annotations

import logging
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Gt

from recsys_lab.config import UserError, install_hint
from recsys_lab.sweeps.launchers.base import KILLED, Task, run

if TYPE_CHECKING:
    import ray

_PATIENCE = 60.0


class RayCluster:
    """Starts a Ray task for each worker, which waits if the cluster is full.

    The workers need the sweep's folder, the data and this package under the same paths on every
    node. They end with the command that started them.

    Args:
        config: the options.

    Raises:
        UserError: Ray is not installed.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of `RayCluster`.

        Attributes:
            address: of the cluster (``auto``, ``ray://host:10001``); null to start a cluster on
                this machine for the time of the sweep.
            gpus: of each worker; may be fractional.
            cpus: of each worker.
        """

        address: str | None
        gpus: Annotated[float, Ge(0)]
        cpus: Annotated[float, Gt(0)]

    def __init__(self, config: Config) -> None:
        try:
            import ray  # noqa: F401
        except ImportError:
            raise UserError(f"launcher=ray needs Ray: {install_hint('ray')}") from None
        self.config = config

    def count(self, wanted: int | Literal["auto"]) -> int:
        """The wanted number; for auto, as many as fit the cluster.

        Raises:
            UserError: the cluster cannot be reached or has too few resources for one worker.
        """
        if wanted != "auto":
            return wanted
        self._connect()
        import ray

        resources = ray.cluster_resources()  # type: ignore[no-untyped-call]
        needed = {"CPU": self.config.cpus, "GPU": self.config.gpus}
        room = [int(resources.get(name, 0) // each) for name, each in needed.items() if each]
        if min(room) < 1:
            raise UserError(
                f"launcher: no worker fits the Ray cluster: a worker needs {needed}, the cluster "
                "has "
                f"{ {name: resources.get(name, 0) for name in needed} }; lower launcher.gpus or "
                "launcher.cpus"
            )
        return min(room)

    def start(self, number: int, task: Task) -> _Job:
        """Submit the task to Ray.

        Raises:
            UserError: the cluster cannot be reached.
        """
        del number
        self._connect()
        import ray

        config = self.config
        remote = ray.remote(num_cpus=config.cpus, num_gpus=config.gpus, max_retries=0)(run)
        return _Job(remote.remote(task))

    def close(self) -> None:
        """Disconnect from the cluster, and stop a local one."""
        import ray

        ray.shutdown()

    def _connect(self) -> None:
        import ray

        if ray.is_initialized():
            return
        own: dict[str, Any] = {} if self.config.address else {"include_dashboard": False}
        package = Path(__file__).parents[3]  # contains recsys_lab
        try:
            # Ray puts the current folder first on the import path of its workers.
            with chdir(package):
                ray.init(
                    address=self.config.address,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    **own,
                )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise UserError(
                f"launcher.address: cannot reach a Ray cluster at {self.config.address}: {error}"
            ) from error


@dataclass
class _Job:
    reference: ray.ObjectRef[int]
    message: str = ""

    def code(self) -> int | None:
        import ray

        ready, _ = ray.wait([self.reference], timeout=0)
        if not ready:
            return None
        try:
            return int(ray.get(self.reference))
        except ray.exceptions.RayError as error:  # cancelled, a node that died, ...
            self.message = str(error)
            return KILLED

    def interrupt(self) -> None:
        import ray

        ray.cancel(self.reference)

    def finish(self) -> None:
        import ray

        ready, _ = ray.wait([self.reference], timeout=_PATIENCE)
        if not ready:
            ray.cancel(self.reference, force=True)

    def error_tail(self) -> str:
        return self.message
