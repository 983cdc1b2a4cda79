"""Queries on real databases: DuckDB and SQLite files, and a PostgreSQL server of the test's own."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from recsys_lab.config import UserError
from recsys_lab.data.sources.sql import SQL
from tests.data.conftest import build
from tests.support.postgres import PASSWORD

QUERY = "SELECT who AS user_id, sku AS item_id, moment AS timestamp FROM clicks"


def sql(url, query=QUERY, **options):
    return build(SQL, "data", "sql", url=url, query=query, **options)


def check(run, reader):
    data = run(reader)
    assert data.user_ids() == ["a", "b"]
    assert data.item_ids() == [1, 2, 3]
    assert data.items.tolist() == [1, 0, 2, 0, 1, 2]
    assert data.timestamps.tolist() == [10, 20, 30, 30, 40, 50]
    return data


def test_duckdb(run, duckdb_url):
    check(run, sql(duckdb_url))


def test_sqlite(run, sqlite_url):
    check(run, sql(sqlite_url))


def test_postgresql(run, postgres, secrets, capfd, caplog):
    data = check(run, sql(postgres, **secrets))
    for file in data.path.rglob("*"):
        if file.is_file():
            assert PASSWORD.encode() not in file.read_bytes()
    said = capfd.readouterr()
    assert PASSWORD not in said.out + said.err + caplog.text


def test_the_same_rows_are_one_content(run, duckdb_url, sqlite_url, tmp_path):
    first, second = sql(duckdb_url), sql(duckdb_url)
    assert first.source_key() == second.source_key()
    with duckdb.connect(duckdb_url.partition(":///")[2]) as connection:
        connection.execute("INSERT INTO clicks VALUES ('c', 1, 5)")
    assert sql(duckdb_url).source_key() != first.source_key()
    one = run(sql(sqlite_url), root=tmp_path / "one")
    assert one.fingerprint == check(run, second).fingerprint


def test_items_and_columns(run, sqlite_url):
    connection = sqlite3.connect(sqlite_url.partition(":///")[2])
    connection.execute("CREATE TABLE goods (sku INTEGER, name TEXT, brand TEXT)")
    connection.executemany(
        "INSERT INTO goods VALUES (?, ?, ?)", [(2, "hat", "x"), (1, "sock", "y")]
    )
    connection.commit()
    connection.close()
    data = run(
        sql(
            sqlite_url,
            items_query="SELECT * FROM goods",
            items_id_column="sku",
            title_column="name",
            item_features={"brand": "categorical"},
        )
    )
    assert data.item_titles() == ["sock", "hat", "3"]
    assert data.features.column("item.brand").tolist() == [3, 2, 0]


def test_types_are_those_of_the_whole_result(run, sqlite_url, monkeypatch):
    monkeypatch.setattr("recsys_lab.data.sources.sql_drivers.ROWS_A_BATCH", 2)
    query = "SELECT who AS user_id, CASE WHEN moment < 40 THEN sku ELSE who END AS item_id, moment AS timestamp FROM clicks ORDER BY moment"  # noqa: E501
    data = run(sql(sqlite_url, query))
    assert data.item_ids() == ["1", "2", "3", "b"]  # numbers first, then text: all are text


@pytest.mark.parametrize("kind", ["duckdb_url", "sqlite_url"])
@pytest.mark.parametrize(
    ("query", "options", "message"),
    [
        ("SELEC who FROM clicks", {}, r"data.query: .*SELEC"),
        ("SELECT * FROM clicks_2", {}, r"data.query: .*clicks_2"),
        ("SELECT * FROM clicks", {}, r"data.user_column=user_id: no such column"),
        ("SELECT who, who FROM clicks", {}, r"data.query: .*columns 'who'|no such column"),
        (QUERY + " WHERE moment < 0", {}, r"data.query: returned no rows"),
        (QUERY, {"timestamp_column": None}, r"rows of a database have no order of their own"),
        ("INSERT INTO clicks VALUES ('x', 1, 1)", {}, r"data.query: .*(one SELECT|readonly)"),
        ("SELECT 1; SELECT 2", {}, r"data.query: .*(one SELECT|one statement)"),
        ("COPY (SELECT 1) TO 'stolen.csv'", {}, r"data.query: .*(one SELECT|syntax error)"),
        ("WITH x AS (COPY (SELECT 1) TO 'stolen.csv') SELECT * FROM x", {},
         r"data.query: .*(one SELECT|syntax error)"),
        ("ATTACH 'stolen.db' AS other", {}, r"data.query: .*(one SELECT|not authorized)"),
        ("VACUUM INTO 'stolen.db'", {}, r"data.query: .*(syntax error|authorization denied)"),
        ("PRAGMA journal_mode = WAL", {}, r"data.query: .*one SELECT"),
        ("PRAGMA user_version = 7", {}, r"data.query: .*one SELECT"),
        ("BEGIN IMMEDIATE", {}, r"data.query: .*(one SELECT|syntax error)"),
        ("CREATE TABLE stolen (x INTEGER)", {}, r"data.query: .*(one SELECT|readonly)"),
        ("DELETE FROM clicks RETURNING who", {}, r"data.query: .*(one SELECT|readonly)"),
    ],
)  # fmt: skip
def test_bad_queries(request, tmp_path, monkeypatch, kind, query, options, message):
    monkeypatch.chdir(tmp_path)
    url = request.getfixturevalue(kind)
    before = {file: file.read_bytes() for file in tmp_path.glob("shop.*")}
    with pytest.raises(UserError, match=f"(?s){message}"):
        sql(url, query, **options).read_raw(_scratch(tmp_path))
    assert {file: file.read_bytes() for file in tmp_path.glob("shop.*")} == before
    assert not list(tmp_path.glob("stolen*"))


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
def test_reading_leaves_a_sqlite_file_and_its_folder_as_they_are(run, sqlite_url, mode):
    file = Path(sqlite_url.partition(":///")[2])
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"PRAGMA journal_mode = {mode}")
    before = {path: path.read_bytes() for path in file.parent.glob("shop*")}
    check(run, sql(sqlite_url))
    assert {path: path.read_bytes() for path in file.parent.glob("shop*")} == before == {
        file: file.read_bytes()
    }  # fmt: skip


def test_what_somebody_has_just_written_to_a_sqlite_file_is_read(sqlite_url):
    file = Path(sqlite_url.partition(":///")[2])
    with closing(sqlite3.connect(file)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        first = sql(sqlite_url).source_key()
        writer.execute("INSERT INTO clicks VALUES ('c', 1, 5)")
        writer.commit()
        stored = file.read_bytes()
        assert sql(sqlite_url).source_key() != first
        assert file.read_bytes() == stored  # the new row is in the log beside it still


def _scratch(tmp_path):
    folder = tmp_path / "scratch"
    folder.mkdir(exist_ok=True)
    return folder
