"""Write a whole file or nothing: beside it, to the disk, then renamed."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from recsys_lab.files.faults import system_error

_TEMPORARY = re.compile(r"\..+\.(\d+)\.tmp")
"""Hidden, with the name of the file and the number of the process that writes it."""
_OLDER = re.compile(
    r"\.(.+\.(json|yaml|diff|ckpt|safetensors|npy|md|html|csv)\.\d+|(test_users|slices)\.parquet)"
)
"""The same, as earlier versions of the lab named them."""


def replace_atomically(
    path: Path, write: Callable[[Path], object], *, private: bool = False
) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then put it in place at once.

    The file gets the mode that the umask gives, whatever library writes it.

    Args:
        path: the file; its folder is made when absent.
        write: fills the file that it is given.
        private: only the owner may read the file, from its first byte on.

    Raises:
        OSError: the machine does not let it be written; a file that was there is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.touch(mode=0o600 if private else 0o666)
        mode = temporary.stat().st_mode & 0o777
        write(temporary)
        temporary.chmod(mode)
        sync(temporary)
        temporary.replace(path)
    except Exception as error:  # libraries do not say which file they were writing
        number = system_error(error)
        if number is None or getattr(error, "filename", None) is not None:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error
    finally:
        with suppress(OSError):  # a disk that fails is told of by what failed first
            temporary.unlink(missing_ok=True)
    sync(path.parent)


def write_text(path: Path, text: str, *, private: bool = False) -> None:
    """Write a whole text file, UTF-8, or nothing; see `replace_atomically`."""
    data = text.encode()
    replace_atomically(path, lambda temporary: temporary.write_bytes(data), private=private)


def sync(path: Path) -> None:
    """Bring a file's content, or a folder's entries, to the disk.

    A rename may reach the disk before the content does, and an entry only with its folder.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some file systems cannot bring a folder to the disk
            raise
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """`sync` every file and folder below a folder, and the folder itself."""
    for path in (*folder.rglob("*"), folder):
        sync(path)


def remove_temporaries(folder: Path) -> None:
    """Remove what killed processes left half-written in a folder and one level below it.

    Only for whoever holds the folder's lock: nobody else writes there.
    """
    for file in (*folder.glob(".*"), *folder.glob("*/.*")):
        if _TEMPORARY.fullmatch(file.name) or _OLDER.fullmatch(file.name):
            file.unlink(missing_ok=True)


def remove_dead_temporaries(folder: Path) -> None:
    """The same without a lock: in the folder itself, of processes that this machine lacks."""
    for file in folder.glob(".*.tmp"):
        found = _TEMPORARY.fullmatch(file.name)
        if found and not _lives(int(found[1])):
            file.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
