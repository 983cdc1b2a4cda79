"""Faults of the machine, as opposed to mistakes of the user and errors of the code.

A full disk, a missing or read-only file system, a missing permission: the command is correct, and
can be repeated when the fault is fixed.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator

from recsys_lab.config.errors import first_line

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
MISSING = (errno.ENOENT, errno.ENOTDIR)
_BROKEN = (
    errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.ENOTCONN, errno.ETIMEDOUT,
    errno.EREMOTEIO, errno.EMFILE, errno.ENFILE, errno.ENOLCK, errno.EUCLEAN,
)  # fmt: skip
_IN_MESSAGE = re.compile(r"\((?:os )?error (\d+)\)|\[[Ee]rrno (\d+)\]")
"""The errno in messages of Rust libraries (polars, safetensors) and of Arrow."""


_NAMES = {
    errno.ENAMETOOLONG: "file systems allow names of up to 255 bytes; choose a shorter one",
    errno.ELOOP: "a link that leads to itself; choose another path, or correct the link",
}


class MachineFault(Exception):
    """A fault of the machine; its message is shown without a traceback, exit code 1.

    For messages that say more than the system's, e.g. which option names the full disk.
    """


def system_error(error: BaseException) -> int | None:
    """The errno of an error, also from its message."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    match = _IN_MESSAGE.search(str(error))
    return int(match[1] or match[2]) if match else None


def is_panic(error: BaseException) -> bool:
    """Whether it is a ``PanicException`` of a Rust library, which is not an `Exception`."""
    return type(error).__module__ == "pyo3_runtime"


def out_of_space(error: BaseException) -> bool:
    """Whether the disk, a quota or a limit on file sizes was exceeded."""
    return system_error(error) in FULL


def reason(error: BaseException) -> str:
    """The system's message, or the first line of the error's."""
    return str(getattr(error, "strerror", None) or first_line(error))


def machine_fault(
    error: BaseException, *, missing: bool = False, refused: bool = True
) -> str | None:
    """The fault of the machine, in one line with a cure; None for other errors.

    Args:
        error: the caught error; its causes are checked, too.
        missing: whether a missing file or folder counts as a fault of the machine.
        refused: whether a missing permission does.
    """
    for cause in chain(error):
        if isinstance(cause, MachineFault):
            return str(cause)
        number = system_error(cause)
        known = (*FULL, *_BROKEN, *(REFUSED if refused else ()), *(MISSING if missing else ()))
        if number is not None and number in known:
            return _with_cure(cause, number)
    return None


def impossible_name(error: BaseException) -> str | None:
    """What is wrong with a path that cannot exist, in one line; None for other errors."""
    for cause in chain(error):
        cure = _NAMES.get(cause.errno or 0) if isinstance(cause, OSError) else None
        if cure is not None:
            return f"{_where(cause)}{reason(cause)}: {cure}"
    return None


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and the errors that it was raised from or while handling."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _with_cure(error: BaseException, number: int) -> str:
    where = _where(error)
    if number in FULL:
        cure = f"free some space{'' if where else ' on the disk'}, then repeat the command"
    elif number == errno.EROFS:
        cure = "the file system is read-only; choose a folder elsewhere"
    elif number in REFUSED:
        cure = "change the mode (chmod u+rwX), or choose another folder"
    elif number in MISSING:
        cure = "restore it, then repeat the command"
    else:
        cure = "check the machine and its file system, then repeat the command"
    return f"{where}{os.strerror(number)} (error {number}); {cure}"


def _where(error: BaseException) -> str:
    file = getattr(error, "filename", None)
    return f"{os.fsdecode(file)}: " if isinstance(file, str | bytes | os.PathLike) else ""
