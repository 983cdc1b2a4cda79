"""What reaches a terminal or a log: text from elsewhere stays text, and no secret is in it.

A title of a log or a name of a run may hold escape sequences, which would colour, move or rewrite
what a person reads, and Rich's own ``[markup]``.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.segment import Segment
from rich.text import Text

from recsys_lab.config.secrets import scrubbed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import ConsoleOptions, RenderableType

# Controls (C0 without tab and newline, DEL, C1), line separators, and what turns the direction of
# reading; halves of surrogate pairs, which no terminal can be sent.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    """The text with ``?`` for each character that a terminal would act on; lines stay lines."""
    return _UNPRINTABLE.sub("?", text.replace("\r\n", "\n"))


def shown(text: str) -> str:
    """The text as people may see it: printable, without secrets."""
    return printable(scrubbed(text))


def tell(text: str) -> None:
    """Print a message to stderr."""
    print(shown(text), file=sys.stderr)


def tell_exception(error: BaseException) -> None:
    """Print a traceback to stderr."""
    tell("".join(traceback.format_exception(error)).rstrip("\n"))


class Terminal(Console):
    """Rich's console for text from anywhere: brackets are brackets, escapes do nothing.

    Args:
        options: of `rich.console.Console`.
    """

    def __init__(self, **options: Any) -> None:
        # In a notebook: plain text, for which no widgets have to be installed.
        super().__init__(markup=False, emoji=False, force_jupyter=False, **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """See `Console.render`; Rich's own control sequences are segments of their own kind."""
        if isinstance(renderable, Text):
            renderable = _masked(renderable)
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else printable(text), style, control)

    def render_str(self, text: str, **options: Any) -> Text:
        """See `Console.render_str`."""
        return super().render_str(shown(text), **options)


def _masked(text: Text) -> Text:
    """Before it is cut into lines and styles, within which a secret is not known."""
    whole = scrubbed(text.plain)
    if whole == text.plain:
        return text
    made = text.blank_copy(whole)
    made.style = text.style
    return made


class LogFormatter(logging.Formatter):
    """A log's lines as people may see them; see `logging.Formatter`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, and what follows it of a traceback."""
        return shown(super().format(record))


def guard_outputs() -> None:
    """Let what this process tells without a console of ours go through `shown`, too.

    These are warnings logged before there is a log, and the traceback of its death.
    """
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(LogFormatter("%(message)s"))
    sys.excepthook = lambda _, error, trace: tell_exception(error.with_traceback(trace))
