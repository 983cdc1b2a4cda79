"""Tests of the list of runs and of one run in full."""

import csv
import io
import json
import sys
from contextlib import contextmanager

import polars as pl
import pytest
from rich.console import Console

from recsys_lab.config import UserError
from recsys_lab.runs.listing import as_csv, as_json, csv_columns, list_runs, select
from recsys_lab.runs.record import RunRecord
from recsys_lab.runs.run_table import as_table, constant, failures, usual_columns
from recsys_lab.runs.summary import print_run, warnings
from tests.comparison.made_runs import config, results, two_systems, write_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = two_systems(tmp_path_factory.mktemp("list"), users=40)
    (made / "broken").mkdir()
    (made / "broken/run.json").write_text("{")
    write_run(made / "stopped", {"ndcg@10": results(40, 0)}, status="failed", test=None,
              config=config(seed=7, model__num_layers=4),
              failure={"type": "UserError", "message": "model.d: got 3,\nexpected 4"})  # fmt: skip
    (made / "stopped/checkpoints").mkdir()
    (made / "stopped/checkpoints/last.ckpt").touch()
    return made


def chosen(folder, *where, sort="-created", limit=None):
    return [row["folder"] for row in select(list_runs(folder), where=where, sort=sort, limit=limit)]


def test_filter_sort_and_limit(folder):
    assert chosen(folder, "model=sasrec", "seed=1") == ["sas/1"]
    assert chosen(folder, "model.num_layers=4") == ["stopped"]
    assert chosen(folder, "status=unreadable") == ["broken"]
    assert chosen(folder, "recipe.monitor=val/ndcg@10", limit=1) == ["stopped"]
    rows = select(list_runs(folder), where=[], sort="-test/ndcg@10", limit=None)
    values = [row.get("test/ndcg@10") for row in rows]
    assert values[:6] == sorted(values[:6], reverse=True)
    assert values[6:] == [None, None]
    assert chosen(folder, sort="created")[-1] == "broken"


def test_an_option_is_found_by_its_own_value(tmp_path):
    """The record has the number of users under the name of an option of the shop."""
    made = config()
    made["data"] = {**made["data"], "num_users": 80}
    write_run(tmp_path / "run", {"ndcg@10": results(40, 0)}, config=made)
    record = RunRecord.load(tmp_path / "run")
    assert record.values["data"]["num_users"] == 40
    assert chosen(tmp_path, "data.num_users=80") == ["run"]


def test_conditions_of_order(folder):
    """Stopped has seed 7, and neither it nor broken has a test result."""
    values = {row["folder"]: row.get("test/ndcg@10") for row in list_runs(folder)}
    best = max(value for value in values.values() if value is not None)
    above = {name for name, value in values.items() if value is not None and value > 0.9 * best}
    assert set(chosen(folder, f"test/ndcg@10>{0.9 * best}")) == above
    assert 0 < len(above) < 6
    assert set(chosen(folder, "seed>=2")) == {"pop/2", "sas/2", "stopped"}
    assert chosen(folder, "seed>2") == ["stopped"]
    assert set(chosen(folder, "seed<=0")) == {"pop/0", "sas/0"}
    assert set(chosen(folder, "seed<1", "model!=sasrec")) == {"pop/0"}
    assert "broken" in chosen(folder, "model!=SASRec")  # nothing is another value
    assert chosen(folder, "status>=1") == []
    assert chosen(folder, "recipe.monitor!=val/ndcg@10") == ["broken"]


def test_formats_agree(folder):
    rows = select(list_runs(folder), where=["model=SASRec"], sort="seed", limit=None)
    columns = ["name", "seed", "model.hidden_dim", "tags", "test/ndcg@10"]
    loaded = json.loads(as_json(rows, columns))
    read = list(csv.DictReader(io.StringIO(as_csv(rows, columns))))
    assert [int(row["seed"]) for row in read] == [row["seed"] for row in loaded] == [0, 1, 2, 7]
    assert loaded[-1]["test/ndcg@10"] is None
    assert read[-1]["test/ndcg@10"] == ""
    console = Console(width=150, file=io.StringIO())
    console.print(as_table(rows, usual_columns(rows)))
    text = console.file.getvalue()
    assert "2026-01-01 10:00" in text
    assert "test/" in text
    assert "ndcg@10" in text
    assert "12.5" in text


def test_what_all_runs_share_is_no_column(folder):
    rows = select(
        list_runs(folder), where=["model=SASRec", "status=finished"], sort="seed", limit=9
    )
    assert {"data", "status"}.isdisjoint(usual_columns(rows))
    assert {"model", "seed"} < {*usual_columns(rows)}
    assert constant(rows) == "data shop, status finished"
    assert "data" in usual_columns(rows[:1])
    assert constant(rows[:1]) == ""


def test_trials_without_a_test_show_the_validation(tmp_path):
    write_run(tmp_path / "trial", {"ndcg@10": results(9, 0)}, test=None)
    assert "validation/ndcg@10" in usual_columns(list_runs(tmp_path))


@pytest.mark.parametrize(
    ("where", "sort", "message"),
    [
        (
            ["model"],
            "created",
            r"where: 'model' is not a condition: expected column=value, or one of != > < >= <=",
        ),
        (
            ["test/ndcg@10>high"],
            "created",
            r"where: 'test/ndcg@10>high': > compares numbers, got 'high'; give a number, or",
        ),
        (["ndcg>0.1"], "created", r"where: no run has a column 'ndcg'"),
        (["modle=x"], "created", r"where: no run has a column 'modle'; did you mean 'model'\?"),
        ([], "-test/ndcg@11", r"sort: no run has a column 'test/ndcg@11'"),
    ],
)
def test_unknown_columns(folder, where, sort, message):
    with pytest.raises(UserError, match=message):
        select(list_runs(folder), where=where, sort=sort, limit=None)


def test_no_folder(tmp_path):
    with pytest.raises(
        UserError, match=r"dir: .*no: there is no such folder; give a folder with runs"
    ):
        list_runs(tmp_path / "no")
    assert list_runs(tmp_path) == []
    assert select([], where=["a=b"], sort="created", limit=None) == []


def test_work_grows_as_the_number_of_runs(tmp_path):
    """Calls are counted, not seconds: about a thousand a run, whatever their number."""
    text = (write_run(tmp_path / "one", {"ndcg@10": results(9, 0)}) / "run.json").read_text()
    values = json.loads(text)
    values["epochs"] = 20 * values["epochs"]
    counts = []
    for size in (100, 200):
        for number in range(size):
            run = tmp_path / f"{size}/day/{number}"
            (run / "checkpoints").mkdir(parents=True)
            (run / "run.json").write_text(json.dumps(values, indent=2))
        with counted_calls() as calls:
            found = list_runs(tmp_path / str(size))
            rows = select(found, where=["model=sasrec"], sort="-test/ndcg@10", limit=10)
            as_csv(rows, csv_columns(rows))
        counts.append(sum(calls))
    assert len(found) == 200
    assert counts[0] < 1500 * 100
    assert counts[1] < 2.1 * counts[0]


@contextmanager
def counted_calls():
    """A list with a 1 for every call of a function, in Python or C."""
    calls = []
    sys.setprofile(lambda _frame, event, _arg: calls.append(event in ("call", "c_call")))
    try:
        yield calls
    finally:
        sys.setprofile(None)


def test_show_says_everything(folder):
    run = folder / "sas/0"
    slices = {"slice": ["history_length"], "value": ["1-4"], "users": [10], "targets": [10],
              "metric": ["ndcg@10"], "mean": [0.25], "low": [0.125], "high": [0.375]}  # fmt: skip
    pl.DataFrame(slices).write_parquet(run / "slices.parquet")
    record = RunRecord.load(run)
    record.values["intervals"] = {"ndcg@10": [0.0625, 0.5]}
    record.values["best"]["still_improving"] = True
    record.values["compute"]["training_flops"] = 123456
    console = Console(width=80, file=io.StringIO())
    print_run(console, record)
    text = console.file.getvalue()
    for said in (
        "SASRec: num_layers=2", "split.name", "0.0625 - 0.5000", "0.1250 - 0.3750", "12.5 s",
        "300 MiB", "1,000", "1 of 1", "still improving", "test_users.parquet",
        "1.23e+05", "c0ffee",
    ):  # fmt: skip
        assert said in text, said
    assert max(map(len, text.splitlines()[:-1])) <= 80


def test_show_of_an_unfinished_run(folder):
    console = Console(width=200, file=io.StringIO())
    print_run(console, RunRecord.load(folder / "stopped"))
    said = console.file.getvalue()
    assert "the run's status is 'failed'; resume it with: recsys-lab train resume=" in said
    assert "UserError: model.d: got 3, expected 4" in said


def test_a_run_that_failed_before_its_first_checkpoint_is_not_to_be_resumed(tmp_path):
    """Of a back-test, where no window got further."""
    for folder in ("whole", "whole/window_0", "whole/window_1"):
        write_run(tmp_path / folder, {"ndcg@10": results(40, 0)}, status="failed", test=None)
    [warning] = [w for w in warnings(RunRecord.load(tmp_path / "whole")) if "status" in w]
    assert "nothing to resume; correct the cause and train again: run_dir=" in warning
    write_run(tmp_path / "whole/window_2", {"ndcg@10": results(40, 0)})
    [warning] = [w for w in warnings(RunRecord.load(tmp_path / "whole")) if "status" in w]
    assert "resume it with: recsys-lab train resume=" in warning


def test_failures_are_told_below_the_list(folder, tmp_path):
    assert list(failures(list_runs(folder))) == [
        "stopped failed: UserError: model.d: got 3, expected 4"
    ]
    for number in range(12):
        write_run(tmp_path / str(number), {"ndcg@10": results(40, 0)}, status="failed", test=None,
                  failure={"type": "ValueError", "message": ""})  # fmt: skip
    *lines, last = failures(list_runs(tmp_path))
    assert len(lines) == 10
    assert last == "2 more failed: columns=[folder,failure] lists all"


def test_a_metric_that_no_run_has_is_no_column(tmp_path):
    write_run(tmp_path / "run", {"ndcg@5": results(40, 0)})  # selected by another metric
    assert not [column for column in usual_columns(list_runs(tmp_path)) if "@" in column]
