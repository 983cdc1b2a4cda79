"""Checks of arguments of the Python API."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recsys_lab.config import UserError


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
