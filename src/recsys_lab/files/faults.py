"""Faults of the machine: told from mistakes of the user and of the code.

A full disk, a file system that is gone or read-only, a missing permission: nothing is wrong with
the command, and the same command goes on when the machine is well again.
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
"""As Rust's libraries (polars, safetensors) and Arrow write the system's number."""


_NAMES = {
    errno.ENAMETOOLONG: "file systems take up to 255 bytes a name; choose a shorter one",
    errno.ELOOP: "a link that leads to itself; choose another path, or mend the link",
}


class MachineFault(Exception):
    """The machine stopped the work: a message without a traceback, exit 1.

    For what says so better than the system does, e.g. which option names the full disk.
    """


def system_error(error: BaseException) -> int | None:
    """The system's number (``errno``) of an error, also where only its message has it."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    found = _IN_MESSAGE.search(str(error))
    return int(found[1] or found[2]) if found else None


def is_panic(error: BaseException) -> bool:
    """Whether it is the ``PanicException`` of a library in Rust: no `Exception`, of no module."""
    return type(error).__module__ == "pyo3_runtime"


def out_of_space(error: BaseException) -> bool:
    """Whether the disk, a quota or a limit on file sizes is what failed."""
    return system_error(error) in FULL


def reason(error: BaseException) -> str:
    """What the system says, else the first line of the message."""
    return str(getattr(error, "strerror", None) or first_line(error))


def machine_fault(
    error: BaseException, *, missing: bool = False, refused: bool = True
) -> str | None:
    """What is wrong with the machine, in one line with a cure, or None where it is not to blame.

    Args:
        error: as it was caught; what it was raised from, or while handling, counts too.
        missing: whether a file or folder that is not there is a fault of the machine as well.
        refused: whether one that may not be read or written is.
    """
    for cause in chain(error):
        if isinstance(cause, MachineFault):
            return str(cause)
        number = system_error(cause)
        known = (*FULL, *_BROKEN, *(REFUSED if refused else ()), *(MISSING if missing else ()))
        if number is not None and number in known:
            return _told(cause, number)
    return None


def impossible_name(error: BaseException) -> str | None:
    """What is wrong with a path that no file can have, in one line, or None for other errors."""
    for cause in chain(error):
        cure = _NAMES.get(cause.errno or 0) if isinstance(cause, OSError) else None
        if cure is not None:
            return f"{_where(cause)}{reason(cause)}: {cure}"
    return None


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and what it was raised from or while handling."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _told(error: BaseException, number: int) -> str:
    where = _where(error)
    if number in FULL:
        cure = f"make room {'there' if where else 'on the disk'}, then give the same command again"
    elif number == errno.EROFS:
        cure = "that file system takes no changes; choose a folder elsewhere"
    elif number in REFUSED:
        cure = "change the mode (chmod u+rwX), or choose a folder of your own"
    elif number in MISSING:
        cure = "bring it back, then give the same command again"
    else:
        cure = "see to the machine or its file system, then give the same command again"
    return f"{where}{os.strerror(number)} (error {number}); {cure}"


def _where(error: BaseException) -> str:
    file = getattr(error, "filename", None)
    return f"{os.fsdecode(file)}: " if isinstance(file, str | bytes | os.PathLike) else ""
