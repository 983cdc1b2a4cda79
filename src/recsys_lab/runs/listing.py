"""Lists runs as rows, filtered and sorted; as JSON and CSV. The table: `run_table`."""

from __future__ import annotations

import json
import logging
import math
import operator
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from recsys_lab.config import UserError, did_you_mean
from recsys_lab.moved import current_key, current_metric
from recsys_lab.pages.csv_text import rows_as_csv
from recsys_lab.pages.number_format import format_value
from recsys_lab.runs.epochs import EPOCHS
from recsys_lab.runs.failure import described, never_began
from recsys_lab.runs.find import LeftOut, flatten, run_folders
from recsys_lab.runs.record import RECORD, RunRecord
from recsys_lab.runs.run_table import FITTED, SETTINGS, metric_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

FIRST_COLUMNS = ("name", "model", "data", "seed", "status", "created", "seconds")
# No columns of a table.
_LEFT_OUT = ("epochs", "windows", "command", "packages", "files", "digest", "failure")

_log = logging.getLogger(__name__)

Row = dict[str, Any]
Known = dict["Path", tuple[tuple[int, ...], Row]]
"""Run directory -> the state of its record's files, and its row."""

_CONDITION = re.compile(r"(.*?)(>=|<=|!=|=|>|<)(.*)", re.DOTALL)
_ORDERS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}


def csv_columns(rows: Sequence[Row]) -> list[str]:
    """The usual columns for programs: `FIRST_COLUMNS`, the selection metrics, and the folder."""
    return [*FIRST_COLUMNS, *metric_columns(rows), "folder"]


def one_row(folder: Path) -> Row:
    """The row of one run, see `list_runs`; empty if there is none that can be read."""
    try:
        return _fields(RunRecord.load(folder))
    except UserError:
        return {}


def list_runs(folder: Path, known: Known | None = None) -> list[Row]:
    """One row per run below a folder, from ``run.json``.

    Args:
        folder: searched at any depth.
        known: rows of an earlier call, which are used for records that have not changed; updated.

    Returns:
        Rows with `FIRST_COLUMNS`, ``folder``, ``test/METRIC``, ``validation/METRIC``, ``failure``
        (why it failed), ``epoch`` ("3/20", of an unfinished run), ``never_began``, ``settings``
        (the flat config), ``fitted``, every other field of the record (``compute.seconds``) and
        every key of its config (``recipe.batch_size``). A record that cannot be read has the status
        "unreadable".

    Raises:
        UserError: there is no such folder.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "there is no such folder"
        raise UserError(f"dir: {folder}: {what}; give a folder with runs: recsys-lab runs DIR.")
    closed: list[LeftOut] = []
    known = {} if known is None else known
    rows = [_known_row(path, folder, known) for path in run_folders(folder, closed)]
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


def require_columns(columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Check requested columns.

    Raises:
        UserError: no run has the column.
    """
    for column in columns:
        _require(column, rows, "columns")


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


def _known_row(path: Path, folder: Path, known: Known) -> Row:
    """The row of one run, read again only if its record has changed."""
    now = _state(path)
    if path in known and known[path][0] == now:
        return known[path][1]
    row, record = row_of(path, folder)
    if isinstance(record, RunRecord) and record.values["status"] != "running":
        known[path] = now, row  # one that runs may be killed, which its files do not show
    return row


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


def _state(path: Path) -> tuple[int, ...]:
    """Changes whenever the record is written."""
    seen = []
    for name in (RECORD, EPOCHS):
        with suppress(OSError):
            stat = (path / name).stat()
            seen += [stat.st_mtime_ns, stat.st_size, stat.st_ino]
    return tuple(seen)


def _fields(record: RunRecord) -> Row:
    values: Mapping[str, Any] = record.values
    config = values["config"]
    settings = flatten(config)
    row = flatten({k: v for k, v in values.items() if k not in ("config", *_LEFT_OUT)})
    row |= (
        settings  # data.num_items is the option where there is one, else the size of the catalogue
    )
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
        "epoch": _epoch(record),
        "never_began": never_began(record),
        SETTINGS: settings,
        FITTED: record.done and not values.get("epochs") and "windows" not in values,
    }
    return row


def _epoch(record: RunRecord) -> str | None:
    """The last epoch of all, counted from 1, of a run that is not finished."""
    epochs = record.values.get("epochs")
    if record.done or not epochs:
        return None
    total = (record.values["config"].get("recipe") or {}).get("max_epochs", "?")
    return f"{int(epochs[-1]['epoch']) + 1}/{total}"


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
