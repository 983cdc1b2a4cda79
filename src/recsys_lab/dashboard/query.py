"""What a page shows: the query of its address, and the runs that it selects."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from recsys_lab.config import UserError
from recsys_lab.pages.number_format import format_value
from recsys_lab.runs.listing import current_column, select

if TYPE_CHECKING:
    from recsys_lab.dashboard.index import Run, Snapshot

NEWEST = "-created"
MOST_ROWS = 500
_SIGN = re.compile(r"[=<>]")
_SEARCHED = ("name", "model", "data", "folder", "status", "group", "tags", "notes")


@dataclass(frozen=True)
class Query:
    """The query of a page's address; every part may be absent.

    Attributes:
        where: conditions as of ``recsys-lab runs where=``, and words to search for, separated by
            commas.
        sort: a column; ``-column`` for descending order.
        group: a column that the runs are grouped by.
        metric: a column, of the last axis of the parallel coordinates and the means of groups.
        curve: key of the epochs that the curves show.
        add: columns besides the usual ones.
        hide: columns that are not shown.
        run: ids of the ticked runs, in the order in which they were ticked.
        rows: largest number of runs that are listed.
    """

    where: str = ""
    sort: str = NEWEST
    group: str = ""
    metric: str = ""
    curve: str = ""
    add: tuple[str, ...] = ()
    hide: tuple[str, ...] = ()
    run: tuple[str, ...] = ()
    rows: int = MOST_ROWS

    @classmethod
    def of(cls, values: Mapping[str, Sequence[str]]) -> Query:
        """The query of an address; unknown keys and a wrong number are ignored."""
        given: dict[str, Any] = {}
        for part in fields(cls):
            texts = [text for text in values.get(part.name, ()) if text]
            if not texts:
                continue
            if isinstance(part.default, tuple):
                given[part.name] = tuple(dict.fromkeys(texts))
            elif part.name != "rows":
                given[part.name] = texts[-1]
            elif texts[-1].isascii() and texts[-1].isdigit() and len(texts[-1]) < 8:
                given[part.name] = max(1, int(texts[-1]))
        return cls(**given)

    def link(self, **changes: Any) -> str:
        """The address of the page with changes."""
        changed = replace(self, **changes)
        given = {
            part.name: getattr(changed, part.name)
            for part in fields(self)
            if getattr(changed, part.name) != part.default
        }
        return f"?{urlencode(given, doseq=True)}"


@dataclass(frozen=True)
class Selected:
    """The runs of a query.

    Attributes:
        runs: filtered and sorted.
        problem: why the filter or the order does not apply; empty if they do.
    """

    runs: list[Run]
    problem: str = ""


def selected(snapshot: Snapshot, query: Query) -> Selected:
    """Filter and sort as ``recsys-lab runs`` does."""
    texts = [text.strip() for text in query.where.split(",") if text.strip()]
    words = [text.casefold() for text in texts if not _SIGN.search(text)]
    where = [text for text in texts if _SIGN.search(text)]
    runs = {id(run.row): run for run in snapshot.runs if _has(run, words)}
    rows, problem = [run.row for run in snapshot.runs], ""
    for conditions, sort in ((where, query.sort), (where, NEWEST), ([], NEWEST)):
        try:
            # The columns of all runs are known, also where a word leaves none that has it.
            rows = select(
                [run.row for run in snapshot.runs], where=conditions, sort=sort, limit=None
            )
            return Selected([runs[id(row)] for row in rows if id(row) in runs], problem)
        except UserError as error:
            problem = problem or str(error)
    raise AssertionError(problem)


def grouped(runs: Sequence[Run], column: str) -> list[tuple[str, list[Run]]]:
    """Runs by their value of a column, numbers in order and before texts; without one come last."""
    column = current_column(column)
    groups: dict[str, list[Run]] = {}
    for run in runs:
        value = run.row.get(column)
        groups.setdefault("" if value is None else format_value(value), []).append(run)
    return sorted(groups.items(), key=lambda item: _order(item[1][0].row.get(column)))


def _order(value: Any) -> tuple[int, float, str]:
    if isinstance(value, int | float):
        return 0, float(value), ""
    return (2, 0.0, "") if value is None else (1, 0.0, format_value(value).casefold())


def _has(run: Run, words: Sequence[str]) -> bool:
    """Whether each word is in one of the texts of a run."""
    if not words:
        return True
    values = (run.row.get(name) for name in _SEARCHED)
    text = "\n".join(format_value(value) for value in values if value is not None).casefold()
    return all(word in text for word in words)
