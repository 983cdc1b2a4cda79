"""``filter.where`` and ``filter.exclude_items`` as rules, equal on every engine.

Numbers and times are compared by the engine. Texts are compared here, once per distinct value, and
joined to the rows, because engines differ in lower case and in the order of texts.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import narwhals as nw
import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from recsys_lab.config import UserError, did_you_mean
from recsys_lab.data.columns.conditions import Condition, meeting
from recsys_lab.data.columns.timestamps import parse_date
from recsys_lab.data.engines.base import ROW, Frame, Session
from recsys_lab.data.formats.delimited import SHORT
from recsys_lab.data.preparation.codes import describe_ids, distinct, trimmed
from recsys_lab.data.preparation.excluded_items import is_excluded
from recsys_lab.data.preparation.row_filters import Filters, Rule
from recsys_lab.data.preparation.source_warnings import decimal_hint
from recsys_lab.data.raw import PART, SEPARATOR, LogColumn, RawData

_SIDES = ("item", "user")
_SIGNS: Mapping[str, Callable[[nw.Expr, Any], nw.Expr]] = {
    "=": operator.eq, "!=": operator.ne, ">": operator.gt, "<": operator.lt,
    ">=": operator.ge, "<=": operator.le,
}  # fmt: skip
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_FLAG = "_meets"


class RowConditions:
    """Turns conditions into rules over a frame.

    Args:
        session: of the engine.
        frame: the log with the codes of ids, ``_user`` and ``_item``.
        columns: the names of the log's columns.
        raw: for further names of columns, and the tables of items and users.
        values: the raw ids of ``user`` and ``item``, by code.

    Attributes:
        frame: as given, with the columns that the rules read.
        warnings: about ids that do not occur.
    """

    def __init__(
        self,
        session: Session,
        frame: Frame,
        columns: Sequence[str],
        raw: RawData,
        values: Mapping[str, pa.Array],
    ) -> None:
        self._session, self.frame, self._raw, self._values = session, frame, raw, values
        self._columns = _names(columns, raw)
        self._flags = 0
        self.warnings: list[str] = []

    def rules(self, filters: Filters) -> list[Rule]:
        """One rule per condition, and one for excluded items.

        Raises:
            UserError: a condition names an unknown column, or compares unlike values.
        """
        rules = [
            Rule("where", f"does not meet {condition.text}", self._fails(condition))
            for condition in filters.conditions
        ]
        if filters.config.exclude_items is not None:
            excluded_V, warnings = is_excluded(filters.excluded, self._values["item"])
            self.warnings += warnings
            fails = self._of_codes("item", excluded_V)
            rules.append(Rule("excluded items", "item of filter.exclude_items", fails))
        return rules

    def _fails(self, condition: Condition) -> nw.Expr:
        """True for rows that do not meet a condition."""
        column = self._columns.get(condition.column)
        side, _, name = condition.column.partition(".")
        if column is None and name and side in _SIDES and name in self._of_table(side):
            return ~self._of_codes(side, meeting(condition, self._described(side, name)))
        if column is None:
            raise self._unknown(condition)
        if column.name in ("user_id", "item_id"):
            ids = pl.from_arrow(self._values[column.name.removesuffix("_id")])
            assert isinstance(ids, pl.Series)
            return ~self._of_codes(column.name.removesuffix("_id"), meeting(condition, ids))
        kind, value = self.frame.collect_schema()[column.name], nw.col(column.name)
        if column.is_time:
            return value.is_null() | ~_SIGNS[condition.sign](value, _seconds(condition))
        if kind == nw.Boolean:
            return value.is_null() | ~_SIGNS[condition.sign](value, _truth(condition))
        if kind.is_numeric():
            return _number_fails(condition, value, is_float=kind.is_float())
        return self._text_fails(condition, column)

    def _text_fails(self, condition: Condition, column: LogColumn) -> nw.Expr:
        self.frame = trimmed(self.frame, [column.name])
        values = distinct(self.frame, column.name)
        texts = pl.from_arrow(values)
        assert isinstance(texts, pl.Series)
        try:
            is_met_n = meeting(condition, texts)
        except UserError as error:
            commas = next(filter(None, map(decimal_hint, texts.drop_nulls())), "")
            cure = f"{commas} {column.as_numbers}" if commas and column.as_numbers else ""
            raise UserError(f"{error}{cure}") from None
        return ~self._joined(column.name, values, is_met_n)

    def _of_codes(self, side: str, flags_R: NDArray[np.bool_]) -> nw.Expr:
        """A flag of every item or user, for its rows; false for rows without one."""
        return self._joined(f"_{side}", pa.array(np.arange(len(flags_R), dtype=np.int32)), flags_R)

    def _joined(self, column: str, values: pa.Array, flags_R: NDArray[np.bool_]) -> nw.Expr:
        """A flag of every value of a column, for its rows; false for other rows."""
        flag = f"{_FLAG}_{self._flags}"
        self._flags += 1
        key = f"{flag}_value"
        table = self._session.table(pa.table({key: values, flag: flags_R}))
        self.frame = self.frame.join(table, left_on=column, right_on=key, how="left")
        return nw.when(nw.col(flag)).then(nw.lit(value=True)).otherwise(nw.lit(value=False))

    def _of_table(self, side: str) -> list[str]:
        """The columns of the table of items or users."""
        table = self._raw.items if side == "item" else self._raw.users
        return [] if table is None else [name for name in table.columns if name != f"{side}_id"]

    def _described(self, side: str, column: str) -> pl.Series:
        """A column of the table of items or users, one value per code."""
        table = self._raw.items if side == "item" else self._raw.users
        values = describe_ids(self._values[side], side, table)[0][column]
        kinds = self._raw.features.items if side == "item" else self._raw.features.users
        if kinds.get(column) == "list" and values.dtype == pl.String:
            values = values.str.split(SEPARATOR)
        return values

    def _unknown(self, condition: Condition) -> UserError:
        names = [*self._columns, *(f"{s}.{name}" for s in _SIDES for name in self._of_table(s))]
        return UserError(
            f"{condition.option}: {condition.text!r}: the log has no column {condition.column!r}"
            f"{did_you_mean(condition.column, names)} It has: {', '.join(names)}"
        )


def _names(columns: Sequence[str], raw: RawData) -> dict[str, LogColumn]:
    """The names that conditions may use, and the column that each means."""
    hidden = {PART, SHORT, ROW, *(one.name for one in raw.aliases.values() if one.name[0] == "_")}
    hidden |= {column.present for side in raw.from_log.values() for column in side.values()}
    own = {name: LogColumn(name, name == "timestamp") for name in columns if name not in hidden}
    return {**own, **raw.aliases}


def _number_fails(condition: Condition, value: nw.Expr, *, is_float: bool) -> nw.Expr:
    limit = condition.number(0)
    if is_float or isinstance(limit, float) or abs(limit) >= 2**63:
        numbers, limit = value.cast(nw.Float64), float(limit)
        return numbers.is_null() | numbers.is_nan() | ~_SIGNS[condition.sign](numbers, limit)
    return value.is_null() | ~_SIGNS[condition.sign](value.cast(nw.Int64), limit)


def _seconds(condition: Condition) -> int:
    """The value of a condition on a time, in seconds since the epoch.

    Raises:
        UserError: it is not a date, or a whole day where a moment is needed.
    """
    where = f"{condition.option}: {condition.text!r}"
    if "-" not in condition.value:
        raise UserError(
            f"{where}: a time is compared with a date or a time in ISO 8601, e.g. "
            f"{condition.column}>=2026-01-31 or {condition.column}<2026-01-31T18:00"
        )
    if _DAY.fullmatch(condition.value) and condition.sign not in (">=", "<"):
        raise UserError(
            f"{where}: a day is not a moment. Use >= (from the beginning of that day) or < (before "
            f"it), or give a time, e.g. {condition.column}{condition.sign}{condition.value}T18:00"
        )
    return int(parse_date(where, condition.value).timestamp())


def _truth(condition: Condition) -> bool:
    known = {"true": True, "false": False}.get(condition.value.lower())
    if known is None or condition.is_order:
        raise UserError(
            f"{condition.option}: {condition.text!r}: the column holds true and false; expected "
            f"{condition.column}=true, {condition.column}=false or != instead of ="
        )
    return known
