"""The Nomad jobs: their commands are understood, and they are for the image that was built."""

from pathlib import Path

import hcl2
import pytest
import yaml

from recsys_lab.cli.main import run_command
from recsys_lab.deploy.serve.middleware import OPEN
from tests.cli.flow import in_shop, train, write_log

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def job(name: str) -> dict:
    with (ROOT / "scripts" / f"{name}.nomad.hcl").open() as file:
        return hcl2.load(file)


def plain(value: object) -> str:
    """A string of HCL without its quotes."""
    return str(value).strip('"')


def arguments(name: str) -> list[str]:
    """The arguments of a job's only task."""
    (group,) = plain_group(job(name))
    (task,) = group["task"]
    return [plain(arg) for arg in next(iter(task.values()))["config"][0]["args"]]


def only_task(name: str) -> dict:
    """A job's only task."""
    (group,) = plain_group(job(name))
    return next(iter(group["task"][0].values()))


def test_the_sweep_is_understood_and_shows_no_password(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    task = only_task("sweep")
    (secret,) = task["template"]
    name, _, value = plain(secret["data"]).partition("=")
    assert 'nomadVar "nomad/jobs/recsys-lab-sweep"' in value.replace("\\", "")
    assert plain(secret["destination"]).startswith("secrets/")
    assert secret["env"] is True
    address = "postgresql://user:word@127.0.0.1:1/optuna"
    monkeypatch.setenv(name, address)
    args = arguments("sweep")
    assert run_command([*args, "--cfg", "job"]) == 0
    said = capsys.readouterr()
    assert f"storage: env:{name}" in said.out
    assert "word" not in said.out + said.err
    # Up to the database, which is not there.
    write_log()
    assert run_command(args) == 2
    assert "user:***@127.0.0.1:1/optuna: cannot be opened" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["sweep", "retrain", "serve"])
def test_jobs_run_the_image_of_a_commit_as_the_owner_of_the_volume(name):
    variables = {key: value for each in job(name)["variable"] for key, value in each.items()}
    assert "default" not in variables["image"], "latest is pulled each time, also if it is local"
    task = only_task(name)
    assert plain(task["user"]) == "${var.uid}:${var.gid}"
    assert task["config"][0]["init"] is True
    (user,) = {line.split()[1] for line in DOCKERFILE.splitlines() if line.startswith("USER ")}
    assert user == f"{variables['uid']['default']}:{variables['gid']['default']}"
    if name == "serve":
        (token,) = task["template"]
        assert (token["uid"], token["gid"]) == ("${var.uid}", "${var.gid}")
        return
    (group,) = plain_group(job(name))
    # `restart` in the image repeats what may work again.
    assert group["restart"] == [{"attempts": 0, "mode": group["restart"][0]["mode"]}]
    assert plain(group["restart"][0]["mode"]) == "fail"
    assert [plain(word) for word in task["config"][0]["entrypoint"]] == ["restart", "recsys-lab"]
    assert "scripts/restart.sh /usr/local/bin/restart" in DOCKERFILE
    assert int(plain(task["kill_timeout"]).removesuffix("s")) > 30


def test_a_sweep_takes_all_gpus_of_each_of_several_boxes():
    (group,) = plain_group(job("sweep"))
    assert [plain(each["operator"]) for each in group["constraint"]] == ["distinct_hosts"]
    (device,) = only_task("sweep")["resources"][0]["dynamic"]
    assert "var.gpus" in str(device["device"]["for_each"])
    assert device["device"]["content"] == [{"count": "${var.gpus}"}]


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
