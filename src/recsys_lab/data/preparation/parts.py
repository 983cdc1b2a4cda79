"""Published splits: the part (train, validation, test) that a source states for each row.

Shapes: T events in order of user, part, time, order and row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import narwhals as nw
import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_lab.config import UserError
from recsys_lab.data.columns.column_plan import ColumnPlan
from recsys_lab.data.features.first_values import is_before
from recsys_lab.data.preparation.encode_events import Coded
from recsys_lab.data.raw import PART, RawData
from recsys_lab.data.splits.base import Split
from recsys_lab.data.splits.given import NO_PARTS, Given

WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test",),
}
"""Part -> the words that mean it, in any case; parts are numbered in this order."""

_EXAMPLE = {str(number): part for number, part in enumerate(WORDS)}
_NUMBERS = {word: number for number, words in enumerate(WORDS.values()) for word in words}


def plan_parts(frame: pl.LazyFrame, column: str, where: str) -> tuple[ColumnPlan, dict[str, int]]:
    """Plan how a column of words becomes `PART`.

    Args:
        frame: the source.
        column: has one word per row.
        where: the option and the path, named in errors.

    Returns:
        The plan, and the number of rows of each part.

    Raises:
        UserError: for a value that is not the name of a part, or is missing.
    """
    stored = frame.collect_schema()[column]
    if stored.is_nested():
        raise UserError(f"{where}: column '{column}' is of type {stored}; expected a word per row")
    text = pl.col(column).cast(pl.String)
    table = frame.group_by(text.alias("word")).len().collect(engine="streaming")
    counts = dict(table.sort("len", "word", descending=[True, False]).iter_rows())
    wrong = {word: rows for word, rows in counts.items() if _part_of(word) is None}
    if wrong:
        shown = ", ".join(f"{word!r} ({rows:,} rows)" for word, rows in list(wrong.items())[:3])
        raise UserError(
            f"{where}: column '{column}' holds words that are not parts: {shown}. Allowed: "
            f"{'; '.join(', '.join(words) for words in WORDS.values())}. Write these into the "
            f"column, e.g. with Polars, for 0, 1, 2: log.with_columns(pl.col('{column}')"
            f".cast(pl.String).replace({_EXAMPLE}))"
        )
    words: list[list[str]] = [[], [], []]
    rows = dict.fromkeys(WORDS, 0)
    for word, number in counts.items():
        part = _part_of(word)
        assert part is not None
        words[part].append(word)
        rows[list(WORDS)[part]] += number

    def make(values: nw.Expr) -> nw.Expr:
        text = values.cast(nw.String)
        later = nw.when(text.is_in(words[1])).then(nw.lit(1)).otherwise(nw.lit(2))
        return nw.when(text.is_in(words[0])).then(nw.lit(0)).otherwise(later).cast(nw.Int8)

    return ColumnPlan(column, None, make), rows


def _part_of(word: str | None) -> int | None:
    return None if word is None else _NUMBERS.get(word.strip().lower())


def require_parts(raw: RawData, split: Split) -> None:
    """Check that a source with parts is used with the split ``given``, and the other way round.

    Raises:
        UserError: if only one of them has parts, or a part has no row.
    """
    rows = raw.part_rows
    if rows is None:
        if isinstance(split, Given):
            raise UserError(NO_PARTS)
        return
    shown = ", ".join(f"{part} {number:,}" for part, number in rows.items())
    if not isinstance(split, Given):
        raise UserError(
            f"split={split.settings()['name']}: the source states the part of every row ({shown} "
            "rows), which this split would ignore. Use split=given; for another split leave out "
            "data.part_column, data.validation_path and data.test_path, or join RecBole's files "
            "into one"
        )
    missing = [part for part, number in rows.items() if not number]
    if missing:
        raise UserError(
            f"split=given: the source has no row of {' and '.join(missing)} (rows: {shown}); all "
            "three parts are needed: validation chooses the model and test evaluates it"
        )


def time_order_notes(coded: Coded, split: Split) -> list[str]:
    """A note if parts contradict the order of time and the split allows it.

    Raises:
        UserError: if the split does not allow it.
    """
    if not isinstance(split, Given):
        return []
    users = coded.columns["user"]
    indices = _out_of_order(coded.columns)
    if not len(indices):
        return []
    number, total = len(np.unique(users[indices])), len(np.unique(users))
    user = coded.values["user"][int(users[indices[0]])].as_py()
    parts = [list(WORDS)[coded.columns[PART][indices[0] + step]] for step in (1, 0)]
    message = (
        f"split=given: {number:,} of {total:,} users have a row that is earlier than one of the "
        f"preceding part, such as user {user!r}: {parts[0]} earlier than {parts[1]}"
    )
    if split.config.out_of_order == "refuse":
        raise UserError(
            f"{message}. Their histories would hold events after the target. Correct the parts, "
            "or set split.out_of_order=keep, as published random splits need"
        )
    return [f"{message}. Their histories hold events after the target"]


def _out_of_order(columns: Mapping[str, Any]) -> NDArray[np.int64]:
    """Indices of a part's last events that are later than the first of the user's next part."""
    users, parts = columns["user"], columns[PART]
    last = np.flatnonzero((users[1:] == users[:-1]) & (parts[1:] != parts[:-1]))
    keys = [columns[name] for name in ("timestamp", "order") if name in columns]
    if not keys:
        return np.empty(0, dtype=np.int64)
    return last[is_before([key[last + 1] for key in keys], [key[last] for key in keys])]


def dropped_row_notes(raw: RawData, parts_T: NDArray[np.int8] | None) -> list[str]:
    """A note if rows of the published validation or test part were dropped."""
    if parts_T is None or raw.part_rows is None:
        return []
    left = dict(zip(WORDS, np.bincount(parts_T, minlength=len(WORDS)).tolist(), strict=True))
    lost = [
        f"{rows - left[part]:,} of {rows:,} {part} rows"
        for part, rows in raw.part_rows.items()
        if part != "train" and rows > left[part]
    ]
    if not lost:
        return []
    return [
        f"split=given: {' and '.join(lost)} were dropped by filters or as bad rows (see the counts "
        "of rows): results are not those of the published split"
    ]
