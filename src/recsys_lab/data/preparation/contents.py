"""Writes the files of a prepared dataset and collects the entries of its manifest."""

from __future__ import annotations

import logging
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_lab.config import UserError
from recsys_lab.data.engines.base import Engine
from recsys_lab.data.features.first_values import values_of
from recsys_lab.data.leaks.check import KINDS, check_columns, check_leaks, in_order
from recsys_lab.data.leaks.columns import Columns
from recsys_lab.data.leaks.world import World
from recsys_lab.data.preparation.codes import describe_ids
from recsys_lab.data.preparation.encode_events import TIE_RULE, Coded, order_events
from recsys_lab.data.preparation.event_units import content_of, known_runs, with_targets
from recsys_lab.data.preparation.history_filters import HistoryFilters
from recsys_lab.data.preparation.manifest import features_fingerprint, fingerprint
from recsys_lab.data.preparation.parts import dropped_row_notes, time_order_notes
from recsys_lab.data.preparation.row_counts import RowCounts
from recsys_lab.data.preparation.row_filters import Filters
from recsys_lab.data.preparation.source_warnings import (
    number_warnings,
    table_warnings,
    time_warnings,
)
from recsys_lab.data.preparation.statistics import describe
from recsys_lab.data.preparation.table_items import cold_item_notes, count_table_items, listed_items
from recsys_lab.data.preparation.training_filters import filter_training
from recsys_lab.data.preparation.write import (
    Arrays,
    write_arrays,
    write_features,
    write_interactions,
)
from recsys_lab.data.raw import RawData
from recsys_lab.data.splits.base import FlatLog, Segments, Split
from recsys_lab.files.arrays import save_npy

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Preparation:
    """The components that make a dataset out of a source.

    Attributes:
        filters: select the events.
        split: selects the targets.
        engine: runs the work; all engines give the same bytes.
    """

    filters: Filters
    split: Split
    engine: Engine

    def settings(self) -> dict[str, Any]:
        """The settings that change the result, for the key and the fingerprint."""
        return {"filter": self.filters.settings(), "split": self.split.settings()}


def write_contents(folder: Path, scratch: Path, raw: RawData, parts: Preparation) -> dict[str, Any]:
    """Write all files except the manifest and return the entries of the manifest.

    Raises:
        UserError: if no training events or no targets are left. Warnings about ids are logged
            first, as they may be the reason.
    """
    row_counts = RowCounts()
    with parts.engine.open(scratch) as session:
        coded = order_events(session, raw, parts.filters, row_counts, scratch)
    try:
        return _write_coded(coded, row_counts, folder, scratch, raw, parts)
    except UserError:
        for warning in coded.warnings:
            _log.warning("%s", warning)
        raise


def _write_coded(
    coded: Coded,
    row_counts: RowCounts,
    folder: Path,
    scratch: Path,
    raw: RawData,
    parts: Preparation,
) -> dict[str, Any]:
    listed = listed_items(raw, parts.filters)
    if parts.split.config.target_events is not None:
        coded = with_targets(coded, parts.split.config.target_events, scratch)
    warnings = [*coded.warnings, *time_order_notes(coded, parts.split)]
    trim = HistoryFilters(coded.columns, len(coded.values["user"]), len(coded.values["item"]))
    trim.apply(parts.filters, row_counts)
    if parts.filters.config.counts == "training":
        filter_training(trim, coded.columns, parts.filters, parts.split, row_counts, scratch)
    trim.sample(parts.filters, row_counts)
    arrays = write_arrays(coded, trim, folder, scratch, listed)
    _refuse_one_user(arrays.offsets)
    num_items = len(arrays.item_ids)
    runs = known_runs(trim, coded.columns, parts.filters, parts.split, scratch)
    log = FlatLog(
        arrays.items,
        arrays.offsets,
        arrays.timestamps,
        num_items,
        arrays.parts,
        arrays.is_target,
        runs.sessions,
        runs.baskets,
    )
    if log.sessions is not None:
        save_npy(folder / "sessions.npy", log.sessions)
    phases = parts.split.segments(log)
    held_out = parts.split.held_out_phases
    world = World(log, phases, parts.filters, arrays.item_ids, arrays.user_ids, held_out)
    with ThreadPoolExecutor() as pool:  # independent tasks that release Python's lock
        leaks = pool.submit(check_leaks, world)
        statistics = pool.submit(describe, log, phases)
        mark = pool.submit(_fingerprint, log, arrays, parts)
        write_interactions(arrays, log.sessions, trim, folder / "interactions.parquet")
        rows = _write_split(phases, folder)
        warnings += [
            *runs.warnings,
            *time_warnings(arrays.timestamps),
            *dropped_row_notes(raw, arrays.parts),
        ]
        warnings += _write_tables(arrays, raw, phases.train, folder)
        warnings += cold_item_notes(arrays.items_without_events, num_items)
        features = write_features(raw.features, coded, arrays, phases.train, folder)
        of_columns = check_columns(world, Columns(folder, features))
        if raw.truth_path is not None:
            shutil.copyfile(raw.truth_path, folder / "truth.npz")
    return {
        "num_users": len(arrays.offsets) - 1,
        "num_items": num_items,
        "num_interactions": len(arrays.items),
        "has_timestamps": arrays.timestamps is not None,
        "tie_rule": TIE_RULE,
        "settings": parts.settings(),
        "counts": row_counts.counts,
        "unreadable": {name: values._asdict() for name, values in raw.unreadable.items()},
        "warnings": warnings,
        "split": {
            **parts.split.settings(),
            **rows,
            **runs.counts,
            **phases.counts,
            **count_table_items(arrays.item_ids, arrays.items_without_events, raw.items),
        },
        "features": features,
        "features_fingerprint": features_fingerprint(folder, features),
        "leaks": [leak.to_json() for leak in in_order([*leaks.result(), *of_columns])],
        "leak_kinds": list(KINDS),
        "statistics": statistics.result(),
        "fingerprint": mark.result(),
    }


def _write_tables(
    arrays: Arrays, raw: RawData, train: NDArray[np.int64], folder: Path
) -> list[str]:
    """Write the tables of items and users; return warnings about the source."""
    warnings = [*raw.warnings, *number_warnings(raw.unreadable)]
    for side, ids, table, features in (
        ("item", arrays.item_ids, raw.items, raw.features.items),
        ("user", arrays.user_ids, raw.users, raw.features.users),
    ):
        described, matched = describe_ids(ids, side, table)
        cold = arrays.items_without_events if side == "item" else 0
        described = described.with_columns(values_of(raw, side, arrays, train, features))
        described.write_parquet(folder / f"{side}s.parquet")
        warnings += table_warnings(side, ids, table, matched, cold)
    return warnings


def _write_split(phases: Segments, folder: Path) -> dict[str, int]:
    """Write the rows of each phase; return their numbers."""
    rows = {"train": phases.train, "validation": phases.validation, "test": phases.test}
    for label, array in rows.items():
        save_npy(folder / f"{label}.npy", array)
    save_npy(folder / "dropped_targets.npy", phases.dropped_targets)
    return {f"{label}_rows": len(array) for label, array in rows.items()}


def _fingerprint(log: FlatLog, arrays: Arrays, parts: Preparation) -> str:
    given = (arrays.timestamps, arrays.parts)
    content = [arrays.items, arrays.offsets, *(array for array in given if array is not None)]
    content += content_of(log, parts.split)
    rules = {"tie_rule": TIE_RULE, **parts.settings()}
    return fingerprint(content, [arrays.user_ids, arrays.item_ids], rules)


def _refuse_one_user(offsets: NDArray[np.int64]) -> None:
    if len(offsets) == 2:
        raise UserError(
            f"only one user is left, with {offsets[-1]} events; expected several. Check "
            "data.user_column and the filter settings"
        )
