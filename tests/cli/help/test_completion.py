"""Completion of the shell: what a line may become, and the functions of the shells."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from recsys_lab.cli.main import run_command
from recsys_lab.config.verbs import VERBS
from tests.cli.test_shell import fresh, packages


@pytest.fixture
def complete(shell, monkeypatch):
    def ask(line: str) -> list[str]:
        monkeypatch.setenv("COMP_LINE", line)
        code, out, err = shell("-sc", "query=bash")
        assert (code, err) == (0, "")
        return out.split()

    return ask


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("recsys-lab ", [*VERBS, "toy", "--help", "--version"]),
        ("recsys-lab toy", ["toy"]),
        ("recsys-lab toy mod", ["model=", "model."]),
        ("recsys-lab toy model=", ["model=flat", "model=net"]),
        ("/usr/bin/recsys-lab toy seed=1 model.n", ["model.num_layers="]),
        ("recsys-lab toy model=flat model.", ["model.path="]),
        ("recsys-lab toy experiment=", ["experiment=broken", "experiment=study/deep"]),
        ("recsys-lab toy --m", ["--multirun"]),
        ("recsys-lab nothing model", []),
    ],
)
def test_words_of_a_verb_that_composes(complete, line, expected):
    assert sorted(complete(line)) == sorted(expected)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("recsys-lab runs so", ["sort="]),
        ("recsys-lab runs format=", ["format=table", "format=json", "format=csv"]),
        ("recsys-lab train recipe.optimizer=", ["recipe.optimizer=adam", "recipe.optimizer=adamw"]),
        ("recsys-lab train debug=", ["debug=fast", "debug=overfit"]),
        ("recsys-lab train data=table data.p", ["data.part_column=", "data.path=",
         "data.price_column="]),
        ("recsys-lab train resume=a", ["resume=auto"]),
        ("recsys-lab sweep res", []),
        ("recsys-lab train from=r", ["from=runs/day/old", "from=runs/day/new", "from=runs/"]),
        ("recsys-lab show ", ["run=", "card=", "trec=", "runs/day/new", "runs/day/old"]),
        ("recsys-lab show runs/da", ["runs/day/new", "runs/day/old", "runs/day/"]),
        ("recsys-lab train data.path=log", ["data.path=log.csv"]),
        ("recsys-lab datasets gow", ["gowalla"]),
        ("recsys-lab options loss=b", ["loss=bce", "loss=bpr"]),
        ("recsys-lab train --config-dir conf model=mi", ["model=mine"]),
        ("recsys-lab train --config-dir conf model=mine model.num_l", ["model.num_layers="]),
        ("recsys-lab train --config-dir conf model=broken model.", []),
    ],
)  # fmt: skip
def test_values_and_run_directories(line, expected, tmp_path, monkeypatch, capsys):
    for age, name in enumerate(["old", "new"]):
        record = tmp_path / f"runs/day/{name}/run.json"
        record.parent.mkdir(parents=True)
        record.touch()
        os.utime(record, (age, age))
    (tmp_path / "log.csv").touch()
    (tmp_path / "conf/model").mkdir(parents=True)
    (tmp_path / "conf/model/mine.yaml").write_text("defaults: [sasrec]\n")
    (tmp_path / "conf/model/broken.yaml").write_text("_target_: nowhere.Net\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COMP_LINE", line)
    assert run_command(["-sc", "query=bash"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert sorted(out.split()) == sorted(set(expected))


def test_it_is_quick_and_silent(tmp_path, monkeypatch):
    monkeypatch.setenv("COMP_LINE", "recsys-lab train model=")
    modules, done = fresh("-sc", "query=bash", cwd=tmp_path)
    assert "model=sasrec" in done.stdout.split()
    assert packages(modules).isdisjoint({"torch", "polars", "hydra", "omegaconf"})
    assert len(modules) < 350
    assert [x for x in done.stderr.splitlines() if not x.startswith("import time:")] == []


@pytest.mark.parametrize("shell_name", ["bash", "zsh", "fish"])
def test_scripts_of_the_shells(shell_name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/recsys-lab"])
    assert run_command(["-sc", f"install={shell_name}"]) == 0
    text = capsys.readouterr().out
    assert f"recsys-lab -sc query={'fish' if shell_name == 'fish' else 'bash'}" in text
    assert "2>/dev/null" in text
    assert run_command(["-sc", f"uninstall={shell_name}"]) == 0
    assert "recsys-lab" in capsys.readouterr().out
    assert run_command(["-sc", "install=cmd"]) == 2


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(
    ("line", "breaks", "expected"),
    [
        ("recsys-lab train model=sas", "\"'=:", "sasrec |"),
        ("recsys-lab train model=sas", "\"'", "model=sasrec |"),
        ("recsys-lab train mod", "\"'=:", "model=|model.|"),
        ("recsys-lab show 'unclosed", "\"'=:", "|"),
    ],
)
def test_the_function_of_bash_completes_what_readline_replaces(line, breaks, expected, tmp_path):
    """The command is a stand-in with the real answers."""
    program = tmp_path / "recsys-lab"
    program.write_text(
        f'#!/bin/sh\necho spilt usage >&2\nexec {sys.executable} -m recsys_lab "$@"\n'
    )
    program.chmod(0o755)
    from recsys_lab.cli.arguments.completion import script

    commands = "\n".join(
        [
            script("bash", "recsys-lab", remove=False),
            f'COMP_LINE="{line}" COMP_POINT={len(line)} COMP_WORDBREAKS="$BREAKS"',
            "_recsys_lab",
            "printf '%s|' \"${COMPREPLY[@]}\"",
        ]
    )
    environment = {**os.environ, "BREAKS": breaks, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", commands], capture_output=True, text=True, env=environment, check=False
    )
    assert (done.stdout, done.stderr) == (expected, "")
