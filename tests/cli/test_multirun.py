"""The jobs of a multirun: side by side on several devices, and a table of what came of them."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from recsys_lab.cli import multirun
from recsys_lab.cli.job_table import print_jobs
from recsys_lab.cli.main import run_command
from recsys_lab.cli.multirun import Jobs, take_jobs
from recsys_lab.cli.output import RunFailed
from recsys_lab.config import Interrupted, UserError
from recsys_lab.experiment.tracked import start_of
from recsys_lab.pages.terminal import Terminal
from recsys_lab.runs.record import RunRecord
from recsys_lab.sweeps.launchers import local
from tests.cli.flow import COUNTS
from tests.comparison.made_runs import config, results, write_run


@pytest.mark.usefixtures("shop")
def test_a_multirun_ends_with_a_table_and_its_trackers_tell_the_jobs_apart(capsys):
    command = ["train", *COUNTS, "--multirun", "seed=3,4", "run_dir=runs/day/many", "name=counts"]
    assert run_command(command) == 0
    out = capsys.readouterr().out
    table = out[out.rindex("job ") :].splitlines()
    rows = [line.split() for line in table[2:] if line.strip()]
    records = [RunRecord.load(Path(f"runs/day/many/{number}")) for number in range(2)]
    values = [f"{record.values['test']['ndcg@10']:.4f}" for record in records]
    assert [row[:2] for row in rows] == [["0", "3"], ["1", "4"]]
    assert [row[-2:] for row in rows] == [[v, f"many/{n}"] for n, v in enumerate(values)]
    names = [start_of(record, "train").name for record in records]
    assert names == ["counts seed=3", "counts seed=4"]
    assert {record.values["name"] for record in records} == {"counts"}  # compare by=name
    assert run_command(["show", "many/1"]) == 0
    assert multirun.LABEL not in os.environ


class Devices:
    """Stands in for the start of processes: each ends when it is told to."""

    def __init__(self, monkeypatch, count):
        self.started, self.ended, self.signalled = [], {}, []
        monkeypatch.setattr(local, "visible_devices", lambda: [str(n) for n in range(count)])
        monkeypatch.setattr(local, "begin", self.begin)
        monkeypatch.setattr(local, "end", lambda process: self.signalled.append(process.number))
        monkeypatch.setattr(multirun, "_POLL", 0)
        monkeypatch.setattr(multirun.time, "sleep", self.sleep)

    def begin(self, task, own_group):
        assert own_group
        number = len(self.started)
        self.started.append(task)
        return SimpleNamespace(
            number=number, poll=lambda: self.ended.get(number), send_signal=lambda _: None
        )

    def sleep(self, _):
        """Whenever the command waits, the oldest process ends; the third one fails."""
        number = next(n for n in range(len(self.started)) if n not in self.ended)
        job = Path(self.started[number].log)
        folder = "elsewhere" if number == 1 else str(job.parent)
        lines = ["recsys-lab: model.d: got 3"] if number == 2 else ["table", f"run: {folder}"]
        job.write_text("\n".join(lines))
        self.ended[number] = 2 if number == 2 else 0


def arguments(*overrides, config_dir=None):
    return SimpleNamespace(overrides=list(overrides), config_dir=config_dir)


def test_jobs_share_the_devices_and_each_has_its_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    devices = Devices(monkeypatch, 2)
    typed = ["seed=0,1,2,3", "model=sasrec", "hydra.sweep.dir='many'", "hydra.searchpath=[x]"]
    jobs = multirun.jobs_of("auto", arguments(*typed, config_dir="mine"))
    assert jobs.count == 2
    told = "2 jobs at a time, on the GPUs 0, 1 (launcher.jobs=2); each one's output is in"
    assert told in capsys.readouterr().err
    for number in range(4):
        overrides = [f"seed={number}", "model=sasrec", "run_dir=many"]
        jobs.start(jobs.add(overrides, tmp_path / f"many/{number}"))
        assert len(devices.started) - len(devices.ended) <= 2
    jobs.wait()
    gpus = [task.environment["CUDA_VISIBLE_DEVICES"] for task in devices.started]
    assert gpus == ["0", "1", "0", "1"]
    assert [task.environment[multirun.LABEL] for task in devices.started] == [
        f"seed={number}" for number in range(4)
    ]
    words = devices.started[3].arguments
    assert words[:5] == ["-m", "recsys_lab", "train", "seed=3", "model=sasrec"]
    assert words[5:] == [
        "group='many'", f"run_dir='{tmp_path}/many/3'", "hydra.searchpath=[x]", "--config-dir",
        "mine",
    ]  # fmt: skip
    assert [job.failure for job in jobs.all] == [
        None, None, "exit code 2: recsys-lab: model.d: got 3", None,
    ]  # fmt: skip
    assert jobs.all[1].folder == Path("elsewhere")  # as resume=auto found it
    [error] = jobs.failures
    assert isinstance(error, UserError)
    assert "job 2 failed: exit code 2: recsys-lab: model.d: got 3; its log: " in (
        capsys.readouterr().err
    )
    write_run(tmp_path / "elsewhere", {"ndcg@10": results(40, 0)}, config=config())
    print_jobs(jobs, Terminal(width=70))
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["2", "2", "failed", "many/2"] in rows
    [row] = [row for row in rows if row[-1:] == ["elsewhere"]]
    assert row[:3] == ["1", "1", "finished"]


@pytest.mark.parametrize(("check", "key"), [(None, "resume"), (0.01, "from")])
def test_an_interruption_ends_all_of_them(check, key, tmp_path, monkeypatch):
    config = {"seed": 0, "recipe": {"overfit_loss": check}}
    RunRecord.create(tmp_path / "0", name="m", config=config)  # the other one had not begun
    devices = Devices(monkeypatch, 2)
    jobs = multirun.jobs_of(2, arguments("seed=0,1"))
    for number in range(2):
        jobs.start(jobs.add([f"seed={number}"], tmp_path / str(number)))

    def stopped(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(multirun.time, "sleep", stopped)
    with pytest.raises(Interrupted, match=f"train {key}={tmp_path}/0\nNot begun: job 1; "):
        jobs.wait()
    assert devices.signalled == [0, 1]


def test_one_device_or_hydras_own_launcher_means_this_process(monkeypatch):
    Devices(monkeypatch, 1)
    assert multirun.jobs_of("auto", arguments("seed=0,1")).launcher is None
    assert multirun.jobs_of(1, arguments("seed=0,1")).launcher is None
    Devices(monkeypatch, 4)
    assert multirun.jobs_of("auto", arguments("seed=0,1", "hydra/launcher=basic")).launcher is None
    assert multirun.jobs_of("auto", arguments("seed=0,1")).count == 4
    assert multirun.jobs_of(3, arguments("seed=0,1")).count == 3


def test_what_a_process_ends_with_is_the_commands_end():
    job = Jobs().add(["seed=0"], Path("x"))
    assert isinstance(multirun._error(job, 1), RunFailed)
    assert isinstance(multirun._error(job, -9), RunFailed)


def test_the_number_of_jobs_is_checked_and_is_not_in_the_config(capsys):
    assert take_jobs(["a=1", "launcher.jobs=3"], multirun=True) == (3, ["a=1"])
    assert take_jobs(["a=1"], multirun=False) == ("auto", ["a=1"])
    for text in ("0", "many", "-1", ""):
        with pytest.raises(UserError, match="expected an int >= 1 or auto, got"):
            take_jobs([f"launcher.jobs={text}"], multirun=True)
    assert run_command(["train", "launcher.jobs=2"]) == 2
    assert "launcher.jobs=2: is for the jobs of --multirun" in capsys.readouterr().err
    assert run_command(["sweep", "search=sasrec", "launcher.jobs=2"]) == 2
    assert "launcher" in capsys.readouterr().err


def test_a_job_is_labelled_by_its_values_without_marks_of_the_grammar():
    """As typed: a path needs no quotes there, and a key that a stored config lacks no plus."""
    jobs = Jobs(["data.path", "model.new", "model", "model.sizes"])
    given = ["data.path='a b.csv'", "++model.new=3", "model=gru4rec", "seed=1", "model.sizes=[1,2]"]
    job = jobs.add(given, Path("x"))
    assert jobs.label(job) == "data.path=a b.csv model.new=3 model=gru4rec model.sizes=[1,2]"
