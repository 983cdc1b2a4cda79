"""What goes wrong around a sweep: changed data, other storages, deadlines, hiccups, deaths."""

import json
import os
import stat
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf
from rich.console import Console
from sqlalchemy.exc import OperationalError

from recsys_lab.cli.main import run_command
from recsys_lab.cli.verbs import sweep
from recsys_lab.config import config_dir, config_values
from recsys_lab.files.faults import MachineFault
from recsys_lab.sweeps import supervisor as sweep_parent
from recsys_lab.sweeps import worker as sweep_worker
from recsys_lab.sweeps import worker_status as sweep_notes
from recsys_lab.sweeps.deadline import Deadline
from recsys_lab.sweeps.launchers import local
from recsys_lab.sweeps.launchers.base import Task, begin
from recsys_lab.sweeps.launchers.local import Local
from recsys_lab.sweeps.plan import Plan
from recsys_lab.sweeps.results import idle
from recsys_lab.sweeps.worker_status import WorkerStatus
from tests.cli.flow import COUNTS, SMALL, record
from tests.support.postgres import free_port

DAYS = "model.window_days"
TWENTY = "choice(1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20)"
COMMAND = ["sweep", *COUNTS, f"search.params.{DAYS}=choice(1,2,3)", "sweep.name=mine",
           "sweep.pruner=none", "sweep.workers=1"]  # fmt: skip


def planned(folder: Path, base=COUNTS, params=None, **options) -> Plan:
    """A plan of one trial, and what its workers need."""
    usual = OmegaConf.load(config_dir() / "sweep.yaml").sweep
    usual.name = "mine"
    plan = Plan(
        folder=str(folder),
        storage=str(folder / "study.journal"),
        options=config_values(usual) | {"n_trials": 1, "pruner": "none", **options},
        params=params or {DAYS: TWENTY},
        base=base,
        config_dir=None,
    )
    plan.store()
    (plan.path / "workers").mkdir()
    return plan


def worker(plan: Plan, seconds: float | None = None) -> sweep_worker.Worker:
    """One in this process."""
    notes = WorkerStatus(plan.path / "workers/0.json", time.time())
    return sweep_worker.Worker(plan, "0", Deadline(seconds), notes)


@pytest.mark.usefixtures("in_process")
def test_data_are_prepared_once_and_never_changed(shop, capsys):
    assert run_command([*COMMAND, "sweep.n_trials=1"]) == 0
    file = shop / "sweeps/mine/plan.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    plan = Plan.load(file)
    first = record("sweeps/mine/trials/0000")["data"]
    assert plan.prepared["fingerprint"] == first["fingerprint"]
    # A worker does not look at the source, not even for the runs of the best.
    log = Path("log.csv")
    log.rename("gone.csv")
    worker(replace(plan, options={**plan.options, "n_trials": 2, "retrain_top_n": 1})).run()
    tops = [path.name for path in (shop / "sweeps/mine/top").iterdir()]
    assert len(tops) == 3
    for name in ("trials/0001", *(f"top/{top}" for top in tops)):
        assert record(shop / "sweeps/mine" / name)["data"] == first
        assert record(shop / "sweeps/mine" / name)["status"] == "finished"
    Path("gone.csv").rename(log)
    with log.open("a") as rows:
        rows.write("u1,i1,99999\n")
    capsys.readouterr()
    assert run_command([*COMMAND, "sweep.n_trials=3"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "the data have changed since the sweep 'mine' began (fingerprint " in said
    assert first["fingerprint"] in said
    assert len(plan.study(0).trials()) == 2


def test_a_dataset_of_another_config_is_not_taken(shop):
    plan = planned(shop / "one")
    cfg = plan.composed([])
    prepared = {"folder": "x", "fingerprint": "y", "config": sweep.data_config(cfg)}
    plan = replace(plan, prepared=prepared)
    assert plan.prepared_for(plan.composed([f"{DAYS}=3"])) == Path("x")
    assert plan.prepared_for(plan.composed(["data.path=other.csv"])) is None


@pytest.mark.usefixtures("shop", "in_process")
def test_a_folder_belongs_to_one_study(capsys):
    assert run_command([*COMMAND, "sweep.n_trials=1"]) == 0
    assert run_command([*COMMAND, "sweep.n_trials=1", "sweep.storage=other.journal"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "has the runs of another study than 'mine' in this storage" in said
    assert "Use the storage that the folder's sweep began with, or another sweep.name" in said
    Path("sweeps/mine/study.id").unlink()  # of an older sweep
    Path("sweeps/mine/study.journal").unlink()
    assert run_command([*COMMAND, "sweep.n_trials=1"]) == 2
    assert len(list(Path("sweeps/mine/trials").iterdir())) == 1


@pytest.mark.usefixtures("shop")
def test_a_server_that_does_not_answer_is_told(capfd):
    url = f"postgresql://me:s3cret@127.0.0.1:{free_port()}/db"
    assert run_command([*COMMAND, f"sweep.storage={url}"]) == 2
    told = capfd.readouterr()
    assert "me:***@127.0.0.1" in told.err
    assert "cannot be opened" in told.err
    assert "s3cret" not in told.err + told.out


def test_the_timeout_stops_a_training_and_stores_it(shop):
    base = [*SMALL, "tracking=none", "recipe.max_epochs=100000", "recipe.patience=null"]
    plan = planned(shop / "late", base, {"model.hidden_dim": "choice(4,8)"})
    worker(plan, 8.0).run()  # ends by itself, long before its epochs do
    study = plan.study(0)
    [trial] = study.trials()
    assert trial.state.name == "RUNNING"
    assert trial.user_attrs["released"] == 1
    run = shop / "late/trials/0000"
    assert record(run)["status"] == "interrupted"
    assert (run / "checkpoints/last.ckpt").exists()
    again = study.claim(1)
    assert (again.trial.number, again.attempts) == (0, 2)


def test_the_same_command_elsewhere_proposes_the_same_points(shop, monkeypatch):
    """Given the same results; that runs of one config have the same is not asked here."""

    def recorded(cfg, *_):
        quality = 1 / (1 + abs(cfg.model.window_days - 7))
        return SimpleNamespace(values={"validation": {"ndcg@10": quality}, "epochs": []})

    monkeypatch.setattr(sweep_worker, "recorded", recorded)
    points = []
    for name in ("one", "two"):
        plan = planned(shop / name, n_trials=13, sampler="tpe")
        worker(plan).run()
        points.append([trial.params for trial in plan.study(0).trials()])
    assert len(points[0]) == 13
    assert points[0] == points[1]
    other = planned(shop / "three", n_trials=3, sampler="tpe", seed=1)
    worker(other).run()
    assert [trial.params for trial in other.study(0).trials()] != points[0][:3]


def test_a_storage_that_is_away_is_no_fault_of_the_trial(shop, monkeypatch):
    def away(*_):
        raise OperationalError("INSERT", {}, Exception("server closed the connection"))

    monkeypatch.setattr(sweep_worker, "recorded", away)
    plan = planned(shop / "away")
    with pytest.raises(MachineFault, match=r"storage does not answer: server closed"):
        worker(plan).run()
    assert [trial.state.name for trial in plan.study(0).trials()] == ["RUNNING"]


def test_a_fitted_model_has_parameters(shop):
    plan = planned(shop / "size", objectives=["parameters"])
    worker(plan).run()
    [trial] = plan.study(0).trials()
    assert trial.value == record(shop / "size/trials/0000")["parameters"] > 0


class Ended:
    """A job that did all it had to do."""

    def code(self) -> int:
        return 0

    def error_tail(self) -> str:
        return ""


def test_the_runs_of_the_best_have_all_workers(shop, monkeypatch):
    plan = planned(shop / "top", n_trials=2, retrain_top_n=2, retrain_seeds=2)
    monkeypatch.setattr(sweep_worker, "work_on_top", lambda *_: None)
    worker(plan).run()
    study = plan.study(0)
    parent = sweep_parent.Parent(plan, Path("plan.json"), study, Console(), None, 3)
    started = []
    monkeypatch.setattr(parent, "_start", lambda number: started.append(number) or _worker(number))
    parent.work()
    assert started == [0, 1, 2]


def _worker(number: int) -> sweep_parent._Worker:
    return sweep_parent._Worker(number, str(number), Ended())


def test_deaths_before_a_finished_trial_do_not_count(shop, monkeypatch):
    plan = planned(shop / "deaths")
    parent = sweep_parent.Parent(plan, Path("plan.json"), plan.study(0), Console(), None, 1)
    monkeypatch.setattr(parent, "_start", lambda _, deaths: deaths)
    job = Ended()
    job.code = lambda: 1
    dying = sweep_parent._Worker(0, "w", job, deaths=2)
    note = shop / "deaths/workers/w.json"
    state = {"trials": 1, "now": 100.0, "ready": 0.0, "doing": "trial 3"}
    note.write_text(json.dumps(state))
    assert parent._check_worker(dying) == 1
    assert json.loads(note.read_text()) == {**state, "doing": "died"}


def test_a_note_is_never_old(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep_notes, "EVERY", 0.02)
    notes = WorkerStatus(tmp_path / "w.json", time.time())
    with notes.written(), notes.busy_with("trial 0"):
        time.sleep(1.0)
        state = json.loads((tmp_path / "w.json").read_text())
    assert state["now"] - state["began"] > 0.5
    assert idle(state) < 0.2
    notes.tell("done")
    assert json.loads((tmp_path / "w.json").read_text())["since"] is None


def test_workers_by_the_cores_that_may_be_used(monkeypatch):
    monkeypatch.setattr(local, "visible_devices", list)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    assert Local(Local.Config()).count("auto") == 3


def test_a_worker_does_not_hear_the_terminal(tmp_path):
    code = "import os; print(os.environ['RECSYS_LAB_SWEEP_PARENT'], os.getpgid(0) == os.getpid())"
    task = Task(["-c", code], str(tmp_path / "log"), str(tmp_path))
    for own in (True, False):
        process = begin(task, own_group=own)
        process.wait(timeout=300)
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines == [f"{os.getpid()} True", f"{os.getpid()} False"]
