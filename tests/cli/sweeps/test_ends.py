"""How trials and sweeps end: an error of the trial, its process's death, a machine's fault."""

import errno
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from recsys_lab.cli.main import run_command
from recsys_lab.data.prepared import NotWhole
from recsys_lab.files.faults import MachineFault
from recsys_lab.runs.record import Busy
from recsys_lab.sweeps import faults as sweep_faults
from recsys_lab.sweeps import worker as sweep_worker
from recsys_lab.sweeps.storage.backends import open_storage
from tests.cli.flow import COUNTS
from tests.cli.sweeps.test_faults import DAYS, planned, worker

MODEL = """
import os, pathlib, signal
from recsys_lab.models.classical.popularity import Popularity

class NotAnException(BaseException):
    pass

class Faulty(Popularity):
    def fit(self, data):
        days = int(self.config.window_days)
        if days == 1:
            os.kill(os.getpid(), signal.SIGSEGV)
        if days == 2:
            os._exit(0)
        if days == 3:
            raise SystemExit(4)
        if days == 4:
            raise NotAnException("a library's own")
        if days == 5:
            pathlib.Path("mine.csv").read_text()
        super().fit(data)
"""


def test_trials_that_end_their_process_fail_and_the_others_go_on(shop, monkeypatch, capfd):
    """One command with one worker: a crash, a silent exit, what is no `Exception`, a lost file."""
    (shop / "conf/model").mkdir(parents=True)
    target = "_target_: faulty_model.Faulty\nwindow_days: null\ncategory_feature: null\n"
    (shop / "conf/model/faulty.yaml").write_text(target)
    (shop / "faulty_model.py").write_text(MODEL)
    monkeypatch.syspath_prepend(shop)
    paths = os.pathsep.join([str(shop), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", paths)
    monkeypatch.setenv("RECSYS_LAB_ALLOWED_TARGETS", "faulty_model")
    base = [text for text in COUNTS if not text.startswith("model=")]
    command = [
        "sweep", "--config-dir", "conf", "model=faulty", *base, "sweep.name=mine",
        f"search.params.{DAYS}=choice(1,2,3,4,5,6,7)", "sweep.sampler=grid", "sweep.pruner=none",
        "sweep.n_trials=7", "sweep.workers=1", "sweep.max_deaths=2",
    ]  # fmt: skip
    assert run_command(command) == 0
    storage = open_storage("sweeps/mine/study.journal")
    trials = optuna.load_study(study_name="mine", storage=storage).trials
    ended = {
        trial.params[DAYS]: trial.user_attrs.get("cause", trial.state.name) for trial in trials
    }
    assert ended == {
        1: "its process was killed by SIGSEGV 2 times",
        2: f"its process {ended[2][12:]}",
        3: "SystemExit: 4",
        4: "NotAnException: a library's own",
        5: "FileNotFoundError: [Errno 2] No such file or directory: 'mine.csv'",
        6: "COMPLETE",
        7: "COMPLETE",
    }
    assert ended[2].startswith("its process ended with exit code 0 2 times")
    failures = json.loads((shop / "sweeps/mine/sweep.json").read_text())["failures"]
    assert sorted(failures.values()) == sorted(ended[days] for days in range(1, 6))
    report = (shop / "sweeps/mine/report.md").read_text()
    assert "its process was killed by SIGSEGV 2 times" in report
    assert "the process of trial" in capfd.readouterr().out


def failing(monkeypatch, error: BaseException) -> None:
    """Every trial ends with an error."""

    def recorded(*_):
        raise error

    monkeypatch.setattr(sweep_worker, "recorded", recorded)


FULL = RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 704 vs 598")
FULL.__context__ = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "x/run.json"), "x/run.json: No space"),
        (FULL, "No space left on device"),
        (OSError(errno.EIO, "Input/output error"), "check the machine"),
        (Busy("x: another process works on this run"), "another process works on this run"),
    ],
    ids=["full", "full in torch", "broken", "held"],
)
def test_a_fault_of_the_machine_gives_the_trial_back(shop, monkeypatch, error, said):
    failing(monkeypatch, error)
    plan = planned(shop / "fault", n_trials=5)
    for stop in (1, 2):
        with pytest.raises(MachineFault, match=said):
            worker(plan).run()
        [trial] = plan.study(0).trials()
        assert trial.state.name == "RUNNING"
        assert trial.user_attrs["owner"] is None
        assert (trial.user_attrs["released"], trial.user_attrs["attempts"]) == (stop, stop)
        assert "cause" not in trial.user_attrs


def test_a_trial_of_which_the_storage_has_lost_all_leaves_its_folder(shop):
    plan = planned(shop / "lost", n_trials=1)
    for number in (1, 2):
        old = plan.trial_folder(0)
        old.mkdir(parents=True)
        (old / "run.json").write_text("another trial's")
        worker(plan).run()
        assert [trial.state.name for trial in plan.study(0).trials()] == ["COMPLETE"]
        assert (old.with_name(f"0000-lost{number}") / "run.json").read_text() == "another trial's"
        Path(plan.storage).unlink()
        shutil.rmtree(old)


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "No such file or directory", "mine.csv"),
        PermissionError(errno.EACCES, "Permission denied", "mine.csv"),
        NotWhole(Path("another"), "items.npy is missing"),
        SystemExit(1),
        ValueError("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_trial_s_own_error_fails_it_alone(shop, monkeypatch, error):
    failing(monkeypatch, error)
    plan = planned(shop / "own", n_trials=2)
    worker(plan).run()
    assert [trial.state.name for trial in plan.study(0).trials()] == ["FAIL", "FAIL"]


def test_any_error_while_what_all_trials_share_is_gone_is_no_trial_s(shop, monkeypatch):
    """Whatever it says: here the dataset, the source, the folder of the sweep, the journal."""
    plan = planned(shop / "shared", n_trials=5)
    log = (shop / "log.csv").absolute()
    prepared = {"folder": str(shop / "nowhere"), "fingerprint": "f", "config": {}}
    plan.study(0)
    found = [
        sweep_faults.unwell(replace(plan, prepared=prepared)),
        sweep_faults.unwell(replace(plan, source=str(log))),
        sweep_faults.unwell(replace(plan, source=str(log.with_name("gone.csv")))),
    ]
    assert "the prepared dataset of all trials is damaged: " in found[0]
    assert found[1] is None
    assert "gone.csv: No such file or directory (error 2); restore it" in found[2]
    failing(monkeypatch, ValueError("a reader's own words"))
    on_data = planned(shop / "on_data", n_trials=5)
    on_data = replace(on_data, prepared=prepared)
    with pytest.raises(MachineFault, match="the prepared dataset of all trials is damaged"):
        worker(on_data).run()
    assert [trial.state.name for trial in on_data.study(0).trials()] == ["RUNNING"]
    journal = Path(plan.storage)
    journal.rename(journal.with_name("away"))
    assert "study.journal: No such file" in sweep_faults.unwell(plan)
    journal.with_name("away").rename(journal)
    assert sweep_faults.unwell(plan) is None
    assert "restore it" in sweep_faults.unwell(replace(plan, folder=str(shop / "no")))


def test_a_folder_that_cannot_be_made_is_not_said_to_be_missing(shop):
    plan = replace(planned(shop / "plan", n_trials=1), folder=str(shop / "no"))
    error = OSError(errno.EROFS, "Read-only file system", plan.folder)
    assert "Read-only file system" in sweep_faults.fault_of(error, plan)


def test_a_folder_that_takes_no_file_is_unwell(shop, monkeypatch):
    plan = planned(shop / "full")
    plan.study(0)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    told = sweep_faults.unwell(plan)
    assert told.startswith(f"{plan.folder}: No space left on device")
