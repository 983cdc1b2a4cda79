"""CSV, TSV, JSON lines and Parquet -> a polars frame, with clear errors."""

from __future__ import annotations

import gzip
import json
import re
from functools import cached_property
from typing import TYPE_CHECKING

import polars as pl
from polars.exceptions import PolarsError

from recsys_lab.config import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SEPARATORS = {".csv": ",", ".tsv": "\t", ".inter": "\t", ".item": "\t", ".user": "\t"}
"""Of delimited text by suffix; the last three are RecBole's atomic files."""

JSON_LINES = (".jsonl", ".ndjson")
SUFFIXES = (*SEPARATORS, *JSON_LINES, ".parquet")


class TableFile:
    """One table on disk.

    Args:
        file: the path; the form is taken from the suffix, before ``.gz`` where there is one.
        option: the config option the path came from, named in errors.
        separator: of delimited text; None: by the suffix.

    Raises:
        UserError: for an unknown suffix, or when the file cannot be read as what it is called.
    """

    def __init__(self, file: Path, option: str, separator: str | None = None) -> None:
        self.file = file
        self.option = option
        suffixes = [suffix.lower() for suffix in file.suffixes]
        self._zipped = suffixes[-1:] == [".gz"]
        self._suffix = "".join((suffixes[:-1] if self._zipped else suffixes)[-1:])
        if self._suffix not in SUFFIXES and separator is None:
            raise UserError(
                f"{option}={file}: a file with suffix '{self._suffix}' cannot be read; allowed: "
                f"{', '.join(SUFFIXES)} (text also with .gz), or any delimited text with "
                "data.separator set"
            )
        if self._zipped and self._suffix == ".parquet":
            raise UserError(f"{option}={file}: Parquet is compressed inside; unpack the .gz first")
        self._separator = separator or SEPARATORS.get(self._suffix, ",")

    @property
    def is_text(self) -> bool:
        """Whether the values have no types: delimited text."""
        return self._suffix != ".parquet" and self._suffix not in JSON_LINES

    def columns(self) -> list[str]:
        """Column names in file order."""
        try:
            if self._suffix == ".parquet":
                return list(pl.read_parquet_schema(self.file))
            if self._suffix in JSON_LINES:
                return self._json_frame.columns
            return pl.read_csv(self.file, separator=self._separator, n_rows=0).columns
        except (PolarsError, OSError) as error:
            raise self._unreadable(error) from error

    def read(self, columns: list[str]) -> pl.DataFrame:
        """These columns, every row in file order; those of delimited text as strings."""
        try:
            if self._suffix == ".parquet":
                return pl.read_parquet(self.file, columns=columns)
            if self._suffix in JSON_LINES:
                return self._json_frame.select(columns)
            return pl.read_csv(
                self.file,
                separator=self._separator,
                columns=columns,
                schema_overrides=dict.fromkeys(columns, pl.String),
            ).select(columns)
        except (PolarsError, OSError) as error:
            raise self._unreadable(error) from error

    def refuse_mixed_types(self, frame: pl.DataFrame, ids: Iterable[str]) -> None:
        """JSON lines: an id column must hold numbers or strings, not both.

        The reader turns both into strings, after which 7 and "7" would be one user.

        Raises:
            UserError: naming the column and a row of each kind.
        """
        if self._suffix not in JSON_LINES:
            return
        for column in ids:
            if frame.schema[column] != pl.String:
                continue
            number, text = (
                self._row_of(column, rb"-?\d", (int, float)),
                self._row_of(column, b'"', str),
            )
            if number and text:
                raise UserError(
                    f"{self.option}={self.file}: column '{column}' mixes types: "
                    f"{number[1]!r} in row {number[0]} is a number, {text[1]!r} in row {text[0]} "
                    "is a string. Write all ids in one way"
                )

    def _row_of(
        self, column: str, start: bytes, kind: type | tuple[type, ...]
    ) -> tuple[int, object] | None:
        """The first row (from 1) whose value has this type, found by text, checked as JSON."""
        data = self._bytes()
        pattern = re.compile(b'"' + re.escape(column.encode()) + rb'"\s*:\s*' + start)
        for match in pattern.finditer(data):
            line = data.count(b"\n", 0, match.start())
            first = data.rfind(b"\n", 0, match.start()) + 1
            last = data.find(b"\n", match.start())
            value = json.loads(data[first : None if last < 0 else last]).get(column)
            if isinstance(value, kind):
                return line + 1, value
        return None

    def _bytes(self) -> bytes:
        if self._zipped:
            with gzip.open(self.file) as stream:
                return stream.read()
        return self.file.read_bytes()

    @cached_property
    def _json_frame(self) -> pl.DataFrame:
        return pl.read_ndjson(
            self._bytes() if self._zipped else self.file, infer_schema_length=None
        )

    def _unreadable(self, error: Exception) -> UserError:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        form = "Parquet" if self._suffix == ".parquet" else "JSON lines"
        form = f"text separated by {self._separator!r}" if self.is_text else form
        return UserError(
            f"{self.option}={self.file}: cannot be read as {form}: {first}. The file may be "
            "damaged, cut short, or of another form than its suffix says"
        )
