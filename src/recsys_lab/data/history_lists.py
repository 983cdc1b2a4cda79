"""Histories as lists of raw item ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from recsys_lab.config import UserError

Histories = Iterable[Iterable[Any]] | pl.DataFrame
"""Raw item ids of each history, oldest first; or a frame of events.

See `recsys_lab.data.given_histories.HistoryReader`.
"""

_EXAMPLE = "[['i7', 'i3'], ['i5']]"


def as_lists(histories: Iterable[Iterable[Any]]) -> list[list[Any]]:
    """Histories as lists: they are read twice and may be generators.

    Raises:
        UserError: they are not sequences of sequences of ids.
    """
    if not _is_sequence(histories):
        hint = "; call .collect() on a LazyFrame" if isinstance(histories, pl.LazyFrame) else ""
        raise UserError(
            f"histories: got {type(histories).__name__}; give a list of histories, e.g. "
            f"{_EXAMPLE}, or a polars frame of events with user_id and item_id{hint}"
        )
    lists = []
    for number, history in enumerate(histories):
        if not _is_sequence(history):
            raise UserError(
                f"histories[{number}]: got {history!r}; each history is a list of item ids, "
                f"e.g. {_EXAMPLE}"
            )
        lists.append(list(history))
    return lists


def _is_sequence(value: Any) -> bool:
    """Whether a value is an iterable of elements; mappings and texts are not."""
    return isinstance(value, Iterable) and not isinstance(
        value, str | bytes | Mapping | pl.LazyFrame
    )
