"""Conditions on columns, ``category=shoes,price<50``: options ``where`` of items and of the log.

**Grammar.** Conditions are separated by commas, and all must hold. A condition is a column, one of
``= != > < >= <=``, and a value. A value in double quotes may contain commas; a quote in it is
written twice, as in CSV. Letter case is ignored. ``>``, ``<``, ``>=`` and ``<=`` compare numbers
and times. A missing value meets no condition, not even ``!=``. Conditions are parsed, and never
executed as code or SQL.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_lab.config import UserError

_CONDITION = re.compile(r"(.+?)(!=|>=|<=|=|>|<)(.*)", re.DOTALL)
_QUOTED = r'"((?:[^"]|"")*)"'
_COMMA = re.compile(f"(?<=[=<>]){_QUOTED}|(,)")
_INTEGER = re.compile(r"[+-]?\d+")


class Condition(NamedTuple):
    """One condition.

    Attributes:
        column: its name.
        sign: ``=``, ``!=``, ``>``, ``<``, ``>=`` or ``<=``.
        value: without quotes.
        text: the condition as written.
        option: named in errors.
    """

    column: str
    sign: str
    value: str
    text: str
    option: str

    @property
    def is_order(self) -> bool:
        """Whether it compares sizes."""
        return self.sign not in ("=", "!=")

    def number(self, example: object) -> float | int:
        """The value as a number; an int if it is written as one.

        Args:
            example: a value of the column, for the error.

        Raises:
            UserError: it is not a number.
        """
        if _INTEGER.fullmatch(self.value):
            return int(self.value)
        try:
            limit = float(self.value)
        except ValueError:
            limit = float("nan")
        if limit != limit:
            raise self._no_number(example)
        return limit

    def fits(self, values: pl.Series) -> pl.Series:
        """Whether each of some values fits; values and result have no nulls.

        Raises:
            UserError: sizes of texts are compared.
        """
        if not self.is_order and not values.dtype.is_numeric():
            equal = values.cast(pl.String).str.to_lowercase() == self.value.lower()
            return equal if self.sign == "=" else ~equal
        example = values[0] if len(values) else None
        limit = float(self.number(example))
        numbers = values.cast(pl.Float64, strict=False)
        if len(numbers) and numbers.null_count() == len(numbers):
            raise self._no_number(example)
        signs = {
            "=": numbers == limit, "!=": numbers != limit, ">": numbers > limit,
            "<": numbers < limit, ">=": numbers >= limit, "<=": numbers <= limit,
        }  # fmt: skip
        return signs[self.sign].fill_null(value=False)

    def _no_number(self, example: object) -> UserError:
        return UserError(
            f"{self.option}: {self.text!r}: {self.sign} compares numbers here, got {self.value!r} "
            f"and values such as {example!r}; use = or != for text"
        )


def parts_of(option: str | None) -> list[str]:
    """The parts of an option, which have commas between them: see the module."""
    if option is None:
        return []
    commas = [found.start() for found in _COMMA.finditer(option) if found[2]]
    bounds = pairwise([-1, *commas, len(option)])
    return [option[before + 1 : after].strip() for before, after in bounds]


def parse_condition(text: str, option: str) -> Condition:
    """One part of an option.

    Args:
        text: the condition.
        option: named in errors.

    Raises:
        UserError: it is malformed.
    """
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise UserError(
            f"{option}: {text!r} is not a condition: expected column=value, or one of "
            "!= > < >= <= instead of ="
        )
    column, sign, value = (part.strip() for part in match.groups())
    if value.startswith('"'):
        inside = re.fullmatch(_QUOTED, value)
        if inside is None:
            raise UserError(
                f"{option}: {text!r}: the quoted value does not end with its quote; write "
                f"'{column}{sign}\"a, b\"', and a quote inside it twice"
            )
        value = inside[1].replace('""', '"')
    return Condition(column, sign, value, text, option)


def meeting(condition: Condition, values: pl.Series) -> NDArray[np.bool_]:
    """Which of some values, or lists of values, meet a condition, bool (n,).

    In a column of lists one value must fit, for ``!=`` all.

    Raises:
        UserError: sizes of texts are compared.
    """
    rows = pl.DataFrame({"row": np.arange(len(values)), "value": values})
    if values.dtype == pl.List:
        rows = rows.explode("value")
    rows = rows.filter(pl.col("value").is_not_null())
    fits = condition.fits(rows["value"]).to_numpy()
    counts_n = np.bincount(rows["row"].to_numpy(), minlength=len(values))
    fitting_n = np.bincount(rows["row"].to_numpy()[fits], minlength=len(values))
    is_met_n: NDArray[np.bool_] = fitting_n > 0
    if condition.sign == "!=":
        is_met_n &= fitting_n == counts_n
    return is_met_n
