"""The folder that a command is given in: one's own models are found there, stray files are not."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from recsys_lab.cli.main import run_command
from recsys_lab.config import UserError, config_dir
from recsys_lab.config.schema import schema_of_target
from recsys_lab.runs import provenance
from recsys_lab.sweeps.launchers.base import Task, begin
from tests.cli.checks.test_hostile import write

STRAY = "open('PWNED', 'a').write(__name__)\n"
STRAYS = ("pynvml", "captum", "wandb", "hydra_plugins/x", "torch", "yaml", "numpy", "submitit")
OWN = """
    from dataclasses import dataclass

    from recsys_lab.models.classical.popularity import Popularity


    class Own(Popularity):
        @dataclass(frozen=True)
        class Config(Popularity.Config):
            pass
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RECSYS_LAB_ALLOWED_TARGETS", raising=False)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield tmp_path
    # --info and hydra.verbose change the root logger for all that comes after.
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def strays(folder):
    """Beside a model of one's own, files named like what the lab or its packages import."""
    for name in STRAYS:
        write(f"{name}.py", STRAY)
    write("own_models/nested/own.py", dedent(OWN))
    write(
        "conf/model/own.yaml",
        "_target_: own_models.nested.own.Own\nwindow_days: null\ncategory_feature: null\n",
    )
    return folder


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


SMALL = ["data.num_users=60", "data.num_items=20", "tracking=none"]


@pytest.mark.usefixtures("strays")
def test_a_model_in_the_current_folder_is_found_and_nothing_else_there():
    command = ["train", "--config-dir", "conf", "model=own", "run_dir=run", *SMALL]
    refused = python("-m", "recsys_lab", *command)
    assert refused.returncode == 2
    assert "export RECSYS_LAB_ALLOWED_TARGETS=own_models" in refused.stderr
    allowed = "own_models,numpy"  # what is installed is not hidden by what is allowed
    done = python("-m", "recsys_lab", *command, RECSYS_LAB_ALLOWED_TARGETS=allowed)
    assert done.returncode == 0, done.stderr
    assert json.loads(Path("run/run.json").read_text())["status"] == "finished"
    assert not Path("PWNED").exists()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            "own_models.nested.Own",
            "own_models.nested has no class 'Own', it imports it; expected its own module: "
            "own_models.nested.own.Own",
        ),
        (
            "own_models.nested.own.Onw",
            "own_models.nested.own has no class 'Onw'; did you mean 'Own'?",
        ),
        (
            "own_models.nested.won.Own",
            "no module 'own_models.nested.won' in FOLDER and PYTHONPATH; did you mean 'own'?",
        ),
        (
            "own_model.nested.own.Own",
            "'own_model.nested.own.Own' is not under an allowed prefix (recsys_lab, own_models); "
            "did you mean 'own_models'? If you trust this code, allow it: "
            "export RECSYS_LAB_ALLOWED_TARGETS=own_models,own_model",
        ),
    ],
)
@pytest.mark.usefixtures("strays")
def test_a_wrong_target_is_refused_with_the_right_one(target, message, monkeypatch):
    monkeypatch.setenv("RECSYS_LAB_ALLOWED_TARGETS", "own_models")
    monkeypatch.setattr(sys, "path", [*sys.path, str(Path.cwd())])
    write("own_models/nested/__init__.py", "from .own import Own\n")
    with pytest.raises(UserError) as caught:
        schema_of_target(target, "model")
    assert str(caught.value) == message.replace("FOLDER", str(Path.cwd()))


@pytest.mark.usefixtures("strays")
def test_a_name_that_the_lab_has_is_refused_and_not_ignored(capsys):
    command = ["train", "--config-dir", "conf", *SMALL, "--cfg", "job"]
    write("conf/model/popularity.yaml", Path("conf/model/own.yaml").read_text())
    assert run_command([*command, "model=popularity"]) == 2
    message = " ".join(capsys.readouterr().err.split())
    assert "conf/model/popularity.yaml: there is already a config 'model/popularity' in" in message
    assert message.endswith("give the file another name.")
    assert run_command([*command, "model=own"]) == 0
    write("conf/model/popularity.yaml", (config_dir() / "model/popularity.yaml").read_text())
    assert run_command([*command, "model=popularity"]) == 0  # a copy hides nothing


@pytest.mark.usefixtures("strays")
def test_workers_import_nothing_from_the_folder_they_run_in(monkeypatch):
    monkeypatch.setenv("RECSYS_LAB_ALLOWED_TARGETS", "own_models")
    code = (
        "import importlib.util as u, os, recsys_lab.sweeps\n"
        "from recsys_lab.config.own_modules import find_allowed_modules_in as allow\n"
        "assert u.find_spec('captum').origin != os.path.abspath('captum.py')\n"
        "allow(os.getcwd()); import own_models.nested.own; import yaml, numpy"
    )
    process = begin(Task(["-c", code], "log", "."))
    assert process.wait(60) == 0, Path("log").read_text()
    assert not Path("PWNED").exists()


def test_git_runs_nothing_that_a_checkout_names(folder, monkeypatch):
    def git(*arguments: str) -> None:
        subprocess.run(["git", *arguments], check=True, capture_output=True)

    git("init", "-q")
    write("src/code.py", "x = 1\n")
    write(".gitattributes", "*.py diff=evil\n")
    git("add", ".")
    git("-c", "user.name=x", "-c", "user.email=x@y", "commit", "-qm", "x")
    write("src/code.py", "x = 2\n")
    for name in ("core.fsmonitor", "diff.external", "diff.evil.command", "diff.evil.textconv"):
        git("config", name, f"touch {folder}/PWNED; false")
    monkeypatch.setattr(provenance, "__file__", str(folder / "src/code.py"))
    state, diff = provenance.code_state(folder / "src")
    assert state["dirty"] is True
    assert "+x = 2" in diff
    assert not Path("PWNED").exists()


class TestWhatPeopleDo:
    """Friendly configs go on working."""

    @pytest.mark.usefixtures("folder")
    def test_places_and_help_of_a_file(self, capsys):
        write(
            "own/own.yaml",
            "defaults: [train, _self_, {override hydra/job_logging: none}]\n"
            "hydra: {output_subdir: null, job: {chdir: false}, run: {dir: here}, help: {header: h}}"
            "\n",
        )
        command = ["train", "--config-dir", "own", "--config-name", "own", *SMALL]
        assert run_command([*command, "--cfg", "job"]) == 0
        assert run_command([*command, "model=popularity"]) == 0
        assert json.loads(Path("here/run.json").read_text())["status"] == "finished"
        assert "run: " in capsys.readouterr().out

    @pytest.mark.usefixtures("folder")
    def test_an_experiment_and_settings_in_the_command(self, capsys):
        write("conf/experiment/mine.yaml", "# @package _global_\ntags: ['${oc.env:WHO,me}']\n")
        command = ["train", "--config-dir", "conf", "experiment=mine", "model=popularity", *SMALL]
        assert run_command([*command, "hydra.run.dir=there", "hydra.verbose=true"]) == 0
        assert json.loads(Path("there/run.json").read_text())["config"]["tags"] == ["me"]
        assert run_command([*command, "--multirun", "seed=0,1", "run_dir=many"]) == 0
        assert {path.parent.name for path in Path("many").glob("*/run.json")} == {"0", "1"}
        assert run_command(["train", "resume=there"]) == 0
        assert "this run is finished" in capsys.readouterr().out
