"""What the pipeline asks of an engine.

The pipeline speaks narwhals; an engine knows how frames come in, stay and go out.
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

from recsys_lab.config import UserError
from recsys_lab.config.errors import first_line
from recsys_lab.data.raw import ParquetLog

Frame = nw.LazyFrame[Any]

ROW = "row"
"""Column that `Session.scan` adds: it ascends in the log's order, with gaps or without."""

FILE, NUMBER, PLACE = "_recsys_lab_file", "_recsys_lab_number", "_recsys_lab_place"
"""An engine's own columns beside those of the source: a row's file, the file's number, the row's
place in it."""

ROWS_A_FILE = 2**40
"""Where an engine numbers rows within files, the file's number counts this much."""


def running_rows(rows: NDArray[np.int64], log: pl.DataFrame | pl.LazyFrame | ParquetLog) -> Any:
    """Rows of an engine, counted from 0 through all files of the log, int64.

    Args:
        rows: values of `ROW`: file and place in it, or counted through, as if in the first file.
        log: what was scanned.
    """
    lengths = [0]
    if isinstance(log, ParquetLog) and len(log.files) > 1:
        lengths += [pq.read_metadata(file).num_rows for file in log.files[:-1]]
    return np.cumsum(lengths)[rows // ROWS_A_FILE] + rows % ROWS_A_FILE


class Session(Protocol):
    """One preparation's hold of an engine."""

    def scan(self, log: pl.DataFrame | pl.LazyFrame | ParquetLog) -> Frame:
        """The log with a column `ROW`."""
        ...

    def table(self, table: pa.Table) -> Frame:
        """A table of this process, to be joined to."""
        ...

    def keep(self, frame: Frame) -> Frame:
        """The same rows, computed once, for several uses."""
        ...

    def ordered(self, frame: Frame, by: Sequence[str]) -> Frame:
        """The rows by some columns, then by `ROW`, which the result lacks."""
        ...

    def batches(self, frame: Frame) -> Iterator[pa.RecordBatch]:
        """All rows in the frame's order."""
        ...


class Engine(Protocol):
    """Makes sessions."""

    @property
    def name(self) -> str:
        """For the manifest."""
        ...

    def open(self, scratch: Path) -> AbstractContextManager[Session]:
        """Begin a preparation.

        Args:
            scratch: an empty folder for what does not fit into memory.

        Raises:
            UserError: when the engine is not installed or cannot start.
        """
        ...


def unreadable(error: BaseException) -> UserError:
    """For what an engine finds only when it reads the rows, such as a damaged page."""
    return UserError(
        f"the log could not be read to its end: {first_line(error)}. A file may be "
        "damaged or cut short; fetch it again"
    )


def stage(log: pl.DataFrame | pl.LazyFrame, folder: str) -> str:
    """Write a frame as one Parquet file, in its order, without holding all of it."""
    file = f"{folder}/staged.parquet"
    log.lazy().sink_parquet(file, maintain_order=True, mkdir=True)
    return file
