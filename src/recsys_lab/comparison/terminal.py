"""Prints a comparison as Rich tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from recsys_lab.comparison.cells import (
    heading,
    legend,
    marked,
    metric_label,
    only_absent,
    pair_cells,
    runs_of,
    score_table,
    setting,
    signed,
    slice_pair_cells,
)
from recsys_lab.pages.number_format import decimal
from recsys_lab.pages.table import Span, Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import rich.table
    from rich.console import Console

    from recsys_lab.comparison.results import Comparison, Pair
    from recsys_lab.pages.table import Cell

_CELL = 20  # console columns per system


def print_comparison(console: Console, comparison: Comparison) -> None:
    """Print all tables; colour and weight only repeat what the text says."""
    for table in score_tables(comparison, console.width):
        console.print(table)
    console.print(Text(legend(comparison), style="dim"))
    if comparison.pairs:
        console.print(pair_table(comparison))
    if comparison.slices:
        for table in slice_tables(comparison, console.width):
            console.print(table)
    if comparison.differing:
        console.print(differing_table(comparison))
    for note in comparison.notes:
        console.print(Text(f"note: {note}", style="yellow"))
    for item in comparison.left_out:
        console.print(Text(f"left out: {item.folder}: {item.reason}"), soft_wrap=True)


def score_tables(comparison: Comparison, width: int) -> Iterator[rich.table.Table]:
    """Metrics by system, with as many systems per table as the width allows."""
    systems = [f"{system.name}\n{runs_of(system)}" for system in comparison.systems]
    scores = score_table(comparison, systems, width=1)
    first = 4 + max(len(metric_label(metric)) for metric in comparison.metrics)
    for part in _blocks(len(comparison.systems), (width - first) // _CELL):
        shown = [0, *(index + 1 for index in part)]
        heads = [scores.heads[index] for index in shown]
        rows = [[row[index] for index in shown] for row in scores.rows]
        yield _table(comparison, heading(comparison), heads, rows, right=range(1, len(heads)))


def pair_table(comparison: Comparison) -> rich.table.Table:
    """The tests on the main metric."""
    rows: list[Sequence[Cell]] = []
    for pair in comparison.pairs:
        if pair.metric == comparison.main_metric:
            label = Span(f"{pair.first}\n- {pair.second}", "bold" if pair.significant else "")
            cells = pair_cells(pair)
            value = cells.difference + (f" ({cells.relative})" if cells.relative else "")
            tested = (f"{value}\n{cells.interval}", f"{cells.p}\n{cells.p_holm}")
            rows.append(([label], *tested, cells.effect, cells.users))
    title = f"differences in {comparison.main_metric}, user by user"
    heads = ("pair", "difference\n95% interval", "p\nHolm", "d_z", "win/tie/loss")
    return _table(comparison, title, heads, rows, right=range(1, 5), whole=range(1, 5))


def slice_tables(comparison: Comparison, width: int) -> Iterator[rich.table.Table]:
    """The main metric by slice, with the differences in the same table for a single pair."""
    pairs = comparison.slices[0].pairs
    title = f"{comparison.main_metric} by slice"
    for shown in _blocks(len(comparison.systems), (width - 32) // 13):
        names = [comparison.systems[index].name for index in shown]
        rows = [[decimal(part.means[index].value) for index in shown] for part in comparison.slices]
        if len(pairs) == 1:
            names.append("difference\nwin/tie/loss")
            for part, cells in zip(comparison.slices, rows, strict=True):
                cells.append("\n".join(slice_pair_cells(part.pairs[0])))
        yield _by_slice(comparison, title, names, rows)
    if len(pairs) > 1:
        for shown in _blocks(len(pairs), (width - 32) // _CELL):
            names = [f"{pairs[index].first}\n- {pairs[index].second}" for index in shown]
            rows = [[_gain(part.pairs[index]) for index in shown] for part in comparison.slices]
            yield _by_slice(comparison, f"{title}: difference, win/tie/loss", names, rows)


def _gain(pair: Pair) -> str:
    return f"{signed(pair.test.difference.value)}\n{slice_pair_cells(pair)[1]}"


def _by_slice(
    comparison: Comparison, title: str, names: Sequence[str], rows: Sequence[Sequence[str]]
) -> rich.table.Table:
    """One row per slice, grouped by the name of the slices."""
    listed: list[Sequence[Cell]] = []
    before = None
    for part, cells in zip(comparison.slices, rows, strict=True):
        if part.name != before:
            listed += [(), ([Span(part.name, "bold")], *[""] * (len(names) + 1))]
        listed.append((part.value, f"{part.users:,}", *cells))
        before = part.name
    heads = ("slice", "users", *names)
    right = range(1, len(heads))
    table = _table(comparison, title, heads, listed, right=right, whole=(0, 1))
    for column in table.columns[2:]:
        column.min_width = 7
    return table


def differing_table(comparison: Comparison) -> rich.table.Table:
    """Settings that differ between systems that have them."""
    shared = {k: v for k, v in comparison.differing.items() if not only_absent(v)}
    rows = [[key, *map(setting, values)] for key, values in shared.items()]
    heads = ("setting", *(system.name for system in comparison.systems))
    table = _table(comparison, "what differs", heads, rows)
    hidden = len(comparison.differing) - len(shared)
    if hidden:
        table.caption = (
            f"and {hidden} settings that only some systems have; the report (output=DIR) has all"
        )
        table.caption_justify = "left"
    return table


def _blocks(count: int, at_once: int) -> Iterator[range]:
    step = max(1, at_once)
    for first in range(0, count, step):
        yield range(first, min(first + step, count))


def _table(
    comparison: Comparison,
    title: str,
    heads: Sequence[Cell],
    rows: Sequence[Sequence[Cell]],
    **columns: Any,
) -> rich.table.Table:
    style = "italic" if comparison.is_comparable else "bold red"
    return Table(marked(comparison, title), heads, rows, **columns).rich(title_style=style)
