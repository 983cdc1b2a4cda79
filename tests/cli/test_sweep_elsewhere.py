"""Sweeps whose workers others start: submitit's local executor, SLURM, a Ray cluster, all here."""

import json
import sys
import time
from types import SimpleNamespace

import optuna
import pytest

from recsys_lab.cli.main import run_command
from recsys_lab.config import UserError
from recsys_lab.sweeps import slurm
from recsys_lab.sweeps.launching import KILLED, Task, run
from recsys_lab.sweeps.ray_cluster import RayCluster
from recsys_lab.sweeps.slurm import Slurm
from recsys_lab.sweeps.storage import open_storage
from tests.slurm import slurm_node

from .flow import COUNTS, in_shop, record

SEARCH = ["search.params.model.window_days=choice(1,2,3,4,5,6,7,8,9,10)", "sweep.sampler=random"]
TEN = ["sweep.name=mine", "sweep.n_trials=10", "sweep.pruner=none", "sweep.workers=2"]
LOCAL = {
    "cluster": "local", "partition": None, "minutes": 5, "gpus": 0, "cpus": 1, "memory_gib": None,
}  # fmt: skip


@pytest.fixture
def shop(tmp_path, monkeypatch):
    with in_shop(tmp_path, monkeypatch):
        yield tmp_path


@pytest.fixture
def slurm_cluster(tmp_path_factory, monkeypatch):
    with slurm_node(tmp_path_factory.mktemp("slurm")) as conf:
        monkeypatch.setenv("SLURM_CONF", str(conf))
        yield


@pytest.fixture
def jobs(tmp_path):
    """Starts code as a job of submitit's local executor."""
    launcher = Slurm(Slurm.Config(**LOCAL, parameters={}))

    def start(code: str) -> slurm._Job:
        return launcher.start(0, Task(["-c", code], str(tmp_path / "a.log"), str(tmp_path)))

    return start


def ended(job, seconds: float = 30.0) -> int:
    """Its exit code."""
    until = time.time() + seconds
    while job.code() is None and time.time() < until:
        time.sleep(0.1)
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
    assert run_command(["sweep", *COUNTS, *SEARCH, *TEN, *launcher]) == 0
    storage = open_storage("sweeps/mine/study.journal")
    trials = optuna.load_study(study_name="mine", storage=storage).trials
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 10
    assert sorted(trial.params["model.window_days"] for trial in trials) == list(range(1, 11))
    for trial in trials:
        values = record(f"sweeps/mine/trials/{trial.number:04d}")
        assert values["validation"]["ndcg@10"] == trial.value
    workers = json.loads((shop / "sweeps/mine/sweep.json").read_text())["workers"]
    assert len(workers) == 2
    assert sum(worker["trials"] for worker in workers) == 10
    assert len({worker["pid"] for worker in workers}) == 2


def test_a_job_says_how_it_ended(jobs, tmp_path):
    assert ended(jobs("print('seen'); raise SystemExit(7)")) == 7
    assert (tmp_path / "a.log").read_text() == "seen\n"


def test_a_job_that_is_gone_counts_as_killed(jobs, monkeypatch):
    monkeypatch.setattr("submitit.core.core.Job._results_timeout_s", 1)  # for slow file systems
    job = jobs("import time; time.sleep(60)")
    while job.job.paths.stdout.exists() is False:
        time.sleep(0.1)
    job.interrupt()
    job.finish()
    assert job.code() == KILLED


def test_workers_must_be_counted_where_this_machine_says_nothing(shop, capsys):
    command = ["sweep", *COUNTS, *SEARCH, "sweep.pruner=none", "launcher=slurm"]
    assert run_command(command) == 2
    assert "say how many jobs launcher=slurm is to submit" in capsys.readouterr().err
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
    with pytest.raises(UserError, match=r"pip install 'recsys-lab\[(slurm|ray)\]'"):
        kind(config)


def test_options_reach_sbatch(monkeypatch, tmp_path):
    asked = {}

    class Executor:
        def __init__(self, folder, cluster):
            asked.update(folder=folder, cluster=cluster)

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
        "timeout_min": 30, "gpus_per_node": 2, "cpus_per_task": 4, "mem_gb": 16.0,
        "slurm_partition": "gpu", "slurm_additional_parameters": {"account": "x"},
        "function": run, "task": task,
    }  # fmt: skip
