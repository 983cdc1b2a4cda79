"""Events from a query of a database: DuckDB, SQLite, PostgreSQL or MySQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys_lab.config import UserError, did_you_mean
from recsys_lab.config.environment import environment_value
from recsys_lab.config.secrets import refused_password
from recsys_lab.data.columns.conditions import Condition
from recsys_lab.data.formats.paths import file_key, require_option
from recsys_lab.data.formats.staging import stage_batches, staging_folder
from recsys_lab.data.raw import RawData
from recsys_lab.data.sources.options import ColumnOptions
from recsys_lab.data.sources.sql_drivers import SCHEMES, batches_of
from recsys_lab.data.sources.staged_table import read_mapped


class SQL:
    """Runs one query and reads its rows as events.

    The rows are streamed once to Parquet files, whose hash shows whether the data have changed.
    Credentials are only read from the environment and never stored.

    Args:
        config: the database, the query and the columns of its result.
    """

    @dataclass(frozen=True)
    class Config(ColumnOptions):
        """Options of `SQL`.

        Attributes:
            url: duckdb:///file.duckdb, sqlite:///file.db, postgresql://host:5432/database or
                mysql://host/database, without a password.
            user_env: environment variable with the user name; null: from the URL or the driver.
            password_env: environment variable with the password; null: where the driver looks for
                it (PGPASSWORD, ~/.pgpass).
            query: one SELECT; nothing is written to the database or beside it.
            query_is_ordered: whether the query orders its rows, so that they need no timestamp.
            items_query: a query for items, all of whose columns are kept; null for none.
            items_id_column: its column of item ids.
            users_query: a query for users; null for none.
            users_id_column: its column of user ids.
        """

        url: str | None
        user_env: str | None
        password_env: str | None
        query: str | None
        query_is_ordered: bool
        items_query: str | None
        items_id_column: str
        users_query: str | None
        users_id_column: str

    def __init__(self, config: Config) -> None:
        self.config = config
        self.where_conditions: Sequence[Condition] = ()
        self.staging_root: Path | None = None
        self._staged: dict[str, Path] | None = None

    def source_key(self) -> dict[str, Any]:
        """SHA-256 of the rows of each query; runs the queries."""
        return {
            option: {key: value for key, value in file_key(file).items() if key != "name"}
            for option, file in self._files().items()
        }

    def read_raw(self, scratch: Path) -> RawData:
        """Read the rows that `source_key` has staged."""
        files = self._files()
        names = {option: f"data.{option.replace('path', 'query')}" for option in files}
        ids = self.config.items_id_column, self.config.users_id_column
        return read_mapped(self.config, files, scratch, names, self.where_conditions, ids)

    def _files(self) -> dict[str, Path]:
        """The rows of each query as Parquet, in a folder that is removed with this reader."""
        if self._staged is None:
            config = self.config
            url = require_option(config.url, "data.url", "data.url=sqlite:///shop.db")
            queries = {
                "path": require_option(config.query, "data.query", "data.query='select ...'"),
                "items_path": config.items_query,
                "users_path": config.users_query,
            }
            self._check()
            user, password = (_secret(self.config, name) for name in ("user", "password"))
            staged = {}
            with staging_folder(self) as folder:
                for option, query in queries.items():
                    if query is not None:
                        staged[option] = folder / f"{option}.parquet"
                        name = f"data.{option.replace('path', 'query')}"
                        rows = batches_of(url, query, user, password, name)
                        stage_batches(rows, staged[option], name)
            self._staged = staged
        return self._staged

    def _check(self) -> None:
        config = self.config
        refused = refused_password(config.url)
        if refused is not None:
            raise UserError(f"data.url: {refused}")
        scheme = str(config.url).partition(":")[0].partition("+")[0]
        if scheme not in SCHEMES:
            raise UserError(
                f"data.url={config.url}: unknown database '{scheme}'"
                f"{did_you_mean(scheme, SCHEMES)} Allowed: {', '.join(SCHEMES)}"
            )
        ordered = config.timestamp_column or config.order_column or config.query_is_ordered
        if not ordered:
            raise UserError(
                "data.query: rows of a database have no order of their own. Name a column of times "
                "or positions (data.timestamp_column, data.order_column), or end the query with "
                "ORDER BY and set data.query_is_ordered=true"
            )


def _secret(config: SQL.Config, name: str) -> str | None:
    variable = getattr(config, f"{name}_env")
    if variable is None:
        return None
    return environment_value(variable, f"data.{name}_env={variable}")
