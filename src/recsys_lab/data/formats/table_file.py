"""CSV, TSV, JSON lines and Parquet -> a lazy polars frame, with clear errors."""

from __future__ import annotations

import csv
import os
import re
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import polars as pl
from polars.exceptions import PolarsError

from recsys_lab.config import UserError
from recsys_lab.config.errors import first_line
from recsys_lab.data.formats.delimited import scan_delimited
from recsys_lab.data.formats.json_lines import JSON_LINES, read_json_lines
from recsys_lab.data.formats.paths import readable
from recsys_lab.data.formats.text_check import COMPRESSIONS, MAX_LINE, TextCheck, plain_text
from recsys_lab.files.faults import is_panic, out_of_space

RECBOLE = {".inter": "\t", ".item": "\t", ".user": "\t"}
"""RecBole's atomic files: quotation marks in them are plain characters."""

SEPARATORS = {".csv": ",", ".tsv": "\t", **RECBOLE}
"""Of delimited text by suffix."""

_OFFSET = re.compile(r"[+-]\d\d:?\d\d$")
"""A time zone that is an offset and no name, e.g. +05:30."""

SUFFIXES = (*SEPARATORS, *JSON_LINES, ".parquet")


class Form(NamedTuple):
    """What a file's name says of its content.

    Attributes:
        suffix: in lower case, that of a compression left out.
        compression: one of `COMPRESSIONS`, or an empty string.
    """

    suffix: str
    compression: str


def form_of(name: str) -> Form:
    """The form that a name announces."""
    suffixes = [suffix.lower() for suffix in PurePosixPath(name).suffixes]
    compression = suffixes.pop() if suffixes and suffixes[-1] in COMPRESSIONS else ""
    return Form(suffixes[-1] if suffixes else "", compression)


@dataclass(frozen=True)
class Opened:
    """A table that is ready to be read.

    Attributes:
        columns: names in file order.
        frame: all rows in file order; of delimited text every column as strings, and what else
            `scan_delimited` gives.
        bytes: of the file, unpacked.
    """

    columns: list[str]
    frame: pl.LazyFrame
    bytes: int


class TableFile:
    """One table on disk.

    Args:
        file: the path; the form is taken from the suffix, before that of a compression.
        where: the config option and the path, named in errors.
        separator: of delimited text; None: by the suffix.
        quoted: whether a quotation mark quotes in delimited text.

    Raises:
        UserError: for an unknown suffix, or a separator of several bytes.
    """

    def __init__(
        self, file: Path, where: str, separator: str | None = None, *, quoted: bool = True
    ) -> None:
        self.file = file
        self.where = where
        self.form = form_of(file.name)
        suffix = self.form.suffix
        if suffix not in SUFFIXES and separator is None:
            raise UserError(
                f"{where}: a file with suffix '{suffix}' cannot be read; allowed: "
                f"{', '.join(SUFFIXES)} (text also with {', '.join(COMPRESSIONS)}), or any "
                "delimited text with data.separator set"
            )
        if self.form.compression and suffix == ".parquet":
            raise UserError(
                f"{where}: Parquet is compressed inside; unpack the {self.form.compression} first"
            )
        if separator == "\\t":  # as shells and YAML's single quotes leave it
            separator = "\t"
        if separator is not None and (len(separator.encode()) != 1 or separator in '"\r\n'):
            raise UserError(
                f"data.separator={separator!r}: one ASCII character is needed, such as ',' or "
                "'\\t'; replace longer separators in the file"
            )
        self._separator = separator or SEPARATORS.get(suffix, ",")
        self._quoted = quoted and suffix not in RECBOLE

    @property
    def is_text(self) -> bool:
        """Whether the values have no types: delimited text."""
        return self.form.suffix != ".parquet" and self.form.suffix not in JSON_LINES

    def open(
        self, scratch: Path, wanted: Collection[str] | None = None, ids: Collection[str] = ()
    ) -> Opened:
        """Check the content and get ready to read it.

        Args:
            scratch: an existing folder for what is unpacked.
            wanted: columns that are read from JSON lines; None for all.
            ids: those that are ids of users or items.

        Raises:
            UserError: when the file is not what its suffix says.
        """
        if self.form.suffix == ".parquet":
            return self._parquet()
        target = scratch / f"{len(list(scratch.iterdir()))}-unpacked"
        separator = self._separator if self.is_text else None
        check = TextCheck(self.where, separator, quoted=self._quoted)
        plain = plain_text(self.file, self.form.compression, check, target, self.where)
        if not self.is_text:
            columns, frame = read_json_lines(plain, self.where, wanted, ids, scratch)
            return Opened(columns, frame, plain.stat().st_size)
        columns = self._header(plain)
        with self.explained():
            frame = scan_delimited(plain, self._separator, '"' if self._quoted else None)
        return Opened(columns, frame, plain.stat().st_size)

    def _parquet(self) -> Opened:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with readable(self.where):
                schema = pq.read_schema(self.file)
                columns = list(schema.names)
                self._refuse_duplicates(columns)
                if any(_OFFSET.match(getattr(kind, "tz", None) or "") for kind in schema.types):
                    # Times are stored in UTC whatever their zone; polars knows zones by name alone.
                    os.environ["POLARS_IGNORE_TIMEZONE_PARSE_ERROR"] = "1"
                frame = pl.scan_parquet(self.file, hive_partitioning=False, glob=False)
                frame.collect_schema()
        except (PolarsError, pa.ArrowException) as error:
            raise self.unreadable(error) from error
        except UnicodeDecodeError as error:
            raise UserError(
                f"{self.where}: has a column whose name is no UTF-8 ({error.object!r}); write the "
                "file anew with other names"
            ) from error
        except BaseException as error:
            if not is_panic(error):
                raise
            raise self.unreadable(error) from error
        return Opened(columns, frame, self.file.stat().st_size)

    def _header(self, plain: Path) -> list[str]:
        with plain.open(encoding="utf-8-sig", newline="") as stream:
            lines = csv.reader(stream, **self._dialect())
            try:
                names = next((line for line in lines if line), [])
            except csv.Error as error:
                raise self.unreadable(error) from error
        if not any(name.strip() for name in names):
            raise UserError(f"{self.where}: the first line names no columns; a header is needed")
        self._refuse_duplicates(names)
        return names

    def _dialect(self) -> dict[str, Any]:
        if self._quoted:
            return {"delimiter": self._separator, "strict": False}
        return {"delimiter": self._separator, "quoting": csv.QUOTE_NONE}

    def _refuse_duplicates(self, names: list[str]) -> None:
        twice = sorted({name for name in names if name.strip() and names.count(name) > 1})
        if twice:
            raise UserError(
                f"{self.where}: has {names.count(twice[0])} columns named '{twice[0]}'; give "
                "every column its own name"
            )

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn what polars says of this file while it is read into a `UserError`."""
        try:
            yield
        except PolarsError as error:
            raise self.unreadable(error) from error
        except OSError as error:
            if out_of_space(error):
                raise
            raise self.unreadable(error) from error
        except BaseException as error:
            if not is_panic(error):
                raise
            raise self.unreadable(error) from error

    def unreadable(self, error: BaseException) -> UserError:
        """What is wrong with the file, as exactly as can be said."""
        row = self._ragged_row() if self.is_text and not self.form.compression else None
        if row is not None:
            return UserError(f"{self.where}: {row}")
        form = "Parquet" if self.form.suffix == ".parquet" else "JSON lines"
        form = f"text separated by {self._separator!r}" if self.is_text else form
        return UserError(
            f"{self.where}: cannot be read as {form}: {first_line(error)}. The file may be "
            "damaged, cut short, or of another form than its suffix says"
        )

    def _ragged_row(self) -> str | None:
        """The first line with more values than the header."""
        if csv.field_size_limit() < MAX_LINE:
            csv.field_size_limit(min(MAX_LINE, sys.maxsize))
        with self.file.open(encoding="utf-8-sig", newline="", errors="replace") as stream:
            lines = csv.reader(stream, **self._dialect())
            try:
                header = next((line for line in lines if line), [])
                for values in lines:
                    if len(values) > len(header):
                        return (
                            f"line {lines.line_num:,} has {len(values)} values, the header names "
                            f"{len(header)} columns. A value with a {self._separator!r} inside "
                            "must be quoted"
                        )
            except csv.Error:
                return None
        return None
