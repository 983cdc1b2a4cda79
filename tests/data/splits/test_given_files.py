"""split=given: files and messages."""

from __future__ import annotations

import polars as pl
import pytest

from recsys_lab.config import UserError
from recsys_lab.data.sources.recbole import RecBole
from tests.data.conftest import build
from tests.data.splits.test_given import (
    HEADER,
    ROWS,
    as_words,
    column,
    files,
    recbole,
    split,
    three,
)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"words": {"train": "1", "validation": "valid", "test": "holdout"}},
         "column 'fold' holds words that are not parts: '1' (6 rows), 'holdout' (5 rows). "
         "Allowed: train, training; validation, valid, val, dev; test"),
        ({"words": {"train": "train", "validation": "", "test": "test"}},
         "column 'fold' holds words that are not parts: None (3 rows)"),
        ({"words": {"train": "train", "validation": "train", "test": "test"}},
         "split=given: the source has no row of validation (rows: train 9, validation 0, test 5)"),
        ({"validation_path": "x.csv"}, "data.validation_path: a published split needs three files"),
        ({"rows": {**ROWS, "train": ["z,y,1"], "validation": ["y,z,2"]}},
         "split=given: no validation target is left (1 users have no event before their targets)"),
    ],
)  # fmt: skip
def test_what_states_no_split_is_refused(table, run, options, said):
    with pytest.raises(UserError) as refused:
        run(column(table, **options), split=split())
    assert said in str(refused.value)


def test_split_and_source_belong_together(table, run, tmp_path):
    with pytest.raises(UserError, match="split=leave_one_out: the source states the part of every"):
        run(column(table))
    plain = table("\n".join([HEADER, *ROWS["train"]]), "plain.csv")
    with pytest.raises(UserError, match=r"split=given: the source does not say .*data.part_column"):
        run(plain, split=split())
    files(tmp_path)
    with pytest.raises(
        UserError, match=r"data\.validation_path: a published split needs three files"
    ):
        run(table(tmp_path / "train.csv", validation_path="validation.csv"), split=split())


def test_files_of_a_published_split_must_be_whole(run, tmp_path):
    reader = recbole(tmp_path)
    (tmp_path / "shop.item").write_text("item_id:token\ttitle:token\nx\tHat\n")
    assert "Hat" in run(reader, split=split()).item_titles()
    (tmp_path / "shop.valid.inter").unlink()
    with pytest.raises(UserError, match=r"shop\.valid\.inter of a published split is missing"):
        run(recbole_of(tmp_path), split=split())
    other = "user_id:token\titem_id:token\ttime:float\na\tx\t1\n"
    (tmp_path / "shop.valid.inter").write_text(other)
    with pytest.raises(UserError, match="all parts must have the same fields"):
        run(recbole_of(tmp_path), split=split())
    listed = "user_id:token\titem_id_list:token_seq\titem_id:token\na\tx y\tz\n"
    (tmp_path / "shop.valid.inter").unlink()
    (tmp_path / "shop.test.inter").unlink()
    (tmp_path / "shop.train.inter").write_text(listed)
    with pytest.raises(UserError, match="'item_id_list' holds whole histories"):
        run(build(RecBole, "data", "recbole", path=str(tmp_path / "shop.train.inter"),
                  time_field=None))  # fmt: skip


def recbole_of(folder):
    return build(RecBole, "data", "recbole", path=str(folder))


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
def test_without_times_rows_stand_in_the_order_of_the_files(table, run, tmp_path, engine):
    rows = {part: [line.rpartition(",")[0] for line in lines] for part, lines in ROWS.items()}
    later = files(tmp_path, rows, header="user_id,item_id")
    reader = table(tmp_path / "train.csv", **later, timestamp_column=None)
    data = run(reader, split=split(), engine=engine)
    assert as_words(data)["test"]["b"] == ("zyxw", "x")
    assert data.manifest["engine"] == engine


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
def test_columns_of_items_are_those_of_training_rows(table, run, tmp_path, engine):
    rows = {part: [f"{line},{part}" for line in lines] for part, lines in ROWS.items()}
    later = files(tmp_path, rows, header=f"{HEADER},brand")
    reader = table(tmp_path / "train.csv", **later, item_features={"brand": "categorical"})
    data = run(reader, split=split(), engine=engine)
    brands = dict(pl.read_parquet(data.path / "items.parquet")["item_id", "brand"].iter_rows())
    assert brands == {"w": None, "x": "train", "y": "train", "z": "train"}


def test_messages_name_the_files_as_they_were_given(table, run, tmp_path, caplog):
    reader = three(table, tmp_path, event_features={"amount": "numeric"})
    for part in ("train", "validation"):
        path = tmp_path / f"{part}.csv"
        first, *lines = path.read_text().splitlines()
        path.write_text("\n".join([f"{first},amount", *(f"{line},1" for line in lines)]) + "\n")
    with pytest.raises(UserError) as told:
        run(reader, split=split())
    assert "data.event_features.amount=amount: no such column" in str(told.value)
    columns = "user_id, item_id, timestamp"
    assert f"Columns of data.test_path={tmp_path / 'test.csv'}: {columns}" in str(told.value)
    assert "_part" not in str(told.value)
    reader = three(table, tmp_path, {**ROWS, "test": ["a,,3", *ROWS["test"]]})
    run(reader, split=split())
    assert f"row 1 of data.test_path={tmp_path / 'test.csv'}: user_id='a'" in caplog.text
    (tmp_path / "test.tsv").write_text((tmp_path / "test.csv").read_text().replace(",", "\t"))
    with pytest.raises(UserError, match=r"published split have several formats: data\.path="):
        run(three(table, tmp_path, test_path=str(tmp_path / "test.tsv")), split=split())


def test_numbers_of_parts_are_told_how_to_be_written(table, run):
    numbers = {part: str(number) for number, part in enumerate(ROWS)}
    with pytest.raises(UserError) as told:
        run(column(table, words=numbers), split=split())
    code = str(told.value).partition("log.with_columns(")[2].removesuffix(")")
    log = pl.DataFrame({"fold": [0, 1, 2]}).with_columns(eval(code, {"pl": pl}))
    assert log["fold"].to_list() == list(ROWS)
