"""A comparison in the terminal: Rich tables. Marks and cell texts are shared with the files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from recsys_lab.runs.comparison import Comparison, Metric, Pair, System

WARNING = "NOT COMPARABLE"
PAIR_HEADS = (
    "difference", "95% interval", "bootstrap interval", "relative", "p", "p permuted", "p Holm",
    "d_z", "win/tie/loss",
)  # fmt: skip
"""Of `PairCells`."""

PAIR_LEGEND = (
    "p and the 95% interval are of the t-test over seeds and users; where seeds are not covered, "
    "of permuted signs and of the bootstrap. Bootstrap interval: users drawn again, and seeds "
    "where they differ. p permuted: of the labels of seeds; for one run each or a deterministic "
    "system, of the signs of the users' differences. d_z: mean over standard deviation of the "
    "users' differences."
)
_CELL = 20  # columns of a console that one system takes
_FEWEST_USERS = 10  # of a slice in the terminal; the files have all


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
            ranks = comparison.ranks(metric)
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


class PairCells(NamedTuple):
    """A pair as it is written, in order of `PAIR_HEADS`."""

    difference: str
    interval: str
    bootstrap: str
    relative: str
    p: str
    p_permuted: str
    p_holm: str
    effect: str
    users: str


def pair_cells(pair: Pair) -> PairCells:
    """The texts; the adjusted p has the mark."""
    difference, effect = pair.test.difference, pair.test.effect_size
    low, high = pair.test.bootstrap
    return PairCells(
        difference=signed(difference.value),
        interval=f"{signed(difference.low)} to {signed(difference.high)}",
        bootstrap=f"{signed(low)} to {signed(high)}",
        relative="" if pair.relative is None else f"{pair.relative:+.1%}",
        p=p_text(pair.test.p),
        p_permuted=p_text(pair.test.permutation_p),
        p_holm=p_text(pair.p_holm) + mark(pair),
        effect="" if effect is None else f"{effect:+.2f}",
        users=f"{pair.wins:,}/{pair.ties:,}/{pair.losses:,}",
    )


def slice_tables(comparison: Comparison, width: int) -> Iterator[Table]:
    """The main metric by slice; of two systems also the difference with its interval."""
    shown = [part for part in comparison.slices if part.users >= _FEWEST_USERS]
    hidden = len(comparison.slices) - len(shown)
    with_pair = len(comparison.slices[0].pairs) == 1
    for places in _blocks(len(comparison.systems), (width - 32) // 13):
        table = _table(comparison, f"{comparison.main_metric} by slice", "slice")
        table.columns[0].no_wrap = True
        table.add_column("users", justify="right", no_wrap=True)
        for place in places:
            name = Text(comparison.systems[place].name)
            table.add_column(name, justify="right", overflow="fold", min_width=7)
        if with_pair:
            table.add_column("difference\nwin/tie/loss", justify="right", no_wrap=True)
        before = None
        for part in shown:
            if part.name != before:
                table.add_section()
                table.add_row(Text(part.name, style="bold"))
            cells = [number(part.means[place].value) for place in places]
            cells += ["\n".join(slice_pair_cells(part.pairs[0]))] if with_pair else []
            table.add_row(Text(part.value), f"{part.users:,}", *cells)
            before = part.name
        if hidden:
            table.caption = f"and {hidden} of fewer than {_FEWEST_USERS} users (output=DIR has all)"
            table.caption_justify = "left"
        yield table


def slice_pair_cells(pair: Pair) -> list[str]:
    """Difference with its interval, and the users who gain and lose."""
    difference = pair.test.difference
    return [
        f"{signed(difference.value)} [{signed(difference.low)}, {signed(difference.high)}]",
        f"{pair.wins:,}/{pair.ties:,}/{pair.losses:,}",
    ]


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


def heading(comparison: Comparison) -> str:
    """Data and users of the comparison."""
    data = " / ".join(dict.fromkeys(str(run.data["name"]) for run in comparison.runs))
    users = comparison.metric.users
    return f"{data}, test" + (f", {users:,} users" if users else "")


def marked(comparison: Comparison, title: str) -> str:
    """A title; it says so where the runs do not compare."""
    return title if comparison.is_comparable else f"{WARNING}: {title}"


def legend(comparison: Comparison) -> str:
    """What the cells and marks mean."""
    parts = ["mean ± sd over seeds, 95% interval; best bold, second underlined"]
    if comparison.baseline is not None:
        covered = {pair.test.difference.covers_seeds for pair in comparison.pairs}
        level = f"at the {comparison.level:.4g} level (Holm)"
        if True in covered:
            parts.append(f"* differs from {comparison.baseline} {level}, over seeds and users")
        if False in covered:
            parts.append(
                f"† this trained model differs from that of {comparison.baseline} {level}, "
                "over users; seeds are not covered"
            )
    return "; ".join(parts) + "."


def metric_label(metric: Metric) -> str:
    """Its name; an arrow where less is better."""
    return metric.name if metric.higher_is_better else f"{metric.name} ↓"


def runs_of(system: System) -> str:
    """How many runs, in words."""
    return "1 run" if len(system.runs) == 1 else f"{len(system.runs)} seeds"


def mark(pair: Pair | None) -> str:
    """``*`` for systems that differ, ``†`` where only these trained models do, else nothing."""
    if pair is None or not pair.significant:
        return ""
    return "*" if pair.test.difference.covers_seeds else "†"


def baseline_mark(comparison: Comparison, metric: Metric, system: System) -> str:
    """The mark of a system against the baseline."""
    if comparison.baseline is None:
        return ""
    return mark(comparison.pair(metric.name, system.name, comparison.baseline))


def setting(value: Any) -> str:
    """A setting as in YAML; nothing where a system has none."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def number(value: float) -> str:
    """Four decimals; fewer for large numbers."""
    return f"{value:.4f}" if abs(value) < 100 else f"{value:,.1f}"


def signed(value: float) -> str:
    """The same with its sign."""
    return ("-" if value < 0 else "+") + number(abs(value))


def p_text(p: float) -> str:
    """A p-value with the digits that mean something."""
    return "<0.0001" if p < 1e-4 else f"{p:.4f}"


def only_absent(values: Sequence[Any]) -> bool:
    """Whether a setting differs only because some systems have no such."""
    present = [json.dumps(value) for value in values if value is not None]
    return len(set(present)) <= 1 and len(present) < len(values)


def _cell(comparison: Comparison, metric: Metric, place: int, rank: int) -> Text:
    system = comparison.systems[place]
    score = system.scores[metric.name]
    style = {1: "bold", 2: "underline"}.get(rank, "") if len(comparison.systems) > 1 else ""
    text = Text().append(number(score.mean), style=style)
    text.append("" if score.sd is None else f" ± {number(score.sd)}")
    text.append(f"{baseline_mark(comparison, metric, system):<1}")
    if score.interval is not None:
        low, high = number(score.interval.low), number(score.interval.high)
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
