from __future__ import annotations

import sqlite3

import duckdb
import pytest

from tests.support.postgres import PASSWORD, USER, postgres_server


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


ROWS = [("b", 1, 30), ("a", 2, 10), ("a", 1, 20), ("b", 2, 40), ("a", 3, 30), ("b", 3, 50)]


CREATE = "CREATE TABLE clicks (who {text}, sku {whole}, moment {whole})"
