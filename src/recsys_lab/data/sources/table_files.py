"""All files of a table as one frame: copied, opened, compared and concatenated."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
from polars.exceptions import PolarsError

from recsys_lab.config import UserError
from recsys_lab.config.environment import address_of
from recsys_lab.data.columns.column_plan import FILE
from recsys_lab.data.formats.json_lines import JSON_LINES
from recsys_lab.data.formats.listing import Listed, list_files, list_parts
from recsys_lab.data.formats.paths import require_columns
from recsys_lab.data.formats.remote import copy_url, is_remote
from recsys_lab.data.formats.table_file import (
    Opened,
    TableFile,
    family,
    form_of,
    of_one_type,
    selected,
)
from recsys_lab.data.raw import PART
from recsys_lab.files.faults import out_of_space


class Tables:
    """The files that a path means, with equal columns, read one after the other.

    Args:
        path: a file, pattern, folder or URL: see `list_files`; or ``env:NAME``, the environment
            variable that holds it.
        option: the config option it came from, named in errors.
        separator: of delimited text; None: by the suffix.
        quoted: whether quotation marks quote values in delimited text.
        later: further parts of a log whose training part is ``path``: part -> option and path. The
            column `PART` then holds the part of every row.
    """

    def __init__(
        self,
        path: str,
        option: str,
        separator: str | None,
        *,
        quoted: bool,
        later: Mapping[str, tuple[str, str]] | None = None,
    ) -> None:
        self.where = f"{option}={path}"
        self._path = address_of(path, option)
        self._option = option
        self._later = later or {}
        self._separator, self._quoted = separator, quoted
        self._keys: dict[str, dict[str, Any]] = {}

    @cached_property
    def listed(self) -> list[Listed]:
        """The files, in their order."""
        if not self._later:
            return list_files(self._path, self._option, self._separator)
        written = {"train": self.where}
        paths = {"train": (self._option, self._path)}
        for part, (option, path) in self._later.items():
            written[part] = f"{option}={path}"
            paths[part] = (option, address_of(path, option))
        return list_parts(paths, written, self._separator, PART)

    def key(self) -> Any:
        """Name, size and SHA-256 of the file, or of each of the files."""
        keys = [file.key(self._option) for file in self.listed]
        self._keys = {file.location: key for file, key in zip(self.listed, keys, strict=True)}
        return keys[0] if len(keys) == 1 else keys

    def open(
        self,
        scratch: Path,
        wanted: Mapping[str, str | None],
        ids: Collection[str],
        *,
        every: bool = False,
        further: Collection[str] = (),
    ) -> OpenTables:
        """Check every file.

        Args:
            scratch: an existing folder for copies and unpacked files.
            wanted: option (without ``data.``) -> column to read; None if the option is off.
            ids: the columns with ids of users or items.
            every: whether to also read all other columns.
            further: columns to read if all files have them.

        Raises:
            UserError: if one cannot be read, or lacks a column.
        """
        names = [column for column in wanted.values() if column is not None]
        listed, tables, opened = [], [], []
        for file in self.listed:
            table = self._table(file, scratch)
            if table is None:
                continue
            listed.append(file)
            tables.append(table)
            opened.append(table.open(scratch, None if every else {*names, *further}, ids))
            if every:
                self._compare(file, opened[0], opened[-1])
        if not opened:
            raise UserError(f"{self.where}: all {len(self.listed)} files are empty (0 bytes)")
        columns = list(dict.fromkeys([*opened[0].columns, *listed[0].partition]))
        first = listed[0] if self._later else None
        self._require(wanted, opened[0].columns, columns, first)
        for file, one in zip(listed, opened, strict=True):
            self._require(wanted, one.columns, [*one.columns, *file.partition], file)
        had = [{*one.columns, *file.partition} for file, one in zip(listed, opened, strict=True)]
        header = [name for name in columns if all(name in names_of for names_of in had)]
        read = [*names, *(name for name in header if name in further)]
        read = columns if every else list(dict.fromkeys(read))
        warnings = self._warnings(listed, opened, names)
        return OpenTables(self.where, listed, tables, opened, read, header, warnings)

    def _warnings(self, listed: list[Listed], opened: list[Opened], names: list[str]) -> list[str]:
        """Warnings about empty files and about columns that only some files have."""
        warnings = []
        empty = [file.shown for file in self.listed if file not in listed]
        if empty:
            warnings.append(f"{self.where}: empty files (0 bytes) are left out: {', '.join(empty)}")
        shared = set.intersection(*(set(one.columns) for one in opened))
        for file, one in zip(listed, opened, strict=True):
            further = [name for name in one.columns if name not in shared and name not in names]
            if further and not file.name.lower().endswith(JSON_LINES):
                warnings.append(
                    f"{self.where}: {file.shown} has columns that not every file has and that are "
                    f"not read: {', '.join(further)}"
                )
                break
        return warnings

    def _table(self, file: Listed, scratch: Path) -> TableFile | None:
        """The file, or None if it is an empty one among several."""
        where = self.where if len(self.listed) == 1 else f"{self.where}: {file.name}"
        where = file.label or where
        path = Path(file.location)
        if is_remote(file.location):
            path = scratch / f"{len(list(scratch.iterdir()))}-{Path(file.name).name}"
            got = copy_url(file.location, path, self._option)
            known = self._keys.get(file.location, got)
            if got["sha256"] != known["sha256"]:
                raise UserError(f"{where}: the file changed while it was read; try again")
        table = TableFile(path, where, self._separator, quoted=self._quoted)
        if path.stat().st_size == 0:
            if len(self.listed) > 1:
                return None
            raise UserError(f"{where}: the file is empty (0 bytes)")
        return table

    def _compare(self, file: Listed, first: Opened, other: Opened) -> None:
        """Refuse files with different columns if all are read; JSON lines may lack some."""
        lines = form_of(file.name).suffix in JSON_LINES
        if set(first.columns) != set(other.columns) and not lines:
            raise UserError(
                f"{self.where}: all files must have the same columns; {file.name} has "
                f"{', '.join(other.columns)}, but {self.listed[0].name} has "
                f"{', '.join(first.columns)}"
            )

    def _require(
        self,
        wanted: Mapping[str, str | None],
        header: list[str],
        columns: list[str],
        file: Listed | None = None,
    ) -> None:
        # If files state the part, the user does not know its column.
        wanted = {option: name for option, name in wanted.items() if name != PART}
        columns = [name for name in columns if name != PART]
        missing = [name for name in wanted.values() if name is not None and name not in columns]
        if missing and len(header) == 1:
            mark = next((mark for mark in ";\t|," if mark in header[0]), None)
            if mark is not None:
                shown = "'\\t'" if mark == "\t" else f"'{mark}'"
                where = file.label if file and file.label else self.where
                raise UserError(
                    f"{where}: has a single column, {header[0]!r}: its values seem to be "
                    f"separated by {shown}. Set data.separator={shown}"
                )
        path = self.where.partition("=")[2]
        named = path if file is None else file.label or f"{path}: {file.name}"
        require_columns(wanted, columns, named)


class OpenTables:
    """Checked files as one lazy frame.

    Args:
        where: the option and the path, named in errors.
        listed: the files.
        tables: the same files, checked.
        opened: the same files, opened.
        columns: to read.
        header: the columns that all files have.
        warnings: about the files.

    Attributes:
        warnings: as given.
        header: as given.
        frame: all rows in order, with the further columns `FILE`, if there are several files, and
            `SHORT`, if a row has too few values.
        is_text: whether values have no types: delimited text.
        bytes: total size of the unpacked files.
        columns: the columns that were asked for.
        parquet: the local Parquet files, if their rows are those of `frame` unchanged, else None.
    """

    def __init__(
        self,
        where: str,
        listed: list[Listed],
        tables: list[TableFile],
        opened: list[Opened],
        columns: list[str],
        header: list[str],
        warnings: list[str],
    ) -> None:
        self.where = where
        self.header = header
        self.warnings = warnings
        self._tables = tables
        self.columns = columns
        self.is_text = tables[0].is_text
        self.bytes = sum(one.bytes for one in opened)
        self._frames = frames = selected([file.partition for file in listed], opened, columns)
        if len(frames) > 1:
            kind = pl.Enum([file.shown for file in listed])
            self._frames = frames = [
                frame.with_columns(pl.lit(file.shown, dtype=kind).alias(FILE))
                for file, frame in zip(listed, frames, strict=True)
            ]
        with self.explained():
            schemas = [frame.collect_schema() for frame in frames]
        self._refuse_mixed(schemas, listed)
        if len(frames) > 1:
            frames = of_one_type(frames, schemas)
        self.frame = frames[0] if len(frames) == 1 else pl.concat(frames, how="vertical_relaxed")
        stored = opened[0].columns
        alike = all(schema == schemas[0] for schema in schemas) and set(stored).issuperset(columns)
        alike = alike and all(one.columns == stored for one in opened)
        typed = tables[0].form.suffix == ".parquet"
        self.parquet = [str(table.file) for table in tables] if alike and typed else None

    def _refuse_mixed(self, schemas: list[pl.Schema], listed: list[Listed]) -> None:
        for schema, file in zip(schemas, listed, strict=True):
            for column, kind in schema.items():
                first = schemas[0][column]
                if family(kind) != family(first) and pl.Null not in (kind, first):
                    raise UserError(
                        f"{self.where}: column '{column}' mixes types: {first} in "
                        f"{listed[0].shown}, {kind} in {file.shown}. Write it as one type"
                    )

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn polars' errors while the files are read into a `UserError`."""
        try:
            yield
        except (PolarsError, OSError) as error:
            if out_of_space(error):
                raise
            raise self._culprit(error) from error

    def _culprit(self, error: Exception) -> UserError:
        """The error of the damaged file; polars does not name it, so each is read alone."""
        for table, frame in zip(self._tables, self._frames, strict=True):
            try:
                frame.select(pl.all().count()).collect(engine="streaming")
            except (PolarsError, OSError) as its_own:
                return table.unreadable(its_own)
        return self._tables[0].unreadable(error)
