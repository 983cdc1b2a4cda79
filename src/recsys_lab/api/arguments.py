"""Checks of arguments of the Python API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints

from recsys_lab.config import UserError
from recsys_lab.config.values import problem_with


def folder_of(name: str, given: Any) -> Path:
    """A folder as a path.

    Raises:
        UserError: it is neither a string nor a path.
    """
    if not isinstance(given, str | Path):
        raise UserError(f"{name}: got {given!r}; expected a folder as a string or a Path")
    return Path(given)


def require_one_of(name: str, given: Any, allowed: Sequence[str | None]) -> None:
    """Check that an argument has one of the allowed values.

    Raises:
        UserError: it has another value.
    """
    if given not in allowed:
        raise UserError(f"{name}: got {given!r}; allowed: {', '.join(map(repr, allowed))}")


def require_valid(function: str, schema: type, given: Mapping[str, Any]) -> None:
    """Check arguments as those of a command.

    Args:
        function: the function, for messages.
        schema: top-level keys of the command: see `recsys_lab.config.commands`.
        given: argument -> value.

    Raises:
        UserError: with every problem.
    """
    types = get_type_hints(schema, include_extras=True)
    problems = {name: problem_with(value, types[name]) for name, value in given.items()}
    lines = [f"{function}: {name}: {problem}" for name, problem in problems.items() if problem]
    if lines:
        raise UserError("\n".join(lines))
