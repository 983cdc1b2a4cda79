"""A table of numbers on coloured ground: a heat map that can be read, copied and printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recsys_lab.pages.markup import Markup, render

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
    return render(
        "pages/heat_map.html",
        caption=caption,
        heads=heads,
        groups=groups,
        strongest=_STRONGEST,
        shares_of=lambda row: _shares(row, higher_is_better=higher_is_better),
    )


def _shares(row: HeatRow, *, higher_is_better: bool) -> list[float]:
    """Ratio to the best, 1 for the best itself; 0 where it is not defined."""
    values = row.values
    if values is None:
        return [0.0] * len(row.said)
    best = max(values) if higher_is_better else min(values)
    if higher_is_better:
        return [value / best if best > 0 else 0.0 for value in values]
    return [1.0 if value == best else best / value for value in values]
