"""Rows in a Parquet file of ours, read as `recsys_lab.data.sources.table` reads a file."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from recsys_lab.config import UserError
from recsys_lab.data.sources.table import Table

if TYPE_CHECKING:
    from pathlib import Path

    from recsys_lab.data.raw import RawData

UNTYPED: dict[str, Any] = {
    "separator": None,
    "validation_path": None,
    "test_path": None,
    "quoted": True,
    "title_column": None,
    "items_path": None,
    "items_id_column": "item_id",
    "users_path": None,
    "users_id_column": "user_id",
}
"""Options of `Table` that a source without files may lack."""


def read_mapped(
    config: Any, staged: dict[str, Path], scratch: Path, names: dict[str, str]
) -> RawData:
    """The log in staged Parquet files.

    Args:
        config: has the column options of `Table`; what it lacks is as in `UNTYPED`.
        staged: ``path`` and, where there are, ``items_path`` and ``users_path``.
        scratch: as in `Reader.read_raw`.
        names: what stands for each of the files in errors.

    Raises:
        UserError: as `Table` does.
    """
    values: dict[str, Any] = {
        field.name: getattr(config, field.name, UNTYPED.get(field.name))
        for field in fields(Table.Config)
    }
    values |= {option: str(file) for option, file in staged.items()}
    try:
        return Table(Table.Config(**values)).read_raw(scratch)
    except UserError as error:
        message = str(error)
        for option, file in staged.items():
            for said in (f"data.{option}={file}", str(file)):
                message = message.replace(said, names[option])
        raise UserError(message) from error
