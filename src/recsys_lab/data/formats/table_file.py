"""CSV, TSV, JSON lines and Parquet files as lazy polars frames."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import polars as pl
from polars.exceptions import PolarsError

from recsys_lab.config import UserError, first_line
from recsys_lab.data.formats.delimited import SHORT, ragged_row, scan_delimited
from recsys_lab.data.formats.json_lines import JSON_LINES, read_json_lines
from recsys_lab.data.formats.paths import readable
from recsys_lab.data.formats.text_check import COMPRESSIONS, TextCheck, plain_text
from recsys_lab.files.faults import is_panic, out_of_space

RECBOLE = {".inter": "\t", ".item": "\t", ".user": "\t"}
"""RecBole's atomic files: quotation marks in them are plain characters."""

SEPARATORS = {".csv": ",", ".tsv": "\t", **RECBOLE}
"""Suffix -> separator of delimited text."""

_OFFSET = re.compile(r"[+-]\d\d:?\d\d$")
"""A time zone given as an offset, e.g. +05:30, instead of a name."""

SUFFIXES = (*SEPARATORS, *JSON_LINES, ".parquet")


class Form(NamedTuple):
    """The format that a file's name announces.

    Attributes:
        suffix: in lower case, without that of a compression.
        compression: one of `COMPRESSIONS`, or an empty string.
    """

    suffix: str
    compression: str


def form_of(name: str) -> Form:
    """The format that a name announces."""
    suffixes = [suffix.lower() for suffix in PurePosixPath(name).suffixes]
    compression = suffixes.pop() if suffixes and suffixes[-1] in COMPRESSIONS else ""
    return Form(suffixes[-1] if suffixes else "", compression)


@dataclass(frozen=True)
class Opened:
    """A table that is ready to be read.

    Attributes:
        columns: names in file order.
        frame: all rows in file order; for delimited text as `scan_delimited` returns it.
        bytes: size of the unpacked file.
    """

    columns: list[str]
    frame: pl.LazyFrame
    bytes: int


class TableFile:
    """One table on disk.

    Args:
        file: the path; its suffix (before that of a compression) decides the format.
        where: the config option and the path, named in errors.
        separator: of delimited text; None: by the suffix.
        quoted: whether quotation marks quote values in delimited text.

    Raises:
        UserError: for an unknown suffix or a separator of several bytes.
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
                f"{where}: a Parquet file inside {self.form.compression} cannot be read; unpack "
                f"the {self.form.compression} first"
            )
        if separator == "\\t":  # as shells and YAML's single quotes leave it
            separator = "\t"
        if separator is not None and (len(separator.encode()) != 1 or separator in '"\r\n'):
            raise UserError(
                f"data.separator={separator!r}: expected one ASCII character, such as ',' or "
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
        """Check the content and open it for reading.

        Args:
            scratch: an existing folder for unpacked files.
            wanted: columns to read from JSON lines; None for all.
            ids: the columns with ids of users or items.

        Raises:
            UserError: if the content does not match the suffix.
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
                    # Times are stored in UTC in any case; polars knows zones only by name.
                    os.environ["POLARS_IGNORE_TIMEZONE_PARSE_ERROR"] = "1"
                frame = pl.scan_parquet(self.file, hive_partitioning=False, glob=False)
                frame.collect_schema()
        except (PolarsError, pa.ArrowException) as error:
            raise self.unreadable(error) from error
        except UnicodeDecodeError as error:
            raise UserError(
                f"{self.where}: has a column whose name is not UTF-8 ({error.object!r}); rename "
                "the column"
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
            raise UserError(f"{self.where}: the first line is blank; expected a header")
        self._refuse_duplicates(names)
        return names

    def _dialect(self) -> dict[str, Any]:
        if self._quoted:
            return {"delimiter": self._separator, "strict": False}
        return {"delimiter": self._separator, "quoting": csv.QUOTE_NONE}

    def _refuse_duplicates(self, names: list[str]) -> None:
        repeated = sorted({name for name in names if name.strip() and names.count(name) > 1})
        if repeated:
            raise UserError(
                f"{self.where}: has {names.count(repeated[0])} columns named '{repeated[0]}'; "
                "rename all but one"
            )

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn polars' errors while this file is read into a `UserError`."""
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
        """An error that says as exactly as possible what is wrong with the file."""
        is_plain = self.is_text and not self.form.compression
        row = ragged_row(self.file, self._dialect()) if is_plain else None
        if row is not None:
            return UserError(f"{self.where}: {row}")
        form = "Parquet" if self.form.suffix == ".parquet" else "JSON lines"
        form = f"text separated by {self._separator!r}" if self.is_text else form
        return UserError(
            f"{self.where}: cannot be read as {form}: {first_line(error)}. The file may be "
            "damaged, cut short, or of another format than its suffix"
        )


def selected(
    folders: list[Mapping[str, str | None]], opened: list[Opened], columns: list[str]
) -> list[pl.LazyFrame]:
    """The columns of each file; columns that it lacks come from its folder's ``key=value`` name.

    Args:
        folders: column -> value of each file's folders.
        opened: the files.
        columns: to read; `SHORT` is added if any file has it.
    """
    marked = [SHORT in one.frame.collect_schema() for one in opened]
    frames = []
    for folder, one, has_mark in zip(folders, opened, marked, strict=True):
        values = {
            name: pl.lit(value, dtype=pl.String).alias(name)
            for name, value in folder.items()
            if name not in one.columns
        }
        mark = pl.col(SHORT) if has_mark else pl.lit(value=False).alias(SHORT)
        frames.append(
            one.frame.select(
                *(values.get(name, pl.col(name)) for name in columns),
                *([mark] if any(marked) else []),
            )
        )
    return frames


def family(kind: pl.DataType) -> str:
    """The family of a type; casts between families change the meaning of values."""
    if kind == pl.String or isinstance(kind, pl.Categorical | pl.Enum):
        return "text"
    if kind.is_numeric():
        return "numbers"
    if isinstance(kind, pl.Date | pl.Datetime):
        return "times"
    return str(kind)


def of_one_type(frames: list[pl.LazyFrame], schemas: list[pl.Schema]) -> list[pl.LazyFrame]:
    """Cast texts to strings and times to UTC where the files' types differ within a family."""
    for column in schemas[0]:
        kinds = {str(schema[column]) for schema in schemas if schema[column] != pl.Null}
        if len(kinds) < 2:
            continue
        value = pl.col(column)
        for i, schema in enumerate(schemas):
            kind = schema[column]
            if family(kind) == "text":
                frames[i] = frames[i].with_columns(value.cast(pl.String))
            elif isinstance(kind, pl.Datetime) and kind.time_zone is not None:
                frames[i] = frames[i].with_columns(value.dt.convert_time_zone("UTC"))
            elif family(kind) == "times":
                moment = value.cast(pl.Datetime("us")) if kind == pl.Date else value
                frames[i] = frames[i].with_columns(moment.dt.replace_time_zone("UTC"))
    return frames
