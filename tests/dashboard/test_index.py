"""What the dashboard knows of the files: runs, their status, sweeps; read again where changed."""

import errno
import itertools
import os
import shutil
import time
from types import SimpleNamespace
from urllib.parse import parse_qs

import pytest

from recsys_lab.dashboard import index as index_module
from recsys_lab.dashboard.index import Index, epochs_of
from recsys_lab.dashboard.query import Query, grouped, selected
from recsys_lab.dashboard.scan import scan
from recsys_lab.dashboard.studies import comparisons_of, sweeps_of
from recsys_lab.files.locks import hold
from recsys_lab.runs.epochs import write_epochs
from recsys_lab.runs.find import run_folders
from recsys_lab.runs.listing import list_runs
from tests.comparison.made_runs import config
from tests.dashboard.made import TOKEN, aged, history, running, write_record


def indexed(folder):
    index = Index(folder)
    index.refresh(60)
    return index


def runs_of(index):
    time.sleep(0.05)  # after a look, the files are left alone for a moment
    index.refresh(60)
    return {run.row["folder"]: run for run in index.snapshot().runs}


def test_the_runs_are_those_of_the_other_verbs(folder):
    assert scan(folder).runs == list(run_folders(folder))
    rows = {row["folder"]: row for row in list_runs(folder)}
    mine = {run.row["folder"]: run.row for run in runs_of(indexed(folder)).values()}
    assert set(mine) == set(rows)
    for where in ("compared/sas", "search/2026-11-03/0002", "live/interrupted"):
        for name, value in rows[where].items():
            if isinstance(value, str | int | float):
                assert mine[where][name] == value, name


def test_records_are_read_again_only_where_they_changed(five_hundred):
    index = Index(five_hundred)
    index.refresh(60)
    before = index.snapshot()
    time.sleep(1)
    spent = time.process_time()
    index.refresh(60)
    assert time.process_time() - spent < 0.2
    assert index.snapshot() is before


def test_the_first_answer_does_not_wait_for_all_records(five_hundred, monkeypatch):
    seconds = itertools.count()
    clock = SimpleNamespace(monotonic=lambda: float(next(seconds)))  # a look at it takes a second
    monkeypatch.setattr(index_module, "time", clock)
    index = Index(five_hundred)
    index.refresh(100)
    assert 300 < index.unread == 500 - len(index.snapshot().runs) < 500
    index.refresh(1000)
    assert (index.unread, len(index.snapshot().runs)) == (0, 500)


def test_a_record_that_changes_is_read_again_and_one_that_goes_is_forgotten(tmp_path):
    write_record(tmp_path / "a", config())
    index = indexed(tmp_path)
    [run] = runs_of(index).values()
    assert (run.row["status"], run.row["test/ndcg@10"]) == ("finished", 0.1)
    assert index.snapshot().differing == []
    text = (tmp_path / "a/run.json").read_text()
    (tmp_path / "a/run.json").write_text(text[:100])  # half of a copy
    [run] = runs_of(index).values()
    assert run.row["status"] == "unreadable"
    assert run.note.startswith("run.json: not a run record")
    (tmp_path / "a/run.json").write_text(text)
    write_record(tmp_path / "b", config(model__num_layers=5))
    assert [run.row["status"] for run in runs_of(index).values()] == ["finished"] * 2
    assert index.snapshot().differing == ["model.num_layers"]
    shutil.rmtree(tmp_path / "a")
    assert list(runs_of(index)) == ["b"]
    assert index.snapshot().differing == []


class TestStatus:
    def test_of_a_run_of_this_machine(self, tmp_path):
        path = running(tmp_path / "a", config(), 2)
        with hold(path / ".lock", wait=False):
            [run] = runs_of(indexed(tmp_path)).values()
            assert (run.row["status"], run.note, run.epochs) == ("running", "", 2)
            assert run.row["latest"] == pytest.approx(0.1 * (1 - 0.9**2))

    def test_of_a_copy_from_a_machine_on_which_it_goes_on(self, tmp_path):
        running(tmp_path / "box/a", config(), 2)
        aged(tmp_path / "box/a", 130)
        shutil.copytree(tmp_path / "box", tmp_path / "here")  # with the times, as rsync -a
        index = indexed(tmp_path / "here")
        [run] = runs_of(index).values()
        said = "no process on this machine; last written 2 min ago"
        assert (run.row["status"], run.note) == ("running", said)
        write_epochs(tmp_path / "here/a", history(3), 2)
        [run] = runs_of(index).values()
        assert (run.epochs, run.note) == (3, "no process on this machine; written just now")

    def test_of_a_run_that_was_killed(self, tmp_path):
        aged(running(tmp_path / "a", config(), 2), 3600)
        [run] = runs_of(indexed(tmp_path)).values()
        assert (run.row["status"], run.note) == ("killed", "last written 1 h ago")

    def test_of_a_run_with_long_epochs(self, tmp_path):
        hours = {"seconds": 2 * 7200.0, "prepare_seconds": 0.0, "peak_memory_mebibytes": 1.0}
        aged(running(tmp_path / "a", config(), 2, compute=hours), 3600)
        [run] = runs_of(indexed(tmp_path)).values()
        assert run.row["status"] == "running"

    def test_follows_the_time_without_a_change_of_the_files(self, tmp_path, monkeypatch):
        running(tmp_path / "a", config(), 2)
        index = indexed(tmp_path)
        assert [run.row["status"] for run in runs_of(index).values()] == ["running"]
        now = time.time
        monkeypatch.setattr(time, "time", lambda: now() + 7200)
        assert [run.row["status"] for run in runs_of(index).values()] == ["killed"]


def test_a_copy_with_an_older_file_of_epochs_has_those_of_its_record(tmp_path):
    path = write_record(tmp_path / "a", config())
    write_epochs(path, history(12), 0)  # left over by a copy without --delete
    [run] = runs_of(indexed(tmp_path)).values()
    assert run.epochs == 30
    assert len(epochs_of(run)) == 30


def test_secrets_of_records_that_others_wrote(tmp_path):
    odd = config(notes=f"password={TOKEN}", tags=[TOKEN], model__api_key="a-b-c-d-e-f", name=TOKEN)
    odd["model"][TOKEN] = 1
    write_record(tmp_path / TOKEN, odd, name=TOKEN)
    text = repr([run.row for run in runs_of(indexed(tmp_path)).values()])
    assert TOKEN not in text
    assert "a-b-c-d-e-f" not in text
    assert "***" in text


def test_thousands_of_settings_that_differ(tmp_path):
    for number in range(4):
        made = config(seed=number)
        made["model"] |= {f"key_{key}": number * key for key in range(3000)}
        write_record(tmp_path / str(number), made)
    index = indexed(tmp_path)
    assert len(index.snapshot().runs) == 4
    assert len(index.snapshot().differing) == 2999  # 0 * number does not differ


def test_sweeps_have_their_runs_by_status(folder):
    index = indexed(folder)
    [sweep] = sweeps_of(index.found, folder, index.snapshot().runs)
    assert (sweep.folder, sweep.trials, sweep.has_report) == ("sweep", 40, True)
    assert sweep.counts == {"finished": 3, "pruned": 1}


def test_words_and_conditions_select(folder):
    snapshot = indexed(folder).snapshot()

    def found(where):
        return {run.row["folder"] for run in selected(snapshot, Query(where=where)).runs}

    assert found("sweep=sweep") == {f"sweep/trials/000{number}" for number in range(4)}
    assert found("hunt, status=pruned") == {"sweep/trials/0003"}
    assert found("Popularity") == {"compared/pop"}
    assert found("model=gru4rec") == {"compared/other"}
    assert len(found("")) == len(found(" , ")) == 33
    wrong = selected(snapshot, Query(where="seed>x"))
    assert wrong.problem.startswith("where: 'seed>x': > compares numbers")
    assert len(wrong.runs) == 33


def test_groups_are_in_order(tmp_path):
    for number, layers in enumerate((10, 2, None, 2)):
        write_record(tmp_path / str(number), config(model__num_layers=layers))
    runs = list(runs_of(indexed(tmp_path)).values())
    groups = [(label, len(members)) for label, members in grouped(runs, "model.num_layers")]
    assert groups == [("2", 2), ("10", 1), ("", 1)]


def test_a_query_survives_its_address():
    query = Query(where="a=b,c", add=("x&y",), hide=("z",), run=("1", "2"), rows=7)
    assert Query.of(parse_qs(query.link()[1:])) == query
    assert Query().link() == "?"


def test_a_folder_that_cannot_be_read_is_told(tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    write_record(tmp_path / "open", config())
    real = os.scandir

    def guarded(path):
        if path == str(tmp_path / "closed"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return real(path)

    monkeypatch.setattr(os, "scandir", guarded)
    found = scan(tmp_path)
    assert found.closed == [(tmp_path / "closed", "Permission denied")]
    assert found.runs == [tmp_path / "open"]


def test_other_files_with_the_names_of_the_lab(tmp_path):
    texts = {"plan.json": "[1]", "sweep.json": "{", "comparison.json": '{"systems": 3}'}
    for number, (name, text) in enumerate(texts.items()):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / name).write_text(text)
    found = indexed(tmp_path).found
    assert [one.trials for one in sweeps_of(found, tmp_path, [])] == [None, None]
    assert [one.systems for one in comparisons_of(found, tmp_path)] == [()]
