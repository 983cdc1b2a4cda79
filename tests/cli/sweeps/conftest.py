"""Sweeps whose worker is this process, for tests that are not about processes."""

import time
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from recsys_lab.sweeps.deadline import Deadline
from recsys_lab.sweeps.launchers.local import Local
from recsys_lab.sweeps.plan import Plan
from recsys_lab.sweeps.worker import Worker
from recsys_lab.sweeps.worker_status import WorkerStatus


@dataclass(frozen=True)
class Done:
    """A worker that has ended because nothing was left to do."""

    def code(self) -> int:
        return 0


@pytest.fixture
def in_process(monkeypatch):
    """A worker works when it is started, here: a process would import torch for seconds."""

    def start(_, number, task):
        del number
        plan, name = Plan.load(Path(task.arguments[2])), task.arguments[3]
        notes = WorkerStatus(plan.path / "workers" / f"{name}.json", time.time())
        with Path(task.log).open("a") as log, redirect_stdout(log):
            Worker(plan, name, Deadline(None), notes).run()
        return Done()

    monkeypatch.setattr(Local, "start", start)
