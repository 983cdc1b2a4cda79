"""Atomic writes: a temporary file is written, synced and renamed."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from recsys_lab.files.faults import system_error

_TEMPORARY = re.compile(r"\..+\.(\d+)\.tmp")
"""Hidden temporary file with the name of the file and the id of the writing process."""
_OLDER = re.compile(
    r"\.(.+\.(json|yaml|diff|ckpt|safetensors|npy|md|html|csv)\.\d+|(test_users|slices)\.parquet)"
)
"""Temporary files of earlier versions."""


def replace_atomically(
    path: Path, write: Callable[[Path], object], *, private: bool = False
) -> None:
    """Let ``write`` write a temporary file in the folder of ``path``, then rename it to ``path``.

    The mode of the file follows the umask, whatever library writes it.

    Args:
        path: the file; its folder is created if missing.
        write: writes the file at the given path.
        private: whether only the owner can read the file, from its first byte on.

    Raises:
        OSError: it cannot be written; an existing file is unchanged.
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
    except Exception as error:  # errors of libraries do not name the file
        number = system_error(error)
        if number is None or getattr(error, "filename", None) is not None:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error
    finally:
        with suppress(OSError):  # the first error of a failing disk is the one to raise
            temporary.unlink(missing_ok=True)
    sync(path.parent)


def write_text(path: Path, text: str, *, private: bool = False) -> None:
    """Write a text file, UTF-8; see `replace_atomically`."""
    data = text.encode()
    replace_atomically(path, lambda temporary: temporary.write_bytes(data), private=private)


def sync(path: Path) -> None:
    """Flush a file's content, or a folder's entries, to the disk.

    Otherwise a rename may reach the disk before the content.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some file systems cannot sync a folder
            raise
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """`sync` every file and folder below a folder, and the folder itself."""
    for path in (*folder.rglob("*"), folder):
        sync(path)


def remove_temporaries(folder: Path) -> None:
    """Remove temporary files of killed processes in a folder and one level below it.

    Only for the holder of the folder's lock, so that nobody else writes there.
    """
    for file in (*folder.glob(".*"), *folder.glob("*/.*")):
        if _TEMPORARY.fullmatch(file.name) or _OLDER.fullmatch(file.name):
            file.unlink(missing_ok=True)


def remove_dead_temporaries(folder: Path) -> None:
    """The same without a lock: in the folder itself, if this machine has no such process."""
    for file in folder.glob(".*.tmp"):
        match = _TEMPORARY.fullmatch(file.name)
        if match and not _lives(int(match[1])):
            file.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
