"""A folder whose files are not one log: which of them to give."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from recsys_lab.config import UserError, command_line
from recsys_lab.data.formats.listing import Listed
from recsys_lab.data.formats.table_file import SUFFIXES, form_of
from recsys_lab.data.formats.text_check import unpacked

_SHOWN = 8
_JSON = (".jsonl", ".ndjson")


def files_to_give(path: str, suffixes: Sequence[str]) -> str:
    """The commands for the single files of a folder; empty for another path.

    Args:
        path: as the user wrote it.
        suffixes: of files that can be read, besides those of tables.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        return ""
    files = [
        file
        for file in sorted(folder.rglob("*"))
        if form_of(file.name).suffix in (*SUFFIXES, *suffixes) and file.is_file()
        if not any(part.startswith(("_", ".")) for part in file.relative_to(folder).parts)
    ]
    more = [f"and {len(files) - _SHOWN} more"] if len(files) > _SHOWN else []
    commands = [command_line("init", str(file)) for file in files[:_SHOWN]]
    lines = [f"  {line}" for line in [*commands, *more]]
    return "\n".join(["\nGive the one with the events:", *lines]) if files else ""


def require_same_columns(files: Sequence[Listed], path: str) -> None:
    """Refuse files that are several tables, not the parts of one.

    Raises:
        UserError: two files have other columns; lines of JSON are not compared.
    """
    files = [file for file in files if Path(file.location).stat().st_size]
    first = _columns(files[0], path) if files else []
    for file in files[1:]:
        if (other := _columns(file, path)) != first:
            raise UserError(
                f"{path}: its files are not the parts of one table: {files[0].shown} has "
                f"{', '.join(first)}; {file.shown} has {', '.join(other)}"
            )


def _columns(file: Listed, path: str) -> list[str]:
    form = form_of(file.name)
    if form.suffix in _JSON:
        return []
    if form.suffix == ".parquet":
        return sorted(pl.read_parquet_schema(file.location))
    with unpacked(Path(file.location), form.compression, path) as stream:
        line = stream.read(1 << 16).partition(b"\n")[0].decode("utf-8-sig", errors="replace")
    return sorted(re.split(r"[,;\t|]", line.strip()))
