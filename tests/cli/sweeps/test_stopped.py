"""What stops a sweep's processes, and what is kept."""

import json
import time
from pathlib import Path

import pytest

from recsys_lab.cli.main import run_command
from recsys_lab.sweeps import worker as sweep_worker
from recsys_lab.sweeps.deadline import Deadline
from recsys_lab.sweeps.launchers.local import Local
from recsys_lab.sweeps.retrain import note_death, work_on_top
from recsys_lab.sweeps.worker_status import WorkerStatus
from tests.cli.flow import COUNTS
from tests.cli.sweeps.test_elsewhere import Waiting
from tests.cli.sweeps.test_faults import DAYS, planned, worker


class Stopped(Waiting):
    """A worker that a fault has stopped."""

    def error_tail(self) -> str:
        return ""


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("noted", [True, False])
def test_a_worker_s_fault_stops_the_others_and_ends_the_command(monkeypatch, capsys, noted):
    jobs = []

    def start(_, number, task):
        jobs.append(Stopped(None if number else 75))
        if not number and noted:  # a full disk may not even take that
            notes = WorkerStatus(Path(f"sweeps/mine/workers/{task.arguments[3]}.json"), time.time())
            notes.tell("stopped", "the moon is full; wait for it")
        if not number and not noted:
            Path(task.log).write_text("stopped: the moon is full; wait for it\n")
        return jobs[-1]

    monkeypatch.setattr(Local, "start", start)
    command = ["sweep", *COUNTS, f"search.params.{DAYS}=choice(1,2,3)", "sweep.name=mine",
               "sweep.pruner=none", "sweep.workers=2"]  # fmt: skip
    assert run_command(command) == 1
    told = capsys.readouterr().err
    assert "the moon is full; wait for it" in told
    assert "finished trials are kept, and the same command resumes unfinished ones" in told
    assert "Traceback" not in told
    assert jobs[1].interrupted


@pytest.mark.usefixtures("shop")
def test_a_storage_that_stays_away_ends_the_command_with_what_was_kept(monkeypatch, capsys):
    from recsys_lab.sweeps.storage.backends import StorageAway
    from recsys_lab.sweeps.study import Study

    def away(_):
        raise StorageAway("the server is gone")

    monkeypatch.setattr(Study, "_trials", away)
    command = ["sweep", *COUNTS, f"search.params.{DAYS}=choice(1,2,3)", "sweep.name=mine",
               "sweep.pruner=none", "sweep.workers=1", "sweep.storage_patience=0"]  # fmt: skip
    assert run_command(command) == 1
    told = capsys.readouterr().err
    assert "the study's storage does not answer: the server is gone" in told
    assert "the same command resumes unfinished ones" in told
    assert "Traceback" not in told


def test_a_source_that_every_trial_reads_must_be_there(shop, capsys):
    (shop / "log.csv").rename("gone.csv")
    kinds = "search.params.split.cold_items=choice(drop,keep)"
    command = ["sweep", *COUNTS, kinds, "sweep.name=mine",
               "sweep.pruner=none", "sweep.workers=1"]  # fmt: skip
    assert run_command(command) == 2
    assert "data.path=log.csv: there is no such file" in capsys.readouterr().err
    assert not list(shop.glob("sweeps/*/trials"))


def test_a_run_of_the_best_that_kills_its_process_is_left_out(shop, monkeypatch):
    plan = planned(shop / "top", n_trials=1, retrain_top_n=1, retrain_seeds=1, max_deaths=2)
    begun = []
    monkeypatch.setattr(sweep_worker, "work_on_top", lambda *_: None)
    worker(plan).run()
    monkeypatch.setattr("recsys_lab.sweeps.retrain.recorded", lambda *_, **__: begun.append(1))
    notes = WorkerStatus(plan.path / "workers/0.json", time.time())
    for times in (1, 2):
        work_on_top(plan, plan.study(0), Quiet(), notes)
        assert len(begun) == times
        name = json.loads(notes.path.read_text())["top"]
        note_death(plan, name, "was killed by SIGKILL")
    work_on_top(plan, plan.study(0), Quiet(), notes)
    assert len(begun) == 2
    notes.tell("done")  # an end after that is none of a run
    assert json.loads(notes.path.read_text())["top"] is None


class Quiet:
    def print(self, *_, **__) -> None:
        pass


def test_the_time_of_a_command_is_over_by_its_own_clock_alone(tmp_path, monkeypatch):
    """A worker on another machine is told by a file; without one it counts by itself."""
    monkeypatch.setattr(time, "time", lambda: 0.0)
    over = tmp_path / "over"
    assert not Deadline(None, over).is_over
    assert Deadline(0.0, over).is_over
    waits = Deadline(3600.0, over)
    assert not waits.is_over
    over.touch()
    monkeypatch.setattr("recsys_lab.sweeps.deadline._LOOK_EVERY", -1.0)
    assert waits.is_over
    over.unlink()
    assert waits.is_over
