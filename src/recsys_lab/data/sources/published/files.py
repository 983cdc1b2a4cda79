"""Files of published datasets: found in archives and folders, turned into Parquet in passing."""

from __future__ import annotations

import re
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import narwhals as nw
import polars as pl
from polars.exceptions import PolarsError

from recsys_lab.config import UserError
from recsys_lab.data.formats.archives import TAR_SUFFIXES, find_members, open_member
from recsys_lab.data.formats.download import download
from recsys_lab.data.formats.paths import did_you_mean, file_key, is_there
from recsys_lab.data.raw import ParquetLog

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from recsys_lab.data.sources.published.about import DatasetInfo

ROWS_A_GROUP = 1 << 18
"""Rows held at once where a file is turned around."""

OPTION = "data.path"


def fetch(
    url: str, folder: str, named: DatasetInfo, *, md5: str | None = None, sha256: str | None = None
) -> Path:
    """A published file in ``data.download_dir``, downloaded at the first use.

    Args:
        url: where it is.
        folder: ``data.download_dir``.
        named: whose licence is shown before the download.
        md5: as published with it; None: the first use is trusted.
        sha256: as the user pins it, or None.

    Raises:
        UserError: when it cannot be had, or is not what was expected.
    """
    notice = f"{named.about.title}: {named.about.licence}"
    return download(url, md5, Path(folder).expanduser(), notice, sha256=sha256)


def place_of(path: str, official: str) -> Path:
    """Where ``data.path`` says that the official files are: a file, an archive or a folder.

    Args:
        path: the option's value.
        official: what to pass, for the message.

    Raises:
        UserError: when there is nothing, an empty file, or no permission.
    """
    place = Path(path).expanduser()
    if not is_there(path, OPTION):
        raise UserError(
            f"data.path={path}: no such file or folder. Pass {official}; the working directory is "
            f"{Path.cwd()}"
        )
    if place.is_file() and place.stat().st_size == 0:
        raise UserError(f"data.path={path}: the file is empty (0 bytes)")
    return place


def no_download(name: str, where: str, official: str) -> UserError:
    """The error for a dataset that has no address to download from."""
    return UserError(
        f"data.path is not set, and {name} cannot be downloaded by a program: get it from {where}, "
        f"and pass {official}: data.path=..."
    )


def content_key(place: Path, names: Sequence[str]) -> dict[str, Any]:
    """Name, size and SHA-256 of every file that `unpacked` reads; of an archive as a whole."""
    if _is_archive(place):
        return {names[0]: file_key(place)}
    found = _inside_all(place, names) if place.is_dir() else _beside(place, names)
    return {name: file_key(file) for name, file in found.items()}


def unpacked(
    place: Path, names: Sequence[str], scratch: Path, optional: Sequence[str] = ()
) -> dict[str, Path]:
    """Plain files by name, from a folder, a zip, a tar, a gzip, or a file itself.

    What is compressed is written to ``scratch``, a part at a time and only what is asked for.

    Args:
        place: the folder, archive or file.
        names: official file names, all of which must be there; a plain file or a gzip of one is
            the first of them, whatever it is called, and the others lie beside it.
        scratch: an existing folder.
        optional: names that may be absent.

    Raises:
        UserError: when a file is absent, or the archive is damaged, unsafe or a zip bomb.
    """
    wanted = [*names, *optional]
    if _is_archive(place):
        found = {
            name: _copied(place, name, scratch) for name in find_members(place, wanted, OPTION)
        }
    else:
        plain = _inside_all(place, wanted) if place.is_dir() else _beside(place, wanted)
        found = {name: _plain(file, name, scratch) for name, file in plain.items()}
    missing = [name for name in names if name not in found]
    if missing:
        raise UserError(
            f"{OPTION}={place}: has no {', '.join(missing)}; the official files are "
            f"{', '.join(wanted)}"
        )
    return found


def _is_archive(file: Path) -> bool:
    return file.is_file() and file.name.lower().endswith((".zip", *TAR_SUFFIXES))


def _inside_all(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """Files of a folder by name, at any depth, also with .gz."""
    found = {}
    for name in names:
        places = [*sorted(folder.rglob(name)), *sorted(folder.rglob(f"{name}.gz"))]
        files = [file for file in places if file.is_file()]
        if files:
            found[name] = files[0]
    return found


def _beside(file: Path, names: Sequence[str]) -> dict[str, Path]:
    """A log, and the tables that came with it, in its folder."""
    others = {name: file.with_name(name) for name in names[1:]}
    return {names[0]: file} | {
        name: other for name, other in others.items() if other.is_file() and other != file
    }


def _plain(file: Path, name: str, scratch: Path) -> Path:
    with file.open("rb") as stream:  # by content: browsers unpack gzip and keep the name
        zipped = stream.read(2) == b"\x1f\x8b"
    return _copied(file, name, scratch) if zipped else file


def _copied(place: Path, name: str, scratch: Path) -> Path:
    with open_member(place, name, OPTION) as source, (scratch / name).open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    return scratch / name


def scan_text(
    file: Path, columns: Sequence[str], separator: str, *, header: bool, quoted: bool = True
) -> pl.LazyFrame:
    """Delimited text, lazily; every column as strings.

    Args:
        file: the text.
        columns: with a header: those to read; without one: all, in order.
        separator: between values.
        header: whether the first line names the columns.
        quoted: whether a quotation mark quotes; else it is a character like any other.

    Raises:
        UserError: when a column is not in the header.
    """
    quote = '"' if quoted else None
    with told(file):
        if not header:
            schema = dict.fromkeys(columns, pl.String)
            return pl.scan_csv(
                file,
                separator=separator,
                has_header=False,
                schema=schema,
                glob=False,
                quote_char=quote,
                # Names may hold the separator; what stands before them is whole.
                truncate_ragged_lines=not quoted,
            )
        frame = pl.scan_csv(
            file, separator=separator, quote_char=quote, infer_schema=False, glob=False
        )
        present = frame.collect_schema().names()
    missing = [name + did_you_mean(name, present) for name in columns if name not in present]
    if missing:
        raise UserError(
            f"data.path={file}: is not the official file: it has no column "
            f"{', no column '.join(missing)}. Its columns are {', '.join(present)}"
        )
    return frame.select(columns)


def require_form(file: Path, pattern: str, form: str) -> None:
    """Check the first line of a file without a header.

    Args:
        file: the text.
        pattern: a regular expression that the line matches from its beginning.
        form: the same for people.

    Raises:
        UserError: showing the line.
    """
    with file.open("rb") as stream:
        line = stream.readline(10_000).decode("utf-8", errors="replace").rstrip("\r\n")
    if re.match(pattern, line) is None:
        raise UserError(
            f"data.path={file}: row 1 is {line[:100]!r}; the official file has {form} on each line"
        )


@contextmanager
def told(file: Path) -> Iterator[None]:
    """Turn what polars says of a file into a `UserError` that names it."""
    try:
        yield
    except (PolarsError, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the disk, e.g. no space left, not of the file's form
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"data.path={file}: cannot be read in its official form: {reason}. It may be damaged, "
            "cut short, or changed; get it again"
        ) from error


def sink_log(frame: pl.LazyFrame, file: Path, target: Path, *, turned: bool = False) -> ParquetLog:
    """Stream a log to Parquet, which every engine then scans.

    Args:
        frame: the log, as a scan of ``file``.
        file: named in errors.
        target: the Parquet file to make.
        turned: whether the last row is to come first: logs are published newest first.

    Returns:
        All its columns under their own names.
    """
    with told(file):
        frame.sink_parquet(target, maintain_order=True, row_group_size=ROWS_A_GROUP)
    if turned:
        target = _turn(target)
    names = pl.read_parquet_schema(target)
    return ParquetLog((str(target),), {name: nw.col(name) for name in names})


def _turn(file: Path) -> Path:
    """The same rows, last first, a row group at a time."""
    import numpy as np
    import pyarrow.parquet as pq

    target = file.with_name(f"turned-{file.name}")
    with pq.ParquetFile(file) as source, pq.ParquetWriter(target, source.schema_arrow) as writer:
        for group in reversed(range(source.num_row_groups)):
            table = source.read_row_group(group)
            writer.write_table(table.take(np.arange(len(table))[::-1]))
    file.unlink()
    return target


def whole(column: str) -> pl.Expr:
    """Text as int64; null where it is no whole number."""
    return pl.col(column).cast(pl.Int64, strict=False)


def number(column: str) -> pl.Expr:
    """Text as float64; null where it is no number."""
    return pl.col(column).cast(pl.Float64, strict=False)


def clock(milliseconds: pl.Expr) -> dict[str, pl.Expr]:
    """``timestamp`` in seconds; ``order`` in milliseconds keeps apart what shares a second."""
    return {"timestamp": milliseconds.floordiv(1000), "order": milliseconds}


def filled(column: str) -> pl.Expr:
    """Text without blanks around it; null where nothing is left."""
    text = pl.col(column).str.strip_chars()
    return pl.when(text != "").then(text)
