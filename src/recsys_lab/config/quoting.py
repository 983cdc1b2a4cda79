"""Values that stand on the command line as people write them, not in Hydra's grammar."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_type_hints

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

from recsys_lab.config.commands import Verb


def quoted(text: str) -> str:
    """Text as Hydra's override grammar takes it literally."""
    return str(QuotedString(text, Quote.single).with_quotes())


def literal(text: str, verb: Verb, *, several: bool) -> str:
    """An override, quoted where its key takes a text, e.g. ``where=model=SASRec``.

    Keys of texts are those of type ``str`` in the verb's schema, and those that the verb names. For
    any other key a value is a text where Hydra's grammar cannot read it, e.g. a URL with a query.
    Values that are quoted already, and ``null``, stay as they are.

    Args:
        text: the override as typed.
        verb: says which keys take texts.
        several: whether commas separate the values of several jobs: a multirun.
    """
    key, equals, value = text.partition("=")
    if not equals or key.startswith("~"):
        return text
    name = key.lstrip("+")
    for place in verb.literal:
        if place.endswith(".") and name.startswith(place):
            # The rest is one word: nested, a.b would take the place of a, or a of a.b.
            below = name.removeprefix(place)
            return f"++{place[:-1]}={{{below}: {_quoted_once(value)}}}"
    if name in verb.literal:
        return f"{key}={_quoted_once(value)}"
    if name in verb.paths or name in _texts(verb.schema):
        return f"{key}={_paths(value) if several else _quoted_once(value)}"
    return text if _is_grammatical(text) else f"{key}={_quoted_once(value)}"


def _texts(schema: type[Any]) -> set[str]:
    """Keys that take any text, or a path."""
    hints = get_type_hints(schema)
    return {name for name, hint in hints.items() if hint in (str, str | None)}


def _is_grammatical(text: str) -> bool:
    try:
        OverridesParser.create().parse_override(text)
    except HydraException:
        return False
    return True


def _quoted_once(value: str) -> str:
    return value if value == "null" or _is_quoted(value) else quoted(value)


def _is_quoted(value: str) -> bool:
    return len(value) > 1 and value[0] == value[-1] and value[0] in "'\""


def _paths(value: str) -> str:
    """One path a job; a comma in the name of a file that exists separates nothing."""
    if _is_quoted(value) or re.match(r"[a-z_]+\(", value):  # choice(a, b)
        return value
    if Path(value).expanduser().exists():
        return quoted(value)
    return ",".join(map(_quoted_once, value.split(",")))
