"""Every verb meets faults of the machine: no traceback, nothing lost, the same command goes on.

A sample; ``python -m scripts.check_faults`` meets each verb with each fault at many places.
"""

import errno
import os
import signal
import subprocess
import sys

import pytest

from tests.support.faults import Fault, Machine
from tests.support.faults_of_verbs import (
    DONE,
    VERBS,
    Case,
    leftovers,
    prepared_states,
    problems,
    problems_of_damage,
)

FULL = {"errno": errno.ENOSPC, "writes": True}
FAULTS = [
    ("prepare", Fault(room=8)),
    ("prepare", Fault(signal=signal.SIGKILL, at=40)),
    ("train", Fault(room=40)),
    ("train", Fault(**FULL, at=120)),
    ("train", Fault(errno=errno.EIO, at=150)),
    ("train", Fault(signal=signal.SIGKILL, at=140)),
    ("train", Fault(signal=signal.SIGTERM, at=30)),
    ("train", Fault(nobody=True)),
    ("evaluate", Fault(read_only=True)),
    ("explain", Fault(**FULL, at=3)),
    ("compare", Fault(signal=signal.SIGKILL, at=80)),
    ("runs", Fault(errno=errno.EACCES, at=4)),
    ("show", Fault(read_only=True)),
]
DAMAGES = [
    ("train", "run/checkpoints/last.ckpt", "garbage"),
    ("train", "run/run.json", "other"),
    ("train", "run/config.yaml", "a folder"),
    ("evaluate", "run/checkpoints/best.safetensors", "cut"),
    ("evaluate", "run/config.yaml", "other"),
    ("explain", "prepared/*/items.parquet", "a loop"),
    ("compare", "run/test_users.parquet", "other"),
    ("compare", "counts/run.json", "garbage"),
    ("show", "run/slices.parquet", "garbage"),
    ("show", "run/run.json", "a pipe"),
    ("runs", "run/run.json", "empty"),
]


@pytest.fixture(scope="module")
def machine():
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("needs root on Linux: it mounts a file system of its own")
    made = Machine()
    prepared_states(made)
    yield made
    made.close()


@pytest.fixture(scope="module")
def undisturbed(machine):
    known = {}

    def get(name: str) -> Case:
        if name not in known:
            known[name] = Case.undisturbed(machine, VERBS[name], counted=False)
        return known[name]

    return get


@pytest.mark.parametrize(("name", "fault"), FAULTS, ids=str)
def test_a_fault_loses_nothing_and_the_same_command_goes_on(machine, undisturbed, name, fault):
    assert problems(machine, VERBS[name], fault, undisturbed(name)) == []


@pytest.mark.parametrize(("name", "path", "harm"), DAMAGES)
def test_a_damaged_file_is_named(machine, name, path, harm):
    assert problems_of_damage(machine, VERBS[name], path, harm) == []


def test_a_file_system_without_flock(machine):
    machine.back_to(VERBS["fit"].state)
    ended = machine.run(*VERBS["fit"].arguments, fault=Fault(no_flock=errno.ENOLCK))
    assert (ended.code, "Traceback" in ended.said) == (0, False)
    assert leftovers(machine.work) == []


def test_a_list_goes_on_past_what_may_not_be_read(machine):
    machine.back_to(DONE)
    (machine.work / "run/run.json").chmod(0)
    (machine.work / "closed").mkdir(mode=0)
    ended = machine.run(
        "runs", ".", "format=csv", "columns=[folder,status]", fault=Fault(nobody=True)
    )
    assert ended.code == 0
    assert "counts,finished" in ended.said
    assert "run,unreadable" in ended.said
    assert "run/run.json: no permission to read it" in ended.said
    assert "left out: closed: cannot be read (Permission denied)" in ended.said


def test_weights_that_may_not_be_read_are_not_called_missing(machine):
    machine.back_to(DONE)
    (machine.work / "run/checkpoints/best.safetensors").chmod(0o600)
    ended = machine.run("evaluate", "run", fault=Fault(nobody=True))
    assert ended.code == 2
    assert "best.safetensors: no permission to read it" in ended.said


def test_all_files_of_a_run_have_the_mode_of_the_umask(machine):
    machine.back_to(DONE)
    for path in machine.work.rglob("*"):
        wanted = 0o755 if path.is_dir() else 0o644
        assert path.stat().st_mode & 0o777 == wanted, path


def test_a_killed_run_is_shown_as_killed_until_somebody_goes_on(machine):
    train = VERBS["train"]
    machine.back_to(train.state)
    machine.run(*train.arguments, fault=Fault(signal=signal.SIGKILL, at=130))
    listed = machine.run("runs", ".", "all=true", "columns=[folder,status]", "format=csv")
    assert listed.said.split() == ["folder,status", "run,killed"]
    shown = machine.run("show", "run").said
    assert "but it was killed: no process works on it; resume it with" in " ".join(shown.split())


def test_a_card_that_was_never_written_is_written_by_the_same_command(machine):
    machine.back_to(DONE)
    (machine.work / "run/card.html").unlink()
    ended = machine.run(*VERBS["train"].arguments)
    assert ended.code == 0
    assert "this run is finished" in ended.said
    assert (machine.work / "run/card.html").read_text().rstrip().endswith("</html>")


NO_FLOCK = """
import errno, fcntl, os
def flock(*_):
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
fcntl.flock = flock
"""


def test_a_sweep_without_flock(tmp_path, monkeypatch):
    from tests.cli.flow import COUNTS, in_shop

    with in_shop(tmp_path, monkeypatch):
        (tmp_path / "site").mkdir()
        (tmp_path / "site/sitecustomize.py").write_text(NO_FLOCK)
        path = os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")])
        space = "search.params.model.window_days=choice(1.0,2.0)"
        command = [sys.executable, "-m", "recsys_lab", "sweep", *COUNTS, space]
        done = subprocess.run(
            [*command, "sweep.n_trials=2", "sweep.workers=2", "sweep.name=s", "sweep.pruner=none"],
            env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "2 complete" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
