"""Bar charts and curves as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from recsys_lab.pages.markup import Markup, join, svg, tag

LEFT, RIGHT, TOP, BOTTOM = 46, 18, 26, 42
"""Margins for axis labels, in the units of the drawing (pixels at full size)."""

HEIGHT = 240
MAX_TICKS = 5
WIDEST = 64
"""Largest width of a bar."""


@dataclass(frozen=True)
class Labels:
    """The texts of a chart.

    Attributes:
        key: an identifier, unique on the page.
        title: what is shown; for screen readers, not drawn.
        description: the contents in words, for screen readers.
        x: name and unit of the horizontal axis.
        y: name and unit of the vertical axis.
    """

    key: str
    title: str
    description: str
    x: str
    y: str


@dataclass(frozen=True)
class Bar:
    """One bar.

    Attributes:
        value: its height, at least 0.
        tick: axis label at its left edge if there is room; may be empty.
        tip: tooltip.
    """

    value: float
    tick: str
    tip: str


@dataclass(frozen=True)
class Mark:
    """A labelled point, at shares of the two axes."""

    x: float
    y: float
    label: str


def bar_chart(bars: Sequence[Bar], labels: Labels, width: int = 460, end: str = "") -> Markup:
    """Bars of equal width.

    Args:
        bars: at least one, from the left.
        labels: the texts.
        end: axis label at the right edge of the last bar; may be empty.
        width: of the drawing; the height is `HEIGHT`.
    """
    ticks = nice_ticks(max(bar.value for bar in bars))
    inner, height = width - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    step, gap = min(WIDEST, inner / len(bars)), 1 if len(bars) > 60 else 2
    drawn = []
    for index, bar in enumerate(bars):
        tall = height * bar.value / ticks[-1]
        x, y = LEFT + index * step + gap / 2, TOP + height - tall
        tip = tag("title", bar.tip)
        drawn.append(tag("rect", tip, class_="bar", x=x, y=y, width=step - gap, height=tall))
    edges = enumerate([*(bar.tick for bar in bars), end])
    below = _thinned([(LEFT + index * step, text) for index, text in edges if text], width)
    beside = [(tick / ticks[-1], compact(tick)) for tick in ticks]
    return _chart(join(*drawn), below, beside, labels, width)


def _thinned(labels: Sequence[tuple[float, str]], width: int) -> list[tuple[float, str]]:
    """Drop the labels that would overlap an earlier one or the border."""
    kept: list[tuple[float, str]] = []
    room = 6 * max((len(text) for _, text in labels), default=0) + 14  # a digit is about 6 wide
    for x, text in labels:
        if not kept or (x - kept[-1][0] >= room and x + room / 2 <= width + 7):
            kept.append((x, text))
    return kept


def curve_chart(
    points: Sequence[Sequence[float]], marks: Sequence[Mark], labels: Labels, width: int = 460
) -> Markup:
    """A curve of shares over shares, with the diagonal.

    Args:
        points: (x, y), both from 0 to 1, x ascending.
        marks: labelled points.
        labels: the texts.
        width: of the drawing.
    """

    def position(x: float, y: float) -> tuple[float, float]:
        return LEFT + x * (width - LEFT - RIGHT), TOP + (1 - y) * (HEIGHT - TOP - BOTTOM)

    path = " L".join("{:.1f} {:.1f}".format(*position(x, y)) for x, y in points)
    corner = "{:.1f} {:.1f}".format(*position(1, 0))
    origin = "{:.1f} {:.1f}".format(*position(0, 0))
    (x1, y1), (x2, y2) = position(0, 0), position(1, 1)
    drawn = [
        tag("path", class_="area", d=f"M{origin} L{path} L{corner} Z"),
        tag("line", class_="even", x1=x1, y1=y1, x2=x2, y2=y2),
        tag("path", class_="curve", d=f"M{path}"),
    ]
    text_y = y1 + 9.0
    for mark in sorted(marks, key=lambda mark: mark.y):
        x, y = position(mark.x, mark.y)
        text_y = min(y + 4, text_y - 14)  # beside its point, but above the previous label
        drawn.append(tag("circle", class_="mark", cx=x, cy=y, r=3.5))
        drawn.append(tag("text", mark.label, class_="note", x=x + 9, y=text_y))
    shares = [tick / 4 for tick in range(5)]
    below = [(position(share, 0)[0], f"{share:.0%}") for share in shares]
    beside = [(share, f"{share:.0%}") for share in shares]
    return _chart(join(*drawn), below, beside, labels, width)


def _chart(
    drawn: Markup,
    below: Sequence[tuple[float, str]],
    beside: Sequence[tuple[float, str]],
    labels: Labels,
    width: int,
) -> Markup:
    """The chart with its axes; ``below`` has x coordinates, ``beside`` shares of the height."""
    base = HEIGHT - BOTTOM
    lines, texts = [], []
    for share, text in beside:
        y = base - share * (base - TOP)
        lines.append(tag("line", class_="grid", x1=LEFT, y1=y, x2=width - RIGHT, y2=y))
        texts.append(tag("text", text, x=LEFT - 8, y=y + 4, text_anchor="end"))
    for x, text in below:
        lines.append(tag("line", class_="tick", x1=x, y1=base, x2=x, y2=base + 4))
        texts.append(tag("text", text, x=x, y=base + 17, text_anchor="middle"))
    middle = (LEFT + width - RIGHT) / 2
    texts.append(tag("text", labels.y, class_="unit", x=LEFT - 38, y=13))
    texts.append(tag("text", labels.x, class_="unit", x=middle, y=HEIGHT - 6, text_anchor="middle"))
    axis = tag("line", class_="axis", x1=LEFT, y1=base, x2=width - RIGHT, y2=base)
    named = (labels.key, labels.title, labels.description)
    return svg(*named, width, HEIGHT, *lines, drawn, axis, *texts)


def nice_ticks(highest: float) -> list[int]:
    """0 and round whole numbers up to the first that is at least ``highest``."""
    power = 1
    while True:
        for factor in (1, 2, 5):
            step = factor * power
            if highest <= step * (MAX_TICKS - 1):
                steps = max(1, math.ceil(highest / step))
                return [step * tick for tick in range(steps + 1)]
        power *= 10


def compact(number: float) -> str:
    """``950``, ``1.2k``, ``30M``, ``4.5T``."""
    for size, suffix in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{suffix}"
    return f"{number:.3g}"
