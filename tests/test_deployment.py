"""The Dockerfile and the Nomad job name what is there, and a command that is understood."""

import json
import re
import tomllib
from pathlib import Path

import hcl2
import pytest

from recsys_lab.cli.main import run_command

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
    (entry,) = json.loads(re.search(r"^ENTRYPOINT (.*)$", text, re.M)[1])
    assert entry in project["scripts"]
    extras = re.search(r"\"\.\[(.*)\]\"", text)[1].split(",")
    assert set(extras) <= set(project["optional-dependencies"])


def test_the_job_gives_a_command_that_is_understood(job, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (group,) = plain_group(job)
    (task,) = group["task"]
    config = next(iter(task.values()))["config"][0]
    storage = "postgresql://user:word@db/optuna"
    args = [plain(arg).replace("${var.storage}", storage) for arg in config["args"]]
    assert run_command([*args, "--cfg", "job"]) == 0
    assert f"storage: {storage}" in capsys.readouterr().out


def plain_group(job: dict) -> list[dict]:
    """The groups of the only job."""
    (named,) = job["job"]
    return [next(iter(group.values())) for group in next(iter(named.values()))["group"]]
