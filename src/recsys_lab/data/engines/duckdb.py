"""The DuckDB engine: bounded memory; data beyond it spill to disk."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import narwhals as nw
import polars as pl
import pyarrow as pa
from annotated_types import Ge

from recsys_lab.config import UserError, first_line
from recsys_lab.data.engines.base import (
    FILE,
    NUMBER,
    PLACE,
    ROW,
    ROWS_A_FILE,
    Frame,
    stage,
    unreadable,
)
from recsys_lab.data.raw import ParquetLog

ROWS_A_BATCH = 1 << 20


class DuckDB:
    """For logs larger than memory, on one machine.

    Args:
        config: limits of memory and threads.
    """

    name = "duckdb"

    @dataclass(frozen=True)
    class Config:
        """Options of `DuckDB`.

        Attributes:
            memory_limit: memory beyond which data spill to disk, e.g. 4GiB.
            threads: number of threads; null: all cores.
        """

        memory_limit: str
        threads: Annotated[int, Ge(1)] | None

    def __init__(self, config: Config) -> None:
        if not re.fullmatch(r"\d+(\.\d+)? ?[KMGT]i?B", config.memory_limit):
            raise UserError(
                f"engine.memory_limit={config.memory_limit}: not a valid amount of memory; "
                "expected e.g. 4GiB or 500MB"
            )
        self.config = config

    @contextmanager
    def open(self, scratch: Path) -> Iterator[DuckDBSession]:
        """Open a database in ``scratch``."""
        import duckdb

        connection = duckdb.connect(str(scratch / "work.duckdb"))
        try:
            connection.execute(f"SET memory_limit = '{self.config.memory_limit}'")
            connection.execute(f"SET temp_directory = {_quoted(str(scratch / 'spilled'))}")
            # Every result that matters is sorted; keeping the order of others costs memory.
            connection.execute("SET preserve_insertion_order = false")
            if self.config.threads is not None:
                connection.execute(f"SET threads = {self.config.threads}")
            yield DuckDBSession(connection, scratch)
        except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
            raise UserError(
                f"engine=duckdb: {first_line(error)}. Raise engine.memory_limit (now "
                f"{self.config.memory_limit}) or free disk space in {scratch}"
            ) from error
        except duckdb.Error as error:
            raise unreadable(error) from error
        finally:
            connection.close()


class DuckDBSession:
    """See `recsys_lab.data.engines.base.Session`."""

    def __init__(self, connection: Any, scratch: Path) -> None:
        self._connection = connection
        self._scratch = scratch
        self._tables = 0

    def scan(self, log: pl.DataFrame | pl.LazyFrame | ParquetLog) -> Frame:
        """The log; rows are numbered by file and row in it."""
        files = self._files(log)
        # Names are not patterns here: the lab's listing has resolved those.
        patterns = ", ".join(_quoted(glob.escape(file)) for file in files)
        numbers = pa.table({FILE: files, NUMBER: range(len(files))})
        relation = self._connection.sql(
            f"SELECT * RENAME (file_row_number AS {PLACE}) FROM read_parquet([{patterns}], "
            f"filename = '{FILE}', file_row_number = true, hive_partitioning = false)"
        )
        frame: Frame = nw.from_native(relation)
        if len(files) > 1:
            frame = frame.join(self.table(numbers), on=FILE)
            row = nw.col(NUMBER) * ROWS_A_FILE + nw.col(PLACE)
        else:
            row = nw.col(PLACE)
        if isinstance(log, ParquetLog):
            return frame.select(row.alias(ROW), **log.columns)
        return frame.with_columns(row.alias(ROW)).drop(FILE, PLACE)

    def table(self, table: pa.Table) -> Frame:
        """A copy inside the database."""
        return self._create(self._connection.from_arrow(table))

    def keep(self, frame: Frame) -> Frame:
        """A table in the database's file."""
        return self._create(frame.to_native())

    def ordered(self, frame: Frame, by: Sequence[str]) -> Frame:
        """The rows by some columns, then by `ROW`."""
        return frame.sort(*by, ROW).drop(ROW)

    def batches(self, frame: Frame) -> Iterator[pa.RecordBatch]:
        """The result as it comes."""
        yield from frame.to_native().to_arrow_reader(ROWS_A_BATCH)

    def _files(self, log: pl.DataFrame | pl.LazyFrame | ParquetLog) -> tuple[str, ...]:
        if isinstance(log, ParquetLog):
            return log.files
        return (stage(log, str(self._scratch)),)

    def _create(self, relation: Any) -> Frame:
        self._tables += 1
        name = f"kept_{self._tables}"
        relation.create(name)
        created: Frame = nw.from_native(self._connection.table(name))
        return created


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
