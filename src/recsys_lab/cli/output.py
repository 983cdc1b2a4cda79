"""How a verb's work ends, and ``output=FOLDER`` of the verbs that write results."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recsys_lab.config import UserError
from recsys_lab.files.atomic import remove_dead_temporaries
from recsys_lab.files.faults import is_panic, reason


class RunFailed(Exception):
    """The work itself failed (cause: its exception), after the config had been accepted.

    Args:
        output_dir: the run directory, or None for a verb without one.
    """

    def __init__(self, output_dir: Path | None) -> None:
        super().__init__(str(output_dir))
        self.output_dir = output_dir


@contextmanager
def failed(output_dir: Path | None) -> Iterator[None]:
    """Around a verb's work, whose failures are no mistakes in the config.

    Raises:
        UserError, BrokenPipeError: as they are.
        RunFailed: anything else that failed, but no interruption.
    """
    try:
        yield
    except (UserError, BrokenPipeError):  # the latter: the reader of our output (head, less) went
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        raise RunFailed(output_dir) from error


def output_folder(output: str | None, option: str = "output") -> Path | None:
    """The folder that an option names, made before anything is computed.

    Raises:
        UserError: it cannot be a folder, or not be written to.
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
