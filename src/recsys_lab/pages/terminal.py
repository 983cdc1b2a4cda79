"""Safe output to terminals and logs: no escape sequences, no Rich markup, no secrets.

Titles of items and names of runs may contain escape sequences that recolour, move or overwrite
text, and Rich's ``[markup]``.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.segment import Segment
from rich.text import Text

from recsys_lab.config.secrets import scrubbed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.console import ConsoleOptions, RenderableType

# Control characters (C0 without tab and newline, DEL, C1), line separators, marks of bidirectional
# text, and lone surrogates, which cannot be encoded.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


PROGRESS = logging.getLogger("recsys_lab.progress")
"""Lines about the work in progress: on the run's console, and in its ``run.log``."""


def printable(text: str) -> str:
    """The text with ``?`` for each control character except tabs and newlines."""
    return _UNPRINTABLE.sub("?", text.replace("\r\n", "\n"))


def shown(text: str) -> str:
    """The text, printable and without secrets."""
    return printable(scrubbed(text))


def tell(text: str) -> None:
    """Print a message to stderr."""
    print(shown(text), file=sys.stderr)


def tell_exception(error: BaseException) -> None:
    """Print a traceback to stderr."""
    tell("".join(traceback.format_exception(error)).rstrip("\n"))


class Terminal(Console):
    """A Rich console for untrusted text, without markup and escape sequences.

    Args:
        options: of `rich.console.Console`.
    """

    def __init__(self, **options: Any) -> None:
        # In a notebook, plain text needs no widgets.
        super().__init__(markup=False, emoji=False, force_jupyter=False, **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """See `Console.render`; Rich's own control sequences are kept."""
        if isinstance(renderable, Text):
            renderable = _masked(renderable)
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else printable(text), style, control)

    def render_str(self, text: str, **options: Any) -> Text:
        """See `Console.render_str`."""
        return super().render_str(shown(text), **options)


def _masked(text: Text) -> Text:
    """Remove secrets before the text is split into lines and spans."""
    masked = scrubbed(text.plain)
    if masked == text.plain:
        return text
    copy = text.blank_copy(masked)
    copy.style = text.style
    return copy


class LogFormatter(logging.Formatter):
    """Formats log lines with `shown`; see `logging.Formatter`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, with its traceback."""
        return shown(super().format(record))


class _ToConsole(logging.Handler):
    """Prints log lines on a console, above its progress bar if there is one."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.INFO)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Print the line; one that cannot be written is left out, and the work goes on."""
        # Rich ends the program when the reader of the output (head, less) has exited.
        with suppress(OSError, SystemExit):
            self._console.print(Text(shown(record.getMessage())), soft_wrap=True)


@contextmanager
def progress_on(console: Console) -> Iterator[None]:
    """Print the lines of `PROGRESS` on a console; within another body, on this console alone."""
    before = PROGRESS.handlers
    PROGRESS.handlers = [_ToConsole(console)]
    try:
        yield
    finally:
        PROGRESS.handlers = before


def guard_outputs() -> None:
    """Pass warnings logged before logging is set up, and uncaught tracebacks, through `shown`."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(LogFormatter("%(message)s"))
    sys.excepthook = lambda _, error, trace: tell_exception(error.with_traceback(trace))
