"""The Dockerfile and the Nomad jobs name what is there, and a command that is understood."""

import json
import re
import tomllib
from pathlib import Path

import hcl2
import pytest

from recsys_lab.cli.main import run_command
from recsys_lab.deploy.serve.middleware import OPEN

ROOT = Path(__file__).parents[1]


@pytest.fixture
def job() -> dict:
    with (ROOT / "scripts" / "sweep.nomad.hcl").open() as file:
        return hcl2.load(file)


def plain(value: object) -> str:
    """A string of HCL without its quotes."""
    return str(value).strip('"')


def test_the_image_copies_what_exists_and_starts_the_installed_command():
    text = (ROOT / "Dockerfile").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    copied = [name for line in re.findall(r"^COPY (.*) \S+$", text, re.M) for name in line.split()]
    assert copied
    let_through = (ROOT / ".dockerignore").read_text().splitlines()
    for name in copied:
        assert (ROOT / name).exists()
        assert f"!{name}" in let_through
    entries = [json.loads(entry) for entry in re.findall(r"^ENTRYPOINT (.*)$", text, re.M)]
    assert entries == [["recsys-lab", "serve"], ["recsys-lab"]]  # the last one is the default
    assert "recsys-lab" in project["scripts"]
    for extras in re.findall(r"\"\.\[(.*)\]\"", text):
        assert set(extras.split(",")) <= set(project["optional-dependencies"])


def test_the_job_gives_a_command_that_is_understood(job, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (group,) = plain_group(job)
    (task,) = group["task"]
    config = next(iter(task.values()))["config"][0]
    storage = "postgresql://user:word@db/optuna"
    args = [plain(arg).replace("${var.storage}", storage) for arg in config["args"]]
    assert run_command([*args, "--cfg", "job"]) == 0
    assert f"storage: {storage}" in capsys.readouterr().out


def test_the_server_s_job_gives_options_that_are_understood(capsys):
    with (ROOT / "scripts" / "serve.nomad.hcl").open() as file:
        (group,) = plain_group(hcl2.load(file))
    (task,) = group["task"]
    task = next(iter(task.values()))
    words = {"${var.registry}": "registry", "${NOMAD_PORT_http}": "8000"}
    args = [plain(arg) for arg in task["config"][0]["args"]]
    for name, value in words.items():
        args = [arg.replace(name, value) for arg in args]
    assert run_command(["serve", *args, "--cfg", "job"]) == 0
    shown = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert shown["source"] == "registry"
    assert plain(task["kill_signal"]) == "SIGTERM"
    assert int(shown["shutdown_s"]) < int(plain(task["kill_timeout"]).removesuffix("s"))
    (check,) = next(iter(group["service"]))["check"]
    assert plain(check["path"]) in OPEN  # the balancer sends no token


def plain_group(job: dict) -> list[dict]:
    """The groups of the only job."""
    (named,) = job["job"]
    return [next(iter(group.values())) for group in next(iter(named.values()))["group"]]
