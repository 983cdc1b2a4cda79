"""Interface of engines.

The pipeline is written in narwhals; an engine reads, caches, orders and returns its frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import narwhals as nw
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsys_lab.config import UserError, first_line
from recsys_lab.data.raw import ParquetLog

Frame = nw.LazyFrame[Any]

ROW = "row"
"""Column that `Session.scan` adds; it ascends in the order of the log and may have gaps."""

FILE, NUMBER, PLACE = "_recsys_lab_file", "_recsys_lab_number", "_recsys_lab_place"
"""Internal columns of an engine: the file of a row, the number of the file, the row within it."""

ROWS_A_FILE = 2**40
"""Rows of file number n are numbered from n times this, if an engine numbers rows by file."""


def running_rows(rows: NDArray[np.int64], log: pl.DataFrame | pl.LazyFrame | ParquetLog) -> Any:
    """Row numbers from 0 through all files of the log, int64.

    Args:
        rows: values of `ROW`.
        log: the scanned log.
    """
    lengths = [0]
    if isinstance(log, ParquetLog) and len(log.files) > 1:
        lengths += [pq.read_metadata(file).num_rows for file in log.files[:-1]]
    return np.cumsum(lengths)[rows // ROWS_A_FILE] + rows % ROWS_A_FILE


class Session(Protocol):
    """The use of an engine by one preparation."""

    def scan(self, log: pl.DataFrame | pl.LazyFrame | ParquetLog) -> Frame:
        """The log with a column `ROW`."""
        ...

    def table(self, table: pa.Table) -> Frame:
        """A table of this process as a frame, for joins."""
        ...

    def keep(self, frame: Frame) -> Frame:
        """The same rows, computed once and cached."""
        ...

    def ordered(self, frame: Frame, by: Sequence[str]) -> Frame:
        """The rows ordered by some columns, then by `ROW`, which is dropped."""
        ...

    def batches(self, frame: Frame) -> Iterator[pa.RecordBatch]:
        """All rows in the frame's order."""
        ...


class Engine(Protocol):
    """Opens sessions."""

    @property
    def name(self) -> str:
        """Its name in the manifest."""
        ...

    def open(self, scratch: Path) -> AbstractContextManager[Session]:
        """Open a session for one preparation.

        Args:
            scratch: an empty folder for data that do not fit into memory.

        Raises:
            UserError: if the engine is not installed or cannot start.
        """
        ...


def unreadable(error: BaseException) -> UserError:
    """The error for damage that shows only when rows are read, such as a damaged page."""
    return UserError(
        f"the log could not be read completely: {first_line(error)}. A file may be "
        "damaged or cut short; copy or download it again"
    )


def stage(log: pl.DataFrame | pl.LazyFrame, folder: str) -> str:
    """Stream a frame to one Parquet file, in its order."""
    file = f"{folder}/staged.parquet"
    log.lazy().sink_parquet(file, maintain_order=True, mkdir=True)
    return file
