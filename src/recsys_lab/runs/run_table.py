"""The table of ``recsys-lab runs``: the columns that tell the runs apart, as many as fit.

No cell is broken over lines, so that numbers can be read and references pasted. Where even the
fewest columns do not fit, each run is a block of lines.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rich import box
from rich.measure import Measurement
from rich.text import Text

from recsys_lab.pages.number_format import decimal, format_value
from recsys_lab.pages.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import rich.table
    from rich.console import Console, RenderableType

    Row = Mapping[str, Any]

REFERENCE = "run"
"""The column with the short reference."""
SETTINGS = "settings"
"""Of a row: the flat config."""
FITTED = "fitted"
"""Of a row: whether the model is fitted in one pass, so that it reads neither recipe nor loss."""
_LISTED_FAILURES = 10
_DROPPED_FIRST = ("seconds", "created", "name", "data", "epoch")
_DROPPED_LAST = ("seed", "model", "debug", "status")
_ALIKE = (
    *("seed", "name", "run_dir", "prepared_dir", "resume", "verify", "group", "tags", "notes"),
    *("tracking", "engine", "init_from"),
)
"""Groups and keys of a config that are no column by themselves."""


def usual_columns(rows: Sequence[Row]) -> list[str]:
    """The columns of a list, without what all its runs share.

    The run, its facts, the keys of the config that differ, and the model selection metrics.
    """
    facts = ["name", "model", "data", "seed", "status"]
    if all(row.get("name") == row.get("model") for row in rows):
        facts.remove("name")
    facts = [fact for fact in facts if fact not in _constant(rows)]
    progress = ["epoch"] if any(row.get("epoch") for row in rows) else []
    return [
        REFERENCE,
        *facts,
        *(["debug"] if any(row.get("debug") for row in rows) else []),  # also if all are marked
        *progress,
        *(key for key in differing(rows) if key != "debug"),
        "created",
        "seconds",
        *metric_columns(rows),
    ]


def metric_columns(rows: Sequence[Row]) -> list[str]:
    """The model selection metrics of the runs, of the test if there is one."""
    mains = dict.fromkeys(row["main"] for row in rows if row.get("main"))
    return [main for main in mains if any(main in row for row in rows)]


def _constant(rows: Sequence[Row]) -> list[str]:
    several = len(rows) > 1
    return [c for c in ("data", "status") if several and len({row.get(c) for row in rows}) == 1]


def constant(rows: Sequence[Row]) -> str:
    """What all runs share, in words."""
    return ", ".join(f"{column} {rows[0].get(column)}" for column in _constant(rows))


def differing(rows: Sequence[Row]) -> list[str]:
    """Keys of the configs that differ, among runs with the same class for the key's group.

    A group with several classes is a key itself, except for model and data, which have columns.
    """
    settings = [_read_settings(row) for row in rows]
    found = []
    for key in dict.fromkeys(key for one in settings for key in one):
        group, _, option = key.partition(".")
        if group in _ALIKE:
            continue
        target = f"{group}._target_"
        if option == "_target_":
            is_told = group in ("model", "data")
            if not is_told and len({one.get(key) for one in settings if key in one}) > 1:
                found.append(group)
            continue
        by_class: dict[Any, set[str]] = {}
        for one in settings:
            if key in one:
                text = json.dumps(one[key], sort_keys=True, default=str)
                by_class.setdefault(one.get(target), set()).add(text)
        if any(len(values) > 1 for values in by_class.values()):
            found.append(key)
    return found


def run_table(
    rows: Sequence[Row], given: Sequence[str] | None, title: str, console: Console
) -> Iterator[RenderableType]:
    """What to print for a list of runs.

    Args:
        rows: with `REFERENCE` and `SETTINGS`.
        given: the columns as typed; None: `usual_columns`, as many as fit.
        title: above the table.
        console: whose width counts.
    """
    columns = usual_columns(rows) if given is None else list(given)
    shared = constant(rows) if given is None and rows else ""
    yield Text(f"{title}; {shared}" if shared else title, style="italic")
    if not rows:
        return
    dropped = () if given is not None else _dropped(columns)
    cure = ", or give columns=[...]"
    yield from laid_out(rows, columns, console, dropped_first=dropped, cure=cure)


def laid_out(
    rows: Sequence[Row],
    columns: Sequence[str],
    console: Console,
    *,
    dropped_first: Sequence[str] = (),
    cure: str = "",
) -> Iterator[RenderableType]:
    """A table of whole cells, or blocks of lines if it does not fit.

    Args:
        rows: to be shown.
        columns: to be shown.
        console: whose width counts.
        dropped_first: columns that are left out, in this order, until the others fit.
        cure: what else than a wider terminal shows them, for the line that names them.
    """
    kept = list(columns)
    for column in dropped_first:
        if _fits(rows, kept, console):
            break
        if column in kept:
            kept.remove(column)
    if not _fits(rows, kept, console):
        yield from _blocks(rows, columns)
        return
    yield as_table(rows, kept)
    if dropped := [column for column in columns if column not in kept]:
        text = f"no room for {', '.join(dropped)}: widen the terminal{cure}"
        yield Text(text, style="dim")


def print_parts(parts: Iterable[RenderableType], console: Console) -> None:
    """Print what `run_table` or `laid_out` give; a line longer than the console is not broken."""
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, Text), highlight=False)


def as_table(rows: Sequence[Row], columns: Sequence[str]) -> rich.table.Table:
    """The rows as a Rich table, whose cells are not broken."""
    numbers = {
        index
        for index, column in enumerate(columns)
        if any(isinstance(_value(row, column), int | float) for row in rows)
    }
    cells = [[written(column, _value(row, column)) for column in columns] for row in rows]
    heads = [_head(column) for column in columns]
    table = Table("", heads, cells, numbers, range(len(columns)))
    return table.rich(box=box.SIMPLE_HEAD, pad_edge=False)


def failures(rows: Sequence[Row]) -> Iterator[str]:
    """Why the runs failed, one line each, the first ten."""
    failed = [row for row in rows if row.get("failure")]
    for row in failed[:_LISTED_FAILURES]:
        yield f"{row.get(REFERENCE, row['folder'])} failed: {row['failure']}"
    if len(failed) > _LISTED_FAILURES:
        others = len(failed) - _LISTED_FAILURES
        yield f"{others} more failed: columns=[folder,failure] lists all"


def _dropped(columns: Sequence[str]) -> list[str]:
    """The columns that may be left out, the least important first."""
    keys = [c for c in columns if c != REFERENCE and "/" not in c]
    own = [c for c in keys if c not in (*_DROPPED_FIRST, *_DROPPED_LAST)]
    return [*_DROPPED_FIRST, *reversed(own), *_DROPPED_LAST]


def _fits(rows: Sequence[Row], columns: Sequence[str], console: Console) -> bool:
    endless = console.options.update(width=1 << 16)
    needed = Measurement.get(console, endless, as_table(rows, columns)).maximum
    return needed <= console.width


def _blocks(rows: Sequence[Row], columns: Sequence[str]) -> Iterator[Text]:
    """A line per value; the console must not wrap them."""
    for row in rows:
        first, *others = columns
        lines = [f"{first}: {written(first, _value(row, first))}"]
        told = ((column, written(column, _value(row, column))) for column in others)
        lines += [f"  {column}: {text}".replace("\n", "\n    ") for column, text in told if text]
        yield Text("\n".join(lines), no_wrap=True, overflow="ignore")


def _head(column: str) -> str:
    """``recipe.batch_size`` and ``test/ndcg@10`` on two lines, which makes columns narrower."""
    for sign in (".", "/"):
        group, found, name = column.partition(sign)
        if found:
            return f"{group}{sign}\n{name}"
    return column


def _value(row: Row, column: str) -> Any:
    """A config's key is that of the config, also if the record has a field of this name.

    Except for the name, which the config has only if the user gave one.
    """
    settings = _read_settings(row)
    if column in row and (column == "name" or column not in (row.get(SETTINGS) or {})):
        return row[column]
    if column in settings:
        return settings[column]
    target = settings.get(f"{column}._target_")
    return None if target is None else str(target).rpartition(".")[2]


def _read_settings(row: Row) -> Mapping[str, Any]:
    """The flat config, without what the model does not read."""
    settings: Mapping[str, Any] = row.get(SETTINGS) or {}
    if not row.get(FITTED):
        return settings
    unread = ("recipe", "loss")
    return {
        key: value
        for key, value in settings.items()
        if key == "recipe.refit" or key.partition(".")[0] not in unread
    }


def written(column: str, value: Any) -> str:
    """A value as a cell of a table."""
    """A value as a cell of a table."""
    if value is None:
        return ""
    if column == "created":
        return str(value)[:16].replace("T", " ")
    if isinstance(value, float):
        if column.startswith(("test/", "validation/")):
            return decimal(value)
        return f"{value:,.1f}" if column.endswith("seconds") else f"{value:.4g}"
    return format_value(value)
