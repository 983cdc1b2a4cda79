"""Reads staged Parquet files in the same way as `recsys_lab.data.sources.table`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from recsys_lab.config import UserError
from recsys_lab.data.columns.conditions import Condition
from recsys_lab.data.raw import RawData
from recsys_lab.data.sources.options import ColumnOptions
from recsys_lab.data.sources.table import Table

NO_FILES: dict[str, Any] = {
    "separator": None,
    "quoted": True,
    "items_path": None,
    "users_path": None,
}


def read_mapped(
    config: ColumnOptions,
    staged: dict[str, Path],
    scratch: Path,
    names: dict[str, str],
    conditions: Sequence[Condition],
    ids: tuple[str, str] = ("item_id", "user_id"),
) -> RawData:
    """Read the log from staged Parquet files.

    Args:
        config: the columns.
        staged: ``path`` and, if they exist, ``items_path`` and ``users_path``.
        scratch: as in `Reader.read_raw`.
        names: the name of each file in errors.
        conditions: of ``filter.where``.
        ids: columns of the ids in the tables of items and users.

    Raises:
        UserError: as `Table` does.
    """
    columns = {field.name: getattr(config, field.name) for field in fields(ColumnOptions)}
    files = {option: str(file) for option, file in staged.items()}
    own = {"items_id_column": ids[0], "users_id_column": ids[1]}
    try:
        table = Table(Table.Config(**{**NO_FILES, **own, **columns, **files}))
        table.where_conditions = conditions
        return table.read_raw(scratch)
    except UserError as error:
        message = str(error)
        for option, file in files.items():
            for internal in (f"data.{option}={file}", file):
                message = message.replace(internal, names[option])
        raise UserError(message) from error
