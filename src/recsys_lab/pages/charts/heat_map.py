"""A table of numbers on coloured ground: a heat map that can be read, copied and printed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recsys_lab.pages.markup import Markup, join, tag

if TYPE_CHECKING:
    from collections.abc import Sequence

_STRONGEST = 45
"""Share of the accent colour in percent; text on it stays readable in light and dark."""


@dataclass(frozen=True)
class HeatRow:
    """One row.

    Attributes:
        name: written at its left.
        count: of what the row is made of.
        said: what its cells say, one a column.
        below: said small below each.
        values: what the colours stand for, at least 0; None for a row without.
    """

    name: str
    count: int
    said: Sequence[str]
    below: Sequence[str]
    values: Sequence[float] | None = None


def heat_table(
    caption: str,
    heads: Sequence[str],
    groups: Sequence[tuple[str, Sequence[HeatRow]]],
    *,
    higher_is_better: bool = True,
) -> Markup:
    """The table; the best value of a row is bold, and the colour is a value's ratio to it.

    So two values that are nearly equal look so, and half of the best has half of its colour.

    Args:
        caption: above it.
        heads: of the names, the counts and the values.
        groups: rows under a common name.
        higher_is_better: else lower is, and the colour is the best value's ratio to this one.
    """
    head = [
        tag("th", text, scope="col", class_="n" if place else "")
        for place, text in enumerate(heads)
    ]
    body = []
    for name, rows in groups:
        title = tag("th", name, scope="rowgroup", colspan=len(heads))
        lines = [_row(row, higher_is_better=higher_is_better) for row in rows]
        body.append(tag("tbody", tag("tr", title, class_="group"), *lines))
    table = tag(
        "table", tag("caption", caption), tag("thead", tag("tr", *head)), *body, class_="heat"
    )
    return tag("div", table, class_="scroll")


def _row(row: HeatRow, *, higher_is_better: bool) -> Markup:
    shares = [0.0] * len(row.said)
    if row.values is not None:
        shares = _shares(row.values, higher_is_better=higher_is_better)
    cells = []
    for share, said, below in zip(shares, row.said, row.below, strict=True):
        text = tag("b", said) if share == 1 and min(shares) < 1 else said
        ground = f"background:color-mix(in srgb, var(--accent) {_STRONGEST * share:.0f}%, "
        style = {"style": f"{ground}transparent)"} if share else {}
        small = [tag("small", below)] if below else []
        cells.append(tag("td", join(text, *small), class_="n", **style))
    head = (tag("th", row.name, scope="row"), tag("td", f"{row.count:,}", class_="n"))
    return tag("tr", *head, *cells)


def _shares(values: Sequence[float], *, higher_is_better: bool) -> list[float]:
    """Ratio to the best, 1 for the best itself; 0 where it is not defined."""
    best = max(values) if higher_is_better else min(values)
    if higher_is_better:
        return [value / best if best > 0 else 0.0 for value in values]
    return [1.0 if value == best else best / value for value in values]
