"""The image: what it copies, its linter, its tag, its restarts, and any user in it."""

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
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from recsys_lab.runs.provenance import COMMIT

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


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


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that every user can enter, unlike pytest's."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_user_that_the_image_does_not_know_works_in_its_own_folder(place):
    """The steps of the Dockerfile, with another user's folder mounted: all but the dependencies.

    The lab is installed from what COPY takes, in the environment of ENV, with such a home.
    """
    setpriv = shutil.which("setpriv")
    if os.geteuid() != 0 or setpriv is None:
        pytest.skip("only root can become another user")
    stage, home, work = (place / name for name in ("stage", "home", "work"))
    for folder in (stage, home, work):
        folder.mkdir(mode=0o755)
    for line in re.findall(r"^COPY (?!--)(.*) \S+$", DOCKERFILE, re.M):
        for name in line.split():
            source, ignored = ROOT / name, shutil.ignore_patterns("__pycache__")
            copy = partial(shutil.copytree, ignore=ignored) if source.is_dir() else shutil.copy
            copy(source, stage / name)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--no-compile",
    ]
    wheel = [*pip, "--no-build-isolation", "--target", place / "site", stage]
    assert subprocess.run(wheel, capture_output=True).returncode == 0
    assert 'chmod 1777 "$HOME" && install -d -m 1777 /work' in DOCKERFILE
    home.chmod(0o1777)
    user, commit = 54321, "c0ffee" * 6 + "abcd"
    os.chown(work, user, user)
    variables = dict(
        pair.split("=", 1)
        for line in re.findall(r"^ENV (.*)$", DOCKERFILE, re.M)
        for pair in line.split()
    )
    given = {"HOME": str(home), COMMIT: commit, "PYTHONPATH": str(place / "site")}
    env = {**variables, **given, "PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"}
    # It reads Python, wherever that is, as it would in the image.
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
