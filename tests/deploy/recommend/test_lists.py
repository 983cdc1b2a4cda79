"""The rows are those of ``load(RUN).recommend``, however they are asked for and cut."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

import recsys_lab
from recsys_lab.api import run as run_module
from recsys_lab.experiment.restore import restore
from tests.cli.flow import ITEMS, USERS
from tests.deploy.recommend.conftest import AT_ONCE, RUNS, catalogue, rows_of

NAMES = ["user_id", "rank", "item_id", "score"]


@pytest.mark.parametrize("name", RUNS)
def test_all_users_of_the_dataset_with_their_whole_history(recommend, opened, name):
    made = recommend(name, "k=5", "shard_users=20")
    assert made.code == 0, made.err
    run = opened(name)
    wanted = run.recommend(run.dataset.events(), k=5)
    assert made.rows.select(NAMES).equals(wanted.select(NAMES))
    assert made.rows["user_id"].n_unique() == USERS
    titles = catalogue().select("item_id", "title")
    assert made.rows.select("item_id", "title").equals(
        made.rows.select("item_id").join(titles, on="item_id", maintain_order="left")
    )
    assert "note: histories: all events of the log: training, validation and test" in made.out
    assert f"{USERS} of {USERS} users have a list" in made.out
    parts = [part["users"] for part in made.manifest["parts"]]
    assert parts == [2 * AT_ONCE, USERS - 2 * AT_ONCE]  # rounded up to whole batches


@pytest.mark.parametrize("name", RUNS)
def test_the_size_of_the_parts_does_not_change_the_rows(recommend, name):
    whole = recommend(name, "k=4", output="whole")
    small = recommend(name, "k=4", "shard_users=1", output="small")
    assert len(whole.manifest["parts"]) == 1
    assert len(small.manifest["parts"]) == -(-USERS // AT_ONCE)
    assert small.rows.equals(whole.rows)


@pytest.mark.parametrize("name", RUNS)
def test_users_of_a_file_in_its_order(recommend, opened, name):
    users = ["u40", "u3", "stranger", "u40", "u17"]
    pl.DataFrame({"user_id": users, "city": "x"}).write_csv("users.csv")
    made = recommend(name, "k=3", "users=users.csv")
    assert made.code == 0, made.err
    run = opened(name)
    events = run.dataset.events()
    order = pl.DataFrame({"user_id": ["u40", "u3", "u17"]})
    wanted = run.recommend(order.join(events, on="user_id", maintain_order="left"), k=3)
    assert made.rows["user_id"].to_list() == wanted["user_id"].to_list()
    assert made.rows["item_id"].to_list() == wanted["item_id"].to_list()
    assert "1 of 4 users are not in the run's dataset and get no lists: stranger;" in made.out
    assert "1 rows repeat a user" in made.out
    assert made.manifest["counts"]["unknown_users"] == 1


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
@pytest.mark.parametrize("name", RUNS)
def test_histories_of_users_that_the_run_has_never_seen(recommend, opened, name, suffix):
    events = pl.DataFrame(
        {
            "user_id": ["new", "other", "new", "new", "nobody"],
            "item_id": ["i3", "i5", "gone", "i1", "gone"],
            "timestamp": [30, 5, 20, 10, 1],
        }
    )
    write = {"parquet": "write_parquet", "csv": "write_csv", "jsonl": "write_ndjson"}[suffix]
    getattr(events, write)(f"events.{suffix}")
    made = recommend(name, "k=3", f"histories=events.{suffix}")
    assert made.code == 0, made.err
    ranked = opened(name).ranker.recommend(events, 3)
    assert made.rows.select(NAMES).equals(ranked.lists.select(NAMES))
    assert "2 of 5 events were skipped" in made.out
    assert made.manifest["counts"]["unknown_item_events"] == 2
    assert made.manifest["counts"]["users"] == 3
    ranks_for_nothing = name == "popularity"
    assert made.manifest["counts"]["users_with_list"] == (3 if ranks_for_nothing else 2)


def test_as_of_by_hand(recommend, opened):
    run = opened("sasrec")
    events = run.dataset.events()
    # Times are 1000 * place + user: up to second 3,600 everybody has three or four events.
    made = recommend("sasrec", "k=3", "as_of=1970-01-01T01:00:00")
    early = events.filter(pl.col("timestamp") <= 3_600)
    assert 3 * USERS <= len(early) < 5 * USERS
    assert made.rows.select(NAMES).equals(run.recommend(early, k=3).select(NAMES))
    assert "up to 1970-01-01T01:00:00" in made.out
    day = recommend("sasrec", "k=3", "as_of=1970-01-01", output="day")
    assert day.rows.select(NAMES).equals(run.recommend(events, k=3).select(NAMES))


def test_as_of_before_everything_and_for_histories(recommend):
    none = recommend("sasrec", "as_of=1969-12-31")
    assert none.code == 2
    assert "as_of=1969-12-31: is before all events of the run's dataset" in none.err
    assert "the first of which is of 1970-01-01T" in none.err
    popular = recommend("popularity", "k=2", "as_of=1969-12-31", output="popular")
    assert popular.manifest["counts"]["users_with_list"] == USERS
    pl.DataFrame(
        {"user_id": ["a", "a"], "item_id": ["i1", "i2"], "timestamp": ["1970-01-01", "1970-01-03"]}
    ).write_csv("events.csv")
    early = recommend(
        "popularity", f"k={ITEMS}", "histories=events.csv", "as_of=1970-01-02", output="early"
    )
    assert "i2" in early.rows["item_id"].to_list()
    assert "i1" not in early.rows["item_id"].to_list()


def test_more_ranks_than_items_and_a_user_who_saw_nearly_everything(recommend):
    seen = [f"i{n}" for n in range(ITEMS) if n != 7]
    pl.DataFrame({"user_id": "all", "item_id": seen}).write_parquet("events.parquet")
    made = recommend("sasrec", "k=100", "histories=events.parquet")
    assert made.rows.select("user_id", "rank", "item_id").rows() == [("all", 1, "i7")]
    assert "k=100: the catalogue has 25 items" in made.out
    assert made.manifest["counts"]["short_lists"] == 1
    every = recommend(
        "sasrec", "k=100", "histories=events.parquet", "exclude_seen=false", output="every"
    )
    assert every.rows["rank"].to_list() == [*range(1, ITEMS + 1)]


def test_all_parts_have_one_schema_and_plain_types(recommend):
    # Items without a title are the best in the first part; later ones have titles.
    recommend("popularity", "k=3", "shard_users=1")
    schemas = {str(pq.read_schema(file)) for file in Path("lists").glob("part-*.parquet")}
    assert len(schemas) == 1
    first = pl.read_parquet("lists/part-00000.parquet")
    assert first["title"].null_count() == len(first)
    assert first.schema == {
        "user_id": pl.String, "rank": pl.Int32, "item_id": pl.String, "score": pl.Float32,
        "title": pl.String,
    }  # fmt: skip
    assert pq.ParquetFile("lists/part-00000.parquet").num_row_groups == 1


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_other_formats_have_the_same_rows(recommend, suffix):
    wanted = recommend("popularity", f"k={ITEMS}", output="parquet").rows
    made = recommend("popularity", f"k={ITEMS}", "shard_users=1", f"format={suffix}", suffix=suffix)
    assert made.rows.select(NAMES[:3]).equals(wanted.select(NAMES[:3]), null_equal=True) or (
        made.rows["item_id"].to_list() == wanted["item_id"].to_list()
    )
    assert made.rows["title"].to_list() == wanted["title"].to_list()
    assert made.rows["score"].to_list() == pytest.approx(wanted["score"].to_list(), rel=1e-6)


def test_the_manifest_says_what_determines_the_lists(recommend, opened):
    made = recommend("sasrec", "k=2").manifest
    record = opened("sasrec").record
    assert made["settings"]["data"] == record["data"]["fingerprint"]
    weights = record["files"]["checkpoints/best.safetensors"]["sha256"]
    assert made["settings"]["weights_sha256"] == weights
    assert made["run"]["weights"] == "checkpoints/best.safetensors"
    assert made["columns"]["title"] == "large_string"
    assert made["counts"]["rows"] == 2 * USERS == len(rows_of("lists"))
    assert made["settings"]["histories"].startswith("all events of the log")
    assert {file.name for file in Path("lists").iterdir()} == {
        "manifest.json",
        "part-00000.parquet",
    }
    json.dumps(made, allow_nan=False)


def test_the_runs_evaluation_decides_about_seen_items(recommend, monkeypatch, opened):
    parts = opened("popularity").ranker._parts
    config = replace(parts.protocol.config, exclude_seen=False)
    monkeypatch.setattr(parts.protocol, "config", config)
    made = recommend("popularity", f"k={ITEMS}")
    assert len(made.rows) == USERS * ITEMS
    assert made.manifest["settings"]["exclude_seen"] is False
    assert "note: lists may have items of the history, as in the run's evaluation" in made.out
    never = recommend("popularity", f"k={ITEMS}", "exclude_seen=true", output="never")
    assert len(never.rows) == USERS * (ITEMS - 8)


def test_a_run_is_loaded_in_under_two_seconds_and_shared_by_threads(shop, monkeypatch):
    monkeypatch.setattr(run_module, "restore", restore)  # not the one that is restored already
    begun = time.process_time()
    run = recsys_lab.load(shop / "sasrec")
    run.recommend([["i0"]], k=3)
    assert time.process_time() - begun < 2
    fresh = recsys_lab.load(shop / "sasrec")

    def call(number: int) -> pl.DataFrame:
        blocked = [f"i{number % 5}"]
        return fresh.recommend([["i7", "i9"], ["i8"]], k=4, blocklist=blocked)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(call, range(20)))
    for number, lists in enumerate(found):
        assert f"i{number % 5}" not in lists["item_id"].to_list()
        assert lists.equals(found[number % 5])
