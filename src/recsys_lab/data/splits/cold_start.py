"""Common steps of all splits: cold users and items, counts, and errors if nothing is left.

Shapes: U users, T events concatenated by user, V items, n rows of one phase, G targets.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from recsys_lab.config import UserError
from recsys_lab.data.splits.base import FlatLog, Segments
from recsys_lab.data.splits.ranges import count_items, flat_index, range_chunks, row_chunks

Cold = Literal["keep", "drop", "report"]
"""``keep`` them silently; ``drop`` and count them; or keep them and ``report`` their number."""


def target_ranges(
    rows_n4: NDArray[np.int64], dropped: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The targets of rows of validation or test.

    Args:
        rows_n4: (user, history start, history end, target end).
        dropped: indices that are not targets, ascending.

    Returns:
        Index of every target, (G,), and the number of its row, (G,), ascending.
    """
    lengths = rows_n4[:, 3] - rows_n4[:, 2]
    places = flat_index(rows_n4[:, 2], rows_n4[:, 3])
    rows = np.repeat(np.arange(len(rows_n4)), lengths)
    if not len(dropped):
        return places, rows
    at = np.minimum(np.searchsorted(dropped, places), len(dropped) - 1)
    stays = dropped[at] != places
    return places[stays], rows[stays]


def train_and_validation(
    train_n3: NDArray[np.int64], validation_n4: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Training rows extended to each user's last validation target.

    For a user without training events: the history of validation and its targets.

    Args:
        train_n3: (user, start, end).
        validation_n4: (user, history start, history end, target end).

    Returns:
        Rows (user, start, end), (n, 3), ascending by user.
    """
    rows = np.concatenate([train_n3, validation_n4[:, [0, 1, 3]]])
    users, first, of_row = np.unique(rows[:, 0], return_index=True, return_inverse=True)
    starts, ends = rows[first, 1], rows[first, 2].copy()  # where a training row starts, if any
    np.maximum.at(ends, of_row, rows[:, 2])
    return np.stack([users, starts, ends], axis=1)


def first_rows(rows_n4: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first row of each user in a phase."""
    return rows_n4[np.unique(rows_n4[:, 0], return_index=True)[1]]


def runs_of_users(
    offsets: NDArray[np.int64], *phases: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Start of each user's first row and end of the last, (U,); an empty range without rows.

    Args:
        offsets: user u owns events ``offsets[u] .. offsets[u + 1]``.
        phases: rows (user, start, ..., end), (n, 3) or (n, 4), ascending by user, who may have
            several.
    """
    first_U, end_U = offsets[1:].copy(), offsets[:-1].copy()
    for rows in phases:
        if len(rows):
            at = np.flatnonzero(np.diff(rows[:, 0], prepend=-1))
            users = rows[at, 0]
            first_U[users] = np.minimum(first_U[users], np.minimum.reduceat(rows[:, 1], at))
            end_U[users] = np.maximum(end_U[users], np.maximum.reduceat(rows[:, -1], at))
    return np.minimum(first_U, end_U), end_U


def finish(
    log: FlatLog,
    split: str,
    rule: Segments,
    hint: str,
    *,
    cold_items: Cold,
    cold_users: Cold = "keep",
    held_out: NDArray[np.bool_] | None = None,
) -> Segments:
    """Apply the common steps of all splits to the rows of a rule.

    Rows without training events, without targets or (for validation and test) without history
    are dropped: a sequential recommender has no input for a user whose targets come first. They
    are counted, as are cold targets and users unless they are kept silently.

    Args:
        log: the events.
        split: its config name, for errors.
        rule: the rows; its counts are kept.
        hint: what to do if nothing is left, for the error.
        cold_items: handling of targets whose item has no training event.
        cold_users: handling of rows whose user has no training event.
        held_out: users that the rule holds out of training, which are never cold, (U,).

    Raises:
        UserError: if a phase has no rows.
    """
    train = rule.train[rule.train[:, 2] > rule.train[:, 1]]
    counts = dict(rule.counts)
    known = np.zeros(len(log.offsets) - 1, dtype=bool)
    known[train[:, 0]] = True
    familiar = known if held_out is None else known | held_out
    phases = {}
    for name, rows in (("validation", rule.validation), ("test", rule.test)):
        rows = rows[rows[:, 3] > rows[:, 2]]
        has_input = rows[:, 2] > rows[:, 1]
        counts[f"{name}_users_without_history"] = int((~has_input).sum())
        phases[name] = rows[has_input]
    first, last = runs_of_users(log.offsets, train, *phases.values())
    counts["events_unused"] = len(log.items) - int((last - first).sum())
    if counts["events_unused"]:  # their items are still in the catalogue
        used_V = count_items(log.items, first, last, log.num_items)
        counts["items_unused"] = int((used_V == 0).sum())
    trained = count_items(log.items, train[:, 1], train[:, 2], log.num_items) > 0
    gaps = []
    for name, rows in phases.items():
        rows = _cold_users(name, rows, familiar, cold_users, counts)
        others = _no_targets(log, rows)
        phases[name], gap = _cold_items(name, rows, log.items, others, trained, cold_items, counts)
        gaps += [others, gap]
    result = Segments(train, phases["validation"], phases["test"])
    _refuse_nothing(split, result, counts, hint)
    has_targets = np.zeros(len(known), dtype=bool)
    has_targets[result.validation[:, 0]] = True
    has_targets[result.test[:, 0]] = True
    counts["users_without_targets"] = int((known & ~has_targets).sum())
    dropped = np.sort(np.concatenate(gaps))
    return replace(result, counts=counts, dropped_targets=dropped)


def _no_targets(log: FlatLog, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Indices in the target ranges of rows whose event type is not a target's, ascending."""
    if log.is_target is None:
        return np.empty(0, dtype=np.int64)
    others = [i[~log.is_target[i]] for i in range_chunks(rows[:, 2], rows[:, 3])]
    return np.concatenate([*others, np.empty(0, dtype=np.int64)])


def _cold_users(
    name: str,
    rows: NDArray[np.int64],
    familiar: NDArray[np.bool_],
    cold: Cold,
    counts: dict[str, int],
) -> NDArray[np.int64]:
    if cold == "keep":
        return rows
    is_cold = ~familiar[rows[:, 0]]
    prefix = "dropped_cold" if cold == "drop" else "cold"
    counts[f"{prefix}_{name}_users"] = len(np.unique(rows[is_cold, 0]))
    return rows[~is_cold] if cold == "drop" else rows


def _cold_items(
    name: str,
    rows: NDArray[np.int64],
    items: NDArray[np.int32],
    others: NDArray[np.int64],
    trained: NDArray[np.bool_],
    cold: Cold,
    counts: dict[str, int],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The kept rows, and the indices of cold targets in them; `others` are not targets."""
    lengths = rows[:, 3] - rows[:, 2]
    counts[f"{name}_targets"] = int(lengths.sum()) - len(others)
    nothing = np.empty(0, dtype=np.int64)
    if cold == "keep":
        return rows, nothing
    stays = np.ones(len(rows), dtype=bool)
    gaps, number = [nothing], 0
    for part in row_chunks(lengths):
        places, of_row = target_ranges(rows[part], others)
        is_cold = ~trained[items[places]]
        number += int(is_cold.sum())
        warm = np.bincount(of_row[~is_cold], minlength=len(lengths[part])) > 0
        stays[part] = warm
        gaps.append(places[is_cold & warm[of_row]])
    if cold == "report":
        counts[f"cold_{name}_targets"] = number
        return rows, nothing
    counts[f"dropped_cold_{name}_targets"] = number
    counts[f"{name}_targets"] -= number
    return rows[stays], np.concatenate(gaps)


def _refuse_nothing(split: str, result: Segments, counts: dict[str, int], hint: str) -> None:
    for phase, what in (
        ("train", "no event to train on"),
        ("validation", "no validation target"),
        ("test", "no test target"),
    ):
        if len(getattr(result, phase)):
            continue
        lost = counts.get(f"{phase}_users_without_history", 0)
        why = [f"{lost:,} users have no event before their targets"] if lost else []
        why += [
            f"{number:,} cold {whose} were dropped"
            for whose in ("users", "targets")
            if (number := counts.get(f"dropped_cold_{phase}_{whose}"))
        ]
        reasons = f" ({'; '.join(why)})" if why else ""
        raise UserError(f"split={split}: {what} is left{reasons}. {hint}")
