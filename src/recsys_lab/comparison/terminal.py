"""A comparison in the terminal: Rich tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from recsys_lab.comparison.cells import (
    baseline_mark,
    heading,
    legend,
    marked,
    metric_label,
    only_absent,
    pair_cells,
    runs_of,
    setting,
    shown_ranks,
    signed,
    slice_pair_cells,
    spread,
)
from recsys_lab.pages.number_format import decimal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from recsys_lab.comparison.results import Comparison, Metric, Pair

_CELL = 20  # columns of a console that one system takes


def print_comparison(console: Console, comparison: Comparison) -> None:
    """Everything that fits a terminal; colour and weight only repeat what the words say."""
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


def score_tables(comparison: Comparison, width: int) -> Iterator[Table]:
    """Metrics by system; as many systems beside each other as the width takes."""
    first = 4 + max(len(metric_label(metric)) for metric in comparison.metrics)
    for places in _blocks(len(comparison.systems), (width - first) // _CELL):
        table = _table(comparison, heading(comparison), "metric")
        for place in places:
            system = comparison.systems[place]
            table.add_column(Text(f"{system.name}\n{runs_of(system)}"), justify="right")
        for metric in comparison.metrics:
            ranks = shown_ranks(comparison, metric)
            cells = [_cell(comparison, metric, place, ranks[place]) for place in places]
            table.add_row(metric_label(metric), *cells)
        yield table


def pair_table(comparison: Comparison) -> Table:
    """The tests on the main metric."""
    table = _table(comparison, f"differences in {comparison.main_metric}, user by user", "pair")
    for name in ("difference\n95% interval", "p\nHolm", "d_z", "win/tie/loss"):
        table.add_column(name, justify="right", no_wrap=True)
    for pair in comparison.pairs:
        if pair.metric == comparison.main_metric:
            style = "bold" if pair.significant else ""
            label = Text(f"{pair.first}\n- {pair.second}", style=style)
            cells = pair_cells(pair)
            value = cells.difference + (f" ({cells.relative})" if cells.relative else "")
            table.add_row(
                label, f"{value}\n{cells.interval}", f"{cells.p}\n{cells.p_holm}", cells.effect,
                cells.users,
            )  # fmt: skip
    return table


def slice_tables(comparison: Comparison, width: int) -> Iterator[Table]:
    """The main metric by slice; then the differences, beside it where there is a single one."""
    pairs = comparison.slices[0].pairs
    title = f"{comparison.main_metric} by slice"
    for places in _blocks(len(comparison.systems), (width - 32) // 13):
        names = [comparison.systems[place].name for place in places]
        rows = [
            [decimal(part.means[place].value) for place in places] for part in comparison.slices
        ]
        if len(pairs) == 1:
            names.append("difference\nwin/tie/loss")
            for part, cells in zip(comparison.slices, rows, strict=True):
                cells.append("\n".join(slice_pair_cells(part.pairs[0])))
        yield _by_slice(comparison, title, names, rows)
    if len(pairs) > 1:
        for places in _blocks(len(pairs), (width - 32) // _CELL):
            names = [f"{pairs[place].first}\n- {pairs[place].second}" for place in places]
            rows = [[_gain(part.pairs[place]) for place in places] for part in comparison.slices]
            yield _by_slice(comparison, f"{title}: difference, win/tie/loss", names, rows)


def _gain(pair: Pair) -> str:
    return f"{signed(pair.test.difference.value)}\n{slice_pair_cells(pair)[1]}"


def _by_slice(
    comparison: Comparison, title: str, names: Sequence[str], rows: Sequence[Sequence[str]]
) -> Table:
    """Slices, one a row, under the names of their cuts."""
    table = _table(comparison, title, "slice")
    table.columns[0].no_wrap = True
    table.add_column("users", justify="right", no_wrap=True)
    for name in names:
        table.add_column(Text(name), justify="right", overflow="fold", min_width=7)
    before = None
    for part, cells in zip(comparison.slices, rows, strict=True):
        if part.name != before:
            table.add_section()
            table.add_row(Text(part.name, style="bold"))
        table.add_row(Text(part.value), f"{part.users:,}", *cells)
        before = part.name
    return table


def differing_table(comparison: Comparison) -> Table:
    """Settings that at least two systems have and do not share."""
    table = _table(comparison, "what differs", "setting")
    for system in comparison.systems:
        table.add_column(Text(system.name), overflow="fold")
    hidden = 0
    for key, values in comparison.differing.items():
        if only_absent(values):
            hidden += 1
            continue
        table.add_row(Text(key), *(Text(setting(value)) for value in values))
    if hidden:
        table.caption = f"and {hidden} settings that only some systems have (all with output=DIR)"
        table.caption_justify = "left"
    return table


def _cell(comparison: Comparison, metric: Metric, place: int, rank: int | None) -> Text:
    system = comparison.systems[place]
    score = system.scores[metric.name]
    style = "" if rank is None else ("bold", "underline")[rank - 1]
    text = Text().append(decimal(score.mean), style=style)
    text.append("" if score.sd is None else f" ± {spread(score)}")
    text.append(f"{baseline_mark(comparison, metric, system):<1}")
    if score.interval is not None:
        low, high = decimal(score.interval.low), decimal(score.interval.high)
        text.append(f"\n{low} - {high} ", style="dim")
    return text


def _blocks(count: int, at_once: int) -> Iterator[range]:
    step = max(1, at_once)
    for first in range(0, count, step):
        yield range(first, min(first + step, count))


def _table(comparison: Comparison, title: str, first: str) -> Table:
    style = "" if comparison.is_comparable else "bold red"
    table = Table(title=Text(marked(comparison, title), style=style), title_justify="left")
    table.add_column(first, overflow="fold")
    return table
