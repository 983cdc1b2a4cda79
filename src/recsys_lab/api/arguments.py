"""Arguments of the Python face, which no config checks: a wrong one is the caller's mistake."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recsys_lab.config import UserError


def folder_of(name: str, given: Any) -> Path:
    """A folder as a path.

    Raises:
        UserError: it is neither a text nor a path.
    """
    if not isinstance(given, str | Path):
        raise UserError(f"{name}: got {given!r}; a folder is needed, as a text or a Path")
    return Path(given)


def require_one_of(name: str, given: Any, allowed: Sequence[str | None]) -> None:
    """Refuse a word that an argument does not know.

    Raises:
        UserError: with those that it does.
    """
    if given not in allowed:
        raise UserError(f"{name}: got {given!r}; allowed: {', '.join(map(repr, allowed))}")
