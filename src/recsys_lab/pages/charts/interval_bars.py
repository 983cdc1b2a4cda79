"""Horizontal bars with intervals as inline SVG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from recsys_lab.pages.charts.xy import colour_of, even_ticks
from recsys_lab.pages.markup import Markup, svg, tag

_ROW, _TOP, _BOTTOM, _RIGHT = 34, 6, 26, 58
_WIDTH = 460
_LETTERS = 68
"""Longest name that fits; the tooltip has the whole name."""


@dataclass(frozen=True)
class Interval:
    """A bar.

    Attributes:
        name: written above it.
        value: its length, at least 0.
        low: lower end of the interval.
        high: upper end of the interval.
        text: the formatted value.
    """

    name: str
    value: float
    low: float
    high: float
    text: str


def interval_chart(bars: Sequence[Interval], *, key: str, title: str) -> Markup:
    """The chart; bars take the page's colours in order.

    Args:
        bars: at least one.
        key: an identifier, unique on the page.
        title: what is shown; for screen readers, not drawn.
    """
    longest = max(max(bar.high, bar.value) for bar in bars) or 1.0
    inner, base = _WIDTH - _RIGHT, _TOP + _ROW * len(bars)

    def across(value: float) -> float:
        return inner * value / longest

    drawn: list[Markup] = []
    for tick in even_ticks(0.0, longest):
        x = max(0.5, across(tick))
        drawn.append(tag("line", class_="grid", x1=x, y1=_TOP, x2=x, y2=base))
        anchor = "start" if tick == 0 else "middle"
        drawn.append(tag("text", f"{tick:g}", x=x, y=base + 16, text_anchor=anchor))
    for index, bar in enumerate(bars):
        drawn += _drawn(bar, index, across)
    description = "; ".join(f"{b.name} {b.text} ({b.low:.4f} to {b.high:.4f})" for b in bars)
    return svg(key, title, description, _WIDTH, base + _BOTTOM, *drawn)


def _drawn(bar: Interval, index: int, across: Callable[[float], float]) -> list[Markup]:
    y = _TOP + _ROW * index
    low, high, end = across(max(bar.low, 0.0)), across(bar.high), across(bar.value)
    middle = y + 23
    name = bar.name if len(bar.name) <= _LETTERS else f"{bar.name[: _LETTERS - 1]}…"
    tip = tag("title", f"{bar.name}: {bar.text}, 95% interval {bar.low:.4f} to {bar.high:.4f}")
    return [
        tag("text", name, class_="note", x=2, y=y + 12),
        tag(
            "rect",
            tip,
            x=0,
            y=y + 17,
            width=max(end, 0.5),
            height=12,
            rx=2,
            style=f"fill:{colour_of(index)}",
        ),
        tag("line", class_="whisker", x1=low, y1=middle, x2=high, y2=middle),
        tag("line", class_="whisker", x1=low, y1=middle - 4, x2=low, y2=middle + 4),
        tag("line", class_="whisker", x1=high, y1=middle - 4, x2=high, y2=middle + 4),
        tag("text", bar.text, class_="note", x=max(high, end) + 6, y=y + 27),
    ]
