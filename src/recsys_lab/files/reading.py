"""Read files of the lab, with errors that name the file instead of a traceback."""

from __future__ import annotations

import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from recsys_lab.config import UserError
from recsys_lab.files.faults import is_panic, machine_fault, reason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import polars as pl


@contextmanager
def reading(path: Path, cure: str) -> Iterator[None]:
    """Turn errors of any library about a damaged file into a `UserError`.

    The file is opened first: some libraries report an unreadable file as missing, and others wait
    for ever on a pipe. The body must only read and parse this file, because every error of the body
    is attributed to it.

    Args:
        path: a file.
        cure: advice if it cannot be read: the end of a sentence, with its punctuation.

    Raises:
        UserError: it is missing, unreadable, not a regular file, or damaged.
        OSError: a fault of the machine, e.g. a disk error.
    """
    try:
        _open(path, cure)
        yield
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"{path} is missing{cure}") from None
    except PermissionError:
        raise UserError(
            f"{path}: no permission to read it (its owner can change that: chmod a+r){cure}"
        ) from None
    except BaseException as error:
        if isinstance(error, Exception):
            if isinstance(error, MemoryError) or machine_fault(error) is not None:
                raise
        elif not is_panic(error):
            raise
        raise UserError(
            f"{path}: cannot be read ({reason(error)}), it is damaged or of another version{cure}"
        ) from error


def read_parquet(path: Path, cure: str, columns: list[str] | None = None) -> pl.DataFrame:
    """Read a Parquet file of the lab; see `reading`."""
    import polars as pl  # not needed to read a record

    with reading(path, cure):
        return pl.read_parquet(path, columns=columns, glob=False)


def _open(path: Path, cure: str) -> None:
    if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait
        raise UserError(f"{path}: is not a regular file{cure}")
    path.open("rb").close()
