"""Tests of collecting, grouping and judging runs; everything is worked out again with NumPy."""

import numpy as np
import polars as pl
import pytest

from recsys_lab.comparison.collect import find_runs, refuse_unlike
from recsys_lab.comparison.compare import Options, compare
from recsys_lab.comparison.systems import system_names
from recsys_lab.config import UserError
from recsys_lab.evaluation.metrics.registry import make_metrics
from recsys_lab.evaluation.slices import slice_table as evaluated_slices
from tests.comparison.made_runs import config, results, two_systems, write_run


def judged(*arguments, baseline="first", metric=None, **changes):
    found, left_out = find_runs([str(argument) for argument in arguments])
    values = {
        "level": 0.05,
        "resamples": 200,
        "permutations": 500,
        "seed": 0,
        "by": "config",
        **changes,
    }
    return compare(found, left_out, Options(baseline=baseline, metric=metric, **values))


def test_folders_globs_and_repeats_name_each_run_once(shop):
    found, left_out = find_runs([str(shop), f"{shop}/*/0", str(shop / "pop/../pop/1")])
    names = [str(record.folder.relative_to(shop)) for record in found]
    assert names == ["pop/0", "pop/1", "pop/2", "sas/0", "sas/1", "sas/2"]
    assert left_out == []


def test_unfinished_and_rolling_runs_are_named_and_left_out(tmp_path):
    values = {"ndcg@10": results(20, 0)}
    write_run(tmp_path / "a", values)
    write_run(tmp_path / "b", values, status="interrupted")
    write_run(tmp_path / "roll", values, windows=[{}])
    write_run(tmp_path / "roll/window_0", values, config=config(seed=1))
    write_run(tmp_path / "a/checkpoints/inside", values)
    found, left_out = find_runs([str(tmp_path)])
    assert [r.folder.name for r in found] == ["a", "window_0"]
    reasons = {item.folder.rpartition("/")[2]: item.reason for item in left_out}
    assert reasons["b"] == "its status is 'interrupted', so it has no test result"
    assert "windows, which are runs" in reasons["roll"]
    with pytest.raises(UserError, match=r"no finished run in .*b; left out are:\n .*interrupted"):
        find_runs([str(tmp_path / "b")])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "nowhere",
            "runs: nowhere: there is no such folder and no sweep sweeps/nowhere. Give run "
            "directories, folders of runs, names of sweeps, or globs",
        ),
        ("no*where", "matches no folder"),
        ("file", "is a file; give the run's directory"),
        ("empty", r"contains no run \(there is no run.json, also not in its subfolders\)"),
    ],
)
def test_arguments_that_name_no_run(tmp_path, monkeypatch, text, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=message):
        find_runs([text])


def test_the_name_of_a_sweep_is_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = write_run(tmp_path / "sweeps/try1/top/0", {"ndcg@10": results(20, 0)})
    assert [record.folder for record in find_runs(["try1"])[0]] == [run]
    beside = write_run(tmp_path / "try1", {"ndcg@10": results(20, 0)})
    assert [record.folder for record in find_runs(["try1"])[0]] == [beside]  # a path comes first


def test_unlike_protocols_are_refused_with_every_field(tmp_path):
    values = {"ndcg@10": results(20, 0)}
    write_run(tmp_path / "a", values)
    write_run(tmp_path / "b", values, fields={"exclude_seen": False, "split": {"name": "last_n"}})
    with pytest.raises(UserError) as refused:
        refuse_unlike(find_runs([str(tmp_path)])[0])
    lines = str(refused.value).splitlines()
    assert lines[1:-1] == [
        "  split.name:",
        f'    "leave_one_out" in {tmp_path}/a',
        f'    "last_n" in {tmp_path}/b',
        "  exclude_seen:",
        f"    true in {tmp_path}/a",
        f"    false in {tmp_path}/b",
    ]
    assert "--force" in lines[-1]


def test_seeds_are_one_system_with_mean_and_sd(shop):
    found = judged(shop)
    assert [(s.name, s.seeds) for s in found.systems] == [
        ("Popularity", (0, 1, 2)), ("SASRec", (0, 1, 2)),
    ]  # fmt: skip
    values = [results(400, seed + 1, 1.0).mean() for seed in range(3)]
    score = found.systems[1].scores["ndcg@10"]
    assert score.by_run == pytest.approx(values)
    assert score.mean == pytest.approx(np.mean(values))
    assert score.sd == pytest.approx(np.std(values, ddof=1))
    assert score.interval.low < score.mean < score.interval.high
    assert score.interval.covers_seeds


def test_the_test_says_who_wins(shop):
    found = judged(shop)
    (pair,) = [pair for pair in found.pairs if pair.metric == "ndcg@10"]
    low = results(400, 0)
    high = np.mean([results(400, seed + 1, 1.0) for seed in range(3)], 0)
    assert (pair.first, pair.second, pair.better) == ("SASRec", "Popularity", "SASRec")
    assert pair.test.difference.value == pytest.approx(high.mean() - low.mean())
    assert pair.relative == pytest.approx(high.mean() / low.mean() - 1)
    assert pair.significant
    assert (pair.wins, pair.losses) == ((high > low).sum(), (high < low).sum())
    assert found.pair("ndcg@10", "SASRec", "Popularity") is pair


def test_less_popular_lists_win_where_less_is_better(shop):
    found = judged(shop)
    metric = found.metrics[1]
    assert (metric.name, metric.higher_is_better) == ("popularity@10", False)
    pair = found.pair("popularity@10", "SASRec", "Popularity")
    assert pair.test.difference.value == pytest.approx(-21)
    assert (pair.better, pair.wins, pair.losses) == ("SASRec", 400, 0)
    assert found.ranks(metric) == (2, 1)


def test_slices_are_the_same_judgement_on_fewer_users(shop):
    found = judged(shop)
    assert [(s.name, s.value, s.users) for s in found.slices] == [
        ("history_length", "1-4", 100), ("history_length", "5-9", 300),
    ]  # fmt: skip
    low = results(400, 0)[:100]
    high = np.mean([results(400, seed + 1, 1.0)[:100] for seed in range(3)], 0)
    part = found.slices[0]
    assert [mean.value for mean in part.means] == pytest.approx([low.mean(), high.mean()])
    assert part.pairs[0].wins == (high > low).sum()


def test_what_differs_and_what_does_not(tmp_path):
    values = {"ndcg@10": results(30, 0)}
    same = {"tags": ["x"], "recipe__accelerator": "gpu", "engine": {"_target_": "d.DuckDB"}}
    write_run(tmp_path / "a", values, config=config(seed=0))
    write_run(tmp_path / "b", values, config=config(seed=1, **same))
    write_run(tmp_path / "c", values, config=config(seed=0, model__num_layers=1))
    found = judged(tmp_path)
    assert [(s.name, s.seeds) for s in found.systems] == [
        ("SASRec num_layers=2", (0, 1)), ("SASRec num_layers=1", (0,)),
    ]  # fmt: skip
    assert found.differing == {"model.num_layers": (2, 1)}
    assert found.systems[1].settings == {"model.num_layers": 1}


def test_names_are_short_and_no_two_alike():
    small = {"model": "SASRec", "model.num_layers": 1, "loss.rate": 1, "recipe.rate": 1}
    deep = {**small, "model.num_layers": 2}
    fast = {**deep, "loss.rate": 2, "recipe.rate": 2}
    other = {"model": "Popularity"}
    assert system_names([small, deep, other], [None] * 3) == (
        "SASRec num_layers=1", "SASRec num_layers=2", "Popularity",
    )  # fmt: skip
    assert len(set(system_names([small, deep, fast, other], [None] * 4))) == 4
    assert system_names([small, deep], ["shallow", "deep"]) == ("shallow", "deep")
    assert system_names([small, deep], ["same", "same"]) == system_names([small, deep], [None] * 2)
    assert system_names([other, other], [None, None]) == ("Popularity #1", "Popularity #2")


def test_one_run_each_is_said_to_leave_seeds_out(tmp_path):
    two_systems(tmp_path, seeds=1)
    found = judged(tmp_path)
    assert not found.pair("ndcg@10", "SASRec", "Popularity").test.difference.covers_seeds
    assert any("does not cover the variance over seeds" in note for note in found.notes)
    assert found.systems[0].scores["ndcg@10"].sd is None


def test_the_newest_of_two_runs_with_one_seed_counts(tmp_path):
    for name, day in (("old", 1), ("new", 2)):
        created = f"2026-02-0{day}T00:00:00+00:00"
        write_run(tmp_path / name, {"ndcg@10": results(30, day)}, created=created)
    found = judged(tmp_path)
    assert [run.folder for run in found.runs] == [str(tmp_path / "new")]
    assert "is newer and has the same configuration, code and seed" in found.left_out[0].reason


def test_all_pairs_and_a_baseline_by_name(tmp_path, monkeypatch):
    for layers in (1, 2, 3):
        for seed in (0, 1):
            cfg = config(seed=seed, model__num_layers=layers)
            values = {"ndcg@10": results(60, 10 * layers + seed)}
            write_run(tmp_path / f"{layers}/{seed}", values, config=cfg)
    every = judged(tmp_path, baseline="none")
    assert every.baseline is None
    assert len(every.pairs) == 3
    raw = sorted(pair.test.p for pair in every.pairs)
    assert min(p.p_holm for p in every.pairs) == pytest.approx(min(1, 3 * raw[0]))
    named = judged(tmp_path, baseline="SASRec num_layers=2")
    assert [(p.first, p.second) for p in named.pairs] == [
        ("SASRec num_layers=1", "SASRec num_layers=2"),
        ("SASRec num_layers=3", "SASRec num_layers=2"),
    ]
    # refused before any result is read
    monkeypatch.setattr("recsys_lab.comparison.compare.user_results", None)
    with pytest.raises(
        UserError, match=r"no system 'SASRec'\. Systems: SASRec .* also first, none\."
    ):
        judged(tmp_path, baseline="SASRec")


def test_users_without_a_value_are_left_out_of_that_metric(tmp_path):
    values = results(50, 0)
    novelty = np.where(np.arange(50) < 10, np.nan, 3.0)
    write_run(tmp_path / "a", {"ndcg@10": values, "novelty@10": novelty})
    write_run(tmp_path / "b", {"ndcg@10": values, "novelty@10": novelty + 1}, config=config("GRU"))
    found = judged(tmp_path)
    assert [metric.users for metric in found.metrics] == [50, 40]
    assert found.pair("novelty@10", "GRU", "SASRec").wins == 40


def test_raw_ids_of_users_are_no_slice_and_older_files_lack_them(tmp_path):
    ids = [f"raw {user}" for user in range(70)]
    halves = {"history_length": np.where(np.arange(70) < 29, "1-4", "5-9")}
    write_run(tmp_path / "old", {"ndcg@10": results(70, 0)}, frame=halves)
    frame = {"user_id": ids, "target_id": [f"item {n % 40}" for n in range(70)], **halves}
    write_run(tmp_path / "new", {"ndcg@10": results(70, 1)}, config=config("GRU"), frame=frame)
    found = judged(tmp_path)
    assert [(part.name, part.users) for part in found.slices] == [
        ("history_length", 41)
    ]  # fmt: skip
    (note,) = (note for note in found.notes if note.startswith("1 slice is left out"))
    assert "fewer than 30 users" in note
    gains = results(70, 1) - results(70, 0)
    pair = found.pair("ndcg@10", "SASRec", "GRU") or found.pair("ndcg@10", "GRU", "SASRec")
    sign = 1 if pair.first == "GRU" else -1
    assert pair.test.difference.value == pytest.approx(sign * gains.mean())
    assert {pair.wins, pair.losses} == {int((gains > 0).sum()), int((gains < 0).sum())}


def test_metrics_of_lists_as_a_whole_stand_without_a_test(tmp_path):
    for seed, coverage in enumerate((0.25, 0.35)):
        values = {"ndcg@10": results(30, seed)}
        test = {"ndcg@10": float(values["ndcg@10"].mean()), "coverage@10": coverage}
        write_run(tmp_path / str(seed), values, config=config(seed=seed), test=test)
    found = judged(tmp_path)
    score = found.systems[0].scores["coverage@10"]
    assert (score.mean, score.interval) == (pytest.approx(0.3), None)
    assert not found.metrics[1].of_users


@pytest.mark.parametrize("in_turn", [False, True])
def test_slices_of_several_targets_are_those_of_the_evaluation(tmp_path, in_turn):
    """Two targets a user; each slice counts its own targets alone, as in ``slices.parquet``.

    Of one list, or of a list each.
    """
    rng = np.random.default_rng(0)
    users, places = 80, 5
    metric = make_metrics(["ndcg"], [5])
    frames = []
    for _ in range(2):
        rank = np.stack([rng.permutation(8)[:2] + 1 for _ in range(users)]).ravel()
        rows = pl.DataFrame({
            "user": np.repeat(np.arange(users), 2),
            **({"list": np.tile([0, 1], users).astype(np.int32)} if in_turn else {}),
            "target": np.tile([0, 1], users),
            "rank": pl.Series([int(r) if r <= places else None for r in rank], dtype=pl.Int32),
            "items": np.zeros((2 * users, places), dtype=np.int32),
            "target_popularity": pl.Series(
                rng.choice(["head", "tail"], 2 * users), dtype=pl.Enum(["head", "tail"])
            ),
        })  # fmt: skip
        frames.append(rows)
    frames[1] = frames[1].with_columns(frames[0]["target_popularity"])
    tables = []
    for number, rows in enumerate(frames):
        keys = rows.select("user", "target", "target_popularity")
        tables.append(evaluated_slices(rows, keys, metric))
        whole = evaluated_slices(
            rows, keys.with_columns(target_popularity=pl.lit("x").cast(pl.Enum(["x"]))), metric
        )
        full = rows.with_columns(pl.lit(whole["mean"][0]).alias("ndcg@5"))
        cfg = config(("SASRec", "Popularity")[number])
        mean = {"ndcg@5": whole["mean"][0]}
        write_run(tmp_path / str(number), {"ndcg@5": np.zeros(1)}, rows=full, config=cfg, test=mean)
    found = judged(tmp_path, metric="ndcg@5")
    assert [s.value for s in found.slices] == ["head", "tail"]
    for place, part in enumerate(found.slices):
        expected = [table["mean"][place] for table in tables]
        assert [mean.value for mean in part.means] == pytest.approx(expected)
        assert part.users == tables[0]["users"][place]
