"""The Dockerfile and the Nomad jobs name what is there, and commands that are understood."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

import hcl2
import pytest
import yaml

from recsys_lab.cli.main import run_command
from recsys_lab.deploy.serve.middleware import OPEN
from recsys_lab.runs.provenance import COMMIT
from tests.cli.flow import in_shop, train, write_log

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def job(name: str) -> dict:
    with (ROOT / "scripts" / f"{name}.nomad.hcl").open() as file:
        return hcl2.load(file)


def plain(value: object) -> str:
    """A string of HCL without its quotes."""
    return str(value).strip('"')


def test_the_image_copies_what_exists_and_starts_the_installed_command():
    text = DOCKERFILE
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = re.findall(r"^COPY (?:--\S+ )?(.*) \S+$", text, re.M)
    copied = [name for line in lines for name in line.split()]
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


def test_a_linter_accepts_the_dockerfile():
    linter = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if linter is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([linter, ROOT / "Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_an_image_is_tagged_with_the_commit_that_it_records(tmp_path, monkeypatch):
    def git(*arguments: str) -> str:
        command = ["git", "-c", "user.name=x", "-c", "user.email=x@y", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout.strip()

    (tmp_path / "scripts").mkdir()
    (tmp_path / "src").mkdir()
    shutil.copy(ROOT / "scripts/image.sh", tmp_path / "scripts")
    docker = tmp_path / "bin/docker"
    docker.parent.mkdir()
    docker.write_text('#!/bin/sh\necho "$@"\n')
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{docker.parent}:{os.environ['PATH']}")
    git("init", "-q")
    git("add", "scripts")
    git("commit", "-qm", "x")
    commit = git("rev-parse", "HEAD")

    def image(*arguments: str) -> tuple[str, str]:
        done = subprocess.run(
            ["bash", tmp_path / "scripts/image.sh", *arguments], capture_output=True, text=True
        )
        return done.stdout.strip(), done.stderr.strip()

    tag, command = image()
    assert tag == f"recsys-lab:{commit[:12]}"
    assert command == f"build --build-arg COMMIT={commit} --tag {tag} ."
    assert image("serve")[0] == f"recsys-lab-serve:{commit[:12]}"
    (tmp_path / "src/new.py").touch()
    tag, command = image("serve")
    assert tag == f"recsys-lab-serve:{commit[:12]}-dirty"
    assert command == f"build --build-arg COMMIT={commit}-dirty --target serve --tag {tag} ."
    assert image("x") == ("", "image.sh: got 'x', expected nothing or 'serve'")
    # Both stages that are built pass it on to the records of runs.
    for line in ("ARG COMMIT", f"ENV {COMMIT}=$COMMIT", "LABEL org.opencontainers.image.revision"):
        assert DOCKERFILE.count(line) == 2


RESTART = ["sh", ROOT / "scripts/restart.sh"]


@pytest.mark.parametrize(
    ("codes", "runs", "last"),
    [
        ([0], 1, 0),
        ([2], 1, 2),  # a mistake in the command
        ([3], 1, 3),
        ([130], 1, 130),
        ([1, 137, 0], 3, 0),
        ([1, 1, 1, 0], 3, 1),  # two restarts are allowed
    ],
)
def test_only_what_may_work_again_is_restarted(tmp_path, codes, runs, last):
    script = 'echo x >>runs; n=$(wc -l <runs); exit "$(sed -n "${n}p" codes)"'
    (tmp_path / "codes").write_text("".join(f"{code}\n" for code in codes))
    env = {**os.environ, "RESTARTS": "2", "RESTART_DELAY": "0"}
    done = subprocess.run([*RESTART, "sh", "-c", script], cwd=tmp_path, env=env, timeout=60)
    assert done.returncode == last
    assert len((tmp_path / "runs").read_text().splitlines()) == runs


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_reaches_the_command_which_may_store(tmp_path, number):
    script = "trap 'sleep 0.3; echo stored >told; exit 1' TERM; >ready; while :; do sleep 0.1; done"
    process = subprocess.Popen([*RESTART, "sh", "-c", script], cwd=tmp_path)
    while not (tmp_path / "ready").exists():
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait(60) == 1  # not again, though 1 is a crash
    assert (tmp_path / "told").read_text() == "stored\n"


def test_a_user_that_the_image_does_not_know_works_in_its_own_folder():
    """The environment of the Dockerfile, its home, and a mounted folder of another user."""
    setpriv = shutil.which("setpriv")
    if os.geteuid() != 0 or setpriv is None:
        pytest.skip("only root can become another user")
    variables = dict(
        pair.split("=", 1)
        for line in re.findall(r"^ENV (.*)$", DOCKERFILE, re.M)
        for pair in line.split()
    )
    assert 'chmod 1777 "$HOME" && install -d -m 1777 /work' in DOCKERFILE
    user, commit = 54321, "c0ffee" * 6 + "abcd"
    with tempfile.TemporaryDirectory() as place:
        home, work = Path(place, "home"), Path(place, "work")
        home.mkdir(mode=0o755)
        work.mkdir(mode=0o755)
        Path(place).chmod(0o755)
        home.chmod(0o1777)
        os.chown(work, user, user)
        env = {
            **variables,
            "HOME": str(home),
            COMMIT: commit,
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT / "src"),
            "OMP_NUM_THREADS": "1",
        }
        # It reads the checkout and Python, wherever they are, as it would in the image.
        reads = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
        become = [setpriv, f"--reuid={user}", f"--regid={user}", "--clear-groups", *reads]
        command = [sys.executable, "-P", "-m", "recsys_lab", "train", "model=popularity"]
        small = ["data.num_users=80", "data.num_items=30", "run_dir=run"]
        done = subprocess.run(
            [*become, *command, *small], cwd=work, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        record = json.loads((work / "run/run.json").read_text())
        assert record["code"]["commit"] == commit
        assert record["code"]["dirty"] is False
        assert {path.stat().st_uid for path in work.rglob("*")} == {user}
        assert "Permission" not in done.stderr
