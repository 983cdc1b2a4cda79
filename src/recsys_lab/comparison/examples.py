"""Example users of a comparison's report: history, what was wanted, every system's list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recsys_lab.pages.charts.xy import badge
from recsys_lab.pages.markup import Markup, tag
from recsys_lab.pages.page import fact_list, section

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recsys_lab.comparison.results import Comparison

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


@dataclass(frozen=True)
class Examples:
    """Some users.

    Attributes:
        said: how they were chosen, or why there are none.
        users: the users.
    """

    said: str
    users: Sequence[Example]


def example_section(comparison: Comparison, examples: Examples) -> Markup:
    """The part of the page."""
    users = (_user(comparison, example) for example in examples.users)
    return section("Example users", tag("p", examples.said), *users)


def _user(comparison: Comparison, example: Example) -> Markup:
    lists = []
    for place, (system, listed) in enumerate(zip(comparison.systems, example.lists, strict=True)):
        items = [
            tag("li", _short(title), class_="hit") if hit else tag("li", _short(title))
            for title, hit in listed[:SHOWN]
        ]
        head = tag("h3", badge(place), f" {system.name}: {_verdict(listed)}")
        lists.append(tag("div", head, tag("ol", *items)))
    facts = [
        ("latest events", "; ".join(map(_short, example.history))),
        ("wanted", "; ".join(example.targets)),
    ]
    return tag(
        "article",
        tag("h3", f"User {example.user}"),
        fact_list(facts),
        tag("div", *lists, class_="lists"),
    )


def _verdict(listed: Sequence[tuple[str, bool]]) -> str:
    """Where the first target stands, and whether that is a hit."""
    place = next((number for number, (_, hit) in enumerate(listed, 1) if hit), None)
    if place is None:
        return "miss"
    return f"place {place}, {'hit' if place <= SHOWN else 'miss'}"


def _short(title: str) -> str:
    return title if len(title) <= _LONG else f"{title[: _LONG - 1]}…"
