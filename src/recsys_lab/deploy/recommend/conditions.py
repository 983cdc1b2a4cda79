"""The options ``where`` and ``cap``: conditions on item columns, and caps per value."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from recsys_lab.config import UserError
from recsys_lab.experiment.recommend.item_rules import Cap, item_column

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recsys_lab.data.prepared import PreparedDataset

_CONDITION = re.compile(r"(.+?)(!=|>=|<=|=|>|<)(.*)", re.DOTALL)
_QUOTED = r'"((?:[^"]|"")*)"'
_COMMA = re.compile(f"(?<=[=<>]){_QUOTED}|(,)")


def parts_of(option: str | None) -> list[str]:
    """The parts of an option, which have commas between them.

    A value in double quotes may have commas; a quote in it is written twice, as in CSV.
    """
    if option is None:
        return []
    commas = [found.start() for found in _COMMA.finditer(option) if found[2]]
    bounds = pairwise([-1, *commas, len(option)])
    return [option[before + 1 : after].strip() for before, after in bounds]


def fulfilled(data: PreparedDataset, condition: str) -> NDArray[np.bool_]:
    """Which items meet a condition ``column=value``, (V,).

    Also ``!=``, and for numbers ``>``, ``<``, ``>=``, ``<=``. Letter case is ignored. In a column
    of lists one value must fit, for ``!=`` all. An item without a value meets no condition. The
    value may be in double quotes: see `parts_of`.

    Raises:
        UserError: it is malformed, or there is no such column.
    """
    match = _CONDITION.fullmatch(condition)
    if match is None:
        raise UserError(
            f"where: {condition!r} is not a condition: expected column=value, or one of "
            "!= > < >= <= instead of ="
        )
    column, sign, wanted = (part.strip() for part in match.groups())
    if wanted.startswith('"'):
        inside = re.fullmatch(_QUOTED, wanted)
        if inside is None:
            raise UserError(
                f"where: {condition!r}: the quoted value does not end with its quote; write "
                f"'{column}{sign}\"a, b\"', and a quote inside it twice"
            )
        wanted = inside[1].replace('""', '"')
    values = item_column(data, column, "where")
    rows = pl.DataFrame({"item": np.arange(len(values)), "value": values})
    if values.dtype == pl.List:
        rows = rows.explode("value")
    rows = rows.filter(pl.col("value").is_not_null())
    fits = _fits(rows["value"], sign, wanted, condition).fill_null(value=False).to_numpy()
    counts_V = np.bincount(rows["item"].to_numpy(), minlength=len(values))
    fitting_V = np.bincount(rows["item"].to_numpy()[fits], minlength=len(values))
    is_met_V: NDArray[np.bool_] = fitting_V > 0
    if sign == "!=":
        is_met_V &= fitting_V == counts_V
    return is_met_V


def read_caps(data: PreparedDataset, option: str | None) -> tuple[Cap, ...]:
    """Caps ``column:number`` on the items of a list with equal values.

    Raises:
        UserError: one is malformed or given twice, or there is no such column.
    """
    caps: dict[str, Cap] = {}
    for text in parts_of(option):
        column, colon, most = text.rpartition(":")
        if not colon or not column or not most.isdecimal() or int(most) < 1:
            raise UserError(
                f"cap: got {text!r}, expected COLUMN:NUMBER with a number of at least 1, e.g. "
                "cap=category:3"
            )
        if column in caps:
            raise UserError(f"cap: {column} is given twice; give one number")
        caps[column] = Cap.of(column, int(most), item_column(data, column, "cap"))
    return tuple(caps.values())


def _fits(values: pl.Series, sign: str, wanted: str, condition: str) -> pl.Series:
    """Whether values, none of them null, fit."""
    if sign in ("=", "!=") and not values.dtype.is_numeric():
        equal = values.cast(pl.String).str.to_lowercase() == wanted.lower()
        return equal if sign == "=" else ~equal
    numbers = values.cast(pl.Float64, strict=False)
    try:
        limit = float(wanted)
    except ValueError:
        limit = float("nan")
    if limit != limit or (len(numbers) and numbers.null_count() == len(numbers)):
        raise UserError(
            f"where: {condition!r}: {sign} compares numbers here, got {wanted!r} and values such "
            f"as {values[0] if len(values) else None!r}; use = or != for text"
        )
    signs = {
        "=": numbers == limit, "!=": numbers != limit, ">": numbers > limit,
        "<": numbers < limit, ">=": numbers >= limit, "<=": numbers <= limit,
    }  # fmt: skip
    return signs[sign]
