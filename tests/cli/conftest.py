"""A small command line of its own: the verb ``toy``, its configs and its component classes."""

from __future__ import annotations

import logging
import sys
import time
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
from annotated_types import Ge
from omegaconf import OmegaConf

from recsys_lab.cli import app
from recsys_lab.cli.main import run_command
from recsys_lab.config import Component, origins
from recsys_lab.config.compose import loader
from recsys_lab.config.help import keys
from recsys_lab.config.verbs import VERBS, Verb
from tests.cli.flow import in_shop

PARTS = """
    from dataclasses import dataclass
    from typing import Annotated

    import not_installed_anywhere
    from annotated_types import Ge, Gt


    class Net:
        @dataclass(frozen=True)
        class Config:
            num_layers: Annotated[int, Ge(1)]
            rate: Annotated[float, Gt(0)]


    class Flat:
        @dataclass(frozen=True)
        class Config:
            path: str
"""
CONFIGS = {
    "toy.yaml": """
        defaults:
          - model: net
          - _self_
          - optional experiment: null
          - override hydra/job_logging: none
          - override hydra/hydra_logging: none
        seed: 0
        run_dir: runs/${now:%H%M%S-%f}-${hydra:runtime.choices.model}
        resume: null
        hydra:
          output_subdir: null
          job: {name: toy, chdir: false}
          run: {dir: "${run_dir}"}
          sweep: {dir: "${run_dir}", subdir: "${hydra.job.num}"}
          help: {app_name: toy, template: "toy help\\n$APP_CONFIG_GROUPS\\n$CONFIG"}
        """,
    "model/net.yaml": """
        _target_: toy_parts.Net
        num_layers: 2
        rate: 0.5
        """,
    "model/flat.yaml": """
        _target_: toy_parts.Flat
        path: here
        """,
    "experiment/study/deep.yaml": """
        # @package _global_
        defaults:
          - override /model: net
        model:
          num_layers: 9
        seed: 4
        """,
    "experiment/broken.yaml": """
        # @package _global_
        model:
          num_layer: 9
        """,
}


@dataclass(frozen=True)
class ToyConfig:
    model: Component
    seed: Annotated[int, Ge(0)]
    run_dir: str
    resume: str | None


@dataclass
class Shell:
    """Runs commands in a folder of their own and keeps what they did."""

    folder: Path
    capsys: Any
    jobs: list[dict[str, Any]] = field(default_factory=list)
    error: BaseException | None = None

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of ``recsys-lab ARGUMENTS``."""
        code = run_command(arguments)
        out, err = self.capsys.readouterr()
        return code, out, err

    def refused(self, *arguments: str) -> list[str]:
        """The lines of the message of a command that the user got wrong."""
        code, _, err = self(*arguments)
        assert code == 2, err
        assert "Traceback" not in err
        assert self.jobs == []
        return [line.strip() for line in err.splitlines()]

    def run(self, cfg, output_dir: Path) -> None:
        """What the verb does: remembers its config, leaves a run, fails if told to."""
        self.jobs.append({"cfg": OmegaConf.to_container(cfg, resolve=True), "dir": output_dir})
        if self.error is not None:
            raise self.error

    def write(self, name: str, text: str) -> Path:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text).lstrip())
        return file

    def files(self) -> set[str]:
        return {p.name for p in self.folder.iterdir()}


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys):
    made = Shell(tmp_path, capsys)
    for name, text in CONFIGS.items():
        made.write(f"configs/{name}", text)
    made.write("toy_parts.py", PARTS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("RECSYS_LAB_ALLOWED_TARGETS", "toy_parts")
    monkeypatch.setitem(VERBS, "toy", Verb("a toy", "recsys-lab toy", ToyConfig, has_run_dir=True))
    monkeypatch.setitem(sys.modules, "recsys_lab.cli.verbs.toy", SimpleNamespace(run=made.run))
    for module in (app, loader, origins, keys):
        monkeypatch.setattr(module, "config_dir", lambda: tmp_path / "configs")
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield made
    # --info gives the root logger a handler on this test's stdout.
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A folder with a log to work in; see `in_shop`."""
    with in_shop(tmp_path, monkeypatch):
        yield tmp_path


@dataclass(frozen=True)
class Done:
    """A worker that has ended because nothing was left to do."""

    def code(self) -> int:
        return 0

    def interrupt(self) -> None:
        raise AssertionError("it has ended")

    def finish(self) -> None:
        return

    def error_tail(self) -> str:
        return ""


@pytest.fixture
def in_process(monkeypatch):
    """A sweep's worker works when it is started, here: a process would import torch for seconds.

    For tests that are not about processes.
    """
    from recsys_lab.sweeps.deadline import Deadline
    from recsys_lab.sweeps.launchers.local import Local
    from recsys_lab.sweeps.plan import Plan
    from recsys_lab.sweeps.worker import Worker
    from recsys_lab.sweeps.worker_status import WorkerStatus

    def start(_, number, task):
        del number
        plan, name = Plan.load(Path(task.arguments[2])), task.arguments[3]
        notes = WorkerStatus(plan.path / "workers" / f"{name}.json", time.time())
        with Path(task.log).open("a") as log, redirect_stdout(log):
            Worker(plan, name, Deadline(None), notes).run()
        return Done()

    monkeypatch.setattr(Local, "start", start)
