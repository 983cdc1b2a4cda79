"""The Dockerfile and the Nomad jobs name what is there, and commands that are understood."""

import json
import re
import tomllib
from pathlib import Path

import hcl2
import yaml

from recsys_lab.cli.main import run_command
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
    (entry,) = json.loads(re.search(r"^ENTRYPOINT (.*)$", text, re.M)[1])
    assert entry in project["scripts"]
    extras = re.search(r"\"\.\[(.*)\]\"", text)[1].split(",")
    assert set(extras) <= set(project["optional-dependencies"])


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


def plain_group(job: dict) -> list[dict]:
    """The groups of the only job."""
    (named,) = job["job"]
    return [next(iter(group.values())) for group in next(iter(named.values()))["group"]]
