"""Failures of a verb's work, and the option ``output=FOLDER``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recsys_lab.config import UserError
from recsys_lab.files.atomic import remove_dead_temporaries
from recsys_lab.files.faults import is_panic, reason


class RunFailed(Exception):
    """The work of a verb failed, after its config was accepted; the cause is its exception.

    Args:
        output_dir: the run directory, or None for a verb without one.
    """

    def __init__(self, output_dir: Path | None) -> None:
        super().__init__(str(output_dir))
        self.output_dir = output_dir


@contextmanager
def failed(output_dir: Path | None) -> Iterator[None]:
    """Context manager for a verb's work that turns failures into `RunFailed`.

    Raises:
        UserError, BrokenPipeError: unchanged.
        RunFailed: for any other failure, but not for an interruption.
    """
    try:
        yield
    except (UserError, BrokenPipeError):
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        raise RunFailed(output_dir) from error


def output_folder(output: str | None, option: str = "output") -> Path | None:
    """Create the folder of an option.

    Raises:
        UserError: it cannot be created or written to.
    """
    if output is None:
        return None
    folder = Path(output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_dead_temporaries(folder)
    except OSError as error:
        msg = f"{option}: cannot create the folder {folder} ({reason(error)}); choose another one"
        raise UserError(msg) from None
    return folder
