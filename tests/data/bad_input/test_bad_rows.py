"""Rows that cannot be used are shown, and stop a preparation when they are many."""

from __future__ import annotations

import logging

import polars as pl
import pytest

from recsys_lab.config import UserError
from recsys_lab.data.sources.recbole import RecBole
from tests.data.bad_input.inputs import HEAD, NOW
from tests.data.conftest import Given

GOOD_ROWS = [f"u{n % 3},i{n % 5},{NOW[0] + n}" for n in range(96)]
ODD_ROWS = ["u1,i1,soon", "NULL,i2,5", "u1,i1,later", "u2,,1", "u1,i1,x" + "y" * 99, "u0,i0,never"]


def log(rows=None):
    return HEAD + "\n".join(ODD_ROWS[:3] + GOOD_ROWS + ODD_ROWS[3:] if rows is None else rows)


def shown(data):
    return {c["reason"]: c["examples"] for c in data.manifest["counts"] if "examples" in c}


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
@pytest.mark.parametrize("form", ["csv", "parquet", "files"])
def test_three_examples_as_they_stand_in_the_source(table, run, tmp_path, engine, form, caplog):
    path = tmp_path / f"log.{form}"
    if form == "csv":
        path.write_text(log())
    elif form == "parquet":
        pl.read_csv(log().encode(), infer_schema=False).write_parquet(path)
    else:
        path.mkdir()
        for place, rows in enumerate((ODD_ROWS[:3] + GOOD_ROWS, ODD_ROWS[3:])):
            (path / f"{place}.csv").write_text(log(rows))
    with caplog.at_level(logging.WARNING):
        data = run(table(path, timestamp_unit="s"), engine=engine, max_bad_rows=0.1)
    first, last = ("", "") if form != "files" else (" of 0.csv", " of 1.csv")
    start = 1 if form == "files" else 100
    cut = "'x" + "y" * 55 + "..."
    assert shown(data) == {
        "missing user": [f"row 2{first}: user_id='NULL', item_id='i2', timestamp='5'"],
        "missing item": [f"row {start}{last}: user_id='u2', item_id=None, timestamp='1'"],
        "unparseable timestamp": [
            f"row 1{first}: user_id='u1', item_id='i1', timestamp='soon'",
            f"row 3{first}: user_id='u1', item_id='i1', timestamp='later'",
            f"row {start + 1}{last}: user_id='u1', item_id='i1', timestamp={cut}",
        ],
    }
    assert "Dropped 4 rows (4.00%): unparseable timestamp, such as row 1" in caplog.text


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
def test_of_other_readers_what_they_made_is_shown(run, engine):
    frame = pl.DataFrame(
        {
            "user_id": [1, None, 2, 2, 1, 1, 2],
            "item_id": [5, 6, 7, 8, 7, 9, 9],
            "timestamp": [*NOW[:3], None, *NOW[3:]],
        }
    )
    assert shown(run(Given(interactions=frame), engine=engine)) == {
        "missing user": [f"row 2: user_id=None, item_id=6, timestamp={NOW[1]}"],
        "unparseable timestamp": ["row 4: user_id=2, item_id=8, timestamp=None"],
    }


def test_many_stop_the_preparation_unless_allowed(table, run, tmp_path):
    text = HEAD + "\n".join([*GOOD_ROWS[:40], *ODD_ROWS])
    with pytest.raises(UserError) as caught:
        run(table(text, timestamp_unit="s"), max_bad_rows=0.1)
    said = str(caught.value)
    assert said.startswith("6 of 46 rows (13.0%) cannot be used, more than filter.max_bad_rows=0.1")
    assert "missing user: 1, such as row 42: user_id='NULL'" in said
    assert not list((tmp_path / "prepared").iterdir())
    allowed = run(table(text, timestamp_unit="s"), max_bad_rows=0.2)
    # It changes no number, so it is in no record of what made them.
    assert "max_bad_rows" not in allowed.manifest["settings"]["filter"]
    everything = run(table(text, timestamp_unit="s"), root=tmp_path / "all", max_bad_rows=1.0)
    assert everything.fingerprint == allowed.fingerprint


SHORT_ROWS = ["u1", "u2,i2", "", "u1,i1,1700090001", "u0,,1700090001,y", "u1,i3,1700090002,"]


def with_notes(rows):
    good = [f"{row},n{place}" for place, row in enumerate(GOOD_ROWS[:20])]
    return "\n".join(["user_id,item_id,timestamp,note", *good, *rows, ""])


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
@pytest.mark.parametrize("quoted", [True, False])
def test_too_few_values_are_named_as_such(table, run, engine, quoted):
    rows = [*SHORT_ROWS, '"u\n1","i""4",1700090003'] if quoted else SHORT_ROWS
    reader = table(with_notes(rows), quoted=quoted, event_features={"note": "categorical"})
    data = run(reader, engine=engine)
    assert shown(data) == {
        "row with too few values": [
            "row 21: user_id='u1', item_id=None, timestamp=None",
            "row 22: user_id='u2', item_id='i2', timestamp=None",
        ],
        "missing user": ["row 23: user_id=None, item_id=None, timestamp=None"],
        "missing item": ["row 25: user_id='u0', item_id=None, timestamp='1700090001'"],
    }
    # A row that lacks the optional last value stays, and is told.
    assert data.num_interactions == 20 + (3 if quoted else 2)
    [said] = [said for said in data.manifest["warnings"] if "fewer values" in said]
    assert f": {4 if quoted else 3} rows have fewer values than the header has columns" in said
    assert "The first is row 21: user_id='u1', item_id=None" in said
    assert data.features.column("event.note").tolist().count(0) == (3 if quoted else 2)


def test_no_row_is_short_where_values_are_empty(table, run):
    text = with_notes(["u1,i1,1700090001,", 'u1,i2,1700000002,""'])
    data = run(table(text, event_features={"note": "categorical"}))
    assert data.num_interactions == 22
    assert not [said for said in data.manifest["warnings"] if "fewer values" in said]


def test_one_of_several_files_has_short_rows(table, run, tmp_path):
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "a.csv").write_text(with_notes([]))
    (folder / "b.csv").write_text(
        with_notes(["u7"])
        .replace("i", "j")
        .replace("jtem_jd", "item_id")
        .replace("user_jd", "user_id")
        .replace("tjme", "time")
    )
    data = run(table(folder, event_features={"note": "categorical"}))
    assert shown(data) == {
        "row with too few values": ["row 21 of b.csv: user_id='u7', item_id=None, timestamp=None"]
    }


def test_short_rows_of_a_table_of_items_are_told(table, run, tmp_path):
    (tmp_path / "items.csv").write_text("item_id,colour,size\ni0,red,1\ni1,blue\ni2\n")
    data = run(table(log(GOOD_ROWS), items_path=str(tmp_path / "items.csv")))
    [said] = [said for said in data.manifest["warnings"] if "fewer values" in said]
    assert "items.csv: 2 rows have fewer values" in said
    assert said.endswith("The first is row 2: item_id='i1', colour='blue', size=None")


def test_recbole_is_as_tolerant(make, run, tmp_path):
    rows = ["1\t2\t1700000000\t-", "1\t3\t1700000001", "1", "2\t2\t1700000002\t5"]
    rows += [f"{n % 2}\t{n}\t{NOW[0] + n}\t{n}" for n in range(4, 12)]
    file = tmp_path / "log.inter"
    file.write_text(
        "\n".join(["user_id:token\titem_id:token\ttimestamp:float\tprice:float", *rows])
    )
    data = run(make(RecBole, "data", "recbole", path=str(file)))
    assert shown(data) == {
        "row with too few values": ["row 3: user_id=1, item_id=None, timestamp=None"]
    }
    [said] = [said for said in data.manifest["warnings"] if "fewer values" in said]
    assert "2 rows have fewer values" in said
    assert "row 2: user_id='1', item_id='3', timestamp='1700000001', price=None" in said
    assert data.num_interactions == 11


def test_a_dataset_that_is_there_is_refused_as_a_new_one_is(table, run):
    text = log([f"u1,i{n},never" for n in range(6)] + GOOD_ROWS[:40])
    reader = table(text, timestamp_unit="s")
    data = run(reader, max_bad_rows=0.2)
    with pytest.raises(UserError) as refused:
        run(reader, max_bad_rows=0.1)
    assert str(refused.value).startswith(
        "6 of 46 rows (13.0%) cannot be used, more than filter.max_bad_rows=0.1 allows. unparseable"
    )
    assert "row 1: user_id='u1', item_id='i0', timestamp='never'" in str(refused.value)
    assert run(reader, max_bad_rows=0.14).path == data.path


def test_rows_that_the_reader_left_out_are_no_bad_rows(run):
    frame = pl.DataFrame(
        {
            "user_id": [None, *(n % 2 for n in range(9))],
            "item_id": range(10),
            "timestamp": range(NOW[0], NOW[0] + 10),
        }
    )
    reader = Given(interactions=frame, dropped={"bots": 90})
    run(reader, max_bad_rows=0.1)
    with pytest.raises(UserError, match=r"1 of 10 rows \(10.0%\) cannot be used"):
        run(reader, max_bad_rows=0.05)
