"""Checks of the user's files: clear errors, suggestions, content hashes."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recsys_lab.config import UserError
from recsys_lab.config.errors import closest
from recsys_lab.files.digests import digest
from recsys_lab.files.faults import out_of_space, reason


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """``" Did you mean 'x'?"`` when a choice is close to ``name``, else an empty string."""
    close = closest(name, choices)
    return f" Did you mean '{close}'?" if close else ""


def require_option(value: str | None, option: str, example: str) -> str:
    """The value of an option that has no default.

    Raises:
        UserError: when it is not set.
    """
    if value:
        return value
    raise UserError(f"{option} is not set: this dataset is read from a file. Add e.g. {example}")


def require_file(path: str | Path, option: str) -> Path:
    """The path, when it is a file that has content.

    Args:
        path: as the user wrote it; relative to the working directory; ``~`` is expanded.
        option: the config option it came from, named in the errors.

    Raises:
        UserError: when there is no such file, it is a directory or no regular file, it is empty,
            or its folder may not be looked into.
    """
    file = Path(path).expanduser()
    with readable(f"{option}={path}"):
        if file.is_dir():
            inside = sorted(entry.name for entry in file.iterdir())[:8]
            raise UserError(
                f"{option}={path}: is a directory, a file is needed. It holds: "
                f"{', '.join(inside) or 'nothing'}"
            )
        if not file.exists():
            raise UserError(f"{option}={path}: no such file.{siblings(file)}")
        if not file.is_file():
            raise UserError(f"{option}={path}: is no regular file; write the log to a file first")
        if file.stat().st_size == 0:
            raise UserError(f"{option}={path}: the file is empty (0 bytes)")
    return file


@contextmanager
def readable(where: str) -> Iterator[None]:
    """Turn what the system says of a file into a `UserError`; a full disk is left as it is.

    Args:
        where: the option and the path.
    """
    try:
        yield
    except PermissionError as error:
        raise UserError(
            f"{where}: no permission to read it. Change its mode (chmod u+r) or copy it to a "
            "place of your own"
        ) from error
    except OSError as error:
        if out_of_space(error):
            raise
        raise UserError(f"{where}: cannot be read ({reason(error)})") from error


def siblings(file: Path) -> str:
    """What may help somebody who named a file that is not there."""
    parent = file.parent
    if not parent.is_dir():
        return (
            f" Its folder '{parent}' does not exist either; the working directory is {Path.cwd()}"
        )
    hint = did_you_mean(file.name, (entry.name for entry in parent.iterdir()))
    return hint.replace("mean '", f"mean '{parent}/") if hint and str(parent) != "." else hint


def require_columns(
    wanted: dict[str, str | None], present: list[str], file: Path | str, prefix: str = "data."
) -> None:
    """Check that the columns that options name are in a file.

    Args:
        wanted: option name (without prefix) -> column; None where the option is off.
        present: the file's columns.
        file: named in the error.
        prefix: of the options.

    Raises:
        UserError: naming every missing column at once.
    """
    missing = [
        f"{prefix}{option}={column}: no such column.{did_you_mean(column, present)}"
        for option, column in wanted.items()
        if column is not None and column not in present
    ]
    if missing:
        listing = ", ".join(present)
        raise UserError("\n".join([*missing, f"Columns of {file}: {listing}"]))


def is_there(path: str, option: str) -> bool:
    """Whether there is a file or a folder, all of which may be looked into.

    Raises:
        UserError: when that cannot be known for want of permission.
    """
    place = Path(path).expanduser()
    with readable(f"{option}={path}"):
        if place.is_dir():
            require_open(place, option)
        return place.exists()


def require_open(folder: Path, option: str) -> None:
    """Check that the whole of a folder may be looked into; listings leave out what may not.

    Folders whose name begins with ``_`` or ``.`` do not count.

    Raises:
        UserError: naming the folder that may not.
    """

    def refuse(error: OSError) -> None:
        with readable(f"{option}={error.filename}"):
            raise error

    for _, folders, _ in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(("_", "."))]


def safe_name(name: str) -> str:
    """A file's name for a column's name: the same where that is plain, else one with its hash.

    Files of a column end in ``_values`` and ``_offsets``: names that do are none of the plain ones.
    """
    plain = re.sub(r"[^\w.-]+", "_", name)
    if plain == name and len(name.encode()) <= 100 and not name.endswith(("_values", "_offsets")):
        return name
    short = plain.encode()[:60].decode(errors="ignore")
    return f"{short}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def file_key(file: Path) -> dict[str, Any]:
    """Name, size in bytes and SHA-256 of a file's content; says nothing about its folder.

    Raises:
        UserError: when it may not be read.
    """
    with readable(str(file)):
        return {"name": file.name, **digest(file)}
