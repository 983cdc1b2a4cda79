"""Heat maps of a comparison's slices: the means of each system, and the differences."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

from recsys_lab.comparison import cells as tables
from recsys_lab.comparison.results import Comparison, Pair, Slice
from recsys_lab.pages.charts.heat_map import HeatRow, heat_table
from recsys_lab.pages.charts.xy import badge
from recsys_lab.pages.markup import Markup, join, tag
from recsys_lab.pages.number_format import decimal


def mean_map(comparison: Comparison) -> Markup | None:
    """Means with intervals; None without slices."""
    if not comparison.slices:
        return None
    return heat_table(
        f"{comparison.main_metric} with 95% intervals. The best of a row is bold; colour is the "
        "ratio to it.",
        ["slice", "users", *system_heads(comparison)],
        _grouped(comparison, _mean_row),
        higher_is_better=comparison.metric.higher_is_better,
    )


def gain_map(comparison: Comparison) -> Markup | None:
    """Differences with win/tie/loss; None without tests."""
    if not comparison.slices or not comparison.slices[0].pairs:
        return None
    return heat_table(
        f"Differences of {comparison.main_metric}: number of users for whom the first of the pair "
        "wins, ties and loses; below, the difference of the means and its 95% interval, not "
        "adjusted for the number of slices.",
        ["slice", "users", *(_pair_head(comparison, pair) for pair in comparison.slices[0].pairs)],
        _grouped(comparison, _pair_row),
    )


def system_heads(comparison: Comparison, *, with_runs: bool = False) -> list[Markup]:
    """Column heads of the systems."""
    return [
        join(
            badge(index),
            " ",
            system.name,
            *([tag("small", tables.runs_of(system))] if with_runs else []),
        )
        for index, system in enumerate(comparison.systems)
    ]


def _grouped(
    comparison: Comparison, row: Callable[[Slice], HeatRow]
) -> list[tuple[str, list[HeatRow]]]:
    return [
        (name, [row(part) for part in parts])
        for name, parts in groupby(comparison.slices, key=lambda part: part.name)
    ]


def _mean_row(part: Slice) -> HeatRow:
    texts = [decimal(mean.value) for mean in part.means]
    below = [f"{decimal(mean.low)} - {decimal(mean.high)}" for mean in part.means]
    values = [mean.value for mean in part.means]
    return HeatRow(part.value, part.users, texts, below, values)


def _pair_row(part: Slice) -> HeatRow:
    cells = [tables.slice_pair_cells(pair) for pair in part.pairs]
    texts = [users for _, users in cells]
    below = [difference for difference, _ in cells]
    return HeatRow(part.value, part.users, texts, below)


def _pair_head(comparison: Comparison, pair: Pair) -> Markup:
    names = [system.name for system in comparison.systems]
    first, second = names.index(pair.first), names.index(pair.second)
    return join(badge(first), " ", pair.first, " - ", badge(second), " ", pair.second)
