"""Queries: what they may not do or read, signals, and errors of servers."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import duckdb
import pytest

from recsys_lab.config import UserError
from recsys_lab.config.environment import guarded
from tests.data.sources.test_sql import QUERY, check, sql
from tests.support.postgres import PASSWORD, free_port

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


@pytest.mark.parametrize(
    ("url", "options", "message"),
    [
        ("oracle://host/db", {}, "unknown database 'oracle'. *Allowed: duckdb, sqlite, postgresql"),
        ("postgres://host/db", {}, "did you mean 'postgresql'"),
        ("postgresql://me:pw@host/db", {}, "data.url: contains a password.*data.password_env"),
        ("oracle://me:pw@host/db", {}, "data.url: contains a password"),
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
        (
            "sqlite:///x",
            {"password_env": "NOT_SET_ANYWHERE"},
            "this environment variable is not set",
        ),
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
