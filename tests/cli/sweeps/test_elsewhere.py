"""Sweeps whose workers others start: submitit's local executor, SLURM, a Ray cluster, all here."""

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from types import SimpleNamespace

import optuna
import pytest

from recsys_lab.cli.main import run_command
from recsys_lab.config import UserError, install_hint
from recsys_lab.sweeps.launchers import slurm
from recsys_lab.sweeps.launchers.base import KILLED, Task, run
from recsys_lab.sweeps.launchers.local import Local
from recsys_lab.sweeps.launchers.ray import RayCluster
from recsys_lab.sweeps.launchers.slurm import Slurm
from recsys_lab.sweeps.storage.backends import open_storage
from tests.cli.flow import COUNTS, record, until
from tests.support.slurm import slurm_node

DAYS = "search.params.model.window_days="
SEARCH = [f"{DAYS}choice(1,2,3)", "sweep.sampler=random"]
BASE = ["sweep.name=mine", "sweep.pruner=none", "sweep.workers=2"]
LOCAL = {
    "cluster": "local", "partition": None, "minutes": 5, "gpus": 0, "cpus": 1, "memory_gib": None,
}  # fmt: skip

# What a worker does with the signals that it gets.
STORES = """
import signal, time

def store(*_):
    print("stored", flush=True)
    raise SystemExit(130)

signal.signal(signal.SIGUSR2, signal.SIG_IGN)
signal.signal(signal.SIGTERM, store)
print("begun", flush=True)
time.sleep(300)
"""


@pytest.fixture(scope="module")
def slurm_conf(tmp_path_factory):
    with slurm_node(tmp_path_factory.mktemp("slurm")) as conf:
        yield str(conf)


@pytest.fixture
def slurm_cluster(slurm_conf, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", slurm_conf)


@pytest.fixture
def jobs(tmp_path):
    """Starts code as a job of submitit's local executor, or of SLURM."""
    launchers = {
        name: Slurm(Slurm.Config(**{**LOCAL, "cluster": name}, parameters={}))
        for name in ("local", "slurm")
    }

    def start(code: str, cluster: str = "local") -> slurm._Job:
        task = Task(["-c", code], str(tmp_path / "a.log"), str(tmp_path))
        return launchers[cluster].start(0, task)

    return start


@pytest.fixture
def soon(monkeypatch):
    """SLURM is asked often, and its files are seen at once."""
    monkeypatch.setattr(slurm, "_ASK_EVERY", 0.3)
    monkeypatch.setattr(slurm, "_SLOW_FILES", 0.0)


def queued() -> list[str]:
    """The states of SLURM's jobs."""
    command = ["squeue", "--noheader", "--format=%T"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def ended(job) -> int:
    """Its exit code."""
    until(lambda: job.code() is not None)
    return job.code()


@pytest.mark.parametrize("kind", ["submitit", "slurm", "ray"])
def test_ten_trials(shop, request, kind):
    cluster = {"submitit": "local", "slurm": "slurm"}.get(kind)
    launcher = ["launcher=ray"]
    if cluster:
        options = {"cluster": cluster, "gpus": 0, "cpus": 1}
        launcher = [
            "launcher=slurm",
            *(f"launcher.{key}={value}" for key, value in options.items()),
        ]
    if kind == "slurm":
        request.getfixturevalue("slurm_cluster")
    ten = [f"{DAYS}choice(1,2,3,4,5,6,7,8,9,10)", "sweep.n_trials=10", "sweep.sampler=random"]
    assert run_command(["sweep", *COUNTS, *BASE, *ten, *launcher]) == 0
    storage = open_storage("sweeps/mine/study.journal")
    trials = optuna.load_study(study_name="mine", storage=storage).trials
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 10
    assert sorted(trial.params["model.window_days"] for trial in trials) == list(range(1, 11))
    for trial in trials:
        values = record(f"sweeps/mine/trials/{trial.number:04d}")
        assert values["validation"]["ndcg@10"] == trial.value
    workers = json.loads((shop / "sweeps/mine/sweep.json").read_text())["workers"]
    assert 1 <= len(workers) <= 2  # one that comes late is called off
    assert sum(worker["trials"] for worker in workers) == 10
    assert len({worker["pid"] for worker in workers}) == len(workers)
    assert os.getpid() not in {worker["pid"] for worker in workers}


def test_a_job_says_how_it_ended(jobs, tmp_path):
    assert ended(jobs("print('seen'); raise SystemExit(7)")) == 7
    assert (tmp_path / "a.log").read_text() == "seen\n"


def test_a_job_that_is_gone_counts_as_killed(jobs, tmp_path):
    job, log = jobs(STORES), tmp_path / "a.log"
    until(lambda: log.exists() and log.read_text())
    job.interrupt()
    job.finish()
    assert job.code() == KILLED


@pytest.mark.usefixtures("slurm_cluster", "soon")
def test_a_killed_slurm_job_is_known_without_accounting(jobs, tmp_path):
    job = jobs("import os, time; print(os.getppid(), flush=True); time.sleep(300)", "slurm")
    until(lambda: (tmp_path / "a.log").exists() and (tmp_path / "a.log").read_text().strip())
    assert job.code() is None
    os.kill(int((tmp_path / "a.log").read_text()), signal.SIGKILL)
    assert ended(job) == KILLED
    assert "task 0: Killed" in job.error_tail()


@pytest.mark.usefixtures("slurm_cluster", "soon")
def test_a_slurm_job_stores_where_it_is_before_its_time_limit(jobs, tmp_path):
    job = jobs(STORES, "slurm")
    log = tmp_path / "a.log"
    until(lambda: log.exists() and log.read_text())
    subprocess.run(["scancel", "--signal=USR2", job.job.job_id], check=True)  # as SLURM does then
    assert ended(job) == KILLED
    assert log.read_text() == "begun\nstored\n"
    assert "timed-out" in job.error_tail()


@pytest.mark.usefixtures("slurm_cluster", "soon")
def test_slurm_jobs_are_cancelled_also_where_they_wait(jobs):
    until(lambda: not queued())  # of the tests before
    started = [jobs("import time; time.sleep(300)", "slurm") for _ in range(3)]  # on two CPUs
    until(lambda: sorted(queued()) == ["PENDING", "RUNNING", "RUNNING"])
    for job in started:
        job.interrupt()
    for job in started:
        job.finish()
    assert not queued()


def test_a_ray_task_stores_where_it_is_when_it_is_cancelled(tmp_path):
    launcher, log = RayCluster(RayCluster.Config(None, 0, 1)), tmp_path / "a.log"
    job = launcher.start(0, Task(["-c", STORES], str(log), str(tmp_path)))
    try:
        until(lambda: log.exists() and log.read_text())
        job.interrupt()
        job.finish()
        assert job.code() == KILLED
        assert log.read_text() == "begun\nstored\n"
    finally:
        launcher.close()


@dataclass
class Waiting:
    """A job that never begins; it is dead from the start where it has a code."""

    exit_code: int | None = None
    interrupted: bool = False

    def code(self) -> int | None:
        return self.exit_code

    def interrupt(self) -> None:
        self.interrupted = True

    def finish(self) -> None:
        assert self.interrupted

    def error_tail(self) -> str:
        return "bash: python: not found"


@pytest.mark.usefixtures("shop")
def test_workers_that_never_begin_are_given_up_however_long_they_took(monkeypatch, capsys):
    monkeypatch.setattr("recsys_lab.sweeps.supervisor._QUICK", 0.0)  # as after an hour in the queue
    started = []

    def start(*given):
        task = given[-1]
        started.append(task.arguments[3])
        return Waiting(KILLED)

    monkeypatch.setattr(Local, "start", start)
    assert run_command(["sweep", *COUNTS, *SEARCH, *BASE, "sweep.workers=1"]) == 2
    message = capsys.readouterr().err
    assert "a worker died 3 times (exit code -9)" in message
    assert "bash: python: not found" in message
    assert len(started) == len(set(started)) == 3  # each life has notes of its own


@pytest.mark.usefixtures("shop", "in_process")
def test_a_worker_that_waits_in_a_queue_is_called_off_when_all_is_done(monkeypatch):
    start, waiting = Local.start, Waiting()
    monkeypatch.setattr(
        Local, "start", lambda self, number, task: waiting if number else start(self, number, task)
    )
    assert run_command(["sweep", *COUNTS, *SEARCH, *BASE, "sweep.n_trials=2"]) == 0
    assert waiting.interrupted
    storage = open_storage("sweeps/mine/study.journal")
    trials = optuna.load_study(study_name="mine", storage=storage).trials
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 2


def test_workers_must_be_counted_where_this_machine_says_nothing(shop, capsys):
    command = ["sweep", *COUNTS, *SEARCH, "sweep.pruner=none", "launcher=slurm"]
    assert run_command(command) == 2
    assert "give the number of jobs that launcher=slurm submits" in capsys.readouterr().err
    assert not (shop / "prepared").exists()


@pytest.mark.parametrize(
    ("name", "kind", "config"),
    [
        ("submitit", Slurm, Slurm.Config(**LOCAL, parameters={})),
        ("ray", RayCluster, RayCluster.Config(None, 0, 1)),
    ],
)
def test_what_to_install_is_said(monkeypatch, name, kind, config):
    monkeypatch.setitem(sys.modules, name, None)
    extra = {"submitit": "slurm"}.get(name, name)
    with pytest.raises(UserError, match=re.escape(install_hint(extra))):
        kind(config)


def test_options_reach_sbatch(monkeypatch, tmp_path):
    asked = {}

    class Executor:
        def __init__(self, folder, cluster, slurm_python):
            asked.update(folder=folder, cluster=cluster, python=slurm_python)

        def update_parameters(self, **options):
            asked.update(options)

        def submit(self, function, task):
            asked.update(function=function, task=task)

    monkeypatch.setitem(sys.modules, "submitit", SimpleNamespace(AutoExecutor=Executor))
    config = Slurm.Config("slurm", "gpu", 30, 2, 4, 16.0, {"account": "x"})
    task = Task(["-c", ""], str(tmp_path / "workers" / "a.log"), str(tmp_path))
    Slurm(config).start(0, task)
    assert asked == {
        "folder": tmp_path / "workers" / "jobs", "cluster": "slurm", "name": "recsys-lab",
        "python": f"{sys.executable} -P",
        "timeout_min": 30, "gpus_per_node": 2, "cpus_per_task": 4, "mem_gb": 16.0,
        "slurm_partition": "gpu", "slurm_additional_parameters": {"account": "x"},
        "function": run, "task": task,
    }  # fmt: skip
