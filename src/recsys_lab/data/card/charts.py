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
"""Up to this many bars, every edge has a label."""


def histogram_chart(key: str, distribution: Mapping[str, Any], unit: str) -> Markup:
    """Histogram of users by the length of their histories, or of items by their popularity.

    Args:
        key: identifier on the page.
        distribution: from `statistics.distribution`.
        unit: ``user`` or ``item``.
    """
    edges, counts = distribution["histogram"]["edges"], distribution["histogram"]["counts"]
    bars = []
    # Only powers of two are labelled; the edges between them are rounded roots.
    ticks = [number(edge) if len(counts) <= FEW or edge & (edge - 1) == 0 else "" for edge in edges]
    for low, after, tick, count in zip(edges, edges[1:], ticks, counts, strict=False):
        events = "1 event" if after == 2 else f"{number(low)} events"
        if after > low + 1:
            events = f"{number(low)} to {number(after - 1)} events"
        bars.append(Bar(count, tick, f"{events}: {_many(count, unit)}"))
    low, median, p90, high = (number(distribution[key]) for key in ("min", "median", "p90", "max"))
    description = (
        f"From {low} to {high} events; half of the {unit}s have at most {median}, nine in ten at "
        f"most {p90}."
    )
    labels = Labels(
        key,
        f"{unit.capitalize()}s by their number of events",
        description,
        f"events per {unit} (logarithmic)",
        f"{unit}s",
    )
    return bar_chart(bars, labels, end=ticks[-1])


def concentration_chart(popularity: Mapping[str, Any]) -> Markup:
    """The share of the events on the most popular items.

    Args:
        popularity: ``item_popularity`` of the statistics.
    """
    head, tenth = popularity["top_1_percent_share"], popularity["top_10_percent_share"]
    size = sum(popularity["histogram"]["counts"])
    # With few items, 1% is less than one item: the mark is at one item.
    marks = [
        Mark(math.ceil(size / 100) / size, head, f"top 1%: {percent(head)}"),
        Mark(math.ceil(size / 10) / size, tenth, f"top 10%: {percent(tenth)}"),
    ]
    gini = f"{popularity['gini']:.3f}"
    description = (
        f"The top 1% of the items have {percent(head)} of the events, the top 10% "
        f"{percent(tenth)}. The dashed diagonal is equal popularity. Gini: {gini}."
    )
    labels = Labels(
        "concentration",
        "Share of the events on the most popular items",
        description,
        "share of the items, most popular first",
        "share of the events",
    )
    return curve_chart(popularity["curve"], marks, labels)


def time_chart(events: Mapping[str, Any]) -> Markup:
    """Events by day, week, month, quarter or years.

    Args:
        events: ``unit``, ``starts``, ``counts`` from `statistics.describe`.
    """
    unit = events["unit"]
    # Bars are labelled with the precision of their unit: 2011-03-04, 2011-03 or 2011.
    parts = {"day": 3, "week": 3, "month": 2, "quarter": 2}.get(unit, 1)
    bars = []
    for start, count in zip(events["starts"], events["counts"], strict=True):
        sign, digits = start[:1] if start.startswith("-") else "", start.lstrip("-")
        name = sign + "-".join(digits.split("-")[:parts])
        bars.append(Bar(count, name, f"{unit} from {start}: {_many(count, 'event')}"))
    most = max(events["counts"])
    description = (
        f"{number(len(bars))} bars, one per {unit}, from {events['starts'][0]} to "
        f"{events['starts'][-1]}; the highest has {number(most)} events."
    )
    title, axis = f"Events by {unit}", f"start of the {unit} (UTC)"
    return bar_chart(bars, Labels("series", title, description, axis, "events"), width=WIDE)


def _many(count: int, noun: str) -> str:
    return f"{number(count)} {noun}" if count == 1 else f"{number(count)} {noun}s"
