"""Unknown flags of a command line, in plain words."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from recsys_lab.config.help.habits import habits_of
from recsys_lab.config.verbs import VERBS


def flags_in_words(name: str, unknown: Sequence[str], arguments: Sequence[str]) -> str:
    """What to type instead of flags that a verb does not have.

    Args:
        name: the verb.
        unknown: the flags, as the parser leaves them.
        arguments: all words of the command line.
    """
    lines = [_line(name, text, arguments) for text in unknown if text.startswith("-")]
    return "\n".join(lines) or f"{name}: not understood: {shlex.join(unknown)}"


def _line(name: str, text: str, arguments: Sequence[str]) -> str:
    flag, equals, value = text.partition("=")
    if not equals and text in arguments:  # its value is the next word
        following = arguments[list(arguments).index(text) + 1 :][:1]
        value = next((word for word in following if not word.startswith("-")), "")
    key = flag.lstrip("-").replace("-", "_")
    if not VERBS[name].composes:
        return f"{flag}: {name} has no such flag; its flags: recsys-lab {name} --help"
    known = next((habit for habit in habits_of(key) if habit.key or habit.use), None)
    key = known.key if known is not None and known.key else key
    typed = known.use if known is not None and known.use else f"{key}={value or 'VALUE'}"
    words = shlex.quote(typed) if " " not in typed or "=" not in typed.partition(" ")[2] else typed
    return f"{flag}: not a flag of {name}, whose options are typed as key=value: {words}"
