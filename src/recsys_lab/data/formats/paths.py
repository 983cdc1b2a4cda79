"""Checks and content hashes of the user's files and columns."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recsys_lab.config import NoSource, UserError, did_you_mean
from recsys_lab.files.digests import digest
from recsys_lab.files.faults import out_of_space, reason


def require_option(value: str | None, option: str, example: str) -> str:
    """Return the value of an option without a default.

    Raises:
        NoSource: if it is not set.
    """
    if value:
        return value
    raise NoSource(f"{option} is not set: this dataset is read from a file. Add e.g. {example}")


def require_file(path: str | Path, option: str) -> Path:
    """Return the path of a file after checking that it can be read and is not empty.

    Args:
        path: as the user wrote it; relative to the working directory; ``~`` is expanded.
        option: the config option it came from, named in the errors.

    Raises:
        UserError: if it does not exist, is a directory or not a regular file, is empty, or its
            folder may not be listed.
    """
    file = Path(path).expanduser()
    with readable(f"{option}={path}"):
        if file.is_dir():
            inside = sorted(entry.name for entry in file.iterdir())[:8]
            raise UserError(
                f"{option}={path}: is a directory; expected a file. It holds: "
                f"{', '.join(inside) or 'nothing'}"
            )
        if not file.exists():
            raise UserError(f"{option}={path}: no such file{siblings(file)}")
        if not file.is_file():
            raise UserError(f"{option}={path}: not a regular file; write the log to a file first")
        if file.stat().st_size == 0:
            raise UserError(f"{option}={path}: the file is empty (0 bytes)")
    return file


@contextmanager
def readable(where: str) -> Iterator[None]:
    """Turn the system's errors about a file into a `UserError`, except for a full disk.

    Args:
        where: the option and the path.
    """
    try:
        yield
    except PermissionError as error:
        raise UserError(
            f"{where}: no permission to read it. Change its mode (chmod u+r) or copy it to a "
            "folder of yours"
        ) from error
    except OSError as error:
        if out_of_space(error):
            raise
        raise UserError(f"{where}: cannot be read ({reason(error)})") from error


def siblings(file: Path) -> str:
    """A hint for the error about a missing file: its missing folder, or a similar name."""
    parent = file.parent
    if not parent.is_dir():
        return (
            f". Its folder '{parent}' does not exist either; the working directory is {Path.cwd()}"
        )
    hint = did_you_mean(file.name, (entry.name for entry in parent.iterdir()))
    return hint if str(parent) == "." else hint.replace("mean '", f"mean '{parent}/")


def require_columns(
    wanted: dict[str, str | None], present: list[str], file: Path | str, prefix: str = "data."
) -> None:
    """Check that a file has the columns that options name.

    Args:
        wanted: option name (without prefix) -> column; None if the option is off.
        present: the file's columns.
        file: named in the error.
        prefix: of the options.

    Raises:
        UserError: naming every missing column at once.
    """
    missing = [
        f"{prefix}{option}={column}: no such column{did_you_mean(column, present)}"
        for option, column in wanted.items()
        if column is not None and column not in present
    ]
    if missing:
        listing = ", ".join(present)
        raise UserError("\n".join([*missing, f"Columns of {file}: {listing}"]))


def is_there(path: str, option: str) -> bool:
    """Whether a path is an existing file or folder; a folder must be listable throughout.

    Raises:
        UserError: without the permission to find out.
    """
    expanded = Path(path).expanduser()
    with readable(f"{option}={path}"):
        if expanded.is_dir():
            require_open(expanded, option)
        return expanded.exists()


def require_open(folder: Path, option: str) -> None:
    """Check that a folder and those in it may be listed; a glob would silently omit the others.

    Folders whose name begins with ``_`` or ``.`` are ignored.

    Raises:
        UserError: naming the folder that may not be listed.
    """

    def refuse(error: OSError) -> None:
        with readable(f"{option}={error.filename}"):
            raise error

    for _, folders, _ in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(("_", "."))]


def safe_name(name: str) -> str:
    """A file name for a column: its own name if that is plain, else a short form with its hash.

    Names that end in ``_values`` or ``_offsets`` are not plain, as files of list columns do.
    """
    plain = re.sub(r"[^\w.-]+", "_", name)
    if plain == name and len(name.encode()) <= 100 and not name.endswith(("_values", "_offsets")):
        return name
    short = plain.encode()[:60].decode(errors="ignore")
    return f"{short}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def file_key(file: Path) -> dict[str, Any]:
    """Name (without folder), size in bytes and SHA-256 of a file.

    Raises:
        UserError: if it may not be read.
    """
    with readable(str(file)):
        return {"name": file.name, **digest(file)}
