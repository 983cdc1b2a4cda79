"""Values of the command line that are plain text, not in Hydra's grammar."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, Quote, QuotedString
from hydra.errors import HydraException

from recsys_lab.config.schema import types_of
from recsys_lab.config.verbs import Verb


def quoted(text: str) -> str:
    """Text as a literal of Hydra's override grammar."""
    return str(QuotedString(text, Quote.single).with_quotes())


def literal(text: str, verb: Verb, *, several: bool) -> str:
    """An override, with its value quoted if it is a text, e.g. ``where=model=SASRec``.

    Values are texts for keys of type ``str`` in the verb's schema and for the keys that the verb
    lists; for other keys, if Hydra's grammar cannot parse them, e.g. a URL with a query. Quoted
    values and ``null`` are unchanged. Keys of a mapping, e.g. ``{title: text}``, may be new ones.

    Args:
        text: the override as typed.
        verb: the verb of the command.
        several: whether commas separate the values of several jobs (a multirun).
    """
    key, equals, value = text.partition("=")
    if not equals or key.startswith("~"):
        return text
    name = key.lstrip("+")
    for prefix in verb.literal:
        if prefix.endswith(".") and name.startswith(prefix):
            # The rest is one key: if nested, a.b would overwrite a, or a would overwrite a.b.
            below = name.removeprefix(prefix)
            return f"++{prefix[:-1]}={{{below}: {_quoted_once(value)}}}"
    if name in verb.literal:
        return f"{key}={_quoted_once(value)}"
    if name in verb.paths or name in _texts(verb.schema):
        return f"{key}={_paths(value) if several else _quoted_once(value)}"
    parsed = _parsed(text)
    if parsed is None:
        return f"{key}={_quoted_once(value)}"
    # The keys of a mapping, e.g. of columns and their types, are new ones.
    read = parsed.value()
    values = read.list if isinstance(read, ChoiceSweep) else [read]
    has_mapping = any(isinstance(one, dict) for one in values)
    return f"++{text}" if has_mapping and not key.startswith("+") else text


def _texts(schema: type[Any]) -> set[str]:
    """Keys whose values are texts or paths."""
    return {name for name, hint in types_of(schema).items() if hint in (str, str | None)}


def _parsed(text: str) -> Override | None:
    """The override; None if Hydra's grammar does not have it."""
    try:
        return OverridesParser.create().parse_override(text)
    except HydraException:
        return None


def _quoted_once(value: str) -> str:
    return value if value == "null" or _is_quoted(value) else quoted(value)


def _is_quoted(value: str) -> bool:
    return len(value) > 1 and value[0] == value[-1] and value[0] in "'\""


def _paths(value: str) -> str:
    """One path per job; the name of an existing file may contain commas."""
    if _is_quoted(value) or re.match(r"[a-z_]+\(", value):  # choice(a, b)
        return value
    if Path(value).expanduser().exists():
        return quoted(value)
    return ",".join(map(_quoted_once, value.split(",")))
