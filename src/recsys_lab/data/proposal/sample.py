"""The first rows of a file, and the form in which it is written."""

from __future__ import annotations

import csv
import re
import shlex
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import polars as pl

from recsys_lab.config import UserError, command_line
from recsys_lab.data.formats.listing import list_files
from recsys_lab.data.formats.remote import is_remote
from recsys_lab.data.formats.table_file import SEPARATORS, SUFFIXES, TableFile, form_of
from recsys_lab.data.formats.text_check import CHUNK, unpacked
from recsys_lab.data.proposal.one_file import require_same_columns

MARKS = (",", ";", "\t", "|")
"""Separators that are recognised."""

TEXTS = ("", ".txt", ".dat", ".log", ".data")
_MOST = 1 << 28
"""Bytes of text that are read at most."""
_ATOMIC = re.compile(r".+:(token|float)(_seq)?")
_DATE = re.compile(r"\d{1,4}([./-])\d{1,2}\1\d{2,4}")
_VALUE = re.compile(r"[+-]?[\d.,:/ T-]*\d[\d.,:/ TZ+-]*")


@dataclass(frozen=True)
class Sample:
    """The first rows of a log.

    Attributes:
        path: as the user wrote it.
        frame: the rows; text for delimited text.
        file: a copy of the rows, in the same form.
        is_whole: whether these are all rows.
        is_text: whether values have no types.
        separator: to set as ``data.separator``; None: the suffix says it.
        others: further files that the path means.
    """

    path: str
    frame: pl.DataFrame
    file: Path
    is_whole: bool
    is_text: bool
    separator: str | None
    others: int


def read_sample(path: str, rows: int, scratch: Path) -> Sample:
    """Read the first rows of a file, or of the first of several.

    Args:
        path: a file, folder or pattern.
        rows: their largest number.
        scratch: an empty folder, which must exist as long as the sample.

    Raises:
        UserError: it cannot be read as a log.
    """
    if is_remote(path):
        raise UserError(f"{path}: init looks at local files; copy it, or a part of it, here")
    suffix = form_of(path).suffix
    guessed = "," if suffix in TEXTS and Path(path).is_file() else None
    listed = list_files(path, "file", guessed)
    require_same_columns(listed, path)
    first = Path(listed[0].location)
    if first.stat().st_size == 0:
        raise UserError(f"{path}: the file is empty (0 bytes)")
    form = form_of(first.name)
    TableFile(first, path, "," if form.suffix in TEXTS else None)  # checks the suffix
    if form.suffix == ".parquet":
        frame, is_whole = _first_of_parquet(first, path, rows)
        copy, separator = scratch / "sample.parquet", None
        frame.write_parquet(copy)
    else:
        plain_suffix = form.suffix if form.suffix in SUFFIXES else ".csv"
        copy = scratch / f"sample{plain_suffix}"
        is_whole = _copy_head(first, form.compression, copy, path, rows)
        separator = _separator(copy, form.suffix)
        frame = _read_text(copy, path, separator, scratch)
    if all(map(_ATOMIC.fullmatch, frame.columns)):
        command = command_line("prepare", "data=recbole", f"data.path={first.parent}")
        raise UserError(
            f"{path}: {first.name} is an atomic file of RecBole, which says what its columns are, "
            f"so nothing is to propose: {command}"
        )
    if len(frame.columns) < 2:
        raise UserError(
            f"{path}: has a single column, {frame.columns[0]!r}; a log needs a user and an item in "
            f"every row. Separators that are recognised: {' '.join(map(repr, MARKS))}"
        )
    if frame.is_empty():
        raise UserError(f"{path}: the file has a header but no rows")
    others = len(listed) - 1
    is_text = form.suffix not in (".parquet", ".jsonl", ".ndjson")
    return Sample(path, frame, copy, is_whole and not others, is_text, separator, others)


def _first_of_parquet(file: Path, path: str, rows: int) -> tuple[pl.DataFrame, bool]:
    table = TableFile(file, path)
    with table.explained():
        frame = table.open(file.parent).frame.head(rows + 1).collect()
    return frame.head(rows), len(frame) <= rows


def _copy_head(file: Path, compression: str, target: Path, path: str, rows: int) -> bool:
    """Copy the first lines, unpacked; return whether these are all."""
    data = b""
    with unpacked(file, compression, path) as stream:
        while data.count(b"\n") <= rows and len(data) < _MOST:
            more = stream.read(CHUNK)
            if not more:
                target.write_bytes(data)
                return True
            data += more
    end = -1
    for _ in range(min(rows + 1, data.count(b"\n"))):
        end = data.index(b"\n", end + 1)
    while data.count(b'"', 0, end + 1) % 2 and data.find(b"\n", end + 1) >= 0:
        end = data.index(b"\n", end + 1)  # inside a quoted value
    target.write_bytes(data[: end + 1] or data)
    return len(data[: end + 1]) == len(data)


def _separator(file: Path, suffix: str) -> str | None:
    """The separator of delimited text, if its suffix does not say it."""
    if suffix in (".jsonl", ".ndjson"):
        return None
    with file.open("rb") as stream:
        text = stream.read(1 << 20).decode("utf-8-sig", errors="replace")
    lines = "\n".join(text.splitlines()[:200])
    widths = {}
    for mark in MARKS:
        try:
            counts = [len(row) for row in csv.reader(StringIO(lines), delimiter=mark) if row]
        except csv.Error:
            continue
        if counts and counts[0] > 1 and counts.count(counts[0]) >= 0.9 * len(counts):
            widths[mark] = counts[0]
    if not widths:
        return None if suffix in SEPARATORS else ","
    best = max(widths, key=lambda mark: (widths[mark], mark == SEPARATORS.get(suffix)))
    return None if best == SEPARATORS.get(suffix) else best


def _read_text(file: Path, path: str, separator: str | None, scratch: Path) -> pl.DataFrame:
    table = TableFile(file, path, separator)
    unpacked_to = scratch / "unpacked"
    unpacked_to.mkdir()
    try:
        opened = table.open(unpacked_to)
    except UserError as error:
        if "iconv" not in str(error):
            raise
        written = f"{Path(path).name.partition('.')[0]}-utf8.csv"
        raise UserError(
            f"{error} {shlex.quote(path)} > {shlex.quote(written)}, then: recsys-lab init "
            f"{shlex.quote(written)}"
        ) from error
    if table.is_text:
        _require_header(opened.columns, path, separator or SEPARATORS[table.form.suffix])
    with table.explained():
        return opened.frame.collect()


def _require_header(columns: list[str], path: str, separator: str) -> None:
    """Refuse a first line with values instead of names.

    The header of the advice has the file's separator, and its time where the only date is.

    Raises:
        UserError: a name is a number or a date.
    """
    values = [name for name in columns if _VALUE.fullmatch(name.strip())]
    if values:
        names = ["user_id", "item_id", "timestamp"][: len(columns)]
        names += [f"column_{place}" for place in range(len(names) + 1, len(columns) + 1)]
        dates = [place for place, name in enumerate(columns) if _DATE.match(name.strip())]
        if len(dates) == 1 and "timestamp" in names:
            names.remove("timestamp")
            names.insert(dates[0], "timestamp")
        header = separator.join(names).replace("\t", "\\t")
        raise UserError(
            f"{path}: the first line has no names of columns but values, such as {values[0]!r}; "
            f"write a header above it, e.g. sed '1i {header}' {shlex.quote(path)} > with_header.csv"
        )
