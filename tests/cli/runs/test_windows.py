"""Rolling windows and leaks on the command line."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import stats

from recsys_lab.cli.main import run_command
from recsys_lab.data.prepared import PreparedDataset
from recsys_lab.experiment.backtest import mean_of_windows, window_table
from recsys_lab.runs.record import RunRecord
from tests.cli.flow import COUNTS, in_shop, record, train

# Event p of user u is at 1000 p + u seconds, so each window of 1000 seconds holds one a user.
SECONDS = 1000 / 86_400
ROLLING = [
    *COUNTS, "split=rolling", "split.num_windows=3", f"split.window_days={SECONDS}",
    f"split.validation_days={SECONDS}", "split.end='1970-01-01T02:13:20'",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _shop(tmp_path, monkeypatch):
    with in_shop(tmp_path, monkeypatch):
        yield


def test_one_command_runs_every_window(capsys):
    assert train("run_dir=out", base=ROLLING) == 0
    said = capsys.readouterr().out
    whole = record("out")
    assert whole["status"] == "finished"
    assert len(whole["windows"]) == 3
    ends = []
    for number, window in enumerate(whole["windows"]):
        one = record(f"out/window_{number}")
        assert one["config"]["split"]["window"] == number
        assert one["test"] == window["test"]
        data = PreparedDataset(one["data"]["path"])
        users, start, cut, end = data.segments("test").T
        assert len(users) == 60
        assert (data.timestamps[cut] // 1000).tolist() == [5 + number] * 60
        assert (end - cut == 1).all()
        assert (cut - start == 5 + number).all()
        assert (data.segments("train")[:, 2] - start == 4 + number).all()
        ends.append(window["split"]["test_end_time"])
    assert ends == [6000, 7000, 8000]
    for name, mean in whole["test"].items():
        assert mean == pytest.approx(sum(w["test"][name] for w in whole["windows"]) / 3)
    by_window = [window["test"]["ndcg@10"] for window in whole["windows"]]
    expected = stats.t.interval(0.95, 2, np.mean(by_window), stats.sem(by_window))
    assert whole["intervals"]["ndcg@10"] == pytest.approx(expected)
    assert f"{expected[0]:.4f} - {expected[1]:.4f}" in said
    assert all(low >= 0 for name, (low, _) in whole["intervals"].items() if "hr@" in name)
    assert "test metrics by window" in said
    assert f"{whole['test']['ndcg@10']:.4f}" in said
    assert f"{whole['test']['ndcg@10']:.4f}" in Path("out/card.md").read_text()
    assert Path("out/window_2/card.html").exists()
    assert train("run_dir=out", "resume=auto", base=ROLLING) == 0
    assert "this run is finished" in capsys.readouterr().out


def test_back_tests_are_compared_window_by_window(capsys):
    for name, options in (
        ("popular", []), ("markov", ["model=markov"]), ("less", ["split.num_windows=2"]),
    ):  # fmt: skip
        assert train(f"run_dir={name}", *options, base=ROLLING) == 0
    capsys.readouterr()
    assert run_command(["compare", "popular", "markov", "output=tables"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    values = {
        name: [window["test"]["ndcg@10"] for window in record(name)["windows"]]
        for name in ("popular", "markov")
    }
    gaps = np.subtract(values["markov"], values["popular"])
    expected = stats.ttest_rel(values["markov"], values["popular"])
    bounds = expected.confidence_interval(0.95)
    for text in (*(f"{gap:+.4f}" for gap in gaps), f"{gaps.mean():+.4f}",
                 f"{bounds.low:+.4f} to {bounds.high:+.4f}", f"{expected.pvalue:.4f}",
                 f"{(gaps > 0).sum()} of 3"):  # fmt: skip
        assert text in said
    table = pl.read_csv("tables/windows.csv").filter(metric="ndcg@10")
    assert table["value"].to_list() == pytest.approx([*values["popular"], *values["markov"]])
    for verb in (["evaluate", "popular"], ["explain", "popular", "user=u0"]):
        assert run_command(verb) == 2
        assert "a back-test, whose windows are runs of their own" in capsys.readouterr().err
    assert run_command(["evaluate", "popular/window_0"]) == 0  # as the message says
    assert "equal to the run record" in capsys.readouterr().out
    assert run_command(["compare", "popular/window_0", "markov/window_0"]) == 0  # as runs of users
    assert "user by user" in capsys.readouterr().out
    assert run_command(["compare", "popular", "less"]) == 2
    assert "different numbers of windows" in capsys.readouterr().err
    assert train("run_dir=later", "split.end='1970-01-01T02:13:10'", base=ROLLING) == 0
    assert run_command(["compare", "popular", "later"]) == 2
    assert "protocols differ" in capsys.readouterr().err
    assert train("run_dir=again", "seed=1", base=ROLLING) == 0
    assert run_command(["compare", "popular", "again"]) == 2
    assert "all 2 back-tests are of one system, Popularity" in capsys.readouterr().err


@pytest.mark.parametrize("lacking", [0, 1])
def test_a_metric_that_one_window_lacks_has_no_mean(lacking):
    tests = [{"ndcg@10": 0.1, "novelty@10": 3.0}, {"ndcg@10": 0.4, "novelty@10": 5.0}]
    del tests[lacking]["novelty@10"]
    split = {"test_start_time": 0, "test_end_time": 86_400, "test_rows": 60}
    records = [
        RunRecord(Path(f"window_{n}"), {"data": {}, "protocol": {}, "test": test, "split": split})
        for n, test in enumerate(tests)
    ]
    whole = mean_of_windows(records)
    assert whole["test"] == {"ndcg@10": pytest.approx(0.25)}
    table = window_table({"name": "b", **whole})
    cells = [tuple(row) for row in table.rows]
    assert ("ndcg@10", "0.1000", "0.4000", "0.2500") in cells  # two windows: no interval
    shown = ["3.0000", "5.0000"]
    shown[lacking] = "-"
    assert cells[-1] == ("novelty@10", *shown, "-")


def test_prepare_makes_every_window(capsys):
    assert run_command(["prepare", *ROLLING]) == 0
    assert len(list(Path("prepared").iterdir())) == 3
    assert run_command(["prepare", *ROLLING, "split.window=1"]) == 0
    assert len(list(Path("prepared").iterdir())) == 3
    capsys.readouterr()
    assert run_command(["prepare", *ROLLING, "split.window=3"]) == 2
    assert "split.window=3: there are split.num_windows=3 windows" in capsys.readouterr().err


def test_leaks_are_fatal_when_asked(capsys):
    late = pl.col("user_id").str.slice(1).cast(pl.Int64) >= 30  # they come when others have gone
    log = pl.read_csv("log.csv").with_columns(pl.col("timestamp") + late * 50_000)
    log.write_csv("log.csv")
    assert run_command(["prepare", *COUNTS, "fail_on_leaks=[future_in_training]"]) == 2
    error = capsys.readouterr().err
    assert "fail_on_leaks=future_in_training: this dataset leaks" in error
    assert "30 of 60 validation targets (50.0%) are not later" in error
    assert run_command(["prepare", *COUNTS, "fail_on_leaks=[al]"]) == 2
    assert "unknown kind of leak 'al'; did you mean 'all'?" in capsys.readouterr().err
    # What every split by position does is no mistake in the data, also at the strictest.
    for strictest in ("all", "true", "[leak,tied_times]"):
        assert run_command(["prepare", *COUNTS, f"fail_on_leaks={strictest}"]) == 0
    temporal = ["split=global_temporal", "fail_on_leaks=[warning,future_in_training]"]
    assert run_command(["prepare", *COUNTS, *temporal]) == 0


def test_another_choice_of_candidates_cures_what_is_about_them(capsys):
    log = pl.read_csv("log.csv")
    late = pl.DataFrame(
        {"user_id": log["user_id"][0], "item_id": [f"new{n}" for n in range(60)],
         "timestamp": log["timestamp"].max() + np.arange(60)}
    )  # fmt: skip
    log = pl.concat([log, late])
    log.write_csv("log.csv")
    first = log.group_by("item_id").agg(pl.col("timestamp").min())["timestamp"].to_numpy()
    later = sum(int((first > 5000 + user).sum()) for user in range(60))
    stopped = ["prepare", *ROLLING, "split.window=0", "fail_on_leaks=unreleased_candidates"]
    assert run_command(stopped) == 2
    error = capsys.readouterr().err
    assert later >= 60 * 60
    assert f"unreleased_candidates (test): {later:,} of {60 * len(first):,}" in error
    assert "evaluation.candidates=released ranks only items released" in error
    for cure in ("released", "known"):
        assert run_command([*stopped, f"evaluation.candidates={cure}"]) == 0


def test_a_temporal_split_trains_and_tests():
    assert train("run_dir=out", "split=global_temporal", base=COUNTS) == 0
    split = record("out")["split"]
    data = PreparedDataset(record("out")["data"]["path"])
    _, start, end = data.segments("train").T
    log = pl.read_csv("log.csv")
    before = log.filter(pl.col("timestamp") < split["validation_cut_time"])
    assert int((end - start).sum()) == len(before)
    assert json.loads((data.path / "manifest.json").read_text())["leaks"] == [
        leak for leak in data.manifest["leaks"] if leak["severity"] == "note"
    ]
