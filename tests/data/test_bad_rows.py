"""Rows that cannot be used are shown, and stop a preparation when they are many."""

from __future__ import annotations

import logging

import polars as pl
import pytest

from recsys_lab.config import UserError

from .bad_inputs import HEAD, NOW
from .conftest import Given

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
