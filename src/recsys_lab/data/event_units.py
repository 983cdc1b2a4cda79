"""Columns of the coded log that say which events a split may ask for.

Shapes: T events.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from recsys_lab.config import UserError
from recsys_lab.data.events import EVENT, KIND
from recsys_lab.data.files import did_you_mean
from recsys_lab.data.npy import map_npy, npy_writer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from recsys_lab.data.events import Coded
    from recsys_lab.data.splits.base import Split

IS_TARGET = "is_target"
"""Column of `Coded` that tells whether an event may be a target, bool, where not all may."""

_CHUNK = 1 << 22


def with_units(coded: Coded, split: Split, scratch: Path) -> Coded:
    """The coded log with the columns that a split needs besides.

    Args:
        coded: the log.
        split: its ``target_events`` become the column `IS_TARGET`.
        scratch: where that is written.

    Raises:
        UserError: the log has no event types, or none of these.
    """
    wanted = split.config.target_events
    if wanted is None:
        return coded
    codes = _codes_of(coded, wanted)
    file = scratch / f"{IS_TARGET}.npy"
    kinds = coded.columns[KIND]
    with npy_writer(file, np.dtype(np.bool_), len(kinds)) as write:
        for first in range(0, len(kinds), _CHUNK):
            write(np.isin(kinds[first : first + _CHUNK], codes))
    return replace(coded, columns={**coded.columns, IS_TARGET: map_npy(file)})


def _codes_of(coded: Coded, wanted: Sequence[str]) -> list[int]:
    """Codes of some event types.

    Raises:
        UserError: for one that no event has.
    """
    option = f"split.target_events=[{','.join(wanted)}]"
    if KIND not in coded.columns:
        raise UserError(
            f"{option}: this log has no event types. Name their column with "
            "data.event_type_column where the source has one, or set split.target_events=null"
        )
    values = coded.values[KIND if KIND in coded.values else f"{EVENT}event_type"].to_pylist()
    kinds = coded.columns[KIND]
    counts = np.zeros(len(values) + 1, dtype=np.int64)  # of -1, missing, first
    for first in range(0, len(kinds), _CHUNK):
        counts += np.bincount(kinds[first : first + _CHUNK] + 1, minlength=len(counts))
    places = {str(value): code for code, value in enumerate(values) if counts[code + 1]}
    unknown = [kind for kind in wanted if kind not in places]
    if unknown or not wanted:
        said = f"no event is of type '{unknown[0]}'" if unknown else "no type is given"
        hint = did_you_mean(unknown[0], places) if unknown else ""
        listed = ", ".join(f"{kind} ({counts[code + 1]:,})" for kind, code in places.items())
        raise UserError(f"{option}: {said}.{hint} Types of the events that were kept: {listed}")
    return [places[kind] for kind in wanted]
