"""Tests of the verbs compare, runs and show on the command line."""

import json
import re
import shutil

import polars as pl
import pytest

from recsys_lab.cli.main import run_command
from tests.cli.flow import COUNTS, in_shop
from tests.comparison.made_runs import results, two_systems, write_run

FAST = ["resamples=100", "permutations=100"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    two_systems(tmp_path / "runs", users=60, seeds=2)
    return tmp_path


def command(capsys, *arguments):
    """Exit code, what was printed, and what went wrong."""
    code = run_command(arguments)
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


def test_compare_folders_globs_and_files(folder, capsys):
    code, out, err = command(
        capsys, "compare", "runs/pop", "runs/s*/*", "baseline=SASRec", "output=made/here", *FAST
    )
    assert (code, err) == (0, "")
    assert "Popularity" in out
    assert "written: made/here/comparison.tex" in out
    loaded = json.loads((folder / "made/here/comparison.json").read_text())
    assert loaded["baseline"] == "SASRec"
    assert len(loaded["runs"]) == 4


def test_the_report_shows_users_with_what_they_were_shown(tmp_path, monkeypatch, capsys):
    with in_shop(tmp_path, monkeypatch):
        for model in ("popularity", "random"):
            assert run_command(["train", *COUNTS, f"model={model}", f"run_dir=runs/{model}"]) == 0
        code, out, _ = command(capsys, "compare", "runs", "output=made", *FAST)
        assert code == 0
        assert "written: made/report.html" in out
        users = (tmp_path / "made/report.html").read_text().split("<h2>Example users</h2>")[1]
        assert users.count("<article>") == 6
        log = pl.read_csv("log.csv").sort("timestamp")
        for article in users.split("<article>")[1:]:
            user = re.search(r"<h3>User (u\d+)</h3>", article)[1]
            events = log.filter(pl.col("user_id") == user)["item_id"].to_list()
            assert f"<dt>targets</dt><dd>{events[-1]}</dd>" in article
            assert f"<dt>latest events</dt><dd>{'; '.join(events[:-1])}</dd>" in article
            hit = f'<li class="hit">{events[-1]}</li>' in article
            assert hit == ("hit</h3>" in article)
        shutil.rmtree("prepared")
        assert command(capsys, "compare", "runs", "output=made", *FAST)[0] == 0
        assert "no longer exists" in (tmp_path / "made/report.html").read_text()


def test_a_glob_with_an_equals_sign_is_no_override(folder, capsys):
    write_run(folder / "sweep/lr=0.1", {"ndcg@10": results(60, 0)})
    for argument in ("sweep/lr=*", "sweep/lr=0.1"):
        code, out, err = command(capsys, "compare", argument, *FAST)
        assert (code, err) == (0, "")
        assert "ndcg@10" in out


@pytest.mark.parametrize("force", ["--force", "force=true"])
def test_unlike_protocols_need_force(folder, capsys, force):
    write_run(folder / "other", {"ndcg@10": results(60, 0)}, fields={"exclude_seen": False})
    code, _, err = command(capsys, "compare", "runs", "other")
    assert code == 2
    assert "exclude_seen:\n    true in" in err
    code, out, _ = command(capsys, "compare", force, "runs", "other", *FAST)
    assert code == 0
    assert "Not comparable" in out


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give runs: recsys-lab compare"),
        (["nowhere"], "runs: nowhere: there is no such folder"),
        (["runs", "level=2"], "level: expected a float > 0 and < 1"),
        (["runs", "baseline=Nobody"], "baseline: there is no system 'Nobody'"),
        (["runs", "output=runs/pop/0/run.json"], "cannot create the folder"),
        (["runs", "metrics=x"], "metrics"),
        (["runs", "by=seed"], "by: expected one of 'config', 'group', 'name', got 'seed'"),
    ],
)
def test_mistakes_of_compare(capsys, arguments, message):
    code, _, err = command(capsys, "compare", *arguments)
    assert code == 2
    assert message in err


@pytest.mark.usefixtures("folder")
def test_runs_takes_conditions_as_typed(capsys):
    query = ["where=model=sasrec,seed=1", "sort=-test/ndcg@10", "format=json"]
    code, out, _ = command(capsys, "runs", *query)
    assert code == 0
    assert [row["folder"] for row in json.loads(out)] == ["sas/1"]
    code, out, _ = command(capsys, "runs", "where=model=sasrec,seed>=1", "format=json")
    assert (code, [row["folder"] for row in json.loads(out)]) == (0, ["sas/1"])
    code, out, _ = command(capsys, "runs", "runs/pop", "columns=[seed,folder]", "format=csv",
                           "sort=seed")  # fmt: skip
    assert out.splitlines() == ["seed,folder", "0,0", "1,1"]
    code, out, _ = command(capsys, "runs")
    assert "runs: 4 of 4 runs" in out


@pytest.mark.usefixtures("folder")
def test_mistakes_of_runs_and_show(capsys):
    for arguments, message in (
        (["runs", "nowhere"], "dir: nowhere: there is no such folder"),
        (["runs", "columns=[nothing]"], "columns: no run has a column 'nothing'"),
        (["runs", "where=seed"], "where: 'seed' is not a condition"),
        (["runs", "where=seed>x"], "> compares numbers, got 'x'"),
        (["runs", "format=xml"], "format"),
        (["show", "runs"], "not a run (run.json is missing)"),
        (["show", "a", "b"], "show: expected one RUN, got 2"),
    ):
        code, _, err = command(capsys, *arguments)
        assert code == 2
        assert message in err, err


@pytest.mark.usefixtures("folder")
def test_show(capsys):
    code, out, _ = command(capsys, "show", "runs/sas/1")
    assert code == 0
    assert "test_users.parquet" in out


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("group", "field"),
    [("compute", "seconds"), ("protocol", "fields"), ("config", "recipe"), (None, "status")],
)
def test_records_that_lack_a_field_are_told(folder, capsys, group, field):
    path = folder / "runs/sas/1/run.json"
    values = json.loads(path.read_text())
    del (values[group] if group else values)[field]
    path.write_text(json.dumps(values))
    name = f"{group}.{field}" if group else field
    for verb in (["compare", "runs"], ["show", "runs/sas/1"]):
        code, _, err = command(capsys, *verb)
        assert code == 2
        assert re.search(rf"sas/1/run\.json: lacks {name}.*; was the file changed by hand\?", err)
