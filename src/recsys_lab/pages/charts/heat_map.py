"""Heat maps as HTML tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recsys_lab.pages.markup import Markup, render

_STRONGEST = 45
"""Largest share of the accent colour in percent, at which text stays readable."""


@dataclass(frozen=True)
class HeatRow:
    """One row.

    Attributes:
        name: written at its left.
        count: number of users or items in the row.
        texts: of the cells.
        below: small text below each.
        values: of the colours, at least 0; None for a row without colours.
    """

    name: str
    count: int
    texts: Sequence[str]
    below: Sequence[str]
    values: Sequence[float] | None = None


def heat_table(
    caption: str,
    heads: Sequence[str],
    groups: Sequence[tuple[str, Sequence[HeatRow]]],
    *,
    higher_is_better: bool = True,
) -> Markup:
    """A table whose best value per row is bold, coloured by the ratio to the best value.

    Args:
        caption: above the table.
        heads: of the names, the counts and the values.
        groups: rows under a common name.
        higher_is_better: if False, the colour is the ratio of the best value to this one.
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
    """Ratio to the best value; 0 where it is undefined."""
    values = row.values
    if values is None:
        return [0.0] * len(row.texts)
    best = max(values) if higher_is_better else min(values)
    if higher_is_better:
        return [value / best if best > 0 else 0.0 for value in values]
    return [1.0 if value == best else best / value for value in values]
