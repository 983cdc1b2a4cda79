"""The Dockerfile and the Nomad jobs name what is there, and commands that are understood."""

import json
import re
import tomllib
from pathlib import Path

import hcl2
import yaml

from recsys_lab.cli.main import run_command
from recsys_lab.deploy.serve.middleware import OPEN
from tests.cli.flow import in_shop, train

ROOT = Path(__file__).parents[1]


def job(name: str) -> dict:
    with (ROOT / "scripts" / f"{name}.nomad.hcl").open() as file:
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


def arguments(name: str) -> list[str]:
    """The arguments of a job's only task."""
    (group,) = plain_group(job(name))
    (task,) = group["task"]
    return [plain(arg) for arg in next(iter(task.values()))["config"][0]["args"]]


def test_the_sweep_is_understood(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    storage = "postgresql://user:word@db/optuna"
    args = [arg.replace("${var.storage}", storage) for arg in arguments("sweep")]
    assert run_command([*args, "--cfg", "job"]) == 0
    assert f"storage: {storage}" in capsys.readouterr().out


def test_the_periodic_retraining_is_understood(tmp_path, monkeypatch, capsys):
    with in_shop(tmp_path, monkeypatch):
        assert train("run_dir=champion", "recipe.max_epochs=1") == 0
        given = {"${var.run}": "champion", "${var.log}": "newer.csv"}
        args = arguments("retrain")
        for name, value in given.items():
            args = [arg.replace(name, value) for arg in args]
        capsys.readouterr()
        assert run_command([*args, "--cfg", "job"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["data"]["path"] == "newer.csv"
    assert (shown["warm"], shown["window"], shown["resume"]) == (True, "90d", "auto")
    (periodic,) = next(iter(job("retrain")["job"][0].values()))["periodic"]
    assert periodic["prohibit_overlap"] is True


def test_the_server_is_understood(capsys):
    words = {"${var.registry}": "registry", "${NOMAD_PORT_http}": "8000"}
    args = arguments("serve")
    for name, value in words.items():
        args = [arg.replace(name, value) for arg in args]
    assert run_command(["serve", *args, "--cfg", "job"]) == 0
    shown = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert shown["source"] == "registry"
    (group,) = plain_group(job("serve"))
    task = next(iter(group["task"][0].values()))
    assert plain(task["kill_signal"]) == "SIGTERM"
    assert int(shown["shutdown_s"]) < int(plain(task["kill_timeout"]).removesuffix("s"))
    (check,) = next(iter(group["service"]))["check"]
    assert plain(check["path"]) in OPEN  # the balancer sends no token


def plain_group(job: dict) -> list[dict]:
    """The groups of the only job."""
    (named,) = job["job"]
    return [next(iter(group.values())) for group in next(iter(named.values()))["group"]]
