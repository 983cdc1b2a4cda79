"""Raw ids of users and items: integers or strings, and nothing in between."""

from __future__ import annotations

import polars as pl
from polars.exceptions import PolarsError

from recsys_lab.config import UserError


def clean_ids(ids: pl.Series, source: str, *, untyped: bool) -> pl.Series:
    """Ids as int64 or strings.

    Numbers with a decimal point that are all whole (a column with gaps, written by pandas)
    become integers; NaN becomes null.

    Args:
        ids: the column.
        source: the file and its option, named in the errors.
        untyped: whether strings may stand for numbers: see `numbers_if_alike`.

    Raises:
        UserError: for other types, and numbers that are not whole.
    """
    where = f"{source}: id column '{ids.name}'"
    if ids.dtype == pl.Categorical or isinstance(ids.dtype, pl.Enum):
        ids = ids.cast(pl.String)
    if ids.dtype == pl.String:
        return numbers_if_alike(ids) if untyped else ids
    if ids.dtype.is_float():
        ids = ids.fill_nan(None)
        odd = (ids != ids.floor()).fill_null(False) | ids.is_infinite().fill_null(False)
        if odd.any():
            row = int(odd.arg_max() or 0)
            raise UserError(
                f"{where} holds {ids[row]} in row {row + 1}; ids are whole numbers or strings"
            )
    elif not (ids.dtype.is_integer() or ids.dtype == pl.Null):
        raise UserError(f"{where} is of type {ids.dtype}; ids are integers or strings")
    try:
        return ids.cast(pl.Int64)
    except PolarsError as error:
        raise UserError(f"{where} holds numbers beyond 64 bits; write them as strings") from error


def numbers_if_alike(ids: pl.Series) -> pl.Series:
    """Text as int64, if every value is a whole number written in the one usual way.

    So 007 and 7 stay two ids. Blank values count as missing.
    """
    blank = (ids.str.strip_chars() == "").fill_null(True)
    numbers = ids.cast(pl.Int64, strict=False)
    alike = (numbers.cast(pl.String) == ids).fill_null(False) | blank
    return numbers if alike.all() and not blank.all() else ids
