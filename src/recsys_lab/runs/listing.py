"""Lists runs as rows, filtered and sorted, and formats chosen columns."""

from __future__ import annotations

import json
import logging
import math
import operator
import re
from typing import TYPE_CHECKING, Any

from rich import box

from recsys_lab.config import UserError, did_you_mean
from recsys_lab.moved import current_key, current_metric
from recsys_lab.pages.csv_text import rows_as_csv
from recsys_lab.pages.number_format import decimal, format_value
from recsys_lab.pages.table import Table
from recsys_lab.runs.failure import described
from recsys_lab.runs.find import LeftOut, flatten, run_folders
from recsys_lab.runs.record import RunRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import rich.table

FIRST_COLUMNS = ("name", "model", "data", "seed", "status", "created", "seconds")
_MOST_FAILURES = 10
# No columns of a table.
_LEFT_OUT = ("epochs", "windows", "command", "packages", "files", "digest", "failure")

_log = logging.getLogger(__name__)

Row = dict[str, Any]

_CONDITION = re.compile(r"(.*?)(>=|<=|!=|=|>|<)(.*)", re.DOTALL)
_ORDERS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}


def list_runs(folder: Path) -> list[Row]:
    """One row per run below a folder, from ``run.json``.

    Args:
        folder: searched at any depth.

    Returns:
        Rows with `FIRST_COLUMNS`, ``folder``, ``test/METRIC``, ``validation/METRIC``, ``failure``
        (why it failed), every other field of the record (``compute.seconds``) and every key of its
        config (``recipe.batch_size``). A record that cannot be read has the status "unreadable".

    Raises:
        UserError: there is no such folder.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "there is no such folder"
        raise UserError(f"dir: {folder}: {what}; give a folder with runs: recsys-lab runs DIR.")
    closed: list[LeftOut] = []
    rows = [row_of(path, folder)[0] for path in run_folders(folder, closed)]
    for item in closed:
        _log.warning("left out: %s: %s", item.folder, item.reason)
    return rows


def select(rows: Sequence[Row], *, where: Sequence[str], sort: str, limit: int | None) -> list[Row]:
    """Filter, sort and limit.

    Args:
        rows: of `list_runs`.
        where: conditions ``column=value``, or with ``!=``, ``>``, ``<``, ``>=``, ``<=``; all must
            hold. Letter case is ignored. Orders compare numbers; runs without a number fail them.
        sort: a column, or ``-column`` for descending order; runs without a value come last.
        limit: maximal number of rows.

    Raises:
        UserError: a condition is malformed or names a column that no run has.
    """
    column = current_column(sort.removeprefix("-"))
    _require(column, rows, "sort")
    conditions = [_condition(text, rows) for text in where]
    rows = [row for row in rows if all(holds(row.get(key)) for key, holds in conditions)]
    known = [row for row in rows if _key(row.get(column)) is not None]
    known.sort(key=lambda row: _key(row[column]) or (0, 0.0, ""), reverse=sort.startswith("-"))
    unknown = [row for row in rows if _key(row.get(column)) is None]
    return [*known, *unknown][:limit]


def usual_columns(rows: Sequence[Row]) -> list[str]:
    """`FIRST_COLUMNS`, the model selection metrics of the runs, and the folder."""
    mains = dict.fromkeys(row["main"] for row in rows if row.get("main"))
    metrics = [main for main in mains if any(main in row for row in rows)]
    return [*FIRST_COLUMNS, *metrics, "folder"]


def split_constant(rows: Sequence[Row], columns: Sequence[str]) -> tuple[list[str], str]:
    """The columns that differ between runs, and the constant ones in words.

    Args:
        rows: to be shown.
        columns: the usual ones; names that only repeat the model are dropped.
    """
    same = [
        c for c in ("data", "status") if len(rows) > 1 and len({row.get(c) for row in rows}) == 1
    ]
    constant = ", ".join(f"{column} {rows[0].get(column)}" for column in same)
    if all(row.get("name") == row.get("model") for row in rows):
        same.append("name")
    return [column for column in columns if column not in same], constant


def require_columns(columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Check requested columns.

    Raises:
        UserError: no run has the column.
    """
    for column in columns:
        _require(column, rows, "columns")


def as_table(rows: Sequence[Row], columns: Sequence[str], title: str) -> rich.table.Table:
    """The rows as a Rich table."""
    numbers, short = set(), set()
    for index, column in enumerate(columns):
        if any(isinstance(row.get(column), int | float) for row in rows):
            numbers.add(index)
        if column in ("status", "created", "seed", "seconds"):
            short.add(index)
    cells = [[written(column, row.get(column)) for column in columns] for row in rows]
    table = Table(title, columns, cells, numbers, short)
    return table.rich(box=box.SIMPLE_HEAD, pad_edge=False)


def failures(rows: Sequence[Row]) -> Iterator[str]:
    """Why the runs failed, one line each, the first ten."""
    failed = [row for row in rows if row.get("failure")]
    for row in failed[:_MOST_FAILURES]:
        yield f"{row['folder']} failed: {row['failure']}"
    if len(failed) > _MOST_FAILURES:
        others = len(failed) - _MOST_FAILURES
        yield f"{others} more failed: columns=[folder,failure] lists all"


def as_json(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """A list of objects; null where a run lacks the value."""
    return json.dumps([{column: row.get(column) for column in columns} for row in rows], indent=1)


def as_csv(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """A header and one line per run."""
    cells = (
        [json.dumps(v) if isinstance(v, list | dict) else v for v in map(row.get, columns)]
        for row in rows
    )
    return rows_as_csv([columns, *cells])


def row_of(path: Path, folder: Path) -> tuple[Row, RunRecord | str]:
    """The row of one run, see `list_runs`, and its record, or why that cannot be read.

    Args:
        path: the run directory.
        folder: above it; the column ``folder`` is relative to it.
    """
    where = str(path.relative_to(folder))
    try:
        record = RunRecord.load(path)
        return _fields(record) | {"folder": where}, record
    except UserError as error:
        message = str(error)
    except (KeyError, TypeError, AttributeError) as error:
        message = f"{path}: the record lacks {error}: of another version, or changed by hand"
    _log.warning("%s", message)
    return {"name": path.name, "status": "unreadable", "folder": where}, message


def _fields(record: RunRecord) -> Row:
    values: Mapping[str, Any] = record.values
    config = values["config"]
    row = flatten(config)
    row |= flatten({k: v for k, v in values.items() if k not in ("config", *_LEFT_OUT)})
    for phase in ("test", "validation"):
        row |= {f"{phase}/{name}": v for name, v in (values.get(phase) or {}).items()}
    row |= {
        "name": values["name"],
        "model": str(config["model"]["_target_"]).rpartition(".")[2],
        "data": (values.get("data") or {}).get("name"),
        "seed": values["seed"],
        "status": record.status,
        "created": values["created"],
        "seconds": values["compute"]["seconds"],
        "main": _main(record),
        "failure": described(values),
    }
    return row


def _main(record: RunRecord) -> str | None:
    """The column of the model selection metric; of the validation split without a test result."""
    phases = [phase for phase in ("test", "validation") if record.values.get(phase)]
    return f"{phases[0]}/{record.main_metric}" if phases else None


def _condition(text: str, rows: Sequence[Row]) -> tuple[str, Callable[[Any], bool]]:
    """The column and the predicate of its values."""
    match = _CONDITION.fullmatch(text)
    if match is None:
        msg = f"where: {text!r} is not a condition: expected column=value"
        raise UserError(f"{msg}, or one of != > < >= <= instead of =")
    column, sign, wanted = match.groups()
    column = current_column(column)
    _require(column, rows, "where")
    if sign in ("=", "!="):
        return column, lambda value: _matches(value, wanted) == (sign == "=")
    try:
        limit = float(wanted)
        if math.isnan(limit):
            raise ValueError
    except ValueError:
        msg = f"where: {text!r}: {sign} compares numbers, got {wanted!r}"
        raise UserError(f"{msg}; give a number, or use = or != for text") from None
    return column, lambda value: _is_number(value) and _ORDERS[sign](value, limit)


def current_column(column: str) -> str:
    """The column by its current name, if its key or metric was renamed."""
    return current_metric(current_key(column))


def _require(column: str, rows: Sequence[Row], option: str) -> None:
    known = dict.fromkeys((*FIRST_COLUMNS, *(key for row in rows for key in row)))
    if rows and column not in known:
        hint = did_you_mean(column, known)
        msg = f"{option}: no run has a column {column!r}{hint} Columns are"
        raise UserError(
            f"{msg} {', '.join(FIRST_COLUMNS)}, folder, test/METRIC, validation/METRIC, fields of "
            "run.json and keys of the config, e.g. recipe.batch_size."
        )


def _matches(value: Any, wanted: str) -> bool:
    if _is_number(value):
        try:
            return math.isclose(value, float(wanted))
        except ValueError:
            return False
    return format_value(value).casefold() == wanted.casefold()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _key(value: Any) -> tuple[int, float, str] | None:
    """Sort key with numbers before text; None for missing values and NaN."""
    if isinstance(value, int | float):
        return None if math.isnan(value) else (0, float(value), "")
    return None if value is None else (1, 0.0, str(value).casefold())


def written(column: str, value: Any) -> str:
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
