"""Small files of the user beside the log: ids, histories."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from recsys_lab.config import UserError, did_you_mean
from recsys_lab.data.formats.table_file import TableFile


def read_columns(
    path: str, option: str, needed: Sequence[str], others: Sequence[str]
) -> pl.DataFrame:
    """Columns of one file.

    Args:
        path: a table: see `recsys_lab.data.formats.table_file.SUFFIXES`.
        option: the config key, for errors.
        needed: columns that it must have; names that end in ``_id`` are ids.
        others: columns that are read where the file has them.

    Raises:
        UserError: the file cannot be read or lacks a column.
    """
    where = f"{option}={path}"
    if not Path(path).is_file():
        what = "is a folder" if Path(path).is_dir() else "there is no such file"
        raise UserError(f"{where}: {what}; give one CSV, TSV, JSON lines or Parquet file")
    table = TableFile(Path(path), where)
    with TemporaryDirectory(prefix="recsys-lab-") as scratch:
        names = list(dict.fromkeys([*needed, *others]))
        opened = table.open(Path(scratch), names, [n for n in names if n.endswith("_id")])
        missing = [name for name in needed if name not in opened.columns]
        if missing:
            cure = _separator_hint(opened.columns) or did_you_mean(missing[0], opened.columns)
            raise UserError(
                f"{where}: has no column {' and '.join(missing)}{cure} It has: "
                f"{', '.join(opened.columns)}"
            )
        with table.explained():
            there = [name for name in names if name in opened.columns]
            return opened.frame.select(there).collect()


def _separator_hint(columns: Sequence[str]) -> str:
    """What is wrong with a single column that is the header of several; else empty."""
    marks = [mark for mark in ";\t|" if len(columns) == 1 and mark in columns[0]]
    if not marks:
        return ""
    return (
        f", as it is separated by {marks[0]!r}; write it with commas, or with tabs as a .tsv file."
    )
