"""Queries on real databases: DuckDB and SQLite files, and a PostgreSQL server of the test's own."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from recsys_lab.config import UserError
from recsys_lab.config.environment import guarded
from recsys_lab.data.sources.sql import SQL
from tests.data.conftest import build
from tests.support.postgres import PASSWORD, USER, free_port, postgres_server

ROWS = [("b", 1, 30), ("a", 2, 10), ("a", 1, 20), ("b", 2, 40), ("a", 3, 30), ("b", 3, 50)]
CREATE = "CREATE TABLE clicks (who {text}, sku {whole}, moment {whole})"
QUERY = "SELECT who AS user_id, sku AS item_id, moment AS timestamp FROM clicks"


def sql(url, query=QUERY, **options):
    return build(SQL, "data", "sql", url=url, query=query, **options)


@pytest.fixture
def duckdb_url(tmp_path):
    file = tmp_path / "shop.duckdb"
    with duckdb.connect(str(file)) as connection:
        connection.execute(CREATE.format(text="VARCHAR", whole="BIGINT"))
        connection.executemany("INSERT INTO clicks VALUES (?, ?, ?)", ROWS)
    return f"duckdb:///{file}"


@pytest.fixture
def sqlite_url(tmp_path):
    file = tmp_path / "shop.db"
    connection = sqlite3.connect(file)
    connection.execute(CREATE.format(text="TEXT", whole="INTEGER"))
    connection.executemany("INSERT INTO clicks VALUES (?, ?, ?)", ROWS)
    connection.commit()
    connection.close()
    return f"sqlite:///{file}"


@pytest.fixture(scope="module")
def postgres(tmp_path_factory):
    """A server with the table, and a user who needs a password: its address."""
    import psycopg

    with postgres_server(tmp_path_factory.mktemp("postgres")) as port:
        with psycopg.connect(
            host="127.0.0.1", port=port, user=USER, password=PASSWORD, dbname="postgres"
        ) as connection:
            connection.execute(CREATE.format(text="TEXT", whole="BIGINT"))
            with connection.cursor() as cursor:
                cursor.executemany("INSERT INTO clicks VALUES (%s, %s, %s)", ROWS)
        yield f"postgresql://127.0.0.1:{port}/postgres"


@pytest.fixture
def secrets(monkeypatch):
    monkeypatch.setenv("SHOP_USER", USER)
    monkeypatch.setenv("SHOP_PASSWORD", PASSWORD)
    return {"user_env": "SHOP_USER", "password_env": "SHOP_PASSWORD"}


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


LONG = """
import signal, sys
from recsys_lab.data.sources.sql_drivers import batches_of

def stop(*_):
    raise SystemExit(7)

signal.signal(signal.SIGTERM, stop)
print("begun", flush=True)
for _ in batches_of(sys.argv[1], sys.argv[2], None, None, "data.query"):
    pass
"""
ENDLESS = {
    "sqlite_url": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
    "SELECT count(*) FROM n",
    "duckdb_url": "SELECT sum(a.i * b.i) FROM range(10000000) a(i), range(10000000) b(i)",
}


@pytest.mark.parametrize("kind", ENDLESS)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 7), (signal.SIGINT, 130)])
def test_a_long_query_heeds_signals(request, kind, number, code):
    url = request.getfixturevalue(kind)
    command = [sys.executable, "-c", LONG, url, ENDLESS[kind]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            process.stdout.readline()
            time.sleep(0.5)
            assert process.poll() is None
            process.send_signal(number)
            assert process.wait(timeout=300) in (code, -number)
        finally:
            process.kill()


def test_a_view_over_files_is_read(run, duckdb_url, tmp_path):
    file = duckdb_url.partition(":///")[2]
    with duckdb.connect(file) as connection:
        connection.execute(f"COPY clicks TO '{tmp_path}/clicks.parquet'")
        connection.execute("DROP TABLE clicks")
        connection.execute(f"CREATE VIEW clicks AS FROM '{tmp_path}/clicks.parquet'")
    check(run, sql(duckdb_url))


@pytest.mark.parametrize(
    "elsewhere", ["/proc/self/environ", "../other.csv", "http://127.0.0.1:9/x"]
)
def test_a_query_of_duckdb_reads_nothing_elsewhere(duckdb_url, tmp_path, elsewhere):
    (tmp_path.parent / "other.csv").write_text("a\n1\n")
    query = f"SELECT content FROM read_text('{elsewhere}')"
    with pytest.raises(UserError, match=r"data.query: .*Permission Error"):
        sql(duckdb_url, query).source_key()


def test_a_password_of_the_environment_is_not_sent_by_itself(postgres, secrets, monkeypatch):
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    named = {"user_env": secrets["user_env"]}
    with (
        guarded([]),
        pytest.raises(UserError, match=r"data.password_env=PGPASSWORD: .*in the command"),
    ):
        sql(postgres, **named).source_key()
    with guarded(["data.password_env=PGPASSWORD"]):
        sql(postgres, **named).source_key()


LIKE = QUERY + " WHERE who LIKE 'a%' OR who LIKE '%(b)s' OR sku % 2 >= 0"


@pytest.mark.parametrize("kind", ["duckdb_url", "sqlite_url", "postgres"])
def test_a_percent_sign_is_part_of_the_query(run, request, secrets, kind):
    options = secrets if kind == "postgres" else {}
    check(run, sql(request.getfixturevalue(kind), LIKE, **options))


def _scratch(tmp_path):
    folder = tmp_path / "scratch"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.mark.parametrize(
    ("url", "options", "message"),
    [
        ("oracle://host/db", {}, "unknown database 'oracle'. *Allowed: duckdb, sqlite, postgresql"),
        ("postgres://host/db", {}, "Did you mean 'postgresql'"),
        ("postgresql://me:pw@host/db", {}, "data.url: holds a password.*data.password_env"),
        ("oracle://me:pw@host/db", {}, "data.url: holds a password"),
        ("postgresql://host/db?user=shop&password=pw", {}, r"a password \(password=...\)"),
        ("postgresql://host/db?sslPassword=pw", {}, r"a password \(sslPassword=...\)"),
        ("mysql://host/db?charset=utf8&pass%77d=pw", {}, r"a password \(passwd=...\)"),
        (
            "postgresql://localhost:xx/db",
            {},
            r"not a valid URL \(.*'xx'.*expected e.g. postgresql://host",
        ),
        ("sqlite:///nowhere.db", {}, "no such file"),
        ("duckdb:///nowhere.duckdb", {}, "no such file"),
        ("sqlite:///x", {"password_env": "NOT_SET_ANYWHERE"}, "no such environment variable"),
        (None, {}, "data.url is not set"),
    ],
)
def test_bad_places(tmp_path, url, options, message, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message) as error:
        sql(url, **options).source_key()
    assert "pw" not in str(error.value)
    assert list(tmp_path.iterdir()) == []  # no database was created


def test_a_server_that_is_not_there(secrets):
    with pytest.raises(UserError, match=r"(?i)data.url=postgresql://.*(refused|failed)") as error:
        sql(f"postgresql://127.0.0.1:{free_port()}/db", **secrets).source_key()
    assert PASSWORD not in str(error.value)


def test_what_a_server_refuses(postgres, secrets, monkeypatch):
    with pytest.raises(UserError, match=r"data.query: .*clicks_2"):
        sql(postgres, "SELECT * FROM clicks_2", **secrets).source_key()
    with pytest.raises(UserError, match=r"data.query: syntax error at or near \"DELETE\""):
        sql(postgres, "DELETE FROM clicks RETURNING *", **secrets).source_key()
    with pytest.raises(UserError, match=r"data.query: .*(cannot insert|syntax error)"):
        sql(postgres, "SELECT 1; COMMIT; DELETE FROM clicks; SELECT 1", **secrets).source_key()
    with pytest.raises(UserError, match=r'database "nothing" does not exist'):
        sql(postgres.replace("/postgres", "/nothing"), **secrets).source_key()
    monkeypatch.setenv("SHOP_PASSWORD", "wr0ng-one")
    with pytest.raises(UserError, match=r"password authentication failed") as error:
        sql(postgres, **secrets).source_key()
    assert "wr0ng-one" not in str(error.value)
    assert error.value.__cause__ is None


def test_the_rows_brought_here_go_with_the_reader(run, duckdb_url, tmp_path, monkeypatch):
    reader = sql(duckdb_url)
    reader.source_key()
    folder = reader._files()["path"].parent
    assert folder.exists()
    del reader
    assert not folder.exists()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))  # prepared_dir has the room
    reader = sql(duckdb_url)
    check(run, reader)
    folder = reader._files()["path"].parent
    assert folder.parent == tmp_path / "prepared"
    del reader
    assert not folder.exists()
    with pytest.raises(UserError, match=r"data.query"):
        run(sql(duckdb_url, "SELECT * FROM clicks_2"), root=tmp_path / "other")
    assert list((tmp_path / "other").iterdir()) == []
    with pytest.raises(UserError, match=r"prepared_dir=.*shop.duckdb/x: cannot create or write"):
        run(sql(duckdb_url), root=tmp_path / "shop.duckdb" / "x")
