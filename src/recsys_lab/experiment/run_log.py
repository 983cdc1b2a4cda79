"""The log of a run, beside what is shown on the terminal."""

from __future__ import annotations

import logging
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from recsys_lab.config import UserError
from recsys_lab.pages.terminal import LogFormatter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class _RunLog(logging.FileHandler):
    """Losing the log on a full disk never loses the run, and shows no traceback."""

    def handleError(self, record: logging.LogRecord) -> None:
        """In place of a traceback on the terminal."""

    def close(self) -> None:
        """Also where what is left cannot be written."""
        with suppress(OSError):
            super().close()


@contextmanager
def logged_to(path: Path) -> Iterator[None]:
    """Everything of the lab goes into the run's log; warnings also to the terminal.

    Raises:
        UserError: the log is a link, as in a run that somebody else made: it may lead anywhere.
    """
    if path.is_symlink():
        raise UserError(f"{path}: is a symbolic link, which a run does not make; remove it")
    handler = _RunLog(path)
    logging.getLogger("recsys_lab").setLevel(logging.INFO)
    terminal = logging.StreamHandler()
    terminal.setLevel(logging.WARNING)
    handler.setFormatter(LogFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    terminal.setFormatter(LogFormatter("%(message)s"))
    try:
        for each in (handler, terminal):
            logging.getLogger().addHandler(each)
        yield
    finally:
        for each in (handler, terminal):
            logging.getLogger().removeHandler(each)
            each.close()
