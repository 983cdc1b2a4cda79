"""The charts of the data card, from the statistics in the manifest."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from recsys_lab.pages.charts.bars import Bar, Labels, Mark, bar_chart, curve_chart
from recsys_lab.pages.markup import Markup
from recsys_lab.pages.number_format import number, percent

WIDE = 960

FEW = 8
"""Bars whose every edge is named."""


def histogram_chart(key: str, found: Mapping[str, Any], whose: str) -> Markup:
    """Users by the length of their histories, or items by their popularity.

    Args:
        key: identifier on the page.
        found: as of `statistics.distribution`.
        whose: ``user`` or ``item``.
    """
    edges, counts = found["histogram"]["edges"], found["histogram"]["counts"]
    bars = []
    # Powers of two are where people look; the edges between them are rounded roots.
    ticks = [number(edge) if len(counts) <= FEW or edge & (edge - 1) == 0 else "" for edge in edges]
    for low, after, tick, count in zip(edges, edges[1:], ticks, counts, strict=False):
        events = "1 event" if after == 2 else f"{number(low)} events"
        if after > low + 1:
            events = f"{number(low)} to {number(after - 1)} events"
        bars.append(Bar(count, tick, f"{events}: {_many(count, whose)}"))
    said = (
        f"From {number(found['min'])} to {number(found['max'])} events; half of the {whose}s have "
        f"at most {number(found['median'])}, nine in ten at most {number(found['p90'])}."
    )
    labels = Labels(
        key,
        f"{whose.capitalize()}s by their number of events",
        said,
        f"events per {whose} (logarithmic)",
        f"{whose}s",
    )
    return bar_chart(bars, labels, end=ticks[-1])


def concentration_chart(found: Mapping[str, Any]) -> Markup:
    """The share of the events that the most popular items take."""
    head, tenth = found["top_1_percent_share"], found["top_10_percent_share"]
    size = sum(found["histogram"]["counts"])
    # Of few items, 1% is less than one: the point stands where the curve has that one.
    marks = [
        Mark(math.ceil(size / 100) / size, head, f"top 1%: {percent(head)}"),
        Mark(math.ceil(size / 10) / size, tenth, f"top 10%: {percent(tenth)}"),
    ]
    said = (
        f"The top 1% of the items have {percent(head)} of the events, the top 10% "
        f"{percent(tenth)}. The dashed diagonal is equal popularity. Gini: {found['gini']:.3f}."
    )
    labels = Labels(
        "concentration",
        "Share of the events on the most popular items",
        said,
        "share of the items, most popular first",
        "share of the events",
    )
    return curve_chart(found["curve"], marks, labels)


def time_chart(events: Mapping[str, Any]) -> Markup:
    """Events by day, week, month, quarter or years.

    Args:
        events: ``unit``, ``starts``, ``counts`` as of `statistics.describe`.
    """
    unit = events["unit"]
    # Of an ISO date, a bar is named by what its unit leaves open: 2011-03-04, 2011-03, 2011.
    parts = {"day": 3, "week": 3, "month": 2, "quarter": 2}.get(unit, 1)
    bars = []
    for start, count in zip(events["starts"], events["counts"], strict=True):
        sign, digits = start[:1] if start.startswith("-") else "", start.lstrip("-")
        name = sign + "-".join(digits.split("-")[:parts])
        bars.append(Bar(count, name, f"{unit} from {start}: {_many(count, 'event')}"))
    most = max(events["counts"])
    said = (
        f"{number(len(bars))} bars, one a {unit}, from {events['starts'][0]} to "
        f"{events['starts'][-1]}; the highest has {number(most)} events."
    )
    labels = Labels("series", f"Events by {unit}", said, f"start of the {unit} (UTC)", "events")
    return bar_chart(bars, labels, width=WIDE)


def _many(count: int, noun: str) -> str:
    return f"{number(count)} {noun}" if count == 1 else f"{number(count)} {noun}s"
