"""Example users of a comparison's report: history, what was wanted, every system's list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SHOWN = 10
"""Places of a list; those after them only tell where a target stands."""
_LONG = 90  # letters of a title in a list


@dataclass(frozen=True)
class Example:
    """A user, and what every system recommends.

    Attributes:
        user: raw id.
        history: titles of the latest events, oldest first.
        targets: titles.
        lists: for each system in order: titles, and whether each is a target.
    """

    user: str
    history: Sequence[str]
    targets: Sequence[str]
    lists: Sequence[Sequence[tuple[str, bool]]]

    def facts(self) -> list[tuple[str, str]]:
        """(name, value) of what is known of the user."""
        history = "; ".join(map(short, self.history))
        return [("latest events", history), ("wanted", "; ".join(self.targets))]


@dataclass(frozen=True)
class Examples:
    """Some users.

    Attributes:
        said: how they were chosen, or why there are none.
        users: the users.
    """

    said: str
    users: Sequence[Example]


def verdict_of(listed: Sequence[tuple[str, bool]]) -> str:
    """Where the first target stands, and whether that is a hit."""
    place = next((number for number, (_, hit) in enumerate(listed, 1) if hit), None)
    if place is None:
        return "miss"
    return f"place {place}, {'hit' if place <= SHOWN else 'miss'}"


def short(title: str) -> str:
    """A title as far as it fits a list."""
    return title if len(title) <= _LONG else f"{title[: _LONG - 1]}…"
