"""Finished runs evaluated again: equal numbers, or the reason why not."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from recsys_lab.cli.main import run_command
from tests.cli.flow import COUNTS, SMALL, record, rewrite, train

pytestmark = pytest.mark.usefixtures("shop")


def test_evaluate_gives_the_same_numbers(capsys):
    assert train("run_dir=run") == 0
    Path("log.csv").rename("elsewhere.csv")  # the prepared dataset is enough
    assert run_command(["evaluate", "run"]) == 0
    assert "equal to the run record" in capsys.readouterr().out
    values = record("run")
    values["test"]["ndcg@10"] += 1e-9
    Path("run/run.json").write_text(json.dumps(values))
    assert run_command(["evaluate", "run"]) == 2
    assert 'after an intended change, set "digest" to null' in capsys.readouterr().err
    rewrite("run", values)
    assert run_command(["evaluate", "run"]) == 1
    told = capsys.readouterr().err
    assert "metrics differ from the record" in told
    assert "now (-1e-09); 0 of 60 users have a different value" in told
    assert "Traceback" not in told
    values["test"]["ndcg@10"] -= 1e-9 - 3e-16  # as sums in another order, on another machine
    rewrite("run", values)
    assert run_command(["evaluate", "run"]) == 0
    told = capsys.readouterr().out
    assert "equal to the run record up to rounding: 1 of" in told
    assert "e-16 (ndcg@10)" in told


def test_evaluate_tells_how_many_users_have_other_results(capsys):
    beyond = "evaluation.beyond_accuracy=[coverage]"
    assert train("run_dir=run", beyond, base=COUNTS) == 0
    before, values = pl.read_parquet("run/test_users.parquet"), record("run")
    first = before["user"] < 2
    other = before.with_columns(
        pl.when(first).then(pl.col("ndcg@10") + 0.25).otherwise("ndcg@10").alias("ndcg@10"),
        pl.when(before["user"] < 5).then(pl.col("items").arr.reverse()).otherwise("items"),
    )
    other.write_parquet("run/test_users.parquet")
    values["test"] |= {"ndcg@10": other["ndcg@10"].mean(), "coverage@10": 0.5, "own@10": 1.0}
    del values["files"]["test_users.parquet"]
    rewrite("run", values)
    assert run_command(["evaluate", "run"]) == 1
    told = capsys.readouterr().err
    assert "metrics differ from the record" in told
    ndcg, coverage, own = (
        next(line for line in told.splitlines() if line.startswith(f"  {name}@10:"))
        for name in ("ndcg", "coverage", "own")
    )
    assert ndcg.endswith("2 of 60 users have a different value")
    assert coverage.endswith("5 of 60 users have a different list")
    assert own == "  own@10: 1.0 recorded, missing now"
    assert "the run was made with code" in told
    Path("run/test_users.parquet").unlink()
    assert run_command(["evaluate", "run"]) == 1
    assert "for an unknown number of users" in capsys.readouterr().err


def test_a_moved_project_needs_no_raw_log(capsys, monkeypatch):
    Path("here").mkdir()
    Path("log.csv").rename("here/log.csv")
    monkeypatch.chdir("here")
    assert train("run_dir=runs/one", base=COUNTS) == 0
    Path("log.csv").unlink()
    monkeypatch.chdir("..")
    Path("here").rename("there")
    assert run_command(["evaluate", "there/runs/one"]) == 0  # from outside
    monkeypatch.chdir("there")
    assert run_command(["evaluate", "runs/one"]) == 0
    Path("prepared").rename("away")
    assert run_command(["evaluate", "runs/one"]) == 2
    assert "table_log-" in (said := capsys.readouterr().err)
    assert "is missing: the run's prepared dataset. Restore it" in said
    assert run_command(["evaluate", "runs/one", "prepare=true"]) == 2
    assert "data.path=log.csv: no such file" in capsys.readouterr().err


def test_evaluate_refuses_what_is_no_finished_run(capsys):
    assert run_command(["evaluate", "nothing"]) == 2
    assert "nothing: not a run (run.json is missing)" in capsys.readouterr().err
    assert train("run_dir=run", base=COUNTS) == 0
    rewrite("run", {**record("run"), "status": "interrupted"})
    assert run_command(["evaluate", "run"]) == 2
    told = capsys.readouterr().err
    assert "status is 'interrupted', so it has no test result" in told
    assert "train resume=run" in told


@pytest.mark.parametrize(
    ("base", "name"),
    [(COUNTS, "model.npz"), (COUNTS, "config.yaml"), (SMALL, "checkpoints/best.safetensors")],
)
def test_evaluate_says_which_file_of_the_run_is_gone(capsys, base, name):
    assert train("run_dir=run", base=base) == 0
    Path("run", name).unlink()
    assert run_command(["evaluate", "run"]) == 2
    assert f"run/{name} is missing, so the run's numbers" in capsys.readouterr().err


TOO_LONG = "recipe.warmup_steps=1000"  # known to be wrong only when the data are there


def test_a_metric_to_watch_that_is_not_computed_is_refused(capsys):
    assert train("run_dir=run", "recipe.monitor=val/ndcg@7", "evaluation.ks=[5,10]") == 2
    told = capsys.readouterr().err
    assert "recipe.monitor: got 'val/ndcg@7', which is not computed" in told
    assert "Use one of val/ndcg@5, val/ndcg@10, val/hr@5, val/hr@10, val/mrr@5" in told
    assert not Path("run").exists()
    assert train("run_dir=counts", "recipe.monitor=val/ndcg@7", base=COUNTS) == 0  # not read


def test_the_error_of_a_run_is_in_its_record(capsys):
    assert train("run_dir=run", TOO_LONG) == 2
    told = capsys.readouterr().err
    values = record("run")
    assert values["status"] == "failed"
    assert values["failure"]["type"] == "UserError"
    assert values["failure"]["message"] in told
    assert run_command(["runs", "."]) == 0
    assert "run failed: UserError: recipe.warmup_steps: got" in capsys.readouterr().out


def test_a_run_that_failed_at_once_gives_its_folder_back(capsys):
    assert train("run_dir=out", TOO_LONG) == 2
    assert record("out")["status"] == "failed"
    assert train("run_dir=out") == 0
    assert record("out")["config"]["recipe"]["warmup_steps"] == 0
    assert "failure" not in record("out")
    assert train("run_dir=out") == 2  # a real run is not overwritten
    assert "already has a run" in capsys.readouterr().err
    Path("taken").write_text("")
    assert train("run_dir=taken") == 2
    assert "run_dir: taken is a file" in capsys.readouterr().err


def test_evaluate_refuses_other_data(capsys):
    assert train("run_dir=run", base=COUNTS) == 0
    prepared = Path(record("run")["data"]["path"])
    shutil.rmtree(prepared)
    assert run_command(["evaluate", "run"]) == 2
    assert "manifest.json is missing: the run's prepared dataset" in capsys.readouterr().err
    assert not prepared.exists()  # nothing is written that nobody asked for
    assert run_command(["evaluate", "run", "prepare=true"]) == 0
    shutil.rmtree(prepared)
    lines = Path("log.csv").read_text().splitlines()
    Path("log.csv").write_text("\n".join(lines[:-1]) + "\n")
    capsys.readouterr()
    assert run_command(["evaluate", "run", "prepare=true"]) == 2
    told = capsys.readouterr().err
    assert f"the run used data with fingerprint {record('run')['data']['fingerprint']}" in told
    assert "restore the original data" in told
