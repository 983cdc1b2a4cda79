"""Example users of a comparison's report: history, targets and every system's list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SHOWN = 10
"""Number of shown items of a list; later items only give the rank of a target."""
_LONG = 90  # characters of a title in a list


@dataclass(frozen=True)
class Example:
    """A user and the recommendations of every system.

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
        """(name, value) pairs of the user."""
        history = "; ".join(map(short, self.history))
        return [("latest events", history), ("targets", "; ".join(self.targets))]


@dataclass(frozen=True)
class Examples:
    """The example users.

    Attributes:
        summary: how they were chosen, or why there are none.
        users: the users.
    """

    summary: str
    users: Sequence[Example]


def verdict_of(listed: Sequence[tuple[str, bool]]) -> str:
    """Rank of the first target, and whether it is a hit."""
    rank = next((number for number, (_, hit) in enumerate(listed, 1) if hit), None)
    if rank is None:
        return "miss"
    return f"rank {rank}, {'hit' if rank <= SHOWN else 'miss'}"


def short(title: str) -> str:
    """A title, shortened to fit a list."""
    return title if len(title) <= _LONG else f"{title[: _LONG - 1]}…"
