"""All files of a table as one: fetched, opened, compared, joined end to end."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
from polars.exceptions import PolarsError

from recsys_lab.config import UserError
from recsys_lab.data.files import require_columns
from recsys_lab.data.formats import TableFile, form_of
from recsys_lab.data.jsonlines import JSON_LINES
from recsys_lab.data.listing import list_files
from recsys_lab.data.plans import FILE
from recsys_lab.data.remote import copy_url, is_remote
from recsys_lab.files.faults import out_of_space

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from recsys_lab.data.formats import Opened
    from recsys_lab.data.listing import Listed


class Tables:
    """The files that a path stands for, of equal columns, read one after the other.

    Args:
        path: a file, pattern, folder or URL: see `list_files`.
        option: the config option it came from, named in errors.
        separator: of delimited text; None: by the suffix.
        quoted: whether a quotation mark quotes in delimited text.
    """

    def __init__(self, path: str, option: str, separator: str | None, *, quoted: bool) -> None:
        self.where = f"{option}={path}"
        self._path, self._option = path, option
        self._separator, self._quoted = separator, quoted
        self._keys: dict[str, dict[str, Any]] = {}

    @cached_property
    def listed(self) -> list[Listed]:
        """The files, in their order."""
        return list_files(self._path, self._option, self._separator)

    def key(self) -> Any:
        """Name, size and SHA-256 of the file, or of each of the files."""
        self._keys = {file.place: file.key(self._option) for file in self.listed}
        keys = list(self._keys.values())
        return keys[0] if len(keys) == 1 else keys

    def open(
        self,
        scratch: Path,
        wanted: Mapping[str, str | None],
        ids: Collection[str],
        *,
        every: bool = False,
    ) -> OpenTables:
        """Check every file.

        Args:
            scratch: an existing folder for what is fetched and unpacked.
            wanted: option (without ``data.``) -> column to read; None where the option is off.
            ids: the columns that are ids of users or items.
            every: whether to read all other columns too.

        Raises:
            UserError: when one cannot be read, or lacks a column that another has.
        """
        names = [column for column in wanted.values() if column is not None]
        tables, opened = [], []
        for file in self.listed:
            table = self._table(file, scratch)
            tables.append(table)
            opened.append(table.open(scratch, None if every else set(names), ids))
            self._compare(file, opened[0], opened[-1], names)
        columns = list(dict.fromkeys([*opened[0].columns, *self.listed[0].partition]))
        self._require(wanted, opened[0].columns, columns)
        read = columns if every else list(dict.fromkeys(names))
        return OpenTables(self.where, self.listed, tables, opened, read)

    def _table(self, file: Listed, scratch: Path) -> TableFile:
        where = self.where if len(self.listed) == 1 else f"{self.where}: {file.name}"
        place = Path(file.place)
        if is_remote(file.place):
            place = scratch / f"{len(list(scratch.iterdir()))}-{Path(file.name).name}"
            got = copy_url(file.place, place, self._option)
            known = self._keys.get(file.place, got)
            if got["sha256"] != known["sha256"]:
                raise UserError(f"{where}: changed while it was read; try again")
        table = TableFile(place, where, self._separator, quoted=self._quoted)
        if place.stat().st_size == 0:
            raise UserError(f"{where}: the file is empty (0 bytes)")
        return table

    def _compare(self, file: Listed, first: Opened, other: Opened, names: list[str]) -> None:
        """Records of JSON lines may lack keys that are not read."""
        one, two = set(first.columns), set(other.columns)
        if form_of(file.name).suffix in JSON_LINES:
            one, two = one & set(names), two & set(names)
        if one != two:
            raise UserError(
                f"{self.where}: all files must have the same columns; {file.name} has "
                f"{', '.join(other.columns)}, but {self.listed[0].name} has "
                f"{', '.join(first.columns)}"
            )

    def _require(
        self, wanted: Mapping[str, str | None], header: list[str], columns: list[str]
    ) -> None:
        missing = [name for name in wanted.values() if name is not None and name not in columns]
        if missing and len(header) == 1:
            mark = next((mark for mark in ";\t|," if mark in header[0]), None)
            if mark is not None:
                shown = "'\\t'" if mark == "\t" else f"'{mark}'"
                raise UserError(
                    f"{self.where}: has a single column, {header[0]!r}: its values seem to be "
                    f"separated by {shown}. Set data.separator={shown}"
                )
        require_columns(dict(wanted), columns, str(self.where.partition("=")[2]))


class OpenTables:
    """Checked files as one lazy frame.

    Args:
        where: the option and the path, named in errors.
        listed: the files.
        tables: the same.
        opened: the same.
        columns: to read.

    Attributes:
        frame: all rows in order; beside the columns `FILE`, where there are several files.
        is_text: whether values have no types: delimited text.
        bytes: of the files, unpacked.
        columns: what `frame` has.
        parquet: the local Parquet files whose rows `frame` has unchanged, or None.
    """

    def __init__(
        self,
        where: str,
        listed: list[Listed],
        tables: list[TableFile],
        opened: list[Opened],
        columns: list[str],
    ) -> None:
        self.where = where
        self._tables = tables
        self.columns = columns
        self.is_text = tables[0].is_text
        self.bytes = sum(one.bytes for one in opened)
        self._frames = frames = [
            _selected(one.frame, one.columns, file.partition, columns)
            for file, one in zip(listed, opened, strict=True)
        ]
        if len(frames) > 1:
            kind = pl.Enum([file.name for file in listed])
            self._frames = frames = [
                frame.with_columns(pl.lit(file.name, dtype=kind).alias(FILE))
                for file, frame in zip(listed, frames, strict=True)
            ]
        with self.explained():
            schemas = [frame.collect_schema() for frame in frames]
        self._refuse_mixed(schemas, listed)
        self.frame = frames[0] if len(frames) == 1 else pl.concat(frames, how="vertical_relaxed")
        stored = set(opened[0].columns)
        alike = all(schema == schemas[0] for schema in schemas) and stored.issuperset(columns)
        typed = tables[0].form.suffix == ".parquet"
        self.parquet = [str(table.file) for table in tables] if alike and typed else None

    def _refuse_mixed(self, schemas: list[pl.Schema], listed: list[Listed]) -> None:
        for schema, file in zip(schemas, listed, strict=True):
            for column, kind in schema.items():
                first = schemas[0][column]
                if (kind == pl.String) != (first == pl.String) and pl.Null not in (kind, first):
                    raise UserError(
                        f"{self.where}: column '{column}' mixes types: {first} in "
                        f"{listed[0].name}, {kind} in {file.name}. Write it in one way"
                    )

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn what polars says of the files while they are read into a `UserError`."""
        try:
            yield
        except (PolarsError, OSError) as error:
            if out_of_space(error):
                raise
            raise self._culprit(error) from error

    def _culprit(self, error: Exception) -> UserError:
        """Polars does not say which file is damaged: read each alone."""
        for table, frame in zip(self._tables, self._frames, strict=True):
            try:
                frame.select(pl.all().count()).collect(engine="streaming")
            except (PolarsError, OSError) as its_own:
                return table.unreadable(its_own)
        return self._tables[0].unreadable(error)


def _selected(
    frame: pl.LazyFrame,
    present: list[str],
    partition: Mapping[str, str | None],
    columns: list[str],
) -> pl.LazyFrame:
    """The columns; those of the folder's name where the file has none of that name."""
    folders = {
        name: pl.lit(value, dtype=pl.String).alias(name)
        for name, value in partition.items()
        if name not in present
    }
    return frame.select(folders.get(name, pl.col(name)) for name in columns)
