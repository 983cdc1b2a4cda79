"""Cells and marks of a comparison's tables, for the terminal, the files and the page."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from recsys_lab.pages.number_format import counted, decimal, decimal_places, format_value
from recsys_lab.pages.table import Span, Style, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recsys_lab.comparison.results import Comparison, Metric, Pair, Score, System
    from recsys_lab.pages.table import Cell

WARNING = "Not comparable"
PAIR_HEADS = (
    "difference",
    "95% interval",
    "bootstrap interval",
    "relative",
    "p",
    "p permuted",
    "p Holm",
    "d_z",
    "win/tie/loss",
)
"""Column heads of `PairCells`."""

PAIR_LEGEND = (
    "p and the 95% interval come from one t-test over seeds and users, or over users where seeds "
    "are not covered. Bootstrap interval: over resampled users, and seeds where they differ. p "
    "permuted: permutes the signs of the differences by seed where both have the same seeds, else "
    "the labels of seeds; for one run each or a deterministic system, the signs of the users' "
    "differences. d_z: mean / standard deviation of the users' differences."
)
_RANKS: dict[int | None, Style] = {1: "bold", 2: "underline", None: ""}


class PairCells(NamedTuple):
    """The formatted cells of a pair, in order of `PAIR_HEADS`."""

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
    """Format a pair; the adjusted p carries the significance mark."""
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


def slice_pair_cells(pair: Pair) -> list[str]:
    """Difference with its interval, and win/tie/loss."""
    difference = pair.test.difference
    return [
        f"{signed(difference.value)} [{signed(difference.low)}, {signed(difference.high)}]",
        f"{pair.wins:,}/{pair.ties:,}/{pair.losses:,}",
    ]


def heading(comparison: Comparison) -> str:
    """Data and users of the comparison."""
    data = " / ".join(dict.fromkeys(str(run.data["name"]) for run in comparison.runs))
    users = comparison.metric.users
    return f"{data}, test" + (f", {counted(users, 'user')}" if users else "")


def marked(comparison: Comparison, title: str) -> str:
    """The title, with a warning where the protocols of the runs differ."""
    return title if comparison.is_comparable else f"{WARNING}: {title}"


def legend(comparison: Comparison) -> str:
    """Explains the cells and marks."""
    ranks = "best bold"
    if any(2 in shown_ranks(comparison, metric) for metric in comparison.metrics):
        ranks += ", second underlined"
    parts = [f"mean ± sd over seeds, 95% interval; {ranks}"]
    baseline = comparison.baseline
    covered = {pair.test.difference.covers_seeds for pair in comparison.pairs}
    level = f"at the {comparison.level:.4g} level (Holm)"
    if True in covered:
        who = "the systems of a pair differ" if baseline is None else f"differs from {baseline}"
        parts.append(f"* {who} {level}, over seeds and users")
    if False in covered:
        who = "the trained models of a pair differ"
        if baseline is not None:
            who = f"this trained model differs from that of {baseline}"
        parts.append(f"† {who} {level}, over users; seeds are not covered")
    return "; ".join(parts) + "."


def metric_label(metric: Metric) -> str:
    """Its name, with an arrow where lower is better."""
    return metric.name if metric.higher_is_better else f"{metric.name} ↓"


def runs_of(system: System) -> str:
    """The number of runs, in words."""
    return "1 run" if len(system.runs) == 1 else f"{len(system.runs):,} seeds"


def mark(pair: Pair | None) -> str:
    """``*`` for a difference between systems, ``†`` between these trained models, else nothing."""
    if pair is None or not pair.significant:
        return ""
    return "*" if pair.test.difference.covers_seeds else "†"


def baseline_mark(comparison: Comparison, metric: Metric, system: System) -> str:
    """The mark of a system against the baseline."""
    if comparison.baseline is None:
        return ""
    return mark(comparison.pair(metric.name, system.name, comparison.baseline))


def score_cell(comparison: Comparison, metric: Metric, index: int, width: int = 0) -> list[Span]:
    """The score of a system: the best is bold, the second underlined, the interval below.

    Args:
        comparison: the comparison.
        metric: of the row.
        index: of the system.
        width: of the mark, to align numbers in right-aligned cells.
    """
    system = comparison.systems[index]
    score, rank = system.scores[metric.name], shown_ranks(comparison, metric)[index]
    sd = "" if score.sd is None else f" ± {spread(score)}"
    mark = baseline_mark(comparison, metric, system).ljust(width)
    cell = [Span(decimal(score.mean), _RANKS[rank]), Span(f"{sd}{mark}")]
    if score.interval is not None:
        low, high = decimal(score.interval.low), decimal(score.interval.high)
        cell.append(Span(f"{low} - {high}{' ' * width}", "below"))
    return cell


def score_table(
    comparison: Comparison, heads: Sequence[str], caption: str = "", width: int = 0
) -> Table:
    """Every metric by system; `width` as for `score_cell`."""
    systems = range(len(comparison.systems))
    rows: list[list[Cell]] = [
        [metric_label(metric), *(score_cell(comparison, metric, index, width) for index in systems)]
        for metric in comparison.metrics
    ]
    return Table(caption, ["metric", *heads], rows, right=range(1, len(heads) + 1))


def setting(value: Any) -> str:
    """A setting as in YAML; empty where a system lacks it."""
    return "" if value is None else format_value(value)


def spread(score: Score) -> str:
    """Standard deviation over runs with the decimals of the mean; empty for a single run."""
    return "" if score.sd is None else f"{score.sd:,.{decimal_places(score.mean)}f}"


def shown_ranks(comparison: Comparison, metric: Metric) -> list[int | None]:
    """1 for the best and 2 for the second, else None.

    None for all where all are equal; of two systems, the second is not marked.
    """
    ranks = comparison.ranks(metric)
    shown = {1, 2} if len(ranks) > 2 else {1}
    return [rank if rank in shown and max(ranks) > 1 else None for rank in ranks]


def signed(value: float) -> str:
    """A decimal with its sign."""
    return ("-" if value < 0 else "+") + decimal(abs(value))


def p_text(p: float) -> str:
    """A p-value with four decimals."""
    return "<0.0001" if p < 1e-4 else f"{p:.4f}"


def only_absent(values: Sequence[Any]) -> bool:
    """Whether a setting differs only because some systems lack it."""
    present = [json.dumps(value) for value in values if value is not None]
    return len(set(present)) <= 1 and len(present) < len(values)
