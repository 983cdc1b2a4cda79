"""Dots and lines over two linear, logarithmic or categorical axes, as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from recsys_lab.pages.charts.bars import BOTTOM, HEIGHT, RIGHT, TOP, compact
from recsys_lab.pages.markup import Markup, join, svg, tag

LEFT = 56
MAX_TICKS = 5
COLOURS = 8
"""Number of categorical colours in page.css."""
_NARROW = 6.2  # width of a character, in units of the drawing
_UPWARD = tuple(range(-55, 56, 11))  # vertical distances of a mark from its point

Style = Literal["strong", "good", "muted", "faint"]
Key = tuple[Style, Literal["dots", "line"], str]
_STYLES: dict[Style, tuple[str, str]] = {
    "strong": ("fill:var(--accent)", "stroke:var(--accent);stroke-width:2px"),
    "good": ("fill:var(--good);stroke:var(--paper)", "stroke:var(--good);stroke-width:1.8px"),
    "muted": ("fill:var(--muted);opacity:.55", "stroke:var(--muted);stroke-width:1px;opacity:.7"),
    "faint": ("fill:var(--accent);opacity:.35", "stroke:var(--accent);stroke-width:1px;opacity:.4"),
}


@dataclass(frozen=True)
class Axis:
    """An axis.

    Attributes:
        name: with its unit.
        low: value at the left or the bottom; above 0 with ``log``.
        high: value at the other end.
        log: whether the scale is logarithmic.
        whole: whether ticks are whole numbers only.
        names: of the categories 0, 1, ...; ``low`` and ``high`` are then unused.
    """

    name: str
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    whole: bool = False
    names: Sequence[str] = ()

    def share(self, value: float) -> float:
        """Position of a value, 0 to 1."""
        if self.names:
            return (value + 0.5) / len(self.names)
        if self.high <= self.low:
            return 0.5
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[tuple[float, str]]:
        """Positions and labels."""
        if self.names:
            return [(self.share(index), name) for index, name in enumerate(self.names)]
        if self.high <= self.low:
            return [(0.5, _label(self.low, 0.0))]
        values = _log_ticks(self.low, self.high) if self.log else even_ticks(self.low, self.high)
        if self.whole:
            values = sorted({float(round(value)) for value in values} or {self.low})
            values = [value for value in values if self.low <= value <= self.high]
        step = 0.0 if self.log or len(values) < 2 else values[1] - values[0]
        return [(self.share(value), _label(value, step)) for value in values]


@dataclass(frozen=True)
class Series:
    """Points that belong together.

    Attributes:
        points: x, y and tooltip.
        kind: dots; a line through the points; or steps, constant up to the next point.
        style: "strong", "good", "muted" or "faint".
        label: tooltip of a line.
        colour: one of the page's `COLOURS` instead of the style's; see `legend`.
        mark: a short label beside the last point.
    """

    points: Sequence[tuple[float, float, str]]
    kind: Literal["dots", "line", "steps"] = "dots"
    style: Style = "strong"
    label: str = ""
    colour: int | None = None
    mark: str = ""


def colour_of(number: int) -> str:
    """One of the page's colours, which repeat after `COLOURS`."""
    return f"var(--c{number % COLOURS})"


def badge(index: int) -> Markup:
    """A number from 1 on its colour, which distinguishes series without colours too."""
    style = f"background:{colour_of(index)}"
    return tag("span", str(index + 1), class_="badge", style=style)


def legend(names: Mapping[int, str]) -> Markup:
    """Names beside their numbers and colours, by index from 0."""
    keys = [tag("li", badge(index), name) for index, name in names.items()]
    return tag("ul", *keys, class_="legend")


def style_legend(keys: Sequence[Key]) -> Markup:
    """What dots and lines of a style stand for, in order."""
    drawn = []
    for style, kind, text in keys:
        mark = _STYLES[style][0].partition(";stroke")[0].replace("fill", "background")
        sample = tag("span", class_="key line" if kind == "line" else "key", style=mark)
        drawn.append(tag("li", sample, text))
    return tag("ul", *drawn, class_="legend")


def padded(name: str, values: Sequence[float], *, log: bool = False, whole: bool = False) -> Axis:
    """An axis of the values with a small margin."""
    low, high = min(values), max(values)
    if log:
        room = (high / low) ** 0.05
        return Axis(name, low / room, high * room, log=True, whole=whole)
    room = 0.06 * (high - low) or abs(low) * 0.06 or 1.0
    return Axis(name, low - room, high + room, whole=whole)


def xy_chart(
    series: Sequence[Series],
    x: Axis,
    y: Axis,
    *,
    key: str,
    title: str,
    description: str,
    width: int = 460,
) -> Markup:
    """The chart; later series cover earlier ones.

    Args:
        series: the points.
        x: the horizontal axis.
        y: the vertical axis.
        key: an identifier, unique on the page.
        title: what is shown; for screen readers, not drawn.
        description: the contents in words, for screen readers.
        width: of the drawing; the height is `recsys_lab.pages.charts.bars.HEIGHT`.
    """
    base, inner = HEIGHT - BOTTOM, width - LEFT - RIGHT

    def position(point: tuple[float, float, str]) -> tuple[float, float]:
        return LEFT + x.share(point[0]) * inner, base - y.share(point[1]) * (base - TOP)

    placed = [(one, [position(point) for point in one.points]) for one in series]
    drawn = [mark for one, points in placed for mark in _drawn(one, points)]
    middle = LEFT + inner / 2
    return svg(
        key,
        title,
        description,
        width,
        HEIGHT,
        *_beside(y, base, width),
        *_below(x, base, inner),
        tag("line", class_="axis", x1=LEFT, y1=base, x2=width - RIGHT, y2=base),
        *drawn,
        *_marks(placed, width),
        tag("text", y.name, class_="unit", x=4, y=13),
        tag("text", x.name, class_="unit", x=middle, y=HEIGHT - 6, text_anchor="middle"),
    )


def _drawn(series: Series, positions: Sequence[tuple[float, float]]) -> list[Markup]:
    fill, stroke = _STYLES[series.style]
    if series.colour is not None:
        colour = colour_of(series.colour)
        fill, stroke = f"fill:{colour}", f"stroke:{colour};stroke-width:1.8px"
    if series.kind == "dots":
        return [
            tag("circle", tag("title", tip), cx=x, cy=y, r=3.6, style=fill)
            for (x, y), (_, _, tip) in zip(positions, series.points, strict=True)
        ]
    if series.kind == "steps":
        corners = zip(positions[1:], positions, strict=False)
        positions = [positions[0], *(p for new, old in corners for p in ((new[0], old[1]), new))]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in positions)
    tip = tag("title", series.label)
    return [tag("polyline", tip, points=path, style=f"fill:none;{stroke}")]


def _marks(placed: Sequence[tuple[Series, list[tuple[float, float]]]], width: int) -> list[Markup]:
    """Put each mark as near to its point as possible without overlapping a dot or another mark."""
    occupied = [(x, y, 4.0, 4.0) for one, points in placed if one.kind == "dots" for x, y in points]
    parts = []
    for one, points in placed:
        if not one.mark:
            continue
        half, (x, y) = _NARROW * len(one.mark) / 2, points[-1]
        across = (half + 6, 0.0, -half - 6, half + 18, -half - 18)
        ways = [(dx, dy) for dx in across for dy in _UPWARD if dx or dy]
        ways.sort(key=lambda way: math.hypot(*way))
        left, right, low = LEFT + half, width - half, HEIGHT - BOTTOM - 5
        boxes = [(x + dx, y + dy, half, 5.0) for dx, dy in ways]
        inside = [box for box in boxes if left < box[0] < right and TOP < box[1] < low]
        free = (box for box in inside if not any(_touch(box, other) for other in occupied))
        box = next(free, boxes[0])  # overlaps if nothing is free
        occupied.append(box)
        style = "" if one.colour is None else f"fill:{colour_of(one.colour)}"
        parts.append(
            tag(
                "text",
                one.mark,
                class_="note",
                x=box[0],
                y=box[1] + 4,
                text_anchor="middle",
                style=style,
            )
        )
    return parts


def _touch(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Whether two boxes (middle x, middle y, half width, half height) overlap."""
    return (
        abs(one[0] - other[0]) < one[2] + other[2] + 1
        and abs(one[1] - other[1]) < one[3] + other[3] + 1
    )


def _beside(axis: Axis, base: float, width: int) -> list[Markup]:
    parts = []
    for share, text in axis.ticks():
        y = base - share * (base - TOP)
        parts.append(tag("line", class_="grid", x1=LEFT, y1=y, x2=width - RIGHT, y2=y))
        parts.append(tag("text", text, x=LEFT - 8, y=y + 4, text_anchor="end"))
    return parts


def _below(axis: Axis, base: float, inner: float) -> list[Markup]:
    ticks, parts, free = axis.ticks(), [], -math.inf
    for share, text in ticks:
        x, half = LEFT + share * inner, _NARROW * len(text) / 2
        if x - half < free:
            continue  # it would overlap the previous label
        free = x + half + 8
        parts.append(
            join(
                tag("line", class_="tick", x1=x, y1=base, x2=x, y2=base + 4),
                tag("text", text, x=x, y=base + 17, text_anchor="middle"),
            )
        )
    return parts


def even_ticks(low: float, high: float) -> list[float]:
    """Round numbers between two numbers, at most `MAX_TICKS` + 1."""
    step = 10.0 ** math.floor(math.log10((high - low) / MAX_TICKS))
    step *= next(f for f in (1, 2, 5, 10) if (high - low) / (f * step) <= MAX_TICKS)
    first = math.ceil(low / step - 1e-9)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    for factors in ((1,), (1, 3), (1, 2, 5), tuple(range(1, 10))):
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        ticks = [f * 10.0**p for p in powers for f in factors]
        ticks = [v for v in ticks if low * (1 - 1e-9) <= v <= high * (1 + 1e-9)]
        if len(ticks) >= 3:
            return ticks[:: math.ceil(len(ticks) / (MAX_TICKS + 1))]
    return [low, high]


def _label(value: float, step: float) -> str:
    if abs(value) >= 1000:
        return compact(value) if value > 0 else f"{value:.3g}"
    if step:
        return f"{value:.{max(0, -math.floor(math.log10(step) + 1e-9))}f}"
    return f"{value:.3g}"
