"""Hugging Face datasets from local folders."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import datasets
import numpy as np
import polars as pl
import pytest

from recsys_lab.config import UserError
from recsys_lab.data.sources.hub import Hub
from recsys_lab.data.sources.sql import SQL
from recsys_lab.data.splits.given import Given
from recsys_lab.files.faults import MachineFault
from tests.data.conftest import LOG, build

FRAME = pl.read_csv(LOG.encode())


@pytest.fixture(autouse=True)
def _offline(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "log"
    place.mkdir()
    FRAME.write_parquet(place / "train.parquet")
    return place


def hub(path, **options):
    return build(Hub, "data", "hub", path=str(path), **options)


def check(data):
    assert data.user_ids() == ["a", "b", "c"]
    assert data.items.tolist() == [1, 2, 3, 0, 2, 1, 3, 3]
    assert data.timestamps.tolist() == [1, 2, 3, 1, 5, 5, 9, 3]


@pytest.mark.parametrize("streaming", [False, True])
def test_a_folder_of_files(run, folder, streaming):
    check(run(hub(folder, streaming=streaming)))


@pytest.mark.parametrize("with_splits", [False, True])
def test_what_save_to_disk_wrote(run, tmp_path, with_splits):
    data = datasets.Dataset.from_polars(FRAME)
    saved = datasets.DatasetDict({"train": data}) if with_splits else data
    saved.save_to_disk(tmp_path / "saved")
    check(run(hub(tmp_path / "saved")))


def test_batches_are_joined(run, folder, monkeypatch):
    monkeypatch.setattr("recsys_lab.data.sources.hub.ROWS_A_BATCH", 3)
    check(run(hub(folder)))


def test_content_is_the_key(folder):
    first = hub(folder).source_key()
    assert first == hub(folder, streaming=True).source_key()
    FRAME.head(7).write_parquet(folder / "train.parquet")
    assert hub(folder).source_key() != first


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hub_split": "tst"}, r"data.hub_split=tst: cannot be loaded by datasets"),
        ({"user_column": "usr_id"}, r"no such column; did you mean 'user_id'"),
    ],
)  # fmt: skip
def test_mistakes(folder, tmp_path, options, message):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with pytest.raises(UserError, match=message):
        hub(folder, **options).read_raw(scratch)


def test_an_id_without_a_network():
    with pytest.raises(UserError, match=r"data.path=nobody/nothing, .*needs a network"):
        hub("nobody/nothing").source_key()


def test_no_space_for_the_cache(folder, monkeypatch):
    def full(*_, **__):
        raise datasets.exceptions.DatasetGenerationError("it failed") from OSError(28, "No space")

    monkeypatch.setattr(datasets, "load_dataset", full)
    with pytest.raises(MachineFault, match=r"no space left in the cache of datasets.*HF_HOME"):
        hub(folder).source_key()


@pytest.mark.parametrize(
    ("name", "content"),
    [("train.csv", "user_id,item_id,timestamp\n1,2,3\n1,2,3,4,5\n"),
     ("train.jsonl", '{"user_id": 1, "item_id": 2, "timestamp": 3}\n{"user_id": 1, "it\n')],
)  # fmt: skip
@pytest.mark.parametrize("streaming", [False, True])
def test_damaged_files_of_a_folder(run, tmp_path, name, content, streaming):
    folder = tmp_path / "log"
    folder.mkdir()
    (folder / name).write_text(content)
    with pytest.raises(UserError, match=r"data.path=.*log, .*: cannot be loaded by datasets \("):
        run(hub(folder, streaming=streaming))
    assert list((tmp_path / "prepared").iterdir()) == []


def test_rows_wait_beside_the_prepared_datasets(run, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    stale = tmp_path / "prepared" / ".rows-of-a-killed-process"
    stale.mkdir(parents=True)
    reader = hub(folder)
    check(run(reader))
    assert [path.parent.parent for path in [reader._file()]] == [tmp_path / "prepared"]
    del reader
    [left] = (tmp_path / "prepared").iterdir()
    assert left.name.startswith("log-")


@pytest.mark.parametrize("kind", ["hub", "sql"])
def test_decimal_commas_and_parts_as_in_tables(run, tmp_path, kind):
    words = ["train", "train", "test", "train", "train", "valid", "test", "train"]
    frame = FRAME.sort("user_id", "timestamp", maintain_order=True).with_columns(
        pl.Series("price", [f"1.00{n},5" for n in range(8)]), pl.Series("fold", words)
    )
    options = {"price_column": "price", "decimal_comma": True, "part_column": "fold"}
    if kind == "hub":
        (tmp_path / "log").mkdir()
        frame.write_parquet(tmp_path / "log" / "train.parquet")
        reader = hub(tmp_path / "log", **options)
    else:
        with closing(sqlite3.connect(tmp_path / "shop.db")) as shop, shop:
            shop.execute("create table log (user_id, item_id, timestamp, price, fold)")
            shop.executemany("insert into log values (?, ?, ?, ?, ?)", frame.rows())
        url = f"sqlite:///{tmp_path}/shop.db"
        reader = build(SQL, "data", "sql", url=url, query="select * from log", **options)
    data = run(reader, split=build(Given, "split", "given"))
    price = np.load(data.path / "features" / "event_price.npy")
    assert price.tolist() == [1000.5 + n for n in range(8)]
    assert data.segments("test").tolist() == [[0, 0, 2, 3], [1, 3, 6, 7]]
    assert data.segments("validation").tolist() == [[1, 3, 5, 6]]


@pytest.mark.parametrize("streaming", [False, True])
def test_the_splits_of_a_dataset_are_its_parts(run, tmp_path, streaming):
    rows = FRAME.sort("user_id", "timestamp", maintain_order=True)
    places = {"train": [0, 1, 3, 4, 7], "validation": [5], "test": [2, 6]}
    for part, chosen in places.items():
        (tmp_path / "log").mkdir(exist_ok=True)
        rows[chosen].write_parquet(tmp_path / "log" / f"{part}.parquet")
    options = {"validation_split": "validation", "test_split": "test", "streaming": streaming}
    data = run(hub(tmp_path / "log", **options), split=build(Given, "split", "given"))
    assert data.segments("train").tolist() == [[0, 0, 2], [1, 3, 5], [2, 7, 8]]
    assert data.segments("test").tolist() == [[0, 0, 2, 3], [1, 3, 6, 7]]
    assert data.segments("validation").tolist() == [[1, 3, 5, 6]]


def test_two_splits_are_no_published_split(folder):
    with pytest.raises(UserError, match=r"data\.validation_split, data\.test_split: a published"):
        hub(folder, test_split="test")
