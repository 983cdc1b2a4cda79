"""The table of runs: its columns, rows and groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from recsys_lab.dashboard.index import LATEST, Run, Snapshot
from recsys_lab.dashboard.query import Query, grouped
from recsys_lab.dashboard.status import RUNNING
from recsys_lab.pages.number_format import decimal
from recsys_lab.runs.listing import current_column
from recsys_lab.runs.run_table import written

_MOST_SETTINGS = 6
_LONGEST = 60
_METRICS = ("test/", "validation/")
_ALWAYS = ("model", "seed", "status", "epochs")
_COST = ("created", "seconds")


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        text: shown.
        whole: all of a long text, as a tooltip.
        is_number: whether it is right-aligned.
    """

    text: str
    whole: str = ""
    is_number: bool = False


@dataclass(frozen=True)
class Group:
    """Runs with one value of a column.

    Attributes:
        label: the value; empty for all runs of a table without groups.
        summary: how many they are, and their metric.
        runs: those that are listed, in order.
    """

    label: str
    summary: str
    runs: Sequence[Run]


def main_metric(runs: Sequence[Run]) -> str:
    """The column of the metric that most runs were selected by; empty without any."""
    mains = Counter(run.row["main"] for run in runs if run.row.get("main"))
    return mains.most_common(1)[0][0] if mains else ""


def settings_of(snapshot: Snapshot, query: Query) -> list[str]:
    """The settings that are shown: some of those that differ, and those of the query."""
    usual = [key for key in snapshot.differing if not key.endswith("_target_")]
    own = [current_column(name) for name in query.add if not name.startswith(_METRICS)]
    wanted = [*usual[:_MOST_SETTINGS], *own]
    return [key for key in dict.fromkeys(wanted) if key not in query.hide and key not in _ALWAYS]


def columns_of(snapshot: Snapshot, query: Query) -> list[str]:
    """The columns after the name."""
    runs = snapshot.runs
    data = ["data"] if len({run.row.get("data") for run in runs}) > 1 else []
    latest = [LATEST] if any(LATEST in run.row for run in runs) else []
    mains = dict.fromkeys(str(run.row["main"]) for run in runs if run.row.get("main"))
    metrics = [current_column(name) for name in query.add if name.startswith(_METRICS)]
    settings = settings_of(snapshot, query)
    names = [*_ALWAYS, *data, *latest, *mains, *metrics, *settings, *_COST]
    return [name for name in dict.fromkeys(names) if name not in query.hide]


def groups_of(runs: Sequence[Run], query: Query, metric: str) -> list[Group]:
    """The listed runs in their groups; the summaries are of all runs."""
    if not query.group:
        return [Group("", "", runs[: query.rows])]
    groups, room = [], query.rows
    for label, members in grouped(runs, query.group):
        said = f"{query.group}={label}" if label else f"no {query.group}"
        groups.append(Group(said, _summary(members, metric), members[:room]))
        room = max(0, room - len(members))
    return groups


def cell_of(run: Run, column: str) -> Cell:
    """The text of a column of a run."""
    value: Any = run.row.get(column)
    if column == "epochs":
        planned = run.row.get("recipe.max_epochs")
        rest = f" of {planned}" if run.row["status"] == RUNNING and planned else ""
        return Cell(f"{run.epochs}{rest}" if run.epochs else "", is_number=True)
    text = decimal(value) if column == LATEST and value is not None else written(column, value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if len(text) <= _LONGEST:
        return Cell(text, is_number=is_number)
    return Cell(f"{text[: _LONGEST - 1]}…", text[:1000], is_number)


def _summary(runs: Sequence[Run], metric: str) -> str:
    """``5 runs; test/ndcg@10 0.0931 ± 0.0012 (0.0915 to 0.0944)``."""
    count = f"{len(runs):,} run{'' if len(runs) == 1 else 's'}"
    values = [float(v) for v in (run.row.get(metric) for run in runs) if isinstance(v, int | float)]
    if not values:
        return count
    spread = f" ± {stdev(values):.4f}" if len(values) > 1 else ""
    bounds = f" ({decimal(min(values))} to {decimal(max(values))})" if len(values) > 1 else ""
    return f"{count}; {metric} {decimal(fmean(values))}{spread}{bounds}"
