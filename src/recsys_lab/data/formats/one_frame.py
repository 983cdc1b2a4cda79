"""Frames of several files with the same columns and types, ready to be concatenated."""

from __future__ import annotations

import polars as pl

from recsys_lab.data.formats.delimited import SHORT
from recsys_lab.data.formats.listing import Listed
from recsys_lab.data.formats.table_file import Opened


def selected(listed: list[Listed], opened: list[Opened], columns: list[str]) -> list[pl.LazyFrame]:
    """The columns of each file; columns that it lacks come from its folder's ``key=value`` name.

    Args:
        listed: the files.
        opened: the same files, opened.
        columns: to read; `SHORT` is added if any file has it.
    """
    marked = [SHORT in one.frame.collect_schema() for one in opened]
    frames = []
    for file, one, has_mark in zip(listed, opened, marked, strict=True):
        folders = {
            name: pl.lit(value, dtype=pl.String).alias(name)
            for name, value in file.partition.items()
            if name not in one.columns
        }
        mark = pl.col(SHORT) if has_mark else pl.lit(value=False).alias(SHORT)
        frames.append(
            one.frame.select(
                *(folders.get(name, pl.col(name)) for name in columns),
                *([mark] if any(marked) else []),
            )
        )
    return frames


def family(kind: pl.DataType) -> str:
    """The family of a type; casts between families change the meaning of values."""
    if kind == pl.String or isinstance(kind, pl.Categorical | pl.Enum):
        return "text"
    if kind.is_numeric():
        return "numbers"
    if isinstance(kind, pl.Date | pl.Datetime):
        return "times"
    return str(kind)


def of_one_type(frames: list[pl.LazyFrame], schemas: list[pl.Schema]) -> list[pl.LazyFrame]:
    """Cast texts to strings and times to UTC where the files' types differ within a family."""
    for column in schemas[0]:
        kinds = {str(schema[column]) for schema in schemas if schema[column] != pl.Null}
        if len(kinds) < 2:
            continue
        value = pl.col(column)
        for i, schema in enumerate(schemas):
            kind = schema[column]
            if family(kind) == "text":
                frames[i] = frames[i].with_columns(value.cast(pl.String))
            elif isinstance(kind, pl.Datetime) and kind.time_zone is not None:
                frames[i] = frames[i].with_columns(value.dt.convert_time_zone("UTC"))
            elif family(kind) == "times":
                moment = value.cast(pl.Datetime("us")) if kind == pl.Date else value
                frames[i] = frames[i].with_columns(moment.dt.replace_time_zone("UTC"))
    return frames
