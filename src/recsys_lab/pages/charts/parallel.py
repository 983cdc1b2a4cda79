"""Parallel coordinates as inline SVG: one axis per parameter, one line per trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recsys_lab.pages.charts.xy import colour_of
from recsys_lab.pages.markup import Markup, join, svg, tag

TOP, BOTTOM, SIDE = 46, 34, 92
HEIGHT = 300
WIDTH, STEP = 900, 128
"""Least width of the drawing, and least distance of neighbouring axes."""

FAINT = 0.12


@dataclass(frozen=True)
class ParallelAxis:
    """One axis.

    Attributes:
        name: written above it.
        ticks: positions from 0 (bottom) to 1 (top) with their labels.
    """

    name: str
    ticks: Sequence[tuple[float, str]]


@dataclass(frozen=True)
class Line:
    """One line.

    Attributes:
        positions: from 0 to 1 on every axis; None without a value, drawn below the axis.
        strength: from 0 (faint) to 1 (strong).
        tip: tooltip.
        colour: one of the page's colours instead of the usual one, see
            `recsys_lab.pages.charts.xy.colour_of`.
    """

    positions: Sequence[float | None]
    strength: float
    tip: str
    colour: int | None = None


def parallel_chart(
    axes: Sequence[ParallelAxis], lines: Sequence[Line], *, key: str, title: str, description: str
) -> Markup:
    """Lines over vertical axes; strong lines cover faint ones.

    Args:
        axes: at least two, from the left.
        lines: each with one position for every axis.
        key: an identifier, unique on the page.
        title: what is shown; for screen readers, not drawn.
        description: the contents in words, for screen readers.
    """
    step = max(STEP, (WIDTH - 2 * SIDE) / (len(axes) - 1))
    width = 2 * SIDE + step * (len(axes) - 1)
    lacking = any(share is None for line in lines for share in line.positions)
    drawn = [_line(line, step) for line in sorted(lines, key=lambda line: line.strength)]
    drawn += [_parallel_axis(SIDE + i * step, axis, 15 * (i % 2)) for i, axis in enumerate(axes)]
    drawn += [tag("text", "not set", x=2, y=HEIGHT - 4)] if lacking else []
    return svg(key, title, description, width, HEIGHT, *drawn)


def _line(line: Line, step: float) -> Markup:
    points = " ".join(
        f"{SIDE + number * step:.1f},{_y(share):.1f}" for number, share in enumerate(line.positions)
    )
    opacity = FAINT + (1 - FAINT) * line.strength
    style = f"opacity:{opacity:.2f};stroke-width:{1 + 1.4 * line.strength**4:.1f}px"
    style += "" if line.colour is None else f";stroke:{colour_of(line.colour)}"
    return tag("polyline", tag("title", line.tip), class_="curve", points=points, style=style)


def _parallel_axis(x: float, axis: ParallelAxis, lower: int) -> Markup:
    parts = [
        tag("line", class_="axis", x1=x, y1=_y(1), x2=x, y2=_y(0)),
        # Names of neighbouring axes alternate between two heights, so that they do not overlap.
        tag("text", axis.name, class_="unit", x=x, y=14 + lower, text_anchor="middle"),
    ]
    for share, text in axis.ticks:
        parts.append(tag("line", class_="tick", x1=x - 4, y1=_y(share), x2=x, y2=_y(share)))
        parts.append(tag("text", text, class_="note", x=x - 7, y=_y(share) + 4, text_anchor="end"))
    return join(*parts)


def _y(share: float | None) -> float:
    base = HEIGHT - BOTTOM
    return HEIGHT - 8.0 if share is None else base - share * (base - TOP)
