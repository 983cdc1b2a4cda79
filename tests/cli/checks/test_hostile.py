"""Configs and folders of other people: whatever they hold, no code runs and no file is written."""

import json
import logging
from pathlib import Path

import pytest
from omegaconf.basecontainer import BaseContainer

from recsys_lab.cli.main import run_command
from recsys_lab.config import UserError
from recsys_lab.data.engines.spark import Spark
from recsys_lab.sweeps.launchers.slurm import Slurm

TOUCH = "{_target_: os.system, command: touch PWNED}"
RUN = """{_target_: recsys_lab.sweeps.launchers.base.run, task: {folder: ., log: PWNED,
    _target_: recsys_lab.sweeps.launchers.base.Task, arguments: [-c, "open('PWNED', 'w')"]}}"""
WRITE = """{_target_: recsys_lab.files.atomic.write_text, path: {_target_: pathlib.Path,
    _args_: [PWNED]}, text: x}"""
FILE = "{class: logging.FileHandler, filename: PWNED, mode: w}"
SOCKET = "{class: logging.handlers.SocketHandler, host: 127.0.0.1, port: 9}"
ROOT = "root: {level: DEBUG, handlers: [x]}"
BASIC = "_target_: hydra._internal.core_plugins.basic_launcher.BasicLauncher"

EXPERIMENTS = {  # a body -> what the message names
    "hydra: {callbacks: {x: " + TOUCH + "}}": "hydra.callbacks.x._target_",
    "hydra: {callbacks: {x: " + RUN + "}}": "hydra.callbacks.x._target_",
    "hydra: {callbacks: {x: " + WRITE + "}}": "hydra.callbacks.x._target_",
    "hydra: {callbacks: '${oc.create:{x:{_target_:os.system,command:touch PWNED}}}'}":
        "hydra.callbacks",
    "hydra: '${tags}'": "hydra",
    "hydra: {job: {env_set: {GIT_CONFIG_COUNT: '1'}}}": "hydra.job.env_set.GIT_CONFIG_COUNT",
    "hydra: {job: {env_set: {RECSYS_LAB_ALLOWED_TARGETS: os}}}":
        "hydra.job.env_set.RECSYS_LAB_ALLOWED_TARGETS",
    "hydra: {job: {env_copy: [HOME]}}": "hydra.job.env_copy",
    "hydra: {job: '${notes}'}": "hydra.job",
    "hydra: {job: {chdir: true}}": "hydra.job.chdir",
    "hydra: {job: {name: ../../x}}": "hydra.job.name",
    "hydra: {job_logging: {version: 1, handlers: {x: " + FILE + "}, " + ROOT + "}}":
        "hydra.job_logging.version",
    "hydra: {job_logging: {handlers: {x: " + SOCKET + "}, " + ROOT + "}}":
        "hydra.job_logging.handlers.x.class",
    "hydra: {hydra_logging: {handlers: {x: " + FILE + "}, " + ROOT + "}}":
        "hydra.hydra_logging.handlers.x.class",
    "hydra: {job_logging: {handlers: {x: {(): logging.os.system}}}}":
        "hydra.job_logging.handlers.x.()",
    "hydra: {launcher: " + RUN + "}": "hydra.launcher._target_",
    "hydra: {launcher: {" + BASIC + ", x: " + TOUCH + "}}": "hydra.launcher._target_",
    "hydra: {sweeper: {params: {+hydra.callbacks.x._target_: os.system}}}": "hydra.sweeper.params",
    "hydra: {output_subdir: ../../elsewhere}": "hydra.output_subdir",
    "hydra: {overrides: {task: [+hydra.callbacks.x._target_=os.system]}}": "hydra.overrides.task",
    "hydra: {mode: MULTIRUN}": "hydra.mode",
    "hydra: {verbose: true}": "hydra.verbose",
    "hydra: {searchpath: ['pkg://this']}": "hydra.searchpath",
    "hydra: {runtime: {output_dir: /elsewhere}}": "hydra.runtime.output_dir",
    "defaults: [{override /hydra/launcher: mine}]": "hydra.launcher.x",
    "defaults: [{/hydra/launcher@hydra.callbacks.x: mine}]": "hydra.callbacks.x.x",
    "model: " + TOUCH: "model._target_",
    "model: " + RUN: "model._target_",
    "model: {_target_: recsys_lab.losses.softmax.SoftmaxLoss}": "model._target_",
    "data: {_target_: recsys_lab.sweeps.launchers.local.Local}": "data._target_",
    "model: {_target_: '${oc.decode:os.system}'}": "model._target_",
    "model: {_args_: [" + TOUCH + "]}": "model._args_",
    "tags: [" + TOUCH + "]": "tags",
    "notes: " + TOUCH: "notes",
}  # fmt: skip
VERBS = (
    ("train",), ("prepare",), ("sweep",), ("train", "--multirun", "seed=0,1"),
    ("train", "--cfg", "job"), ("train", "--help"), ("train", "--info", "config"),
)  # fmt: skip
IN_COMMAND = {  # typed by the person, who may do as they like otherwise; but it may be pasted
    "+hydra.callbacks.x={_target_:os.system,command:touch}": "hydra.callbacks.x._target_",
    "+hydra.job.env_set.GIT_CONFIG_COUNT=1": "hydra.job.env_set.GIT_CONFIG_COUNT",
    "hydra.job={env_set:{A:b}}": "hydra.job.env_set.A",
    "hydra.job.env_copy=[HOME]": "hydra.job.env_copy",
    "++hydra.launcher._target_=recsys_lab.sweeps.launchers.base.run": "hydra.launcher._target_",
    "+hydra.sweeper.x.y={_target_:os.system}": "hydra.sweeper.x.y._target_",
    "+hydra.job_logging.handlers.x={class:logging.FileHandler,filename:PWNED}":
        "hydra.job_logging.handlers.x.class",
    "hydra/launcher=mine": "hydra.launcher.x",
}  # fmt: skip
STORED = {
    "hydra: {callbacks: {x: " + TOUCH + "}}": "hydra: a run does not store this key",
    "hydra: {run: {dir: elsewhere}}": "hydra: a run does not store this key",
    "defaults: [/model/sasrec]": "defaults: a run does not store this key",
    "seed: ${oc.decode:${oc.env:PWNED,0}}": "seed: got '${oc.decode:${oc.env:PWNED,0}}', expected",
    "tags: ['${oc.env:HOME}']": "tags.0: got '${oc.env:HOME}', expected a plain",
    "data: {path: '${hydra:runtime.cwd}'}": "data.path: got '${hydra:runtime.cwd}', expected a",
    "# @package hydra.callbacks\nx: " + TOUCH: "'# @package': a run does not store this line",
    "- " + TOUCH: "a list",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder that a command is given in; a message counts only if nothing has changed in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RECSYS_LAB_ALLOWED_TARGETS", raising=False)
    mine = "x: {_target_: os.system, command: touch PWNED}\n"
    write("conf/hydra/launcher/mine.yaml", mine)
    write("conf/hydra/job_logging/mine.yaml", "version: 1\nhandlers: {x: " + FILE + "}\n" + ROOT)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield tmp_path
    # --info and hydra.verbose change the root logger for all that comes after.
    root.handlers[:] = handlers
    root.setLevel(level)


def write(name: str, text: str) -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text)


def refusal(capsys, *command: str) -> str:
    """The message of a command that is refused and leaves everything as it was."""
    before = {path: path.stat().st_mtime_ns for path in Path().rglob("*")}
    assert run_command(command) == 2
    assert {path: path.stat().st_mtime_ns for path in Path().rglob("*")} == before
    return capsys.readouterr().err


@pytest.mark.parametrize(("number", "body"), list(enumerate(EXPERIMENTS)))
@pytest.mark.usefixtures("folder")
def test_an_experiment(capsys, number, body):
    write("conf/experiment/evil.yaml", f"# @package _global_\n{body}\n")
    verb, *flags = VERBS[number % len(VERBS)]
    if "hydra" not in body:  # a component is not built where a config is only shown
        verb, *flags = VERBS[number % 4]
    said = refusal(capsys, verb, *flags, "--config-dir", "conf", "experiment=evil")
    assert f"{EXPERIMENTS[body]}" in said
    assert "conf/" in said or "hydra" not in body


@pytest.mark.parametrize("text", IN_COMMAND)
@pytest.mark.parametrize("flags", [(), ("--cfg", "hydra")])
@pytest.mark.usefixtures("folder")
def test_a_command(capsys, text, flags):
    said = refusal(capsys, "train", "--config-dir", "conf", text, *flags)
    assert IN_COMMAND[text] in said
    assert "is not allowed: it could run arbitrary code." in said


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ("hydra: {searchpath: ['pkg://evil_package']}", "hydra.searchpath"),
        ("hydra: {callbacks: {x: " + TOUCH + "}}", "hydra.callbacks.x._target_"),
        ("hydra: {help: {template: x}, job: {env_set: {A: b}}}", "hydra.job.env_set.A"),
        ("defaults: [{override hydra/job_logging: mine}]", "hydra.job_logging.version"),
    ],
)
@pytest.mark.parametrize("place", [("--config-dir", "own"), ("--config-path", "own")])
def test_a_primary_config(folder, capsys, monkeypatch, body, named, place):
    monkeypatch.syspath_prepend(folder / "lib")  # what is not imported cannot run
    write("lib/evil_package/__init__.py", "open('PWNED', 'w')")
    write("own/own.yaml", body + "\n")
    Path("conf/hydra").rename("own/hydra")
    assert named in refusal(capsys, "train", *place, "--config-name", "own", "seed=0")
    # A plain command takes no config of the user's at all.
    assert "evaluate has no such flag" in refusal(
        capsys, "evaluate", *place, "--config-name", "own", "run=x"
    )
    assert not Path("PWNED").exists()


WHOLE = {
    "schema_version": 1, "status": "finished", "name": "x", "seed": 0, "created": "2026-01-01",
    "config": {
        "model": {"_target_": "recsys_lab.models.sequential.sasrec.SASRec"},
        "recipe": {"monitor": "val/ndcg@10"},
    },
    "epochs": [], "compute": {"seconds": 1.0, "peak_memory_mebibytes": 1.0},
    "data": {"name": "x", "path": "x", "fingerprint": "x"},
    "protocol": {"fingerprint": "x", "fields": {}}, "test": {},
}  # fmt: skip
"""Every field of a record that the lab asks for."""


@pytest.mark.parametrize("body", STORED)
@pytest.mark.parametrize(
    "verb", ["train resume=run", "train from=run", "evaluate run", "explain run --user u1"]
)
@pytest.mark.usefixtures("folder")
def test_a_stored_run(capsys, body, verb):
    write("run/run.json", json.dumps(WHOLE))
    write("run/config.yaml", body + "\n")
    assert STORED[body] in refusal(capsys, *verb.split())


@pytest.mark.parametrize(
    "key", ["hydra.searchpath", "+hydra.job.env_set.A", "hydra/launcher", "seed=1 x"]
)
@pytest.mark.usefixtures("folder")
def test_a_searched_key(capsys, key):
    write("conf/search/evil.yaml", "# @package _global_\nsearch: {params: {'" + key + "': 'a,b'}}")
    command = ["sweep", "--config-dir", "conf", "search=evil", "data.num_users=100"]
    assert f"search.params.{key}: " in refusal(capsys, *command)


@pytest.mark.parametrize(
    ("partition", "parameters"),
    [
        ("gpu\ntouch PWNED", {}),
        (None, {"comment": "x\ntouch PWNED"}),
        (None, {"x\ntouch PWNED": "x"}),
        (None, {"output": "PWNED"}),
        (None, {"export_file": "PWNED"}),
    ],
)
def test_options_of_jobs(partition, parameters):
    with pytest.raises(UserError, match=r"(?s)launcher\.p.*(got|is not a valid name|names a)"):
        Slurm(Slurm.Config("slurm", partition, 30, 0, 1, None, parameters))


def test_properties_of_spark():
    keys = ["spark.driver.extraJavaOptions", "spark.jars.packages", "spark.pyspark.python"]
    with pytest.raises(UserError, match=r"engine.settings: 'spark.driver.extraJavaOptions', 'spar"):
        Spark(Spark.Config(None, None, dict.fromkeys([*keys, "spark.executor.memory"], "x")))


def test_every_resolver_is_known():
    """None reads a file, runs code or reaches the network; oc.env reads a variable."""
    assert set(BaseContainer._resolvers) == {
        "oc.create", "oc.decode", "oc.deprecated", "oc.env", "oc.select", "oc.dict.keys",
        "oc.dict.values", "now", "hydra", "python_version",
    }  # fmt: skip
