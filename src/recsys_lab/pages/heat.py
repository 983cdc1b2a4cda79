"""A table of numbers on coloured ground: a heat map that can be read, copied and printed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recsys_lab.pages.markup import Markup, tag

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
        values: one a column; what the colours stand for.
        said: the values as they are written.
        tips: said when a cell is pointed at.
    """

    name: str
    count: int
    values: Sequence[float]
    said: Sequence[str]
    tips: Sequence[str]


def heat_table(
    caption: str,
    heads: Sequence[str],
    groups: Sequence[tuple[str, Sequence[HeatRow]]],
    *,
    higher_is_better: bool = True,
) -> Markup:
    """The table; in each row the worst value has no colour and the best the strongest, in bold.

    Args:
        caption: above it.
        heads: of the names, the counts and the values.
        groups: rows under a common name.
        higher_is_better: else lower is.
    """
    sign = 1.0 if higher_is_better else -1.0
    head = [
        tag("th", text, scope="col", class_="n" if place else "")
        for place, text in enumerate(heads)
    ]
    body = []
    for name, rows in groups:
        title = tag("th", name, scope="rowgroup", colspan=len(heads))
        body.append(tag("tbody", tag("tr", title, class_="group"), *(_row(r, sign) for r in rows)))
    table = tag(
        "table", tag("caption", caption), tag("thead", tag("tr", *head)), *body, class_="heat"
    )
    return tag("div", table, class_="scroll")


def _row(row: HeatRow, sign: float) -> Markup:
    good = [sign * value for value in row.values]
    worst, best = min(good), max(good)
    cells = []
    for value, said, tip in zip(good, row.said, row.tips, strict=True):
        share = (value - worst) / (best - worst) if best > worst else 0.0
        ground = f"color-mix(in srgb, var(--accent) {_STRONGEST * share:.0f}%, transparent)"
        text = tag("b", said) if best > worst and value == best else said
        cells.append(tag("td", text, class_="n", title=tip, style=f"background:{ground}"))
    return tag(
        "tr", tag("th", row.name, scope="row"), tag("td", f"{row.count:,}", class_="n"), *cells
    )
