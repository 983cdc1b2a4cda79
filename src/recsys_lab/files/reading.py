"""Read a file of the lab: whatever is wrong with it is told by its name, not by a traceback."""

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
    """Turn what any library says of a damaged file into a `UserError`.

    The file is opened first: some libraries call a file missing that may not be read, and others
    wait for ever on a pipe. The body must do nothing but read this file and take out of it what it
    should hold, because every error of the body is then the file's.

    Args:
        path: a file.
        cure: what to do when it cannot be read: the end of a sentence, with its punctuation.

    Raises:
        UserError: it is missing, may not be read, is no file, or is damaged.
        OSError: the machine is at fault, e.g. the disk gives an error.
    """
    try:
        _open(path, cure)
        yield
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"{path} is missing{cure}") from None
    except PermissionError:
        msg = f"{path}: no permission to read it (its owner may give it: chmod a+r){cure}"
        raise UserError(msg) from None
    except BaseException as error:
        if isinstance(error, Exception):
            if isinstance(error, MemoryError) or machine_fault(error) is not None:
                raise
        elif not is_panic(error):
            raise
        msg = f"{path}: cannot be read ({reason(error)}), it is damaged or of another lab{cure}"
        raise UserError(msg) from error


def read_parquet(path: Path, cure: str, columns: list[str] | None = None) -> pl.DataFrame:
    """Read a Parquet file of the lab; see `reading`."""
    import polars as pl  # not needed to read a record

    with reading(path, cure):
        return pl.read_parquet(path, columns=columns, glob=False)


def _open(path: Path, cure: str) -> None:
    if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for when it is opened
        raise UserError(f"{path}: is no file{cure}")
    path.open("rb").close()
