"""The three engines: same bytes, same counts, same errors."""

from __future__ import annotations

import hashlib

import narwhals as nw
import numpy as np
import polars as pl
import pytest

from recsys_lab.config import UserError
from recsys_lab.data.raw import Features, ParquetLog
from recsys_lab.data.sources.published.online_retail import OnlineRetail
from recsys_lab.data.splits.leave_one_out import LeaveOneOut
from tests.data.conftest import LOG, Given
from tests.data.features.test_first_values import KINDS_OF_RANDOM, assert_as_loops, random_log

ENGINES = ("polars", "duckdb", "spark")

# Py4J leaves its sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


def shop(rows: int, *, text_ids: bool) -> pl.DataFrame:
    """Ties, duplicates, missing and odd ids, missing times; not in order."""
    rng = np.random.default_rng(7)
    frame = pl.DataFrame(
        {
            "user_id": rng.integers(0, rows // 20, rows),
            "item_id": rng.zipf(1.3, rows) % 200,
            "timestamp": rng.integers(1_600_000_000, 1_600_000_500, rows),
            "order": rng.integers(0, 3, rows),
            "rating": rng.integers(1, 6, rows).astype(float),
            "event_type": rng.choice(["view", "cart", "buy", " buy\t", "view\u3000"], rows),
            "session": rng.choice(["s1", "s2 ", "s2", "é", None], rows),
        }
    )
    none = pl.when(pl.int_range(pl.len()) % 37 == 0)
    frame = frame.with_columns(none.then(None).otherwise(pl.col("timestamp")).alias("timestamp"))
    frame = pl.concat([frame, frame.head(rows // 10)])
    if not text_ids:
        return frame.with_columns(
            pl.when(pl.col("user_id") == 3).then(None).otherwise(pl.col("user_id")).alias("user_id")
        )
    odd = {0: "", 1: " \t", 2: "\u00a0", 3: "Zoë 'quoted'", 4: "zoë", 5: "é", 6: "𝄞", 7: "007"}
    return frame.with_columns(
        pl.col(name).replace_strict(odd, default=pl.format("u{}", name)).alias(name)
        for name in ("user_id", "item_id")
    )


def digest(folder):
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name not in ("manifest.json", "card.html")
    }


@pytest.mark.parametrize("text_ids", [False, True])
def test_three_engines_give_the_same_bytes(run, make, tmp_path, text_ids):
    frame = shop(3000, text_ids=text_ids)
    features = Features(events={"rating": "numeric", "event_type": "categorical"})
    options = {
        "min_rating": 2.0,
        "start": "2020-09-13T12:27",
        "window": "1d",
        "min_user_count": 4,
        "min_item_count": 2,
        "max_history": 30,
        "drop_consecutive_repeats": True,
        "sample_users": 100,
    }
    split = make(
        LeaveOneOut, "split", "leave_one_out", target_events=["buy", "cart"],
        unit="session" if text_ids else "event",
    )  # fmt: skip
    found = {}
    for engine in ENGINES:
        reader = Given(interactions=frame, features=features)
        found[engine] = run(reader, root=tmp_path / engine, engine=engine, split=split, **options)
    kinds = np.asarray(found["polars"].features.column("event.event_type")) - 2
    assert (found["polars"].is_target == (kinds < 2)).all()  # "view" is the last
    assert 500 < found["polars"].num_interactions < 2500
    assert found["polars"].num_users == 100
    assert found["polars"].features.values("event.event_type") == ["buy", "cart", "view"]
    assert_equal(found)


def assert_equal(found):
    """The datasets that the engines made are the same, byte by byte."""
    first = found["polars"]
    for engine, data in found.items():
        assert data.manifest["engine"] == engine
        assert data.fingerprint == first.fingerprint
        assert data.manifest["features_fingerprint"] == first.manifest["features_fingerprint"]
        assert data.manifest["counts"] == first.manifest["counts"]
        assert digest(data.path) == digest(first.path)


def test_three_engines_give_the_same_bytes_of_online_retail(shared, make, run, tmp_path):
    found = {}
    for engine in ENGINES:
        file = shared / "online-retail/online_retail.parquet"
        reader = make(OnlineRetail, "data", "online_retail", path=str(file))
        found[engine] = run(
            reader, root=tmp_path / engine, engine=engine, min_user_count=5, min_item_count=5
        )
    assert found["polars"].num_interactions > 350_000
    assert_equal(found)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("is_feature", [False, True])
def test_a_view_and_a_buy_of_one_second_are_two_events(run, tmp_path, engine, is_feature):
    rows = [("u", 1, "view"), ("u", 1, "buy"), ("u", 1, "view"), ("u", 1, None), ("u", 1, None)]
    frame = pl.DataFrame(
        [(*row, 5) for row in [*rows, ("u", 2, "buy"), ("u", 3, "buy"), ("v", 1, "view")]],
        schema=["user_id", "item_id", "event_type", "timestamp"],
        orient="row",
    )
    features = Features(events={"event_type": "categorical"} if is_feature else {})
    data = run(Given(interactions=frame, features=features), engine=engine)
    assert data.items.tolist() == [0, 0, 0, 1, 2, 0]
    last = data.manifest["counts"][-1]
    assert last["reason"] == "same user, item, time and event type as an earlier row"
    assert last["dropped"] == 2
    if is_feature:
        kinds = data.features.values("event.event_type")
        assert [kinds[code - 2] for code in data.features.column("event.event_type")[:2]] == [
            "view",
            "buy",
        ]
    bare = run(Given(interactions=frame.drop("event_type")), root=tmp_path / "bare", engine=engine)
    assert bare.num_interactions == 4
    counted = bare.manifest["counts"][-1]
    assert counted["reason"] == "same user, item and time as an earlier row"


@pytest.mark.parametrize("engine", ENGINES)
def test_parquet_files_are_scanned_in_their_order(run, tmp_path, engine):
    # All at one time: nothing but the order of files and rows says which item was last.
    folder = tmp_path / "a b=1"
    folder.mkdir()
    files = []
    for number, items in enumerate((["c", "a"], ["d"], ["b", "a"])):
        files.append(str(folder / f"part {9 - number}.parquet"))
        rows = [{"who": who, "what": what, "ms": 5000} for who in (1, 2) for what in items]
        pl.DataFrame(rows).write_parquet(files[-1], row_group_size=1)
    log = ParquetLog(
        tuple(files),
        {
            "user_id": nw.col("who"),
            "item_id": nw.col("what"),
            "timestamp": nw.col("ms") // 1000,
        },
    )

    class InFiles(Given):
        def source_key(self):
            return {}

    data = run(InFiles(interactions=log), engine=engine, drop_duplicates=False)
    ids = data.item_ids()
    assert [ids[i] for i in data.items] == ["c", "a", "d", "b", "a"] * 2
    assert data.timestamps.tolist() == [5] * 10


@pytest.mark.parametrize("engine", ENGINES)
def test_what_rows_say_of_items_is_of_the_first_training_event(table, run, tmp_path, engine):
    frame = random_log(400)
    (tmp_path / "log").mkdir()
    for number, part in enumerate(frame.iter_slices(150)):
        part.write_parquet(tmp_path / "log" / f"{number}.parquet")
    reader = table(tmp_path / "log", order_column="place", **KINDS_OF_RANDOM)
    assert_as_loops(run(reader, engine=engine), frame)


@pytest.mark.parametrize("engine", ENGINES)
def test_ids_of_other_kinds_are_refused(run, engine):
    frame = pl.DataFrame({"user_id": [1.5, 2.5], "item_id": [1, 2]})
    with pytest.raises(UserError, match="user_id: is of type double; expected integers or strings"):
        run(Given(interactions=frame), engine=engine)


def test_duckdb_names_its_limits(make):
    from recsys_lab.data.engines.duckdb import DuckDB

    with pytest.raises(UserError, match=r"engine.memory_limit=lots: not a valid amount of memory"):
        make(DuckDB, "engine", "duckdb", memory_limit="lots")


def test_duckdb_out_of_memory_is_told(run, table, monkeypatch, tmp_path):
    import duckdb

    from recsys_lab.data.engines import duckdb as module

    def full(*_):
        raise duckdb.OutOfMemoryException("Out of Memory Error: no more\nat line 1")

    monkeypatch.setattr(module.DuckDBSession, "keep", full)
    with pytest.raises(UserError, match=r"Out of Memory Error: no more. Raise engine.memory_limit"):
        run(table(LOG), engine="duckdb")
    assert list((tmp_path / "prepared").iterdir()) == []
