"""Runs workers of a sweep on this machine, spread over its devices."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

from recsys_lab.config.cores import usable_cores
from recsys_lab.sweeps.launchers.base import Task, begin, end


class Local:
    """Starts processes on this machine, which end with the command that started them.

    Args:
        config: no options.
    """

    @dataclass(frozen=True)
    class Config:
        """No options."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._devices = visible_devices()
        self._count = 1

    def count(self, wanted: int | Literal["auto"]) -> int:
        """The wanted number; for auto, one per GPU, or one per two cores without GPUs."""
        auto = len(self._devices) or max(1, usable_cores() // 2)
        self._count = auto if wanted == "auto" else wanted
        return self._count

    def start(self, number: int, task: Task) -> _Process:
        """Start a worker with its share of the devices."""
        threads = max(1, usable_cores() // self._count)
        own = {"OMP_NUM_THREADS": str(threads)}
        if self._devices:
            own["CUDA_VISIBLE_DEVICES"] = self._devices[number % len(self._devices)]
        # In its own process group: the parent forwards Ctrl-C, and a second one stops at once.
        ready = replace(task, environment={**task.environment, **own})
        return _Process(begin(ready, own_group=True))

    def close(self) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class _Process:
    popen: subprocess.Popen[bytes]

    def code(self) -> int | None:
        return self.popen.poll()

    def interrupt(self) -> None:
        with suppress(ProcessLookupError):
            self.popen.send_signal(signal.SIGINT)

    def finish(self) -> None:
        end(self.popen)

    def error_tail(self) -> str:
        return ""


def visible_devices() -> list[str]:
    """The visible GPUs, named as in CUDA_VISIBLE_DEVICES."""
    import torch

    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",")[:count] if named else [str(number) for number in range(count)]
